package command

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/hf"
	"tempera/training/tokenizer"
)

func TestAModelFolderComesBackAsItWent(t *testing.T) {
	s, in := mem.New(), t.TempDir()
	require.NoError(t, os.CopyFS(in, os.DirFS("../../../training/hf/testdata/qwen2")))
	tok, err := tokenizer.Train(slices.Values([]string{"a b"}), tokenizer.TrainOptions{VocabSize: 262, MinFrequency: 1})
	require.NoError(t, err)
	raw, err := tok.JSON()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(in, hf.TokenizerFile), raw, 0o600))
	p := publication{name: "tiny", params: map[string]string{"name": "tiny", "alias": "champion", "version": "v1"}}
	model, err := importFolder(t.Context(), s, hf.Dir(in), p)
	require.NoError(t, err)
	_, err = importFolder(t.Context(), s, hf.Dir(in), p)
	require.NoError(t, err, "once more changes nothing")

	for _, ref := range []string{"tiny", "tiny@v1", "tiny@champion", "model@" + string(model.Digest)} {
		out := filepath.Join(t.TempDir(), "out")
		o, err := exportOptions("float32", 5)
		require.NoError(t, err)
		files, err := exportModel(t.Context(), s, modelExport{ref, out, o})
		require.NoError(t, err)
		require.Len(t, files, 6)
		for _, name := range []string{"model.safetensors", hf.TokenizerFile, hf.GenerationFile} {
			want, err := os.ReadFile(filepath.Join(in, name))
			require.NoError(t, err)
			got, err := os.ReadFile(filepath.Join(out, name))
			require.NoError(t, err)
			require.Equal(t, want, got, name)
		}
	}

	out := t.TempDir()
	o, err := exportOptions("bfloat16", 0.001)
	require.NoError(t, err)
	_, err = exportModel(t.Context(), s, modelExport{"tiny", out, o})
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(out, "model.safetensors"))
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(60_000))
}

func TestWhatCannotBeImportedOrExportedIsWrongInput(t *testing.T) {
	s := mem.New()
	fails := func(err error, want string) {
		t.Helper()
		require.ErrorContains(t, err, want)
		var e *exitError
		require.ErrorAs(t, err, &e)
		require.Equal(t, exitWrong, e.code)
	}
	_, err := importFolder(t.Context(), s, hf.Dir(t.TempDir()), publication{params: map[string]string{"name": "x"}})
	fails(err, "no config.json")
	_, err = importFolder(t.Context(), s, hf.Dir(t.TempDir()), publication{params: map[string]string{"name": "a/b"}})
	fails(err, "name")
	_, err = exportOptions("int4", 5)
	fails(err, "use float32")
	_, err = exportOptions("float32", 0)
	fails(err, "shard-gb")
	_, err = exportModel(t.Context(), s, modelExport{"none", t.TempDir(), hf.Options{}})
	fails(err, "none")
	ref, err := artifact.PutBytes(t.Context(), s, []byte("x"))
	require.NoError(t, err)
	set, err := artifact.PutManifest(t.Context(), s, &artifact.Manifest{Type: artifact.TypeDataset, Files: []artifact.File{{Path: "a", Ref: ref}}})
	require.NoError(t, err)
	_, err = exportModel(t.Context(), s, modelExport{string(set.Digest), t.TempDir(), hf.Options{}})
	fails(err, "is a dataset, not a model")
}
