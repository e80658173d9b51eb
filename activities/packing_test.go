package activities

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/chat"
	"tempera/datagen/pack"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
)

// Rows that share a row of tokens are worth what they are alone: none attends to
// another, or is learned from what comes before it.
func TestRowsOfABatchDoNotSeeEachOther(t *testing.T) {
	store := mem.New()
	rows, err := madeExamples(t, store, `{"count": 9, "params": {"chat": true}}`)
	require.NoError(t, err)
	tok, err := runKind(t, store, tokenizerKind(), `{"alphabet": "seen", "special": ["<think>", "</think>", "<answer>", "</answer>"], "chat_template": "chatml"}`, rows.Outputs["examples"])
	require.NoError(t, err)
	source := (&workshop{t, store}).output(execution{
		kind: initModel(), params: `{"model": {"width": 16, "text_layers": 2, "heads": 2, "context": 256}}`, inputs: ports{"tokenizer": {tok.Outputs["tokenizer"]}},
	}, "model")
	task := &Task{Store: store, Scratch: t.TempDir(), Threads: 1, Log: slog.New(slog.DiscardHandler)}
	loaded, err := loadModel(t.Context(), task, source)
	require.NoError(t, err)
	files, err := artifact.LoadManifest(t.Context(), store, source)
	require.NoError(t, err)
	e, err := ChatEncoder(t.Context(), store, files, loaded.weights.Config, chat.Options{Learn: chat.Assistant})
	require.NoError(t, err)
	dev, err := newCompute(task)
	require.NoError(t, err)
	defer dev.close()
	m, err := model.Load(dev.backend, loaded.weights)
	require.NoError(t, err)

	var all []chat.Encoded
	alone, learned := 0.0, 0
	for _, x := range loadRows(t, store, rows.Outputs["examples"]) {
		row, err := e.Whole(x)
		require.NoError(t, err)
		nats, n := scorePacked(t, m, row)
		require.Equal(t, row.Learned(), n)
		all, alone, learned = append(all, row), alone+nats, learned+n
	}
	together, n := scorePacked(t, m, all...)
	require.Equal(t, learned, n)
	require.InEpsilon(t, alone, together, 1e-5)

	// What one row says changes nothing of the others.
	other := all[0]
	other.Tokens = append([]int32{}, other.Tokens...)
	for i := range other.Tokens[1:] {
		other.Tokens[1+i] = 5 + other.Tokens[1+i]%7
	}
	changed, _ := scorePacked(t, m, append([]chat.Encoded{other}, all[1:]...)...)
	was, _ := scorePacked(t, m, all[0])
	is, _ := scorePacked(t, m, other)
	require.InDelta(t, together-was, changed-is, 1e-3)
	require.NotEqual(t, was, is)
}

// scorePacked packs rows into one batch and returns the nats of what is learned of them.
func scorePacked(t *testing.T, m *model.Model, rows ...chat.Encoded) (nats float64, tokens int) {
	t.Helper()
	p, err := pack.NewPass(pack.Config{Batch: 4, Context: 256, Mode: pack.Separate, Ignore: device.IgnoreIndex}, &answers{rows})
	require.NoError(t, err)
	require.Equal(t, 1, p.Batches())
	shape := objective.PackedShape{Rows: 4, Context: 256, Ends: p.Spans()}
	s, err := objective.NewLMScorer(m, shape)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	var b training.Batch
	n, err := p.Fill(0, textArrays(&b, shape))
	require.NoError(t, err)
	nats, tokens, err = s.Score(&b)
	require.NoError(t, err)
	require.Equal(t, n, tokens)
	return nats, tokens
}
