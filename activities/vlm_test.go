package activities

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/model"
)

// framed stores pictures of one colour, of several shapes, and captions that name it.
func (l *workshop) framed(n int, seed uint64) artifact.Artifact {
	l.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	colours := map[string][3]byte{"red": {220, 20, 20}, "green": {20, 200, 20}, "blue": {20, 20, 220}, "white": {240, 240, 240}}
	names := sortedKeys(colours)
	w := shard.NewWriter(l.t.Context(), l.store, shard.Options{Name: "framed", Card: shard.Card{Title: "Pictures of several shapes"}})
	defer w.Discard()
	for i := range n {
		m := picture.New(8+8*r.IntN(5), 8+8*r.IntN(3))
		name := names[r.IntN(len(names))]
		for k := range m.Pix {
			m.Pix[k] = colours[name][k%3] + byte(r.IntN(12))
		}
		png, err := m.PNG()
		require.NoError(l.t, err)
		require.NoError(l.t, w.Add(sample.Sample{Key: fmt.Sprintf("%d-%d", seed, i), Image: png, Format: "png", Caption: "a wall of " + name + " paint"}))
	}
	a, err := w.Close()
	require.NoError(l.t, err)
	return a
}

// ofShapes is a training on images that keep their shapes.
const ofShapes = `{"objective": "vlm", "native": 24, "prompt": "we see", "steps": %d, "batch": 8, "learning_rate": 0.005, "evaluate_every": 10,
	"keep": "best", "augment": {"flip": 50, "shift": 1, "jitter": 10, "zoom": 10}, "checkpoint_seconds": 0.001,
	"model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 4, "image": 16, "config": {"vision": {"form": "moonvit", "side": 12}}}}`

// TestAVLMOfImagesThatKeepTheirShapes learns to name what it sees, whatever its
// shape, and resumes anywhere to the bit.
func TestAVLMOfImagesThatKeepTheirShapes(t *testing.T) {
	l := &workshop{t, mem.New()}
	data, held := l.framed(64, 1), l.framed(24, 2)
	tokenizer := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300}`, inputs: ports{"data": {data}}}, "tokenizer")
	a := execution{kind: pretrain(), params: fmt.Sprintf(ofShapes, 300), threads: 2, inputs: ports{"data": {data}, "tokenizer": {tokenizer}, "held_out": {held}}}
	trained, err := l.run(a)
	require.NoError(t, err)
	require.Less(t, trained.Metrics["val_loss"], 0.2)
	in := ports{"model": {trained.Outputs["model"]}, "data": {held}}
	judged, err := l.run(execution{kind: evaluate(), params: `{"native": 24, "prompt": "we see", "batch": 5}`, inputs: in})
	require.NoError(t, err)
	require.Greater(t, judged.Metrics["bleu_4"], 90.0)

	a.params = fmt.Sprintf(ofShapes, 10)
	a.threads = 1
	whole, err := l.run(a)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(7, 8))
	for range 3 {
		a.points, a.threads, a.stopAt = &points{}, 2, 1+r.Int64N(8)
		_, err := l.run(a)
		require.ErrorIs(t, err, ErrStopped)
		a.points.lose(r)
		a.stopAt = -1
		got, err := l.run(a)
		require.NoError(t, err)
		require.Equal(t, whole, got)
	}
}

// smallVLM are the sizes of the models of TestAVLMIsTrainedInTwoStages.
const smallVLM = `"batch": 8, "learning_rate": 0.005, "model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 8`

