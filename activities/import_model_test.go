package activities

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/hf"
	"tempera/training/model"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

// huggingFolder is a tiny Llama with a tokenizer and a chat template.
func huggingFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../training/hf/testdata/llama")))
	tok, err := tokenizer.Train(slices.Values([]string{"a red circle", "a blue square"}), tokenizer.TrainOptions{VocabSize: 270, MinFrequency: 1})
	require.NoError(t, err)
	raw, err := tok.JSON()
	require.NoError(t, err)
	for name, data := range map[string]string{
		hf.TokenizerFile: string(raw), "chat_template.jinja": "{{ messages }}", hf.CardFile: "---\nlicense: mit\n---\n\n# tiny\n\nA tiny one.\n",
		"tokenizer_config.json": `{"eos_token":"[EOS]","bos_token":"[BOS]","pad_token":"[PAD]"}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600))
	}
	return dir
}

// importing runs the kind as run does.
func importing(t *testing.T, s artifact.Store, params string, inputs map[string][]artifact.Artifact) (artifact.Artifact, error) {
	t.Helper()
	resolved, err := importModel().Check([]byte(params))
	require.NoError(t, err)
	task := &Task{
		Request: stage.Request{Pipeline: "p", Run: "r", Stage: "import", Key: "import_model-0123456789012345678901234567890123456789", Params: resolved, Inputs: inputs},
		Store:   s, Log: slog.New(slog.DiscardHandler), Progress: func(Progress) {}, Result: &stage.Result{}, Scratch: t.TempDir(), Data: t.TempDir(),
	}
	err = importModel().Run(t.Context(), task)
	return task.Result.Outputs["model"], err
}

func manifestOf(t *testing.T, s artifact.Store, a artifact.Artifact) *artifact.Manifest {
	t.Helper()
	m, err := artifact.LoadManifest(t.Context(), s, a)
	require.NoError(t, err)
	return m
}

func TestAFolderIsImportedPublishedAndImportedFromThere(t *testing.T) {
	s, dir := mem.New(), huggingFolder(t)
	a, err := importing(t, s, `{"folder": "`+dir+`"}`, nil)
	require.NoError(t, err)
	again, err := importing(t, s, `{"folder": "`+dir+`"}`, nil)
	require.NoError(t, err)
	require.Equal(t, a, again)

	loaded, err := loadModel(t.Context(), &Task{Store: s, Scratch: t.TempDir()}, a)
	require.NoError(t, err)
	require.Equal(t, model.LM, loaded.weights.Config.Kind)
	require.Equal(t, model.Special{Pad: 0, BOS: 1, EOS: 2, ENC: 1}, loaded.weights.Config.Text.Special, "those that the tokenizer has")
	card, err := ownCard(t.Context(), s, loaded.files)
	require.NoError(t, err)
	require.Contains(t, card, "A tiny one.")

	n := newsroom{t, s}
	_, err = n.publish("run", `{}`, map[string]artifact.Artifact{"model": a})
	require.NoError(t, err)
	folder := "models/news/" + a.Digest.Short()
	require.Equal(t, []string{
		"README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
		"tokenizer.json", "tokenizer_config.json", "version.json",
	}, n.names(folder+"/"))
	for _, name := range []string{"model.safetensors", hf.TokenizerFile, "chat_template.jinja", "tokenizer_config.json", hf.GenerationFile} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, string(want), n.text(folder+"/"+name), name)
	}
	require.Contains(t, n.text(folder+"/config.json"), "LlamaForCausalLM")
	readme := n.text(folder + "/README.md")
	for _, want := range []string{"library_name: transformers\npipeline_tag: text-generation", "`from_pretrained` reads it", "A tiny one."} {
		require.Contains(t, readme, want)
	}

	back, err := importing(t, s, `{"prefix": "`+folder+`"}`, nil)
	require.NoError(t, err)
	for _, file := range []string{weightsFile, configFile, tokenizerFile} {
		want, err := manifestOf(t, s, a).Find(file)
		require.NoError(t, err)
		got, err := manifestOf(t, s, back).Find(file)
		require.NoError(t, err)
		require.Equal(t, want, got, file)
	}
}

func TestAnArtifactOfSuchFilesIsImported(t *testing.T) {
	s, dir := mem.New(), huggingFolder(t)
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = string(data)
	}
	raw := newsroom{t, s}.put(artifact.TypeModel, files)
	_, err = importing(t, s, `{}`, map[string][]artifact.Artifact{"files": {raw}})
	require.NoError(t, err)
	_, err = importing(t, s, `{"folder": "x"}`, map[string][]artifact.Artifact{"files": {raw}})
	require.ErrorContains(t, err, "in one of them")
}

func TestAnImportThatFailsSaysWhyForGood(t *testing.T) {
	s, dir := mem.New(), huggingFolder(t)
	for _, c := range []struct {
		params, want string
		change       func()
	}{
		{`{}`, "give folder, prefix or input files", nil},
		{`{"folder": "nowhere"}`, "no config.json", nil},
		{`{"prefix": "models/none/x"}`, "no config.json", nil},
		{`{"folder": "` + dir + `"}`, "tokenizer.json has 270 tokens, the embedding 200 rows", func() {
			config := filepath.Join(dir, "config.json")
			data, err := os.ReadFile(config)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(config, []byte(strings.ReplaceAll(string(data), `"vocab_size": 320`, `"vocab_size": 200`)), 0o600))
		}},
		{`{"folder": "` + dir + `"}`, "tokenizer.json: ", func() {
			require.NoError(t, os.CopyFS(filepath.Join(dir, "x"), os.DirFS("../training/hf/testdata/llama")))
			require.NoError(t, os.WriteFile(filepath.Join(dir, hf.TokenizerFile), []byte(`{"model":{"type":"Guess"}}`), 0o600))
			require.NoError(t, os.Rename(filepath.Join(dir, "x", "config.json"), filepath.Join(dir, "config.json")))
		}},
		{`{"folder": "` + dir + `"}`, "save the tokenizer in its fast form", func() { require.NoError(t, os.Remove(filepath.Join(dir, hf.TokenizerFile))) }},
	} {
		if c.change != nil {
			c.change()
		}
		_, err := importing(t, s, c.params, nil)
		require.ErrorContains(t, err, c.want)
		var final *permanent
		require.ErrorAs(t, err, &final, "it is not tried again")
	}
	_, err := importModel().Check([]byte(`{"folder": "a", "prefix": "b"}`))
	require.ErrorContains(t, err, "both given")
	_, err = importModel().Check([]byte(`{"prefix": "../b"}`))
	require.ErrorContains(t, err, "prefix")
}

func TestAKilledPublisherOfATransformersFolderIsFinishedByTheNext(t *testing.T) {
	dir := huggingFolder(t)
	const writes = 1 + 7 + 1 + 1 // claim, files, completion, alias
	var undisturbed map[string]string
	for kill := writes; kill >= 0; kill-- {
		s := mem.New()
		a, err := importing(t, s, `{"folder": "`+dir+`"}`, nil)
		require.NoError(t, err)
		in := map[string]artifact.Artifact{"model": a}
		d := &dying{Store: s}
		d.left.Store(int64(kill))
		_, err = newsroom{t, d}.publish("run", `{}`, in)
		require.Equal(t, kill < writes, errors.Is(err, errDead), "%d writes: %v", kill, err)
		n := newsroom{t, s}
		_, err = n.publish("run", `{}`, in)
		require.NoError(t, err)
		now := map[string]string{}
		for _, name := range n.names("models/") {
			now[name] = moment.ReplaceAllString(n.text("models/"+name), "THEN")
		}
		if undisturbed == nil {
			undisturbed = now
		}
		require.Len(t, now, 8)
		require.Equal(t, undisturbed, now, "killed after %d writes", kill)
	}
}
