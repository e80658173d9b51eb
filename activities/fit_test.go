package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/document"
	"tempera/datagen/token"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/device"
	"tempera/workflows/stage"
)

// workshop runs kinds on a store, with inputs by port.
type workshop struct {
	t     *testing.T
	store artifact.Store
}

// points keep checkpoints in memory.
type points struct{ all [][]byte }

// lose forgets the newest checkpoints, as a killed worker that had not written
// them would: what is left is one of the first n.
func (p *points) lose(r *rand.Rand) {
	if n := len(p.all); n > 0 {
		p.all = p.all[:1+r.IntN(n)]
	}
}

func (p *points) Save(_ context.Context, _ int64, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	p.all = append(p.all, b.Bytes())
	return nil
}

func (p *points) Load(_ context.Context, read func(int64, io.Reader) error) (bool, error) {
	if len(p.all) == 0 {
		return false, nil
	}
	return true, read(0, bytes.NewReader(p.all[len(p.all)-1]))
}

// attempt is one execution of a kind. stopAt asks it to stop when it has
// reported so many steps; -1: never.
type execution struct {
	kind    Kind
	params  string
	inputs  map[string][]artifact.Artifact
	points  *points
	stopAt  int64
	threads int
	devices int // that share steps; 0: none do
	gpu     device.Backend
}

func (l *workshop) run(a execution) (*stage.Result, error) {
	l.t.Helper()
	resolved, err := a.kind.Check([]byte(a.params))
	require.NoError(l.t, err)
	stopping := make(chan struct{})
	task := &Task{
		Request: stage.Request{Kind: a.kind.Describe().Name, Params: resolved, Inputs: a.inputs, Key: "key"},
		Store:   l.store, Log: slog.New(slog.DiscardHandler), Scratch: l.t.TempDir(), Threads: max(1, a.threads), GPU: a.gpu,
		Checkpoints: nowhere{}, Metrics: nowhere{}, Result: &stage.Result{}, Stopping: stopping,
	}
	spread(l.t, task, a.devices)
	if a.points != nil {
		task.Checkpoints = a.points
	}
	task.Progress = func(p Progress) {
		if a.stopAt > 0 && p.Unit == "steps" && p.Done == a.stopAt {
			a.stopAt = -1
			close(stopping)
		}
	}
	return task.Result, a.kind.Run(context.Background(), task)
}

func (l *workshop) output(a execution, port string) artifact.Artifact {
	l.t.Helper()
	res, err := l.run(a)
	require.NoError(l.t, err)
	require.Contains(l.t, res.Outputs, port)
	return res.Outputs[port]
}

type ports = map[string][]artifact.Artifact

// text stores documents: of words, seed after seed other ones.
func (l *workshop) text(n int, seed uint64) artifact.Artifact {
	l.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields("the a red blue small large cat dog fox runs sleeps sings over under and then it was not so")
	w := document.NewWriter(l.store, "train", document.Meta{})
	for i := range n {
		var text []string
		for range 3 + r.IntN(40) {
			text = append(text, words[r.IntN(len(words))])
		}
		require.NoError(l.t, w.Add(l.t.Context(), document.Document{ID: fmt.Sprint(i), Text: strings.Join(text, " ")}))
	}
	a, err := w.Close(l.t.Context())
	require.NoError(l.t, err)
	return a
}

// trainingText is what a language model needs.
type trainingText struct {
	tokenizer, a, b, held artifact.Artifact
}

