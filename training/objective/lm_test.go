package objective_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/objective"
)

// texts are documents of random tokens.
func texts(vocab int, lengths ...int) [][]int32 {
	r := rand.New(rand.NewPCG(3, 4))
	out := make([][]int32, len(lengths))
	for i, n := range lengths {
		for range n {
			out[i] = append(out[i], int32(4+r.IntN(vocab-4)))
		}
	}
	return out
}

// packed lays documents into rows, all of one document in one row, in order.
func packed(b *training.Batch, s objective.PackedShape, rows ...[][]int32) {
	n := s.Rows * s.Context
	tokens, targets := b.Int32s(objective.Tokens, n), b.Int32s(objective.Targets, n)
	positions, ends := b.Int32s(objective.Positions, n), b.Int32s(objective.Ends, s.Ends)
	copy(b.Int32s(objective.Shape, 3), []int32{int32(s.Rows), int32(s.Context), int32(s.Ends)})
	for i := range ends {
		ends[i] = int32(n)
	}
	ends[0] = 0
	e := 1
	for r, docs := range rows {
		at, last := r*s.Context, (r+1)*s.Context
		for _, d := range docs {
			for k := range d[:len(d)-1] {
				tokens[at+k], targets[at+k], positions[at+k] = d[k], d[k+1], int32(k)
			}
			at += len(d) - 1
			ends[e] = int32(at)
			e++
		}
		for k := at; k < last; k++ {
			tokens[k], targets[k], positions[k] = 0, device.IgnoreIndex, int32(k-at)
		}
		if at < last {
			ends[e] = int32(last)
			e++
		}
	}
}

// alone is a batch of one document in a row of its own.
func alone(b *training.Batch, context int, d []int32) {
	tokens, targets := b.Int32s(objective.Tokens, context), b.Int32s(objective.Targets, context)
	for k := range context {
		tokens[k], targets[k] = 0, device.IgnoreIndex
		if k < len(d)-1 {
			tokens[k], targets[k] = d[k], d[k+1]
		}
	}
}

// forms are decoders of every form.
func forms() map[string]model.Config {
	c := tiny(model.LM)
	c.Text.Context = 16
	all := map[string]model.Config{}
	for _, f := range []model.Form{model.GPT2, model.Llama, model.Qwen2} {
		c.Text.Form = f
		all[string(f)] = c
	}
	return all
}

// TestPackedDocumentsDoNotSeeEachOther: loss and gradients of a packed batch are
// those of the documents one by one.
func TestPackedDocumentsDoNotSeeEachOther(t *testing.T) {
	for name, c := range forms() {
		t.Run(name, func(t *testing.T) {
			b := newCPU(t, 2)
			m, err := model.New(b, c, 7)
			require.NoError(t, err)
			docs := texts(c.Text.Vocab, 5, 9, 2, 17, 4)
			shape := objective.PackedShape{Rows: 3, Context: 16, Ends: 12}
			batch := &training.Batch{}
			packed(batch, shape, docs[:3], docs[3:4], docs[4:])

			scorer, err := objective.NewLMScorer(m, shape)
			require.NoError(t, err)
			defer func() { require.NoError(t, scorer.Close()) }()
			nats, tokens, err := scorer.Score(batch)
			require.NoError(t, err)
			require.Equal(t, 4+8+1+16+3, tokens)

			one, err := objective.NewLM(m, objective.Plan{Batch: 1})
			require.NoError(t, err)
			want, grads := 0.0, map[string][]float32{}
			for _, d := range docs {
				zero(t, m)
				single := &training.Batch{}
				alone(single, 16, d)
				got, err := one.Step(0, single)
				require.NoError(t, err)
				share := float64(len(d)-1) / float64(tokens)
				want += share * got[training.LossKey]
				for _, p := range m.Params() {
					g := gradient(t, b, p)
					for i, v := range g {
						if grads[p.Name] == nil {
							grads[p.Name] = make([]float32, len(g))
						}
						grads[p.Name][i] += float32(share) * v
					}
				}
			}
			require.NoError(t, one.Close())
			require.InDelta(t, want, nats/float64(tokens), 1e-5)

			all, err := objective.NewPackedLM(m, objective.Plan{}, shape)
			require.NoError(t, err)
			defer func() { require.NoError(t, all.Close()) }()
			zero(t, m)
			got, err := all.Step(0, batch)
			require.NoError(t, err)
			require.InDelta(t, want, got[training.LossKey], 1e-5)
			for _, p := range m.Params() {
				require.InDeltaSlice(t, grads[p.Name], gradient(t, b, p), 2e-5, p.Name)
			}
		})
	}
}

func zero(t *testing.T, m *model.Model) {
	t.Helper()
	for _, p := range m.Params() {
		if p.Grad == nil {
			var err error
			p.Grad, err = device.New(m.Backend(), p.Value.Desc())
			require.NoError(t, err)
		}
		m.Backend().Zero(p.Grad)
	}
}

func gradient(t *testing.T, b device.Backend, p *graph.Param) []float32 {
	t.Helper()
	g, err := device.ReadFloats(b, p.Grad)
	require.NoError(t, err)
	return g
}

