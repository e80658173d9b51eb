package hf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"tempera/training/checkpoint"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/op"
)

// folders are those that testdata/make_folders.py writes.
var folders = []string{"gpt2", "llama", "qwen2", "clip", "siglip"}

func testFolder(name string) Dir { return Dir(filepath.Join("testdata", name)) }

func open(t *testing.T, f Folder) *Source {
	t.Helper()
	src, err := Open(f)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, src.Close()) })
	return src
}

// files reads a folder into memory, so that a test can change it.
func files(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	tree := fstest.MapFS{}
	entries, err := os.ReadDir(filepath.Join("testdata", name))
	require.NoError(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join("testdata", name, e.Name()))
		require.NoError(t, err)
		tree[e.Name()] = &fstest.MapFile{Data: data}
	}
	return tree
}

// configure changes config.json of a folder.
func configure(t *testing.T, tree fstest.MapFS, change func(c map[string]any)) fstest.MapFS {
	t.Helper()
	var c map[string]any
	require.NoError(t, json.Unmarshal(tree[ConfigFile].Data, &c))
	change(c)
	raw, err := json.Marshal(c)
	require.NoError(t, err)
	tree[ConfigFile] = &fstest.MapFile{Data: raw}
	return tree
}

// written is a folder in memory that Write fills.
type written struct{ fstest.MapFS }

func (w written) output(name string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	w.MapFS[name] = &fstest.MapFile{Data: b.Bytes()}
	return nil
}

func export(t *testing.T, src *Source, o Options) fstest.MapFS {
	t.Helper()
	w := written{fstest.MapFS{}}
	require.NoError(t, Write(w.output, src.Config, src, o))
	return w.MapFS
}

func newCPU(t testing.TB) device.Backend {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 2})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return device.NewCPU(e)
}

// golden holds the inputs and outputs of a folder's model.
type golden struct {
	t    *testing.T
	file *checkpoint.File
}