func (l *workshop) corpus() trainingText {
	l.t.Helper()
	first, second, third := l.text(160, 1), l.text(60, 2), l.text(30, 3)
	c := trainingText{tokenizer: l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300, "lowercase": false}`, inputs: ports{"data": {first, second}}}, "tokenizer")}
	for _, s := range []struct {
		from artifact.Artifact
		to   *artifact.Artifact
	}{{first, &c.a}, {second, &c.b}, {third, &c.held}} {
		*s.to = l.output(execution{kind: tokensKind(), params: `{}`, inputs: ports{"data": {s.from}, "tokenizer": {c.tokenizer}}, threads: 2}, "tokens")
	}
	return c
}

// curriculum is a training of two sets in three stages, with spikes rewound,
// evaluations, and the best parameters kept.
const curriculum = `{"objective": "lm", "packing": %q, "steps": 60, "batch": 4, "learning_rate": 0.003, "weights": [3, 1], "evaluate_every": 10, "keep": "best",
	"spike": {"window": 8, "factor": 4, "every": 5, "skip": 4, "most": 3}, "checkpoint_seconds": 0.001,
	"stages": [{"steps": 20, "context": 16, "batch": 8}, {"steps": 25, "weights": [1, 4]}, {"steps": 0, "learning_rate": 0.02}],
	"model": {"width": 16, "text_layers": 1, "heads": 2, "context": 32, "config": {"text": {"form": "llama", "kv_heads": 1}}}}`

// TestATrainingOfTextResumesAnywhereToTheBit: packed documents, a mixture, a
// curriculum, rewound spikes: stopped or killed at random steps, a training ends
// with the artifact and the metrics of the undisturbed one.
func TestATrainingOfTextResumesAnywhereToTheBit(t *testing.T) {
	for _, packing := range []string{"separate", "joined"} {
		t.Run(packing, func(t *testing.T) {
			l := &workshop{t, mem.New()}
			c := l.corpus()
			a := execution{
				kind: pretrain(), params: fmt.Sprintf(curriculum, packing), threads: 1,
				inputs: ports{"data": {c.a, c.b}, "tokenizer": {c.tokenizer}, "held_out": {c.held}},
			}
			whole, err := l.run(a)
			require.NoError(t, err)
			require.Greater(t, whole.Metrics["rewinds"], 0.0, "the learning rate of the last stage makes spikes")
			require.NotEmpty(t, whole.Quarantined)
			require.Greater(t, whole.Metrics["epochs_1"], whole.Metrics["epochs"], "the small set is gone through more often")
			r := rand.New(rand.NewPCG(5, 6))
			for range 6 {
				kept := &points{}
				a.points, a.threads = kept, 2
				for range 2 { // stopped twice
					a.stopAt = 1 + r.Int64N(58)
					_, err := l.run(a)
					if err != nil {
						require.ErrorIs(t, err, ErrStopped)
					}
					kept.lose(r)
				}
				a.stopAt = -1
				got, err := l.run(a)
				require.NoError(t, err)
				require.Equal(t, whole, got)
				require.NotEmpty(t, kept.all)
			}
		})
	}
}

// TestATrainingOfPairsResumesAnywhereToTheBit is that of the other objectives,
// with a curriculum of two mixtures.
func TestATrainingOfPairsResumesAnywhereToTheBit(t *testing.T) {
	l := &workshop{t, mem.New()}
	pairs := func(seed int) artifact.Artifact {
		return l.output(execution{kind: ingest(), params: fmt.Sprintf(`{"count": 40, "seed": %d}`, seed)}, "dataset")
	}
	first, second, held := pairs(1), pairs(2), pairs(3)
	tokenizer := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300}`, inputs: ports{"data": {first, second}}}, "tokenizer")
	for _, objective := range []string{"clip", "siglip", "blip", "captioning", "vlm"} {
		t.Run(objective, func(t *testing.T) {
			l := &workshop{t, l.store}
			a := execution{kind: pretrain(), threads: 1, inputs: ports{"data": {first, second}, "tokenizer": {tokenizer}, "held_out": {held}}, params: fmt.Sprintf(
				`{"objective": %q, "steps": 12, "batch": 8, "queue": 1, "lengths": [8, 12], "evaluate_every": 4, "keep": "best", "checkpoint_seconds": 0.001,
				"stages": [{"steps": 6, "weights": [1, 2]}, {"steps": 6, "weights": [4, 1], "learning_rate": 0.001}],
				"model": {"width": 16, "layers": 1, "text_layers": 1, "heads": 2, "patch": 16}}`, objective)}
			whole, err := l.run(a)
			require.NoError(t, err)
			r := rand.New(rand.NewPCG(7, 8))
			for range 4 {
				stop := 1 + r.Int64N(11)
				a.points, a.threads, a.stopAt = &points{}, 2, stop
				_, err := l.run(a)
				require.ErrorIs(t, err, ErrStopped)
				a.points.lose(r)
				a.stopAt = -1
				got, err := l.run(a)
				require.NoError(t, err)
				require.Equal(t, whole, got)
			}
		})
	}
}