// TestAVLMIsTrainedInTwoStages: an image tower and a language model become one, as
// LLaVA does it: first the projector learns, then the text tower too.
func TestAVLMIsTrainedInTwoStages(t *testing.T) {
	l := &workshop{t, mem.New()}
	pairs := l.output(execution{kind: ingest(), params: `{"count": 64}`}, "dataset")
	tokenizer := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300}`, inputs: ports{"data": {pairs}}}, "tokenizer")
	tokens := l.output(execution{kind: tokensKind(), params: `{}`, inputs: ports{"data": {pairs}, "tokenizer": {tokenizer}}}, "tokens")
	learn := func(params string, in ports) artifact.Artifact {
		return l.output(execution{kind: pretrain(), params: params, inputs: in}, "model")
	}
	eyes := learn(`{"objective": "clip", "steps": 4, `+smallVLM+`}}`, ports{"data": {pairs}, "tokenizer": {tokenizer}})
	mouth := learn(`{"objective": "lm", "steps": 4, `+smallVLM+`, "context": 64, "config": {"text": {"form": "llama", "tie_head": true}}}}`,
		ports{"data": {tokens}, "tokenizer": {tokenizer}})
	in := ports{"data": {pairs}, "tokenizer": {mouth}, "vision": {eyes}, "language": {mouth}}
	first := learn(`{"objective": "vlm", "steps": 4, "freeze": ["vision", "text"], `+smallVLM+`}}`, in)
	second := l.output(execution{kind: finetune(), params: `{"objective": "vlm", "steps": 4, "batch": 8, "freeze": ["vision"]}`, inputs: ports{"data": {pairs}, "model": {first}}}, "model")

	weights := func(a artifact.Artifact) *model.Weights {
		m, err := loadModel(t.Context(), &Task{Store: l.store, Scratch: t.TempDir()}, a)
		require.NoError(t, err)
		return m.weights
	}
	get := func(w *model.Weights, name string) []float32 {
		v, err := w.Get(name)
		require.NoError(t, err)
		return v
	}
	see, speak, one, two := weights(eyes), weights(mouth), weights(first), weights(second)
	require.Equal(t, 301, one.Config.Text.Vocab, "one more for the image")
	for _, s := range one.Config.Params() {
		a, b := get(one, s.Name), get(two, s.Name)
		switch part, _, _ := strings.Cut(s.Name, "."); part {
		case "vision":
			require.Equal(t, get(see, s.Name), a, s.Name)
			require.Equal(t, a, b, s.Name)
		case "text":
			old := get(speak, s.Name)
			require.Equal(t, old, a[:len(old)], s.Name)
			require.NotEqual(t, a, b, s.Name)
		default:
			require.NotEqual(t, a, b, s.Name)
		}
	}

	described, err := l.run(execution{kind: caption(), params: `{"top_p": 0, "batch": 7}`, inputs: ports{"model": {second}, "data": {pairs}}})
	require.NoError(t, err)
	require.Equal(t, 64.0, described.Metrics["captions"])
	again, err := l.run(execution{kind: caption(), params: `{"top_p": 0, "batch": 30}`, inputs: ports{"model": {second}, "data": {pairs}}, threads: 2})
	require.NoError(t, err)
	require.Equal(t, described.Outputs, again.Outputs, "neither the batch nor threads change a caption")
}

func TestWhatAVLMCannotBeTrainedOn(t *testing.T) {
	l := &workshop{t, mem.New()}
	pairs := l.output(execution{kind: ingest(), params: `{"count": 20}`}, "dataset")
	tokenizer := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300}`, inputs: ports{"data": {pairs}}}, "tokenizer")
	other := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 280}`, inputs: ports{"data": {pairs}}}, "tokenizer")
	tokens := l.output(execution{kind: tokensKind(), params: `{}`, inputs: ports{"data": {pairs}, "tokenizer": {other}}}, "tokens")
	in := ports{"data": {pairs}, "tokenizer": {tokenizer}}
	mouth := l.output(execution{kind: pretrain(), params: `{"objective": "lm", "steps": 1, ` + smallVLM + `, "context": 16}}`, inputs: ports{"data": {tokens}, "tokenizer": {other}}}, "model")
	with := func(port string, a artifact.Artifact) ports {
		return ports{"data": {pairs}, "tokenizer": {tokenizer}, port: {a}}
	}
	for _, c := range []struct {
		name, params, want string
		inputs             ports
	}{
		{"a part of another objective", `{"objective": "clip", "steps": 1, ` + smallVLM + `}}`, "input language is for objective vlm", with("language", mouth)},
		{"a language model of another tokenizer", `{"objective": "vlm", "steps": 1, ` + smallVLM + `}}`, "give that model as tokenizer too", with("language", mouth)},
		{"eyes that are none", `{"objective": "vlm", "steps": 1, ` + smallVLM + `}}`, "of kind lm has no image tower", with("vision", mouth)},
		{"shapes that the tower does not take", `{"objective": "vlm", "native": 16, "steps": 1, ` + smallVLM + `}}`, "train one with model.config", in},
		{"a context without room", `{"objective": "vlm", "steps": 1, ` + smallVLM + `, "context": 5}}`, "raise model.context", in},
		{"memory over the limit", `{"objective": "vlm", "memory_limit": 1, "steps": 1, ` + smallVLM + `}}`, "no smaller batch fits", in},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &workshop{t, l.store}
			_, err := l.run(execution{kind: pretrain(), params: c.params, inputs: c.inputs})
			require.ErrorContains(t, err, c.want)
			var final *permanent
			require.True(t, errors.As(err, &final), "it is not tried again: %v", err)
		})
	}
	for _, c := range []struct{ params, want string }{
		{`{"objective": "vlm", "native": 16, "accumulate": 2}`, "images that keep their shapes are packed and cannot be split"},
		{`{"objective": "vlm", "freeze": ["vision", "projector", "text"]}`, "freeze lists every part"},
		{`{"objective": "vlm", "freeze": ["eyes"]}`, `freeze[0] is "eyes"`},
		{`{"objective": "blip", "freeze": ["vision"], "prompt": "we see", "native": 4}`, "freeze is for objective vlm"},
		{`{"objective": "blip", "accumulate": 2}`, "set accumulate to 1 and recompute to true, or itc and itm to 0"},
		{`{"objective": "lm", "lengths": [4]}`, "lengths is for pairs"},
		{`{"objective": "clip", "lengths": [8, 4]}`, "each larger than the one before"},
	} {
		_, err := pretrain().Check([]byte(c.params))
		require.ErrorContains(t, err, c.want)
	}
	require.NoError(t, errOf(pretrain().Check([]byte(`{"objective": "blip", "accumulate": 2, "itc": 0, "itm": 0}`))))
	_, err := l.run(execution{kind: evaluate(), params: `{"captions": 0}`, inputs: ports{"data": {pairs}, "model": {l.output(execution{
		kind: pretrain(), params: `{"objective": "vlm", "steps": 1, ` + smallVLM + `}}`, inputs: in,
	}, "model")}}})
	require.ErrorContains(t, err, "captions is 0")
}

func errOf(_ []byte, err error) error { return err }