func TestABatchOfAnotherShapeGetsAGraphOfItsOwn(t *testing.T) {
	e, err := kernel.New(kernel.Options{Threads: 1})
	require.NoError(t, err)
	defer e.Close()
	c := forms()["gpt2"]
	m, err := model.New(device.NewCPU(e), c, 7)
	require.NoError(t, err)
	docs := texts(c.Text.Vocab, 5, 6, 7, 8)
	wide, narrow := objective.PackedShape{Rows: 2, Context: 16, Ends: 8}, objective.PackedShape{Rows: 4, Context: 8, Ends: 12}
	l, err := objective.NewPackedLM(m, objective.Plan{}, wide, narrow)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	loss := func(s objective.PackedShape, rows ...[][]int32) float64 {
		zero(t, m)
		b := &training.Batch{}
		packed(b, s, rows...)
		got, err := l.Step(0, b)
		require.NoError(t, err)
		return got[training.LossKey]
	}
	first, cost := loss(wide, docs[:2], docs[2:]), l.StepFLOPs()
	require.InDelta(t, first, loss(narrow, docs[:1], docs[1:2], docs[2:3], docs[3:]), 1e-5)
	require.Less(t, l.StepFLOPs(), cost, "attention in shorter rows costs less")
	require.InDelta(t, first, loss(wide, docs[:2], docs[2:]), 1e-6)
}

func TestLongerRowsThanTheModelTakes(t *testing.T) {
	m, err := model.New(newCPU(t, 1), forms()["llama"], 7)
	require.NoError(t, err)
	_, err = objective.NewPackedLM(m, objective.Plan{}, objective.PackedShape{Rows: 1, Context: 16}, objective.PackedShape{Rows: 1, Context: 32})
	require.ErrorContains(t, err, "rows of 32 tokens exceed the model's context of 16")
}

// TestPackedMicroBatchesAreTheBatch: split into parts, a step has the loss and
// gradients of the whole.
func TestPackedMicroBatchesAreTheBatch(t *testing.T) {
	c := forms()["llama"]
	docs := texts(c.Text.Vocab, 5, 9, 2, 17, 4, 8)
	shape := objective.PackedShape{Rows: 4, Context: 16, Ends: 14}
	var losses []float64
	var grads [][]float32
	for _, parts := range []int{1, 2, 4} {
		m, err := model.New(newCPU(t, 2), c, 7)
		require.NoError(t, err)
		l, err := objective.NewPackedLM(m, objective.Plan{Accumulate: parts, Checkpoint: parts > 1}, shape)
		require.NoError(t, err)
		batch := &training.Batch{}
		packed(batch, shape, docs[:2], docs[2:3], docs[3:4], docs[4:])
		zero(t, m)
		got, err := l.Step(0, batch)
		require.NoError(t, err)
		losses, grads = append(losses, got[training.LossKey]), append(grads, nil)
		for _, p := range m.Params() {
			grads[len(grads)-1] = append(grads[len(grads)-1], gradient(t, m.Backend(), p)...)
		}
		require.NoError(t, l.Close())
	}
	for i := range losses {
		require.InDelta(t, losses[0], losses[i], 1e-5)
		require.InDeltaSlice(t, grads[0], grads[i], 2e-5)
	}
}

func TestWrongBatchesOfTexts(t *testing.T) {
	b := newCPU(t, 1)
	m, err := model.New(b, forms()["gpt2"], 7)
	require.NoError(t, err)
	shape := objective.PackedShape{Rows: 1, Context: 16, Ends: 4}
	l, err := objective.NewPackedLM(m, objective.Plan{}, shape)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	for name, c := range map[string]struct {
		spoil func(b *training.Batch)
		want  string
	}{
		"a token outside the vocabulary":   {func(b *training.Batch) { set(b, objective.Tokens, 16, 3, 99) }, "token 3 of the batch is 99"},
		"a target outside the vocabulary":  {func(b *training.Batch) { set(b, objective.Targets, 16, 2, -5) }, "target 2 of the batch is -5"},
		"a position outside the row":       {func(b *training.Batch) { set(b, objective.Positions, 16, 1, 16) }, "position 1 of the batch is 16"},
		"ends that go back":                {func(b *training.Batch) { set(b, objective.Ends, 4, 2, 1) }, "end 2 of the batch is 1 after 4"},
		"ends that leave tokens out":       {func(b *training.Batch) { set(b, objective.Ends, 4, 3, 14) }, "end at 14 of 16"},
		"a shape that was not planned":     {func(b *training.Batch) { set(b, objective.Shape, 3, 1, 8) }, "which nothing was built for"},
		"arrays of another size than said": {func(b *training.Batch) { b.Int32s(objective.Tokens, 12) }, "12 integers called \"tokens\", want 16"},
	} {
		t.Run(name, func(t *testing.T) {
			batch := &training.Batch{}
			docs := texts(23, 5, 6)
			packed(batch, shape, docs)
			c.spoil(batch)
			_, err := l.Step(0, batch)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// set changes one number of a batch.
func set(b *training.Batch, name string, n, at int, v int32) {
	old, err := b.ReadInt32s(name, n)
	if err != nil {
		panic(err)
	}
	old[at] = v
}