func TestWrongDataOfATraining(t *testing.T) {
	l := &workshop{t, mem.New()}
	c := l.corpus()
	other := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 280}`, inputs: ports{"data": {l.text(20, 9)}}}, "tokenizer")
	pairs := l.output(execution{kind: ingest(), params: `{"count": 20}`}, "dataset")
	const small = `"steps": 4, "batch": 4, "model": {"width": 16, "text_layers": 1, "heads": 2, "context": 16}`
	for _, c := range []struct {
		name, params, want string
		inputs             ports
	}{
		{"tokens of another tokenizer", `{"objective": "lm", ` + small + `}`, "tokenise the text with the model's", ports{"data": {c.a}, "tokenizer": {other}}},
		{"pairs for a language model", `{"objective": "lm", ` + small + `}`, "make tokens of it with the kind tokens", ports{"data": {pairs}, "tokenizer": {c.tokenizer}}},
		{"tokens for pairs", `{"objective": "clip", "batch": 4}`, "objective clip learns from dataset", ports{"data": {c.a}, "tokenizer": {c.tokenizer}}},
		{"held-out data of another type", `{"objective": "lm", ` + small + `}`, "input held_out is dataset", ports{"data": {c.a}, "tokenizer": {c.tokenizer}, "held_out": {pairs}}},
		{"less text than a batch", `{"objective": "lm", "batch": 5000}`, "do not fill a batch of 5000", ports{"data": {c.a}, "tokenizer": {c.tokenizer}}},
		{"weights for other sets", `{"objective": "lm", "weights": [1, 2], ` + small + `}`, "weights has 2 numbers for 1 data sets", ports{"data": {c.a}, "tokenizer": {c.tokenizer}}},
		{"the best without a measure", `{"objective": "lm", "keep": "best", ` + small + `}`, "need held_out", ports{"data": {c.a}, "tokenizer": {c.tokenizer}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &workshop{t, l.store}
			_, err := l.run(execution{kind: pretrain(), params: c.params, inputs: c.inputs})
			require.ErrorContains(t, err, c.want)
			var final *permanent
			require.True(t, errors.As(err, &final), "it is not tried again: %v", err)
		})
	}
}

func TestTokensOfDocumentsAndCaptions(t *testing.T) {
	l := &workshop{t, mem.New()}
	pairs := l.output(execution{kind: ingest(), params: `{"count": 20}`}, "dataset")
	text := l.text(300, 1)
	tokenizer := l.output(execution{kind: tokenizerKind(), params: `{"vocab_size": 300, "lowercase": false, "prefix_space": false}`, inputs: ports{"data": {text, pairs}}}, "tokenizer")
	in := ports{"data": {text, pairs}, "tokenizer": {tokenizer}}
	one := l.output(execution{kind: tokensKind(), params: `{}`, inputs: in, threads: 1}, "tokens")
	two := l.output(execution{kind: tokensKind(), params: `{}`, inputs: in, threads: 2}, "tokens")
	require.Equal(t, one, two)
	s, err := token.Open(t.Context(), l.store, one, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.Equal(t, 320, s.Len())
	tok, _, err := loadTokenizer(t.Context(), l.store, tokenizer)
	require.NoError(t, err)
	n := 0
	for d, err := range document.All(t.Context(), l.store, text) {
		require.NoError(t, err)
		ids := make([]int32, s.Length(n))
		require.NoError(t, s.Read(n, 0, ids))
		require.Equal(t, d.Text, tok.DecodePlain(ids[1:len(ids)-1]))
		require.Equal(t, len(d.Text), s.Bytes(n))
		n++
	}
}

func TestDocumentsAreSplitWithoutDuplicates(t *testing.T) {
	l := &workshop{t, mem.New()}
	for i := range 200 {
		text := fmt.Sprintf("document %d", i%150)
		require.NoError(t, l.store.Write(t.Context(), fmt.Sprintf("in/%03d.txt", i), strings.NewReader(text), int64(len(text))))
	}
	res, err := l.run(execution{kind: documents(), params: `{"source": "files", "from": ["store:in/"], "held_out": 0.2}`})
	require.NoError(t, err)
	require.Equal(t, 50.0, res.Metrics["duplicates"])
	require.Equal(t, 150.0, res.Metrics["documents"]+res.Metrics["held_out"])
	require.InDelta(t, 30, res.Metrics["held_out"], 12)
	_, err = l.run(execution{kind: documents(), params: `{"source": "files", "from": ["store:in/"], "held_out": 0.00001}`})
	require.ErrorContains(t, err, "none of the 150 documents is held out: raise held_out")
	_, err = l.run(execution{kind: documents(), params: `{"source": "files", "from": ["store:none/"]}`})
	require.ErrorContains(t, err, "there is nothing to read")
}