func readGolden(t *testing.T, name string) golden {
	t.Helper()
	f, err := checkpoint.OpenFile(filepath.Join("testdata", name+".golden.safetensors"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return golden{t, f}
}

func (g golden) floats(name string) []float32 {
	v, err := g.file.Floats(name)
	require.NoError(g.t, err)
	return v
}

func (g golden) shape(name string) []int {
	info, ok := g.file.Info(name)
	require.True(g.t, ok, name)
	return info.Shape
}

func (g golden) ids() []int32 {
	var ids []int32
	for _, v := range g.floats("input_ids") {
		ids = append(ids, int32(v))
	}
	return ids
}

// distance is the greatest difference over the greatest value.
func distance(got, want []float32) float64 {
	var most, off float64
	for i, w := range want {
		most = math.Max(most, math.Abs(float64(w)))
		off = math.Max(off, math.Abs(float64(w)-float64(got[i])))
	}
	return off / most
}

// run builds a graph with outputs and runs it once.
func run(t *testing.T, b device.Backend, define func(g *graph.Graph), feed func(g *graph.Graph)) *graph.Graph {
	t.Helper()
	g, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node { define(g); return nil })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	feed(g)
	require.NoError(t, g.Run())
	return g
}

func fetch(t *testing.T, g *graph.Graph, name string) []float32 {
	t.Helper()
	v, err := g.Read(name)
	require.NoError(t, err)
	return v
}

// decoderLogits runs a decoder over the golden texts: (B, T, V).
func decoderLogits(t *testing.T, src *Source, want golden) []float32 {
	t.Helper()
	b := newCPU(t)
	m, err := src.Load(b)
	require.NoError(t, err)
	shape := want.shape("input_ids")
	g := run(t, b, func(g *graph.Graph) {
		tokens := g.Input("tokens", device.Int32, shape...)
		g.Output("logits", m.TokenLogits(g, m.DecoderStates(g, tokens, nil)))
	}, func(g *graph.Graph) { require.NoError(t, g.Feed("tokens", want.ids())) })
	return fetch(t, g, "logits")
}

// every takes each n-th position from n-1 on, as make_folders.py does.
func every(n int, logits []float32, shape []int, vocab int) []float32 {
	var out []float32
	for r := range shape[0] {
		for p := n - 1; p < shape[1]; p += n {
			at := (r*shape[1] + p) * vocab
			out = append(out, logits[at:at+vocab]...)
		}
	}
	return out
}

const tolerance = 1e-4

func TestDecodersGiveTheLogitsOfTransformers(t *testing.T) {
	for _, name := range []string{"gpt2", "qwen2"} {
		t.Run(name, func(t *testing.T) {
			src, want := open(t, testFolder(name)), readGolden(t, name)
			got := every(4, decoderLogits(t, src, want), want.shape("input_ids"), src.Config.Text.Vocab)
			d := distance(got, want.floats("logits"))
			t.Logf("%s: greatest error %.2g of the greatest logit", name, d)
			require.Less(t, d, tolerance)
		})
	}
}

func TestLlamaGivesTheLogitsOfTransformersForEveryScaling(t *testing.T) {
	want := readGolden(t, "llama")
	for name, scaling := range map[string]any{
		"llama3":  map[string]any{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
		"default": nil, "linear": map[string]any{"type": "linear", "factor": 2.5},
		"dynamic": map[string]any{"rope_type": "dynamic", "factor": 4.0},
		"yarn":    map[string]any{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
	} {
		t.Run(name, func(t *testing.T) {
			src := open(t, FS(configure(t, files(t, "llama"), func(c map[string]any) { c["rope_scaling"] = scaling })))
			got := every(8, decoderLogits(t, src, want), want.shape("input_ids"), src.Config.Text.Vocab)
			d := distance(got, want.floats("logits."+name))
			t.Logf("llama, %s: greatest error %.2g of the greatest logit", name, d)
			require.Less(t, d, tolerance)
		})
	}
}

func TestTowersGiveTheFeaturesOfTransformers(t *testing.T) {
	for _, name := range []string{"clip", "siglip"} {
		t.Run(name, func(t *testing.T) {
			src, want, b := open(t, testFolder(name)), readGolden(t, name), newCPU(t)
			m, err := src.Load(b)
			require.NoError(t, err)
			texts, images := want.shape("input_ids"), want.shape("pixel_values")
			ids := want.ids()
			g := run(t, b, func(g *graph.Graph) {
				in := model.Texts{Tokens: g.Input("tokens", device.Int32, texts...)}
				if src.Config.Text.Pool == model.Last {
					in.Last = g.Input("last", device.Int32, texts[0])
				}
				text := m.TextFeature(g, m.TextStates(g, in), in)
				image := m.ImageFeature(g, m.VisionStates(g, g.Input("images", device.Float32, images...)))
				g.Output("text_embeds", text)
				g.Output("image_embeds", image)
				g.Output("cos", op.Linear(g, op.L2Normalize(g, text), op.L2Normalize(g, image), nil, op.LinearOptions{Transposed: true}))
			}, func(g *graph.Graph) {
				require.NoError(t, g.Feed("tokens", ids))
				if src.Config.Text.Pool == model.Last {
					require.NoError(t, g.Feed("last", lasts(src, ids, texts)))
				}
				require.NoError(t, g.Feed("images", want.floats("pixel_values")))
			})
			for _, output := range []string{"text_embeds", "image_embeds"} {
				d := distance(fetch(t, g, output), want.floats(output))
				t.Logf("%s, %s: greatest error %.2g", name, output, d)
				require.Less(t, d, tolerance, output)
			}
			logits := fetch(t, g, "cos")
			scale, bias := value(t, src, "log_scale"), 0.0
			if name == "siglip" {
				bias = value(t, src, "logit_bias")
			}
			for i, c := range logits {
				logits[i] = float32(float64(c)*math.Exp(scale) + bias)
			}
			require.Less(t, distance(logits, want.floats("logits_per_text")), tolerance)
		})
	}
}

func TestAScorerGivesTheFeaturesOfTransformers(t *testing.T) {
	for _, name := range []string{"clip", "siglip"} {
		t.Run(name, func(t *testing.T) {
			src, want := open(t, testFolder(name)), readGolden(t, name)
			m, err := src.Load(newCPU(t))
			require.NoError(t, err)
			s, err := model.NewScorer(m, 2)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			shape := want.shape("input_ids")
			var lengths []int32
			for r, last := range lasts(src, want.ids(), shape) {
				lengths = append(lengths, last-int32(r*shape[1])+1)
			}
			text, err := s.TextFeatures(want.ids(), lengths)
			require.NoError(t, err)
			image, err := s.ImageFeatures(want.floats("pixel_values"), want.shape("pixel_values")[0])
			require.NoError(t, err)
			require.Less(t, distance(text, normalised(want.floats("text_embeds"), s.Embed())), tolerance)
			require.Less(t, distance(image, normalised(want.floats("image_embeds"), s.Embed())), tolerance)
		})
	}
}

func normalised(rows []float32, width int) []float32 {
	out := slices.Clone(rows)
	for from := 0; from < len(out); from += width {
		var squares float64
		for _, v := range out[from : from+width] {
			squares += float64(v) * float64(v)
		}
		for i := range width {
			out[from+i] /= float32(math.Sqrt(squares))
		}
	}
	return out
}

// lasts are the rows of the first end tokens, whose states are the features of texts.
func lasts(src *Source, ids []int32, shape []int) []int32 {
	last := make([]int32, shape[0])
	for r := range last {
		row := ids[r*shape[1] : (r+1)*shape[1]]
		last[r] = int32(r*shape[1] + slices.Index(row, src.Config.Text.Special.EOS))
	}
	return last
}

func value(t *testing.T, src *Source, name string) float64 {
	t.Helper()
	v, err := src.Get(name)
	require.NoError(t, err)
	return float64(v[0])
}

func tensorBytes(t *testing.T, tree fstest.MapFS) map[string]string {
	t.Helper()
	set, err := openSet(FS(tree))
	require.NoError(t, err)
	out := map[string]string{}
	for _, name := range set.Names() {
		info, _ := set.Info(name)
		v, err := set.Floats(name)
		require.NoError(t, err)
		out[name] = fmt.Sprint(info, bits(v))
	}
	return out
}

func bits(v []float32) []uint32 {
	out := make([]uint32, len(v))
	for i, x := range v {
		out[i] = math.Float32bits(x)
	}
	return out
}

func TestAFolderThatIsReadAndWrittenHasTheSameBytes(t *testing.T) {
	for _, name := range folders {
		t.Run(name, func(t *testing.T) {
			src := open(t, testFolder(name))
			back := export(t, src, Options{Files: src.Files})
			want := files(t, name)
			require.True(t, bytes.Equal(want[checkpoint.SingleFile].Data, back[checkpoint.SingleFile].Data), "the file of weights, header and all")
			require.Equal(t, src.Config, open(t, FS(back)).Config)
			require.Equal(t, back, export(t, open(t, FS(back)), Options{Files: src.Files}))
			sameSettings(t, want[ConfigFile].Data, back[ConfigFile].Data)

			// In shards, and by way of weights on the host.
			w, err := src.Weights()
			require.NoError(t, err)
			shards := written{fstest.MapFS{}}
			require.NoError(t, Write(shards.output, w.Config, w, Options{ShardBytes: 50_000}))
			require.Contains(t, shards.MapFS, checkpoint.IndexFile)
			require.NotContains(t, shards.MapFS, checkpoint.SingleFile)
			require.Equal(t, tensorBytes(t, want), tensorBytes(t, shards.MapFS))
			require.Equal(t, src.Config, open(t, FS(shards.MapFS)).Config)
		})
	}
}

// sameSettings holds what we write to what was read: every key that we write and
// that stood in the folder has the same value.
func sameSettings(t *testing.T, want, got []byte) {
	t.Helper()
	var a, b map[string]any
	require.NoError(t, json.Unmarshal(want, &a))
	require.NoError(t, json.Unmarshal(got, &b))
	compare := func(a, b map[string]any) {
		for key, v := range b {
			was, ok := a[key]
			if !ok || was == nil || key == "text_config" || key == "vision_config" || key == "eos_token_id" {
				continue
			}
			require.Equal(t, was, v, key)
		}
	}
	compare(a, b)
	for _, tower := range []string{"text_config", "vision_config"} {
		if b[tower] != nil {
			compare(a[tower].(map[string]any), b[tower].(map[string]any))
		}
	}
}

func TestWeightsAreRoundedWhereAskedFor(t *testing.T) {
	src := open(t, testFolder("llama"))
	for _, dtype := range []checkpoint.DType{checkpoint.F16, checkpoint.BF16} {
		back := export(t, src, Options{DType: dtype})
		require.Less(t, len(back[checkpoint.SingleFile].Data), 90_000)
		again := open(t, FS(back))
		want, err := src.Get("text.token")
		require.NoError(t, err)
		got, err := again.Get("text.token")
		require.NoError(t, err)
		d := distance(got, want)
		require.True(t, d > 0 && d < 4e-3, "%v", d)
		require.Equal(t, back[checkpoint.SingleFile].Data, export(t, again, Options{DType: dtype})[checkpoint.SingleFile].Data)
	}
	require.ErrorContains(t, Write(written{fstest.MapFS{}}.output, src.Config, src, Options{DType: checkpoint.F64}), "F32, F16 or BF16")
}
