package objective

import (
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/device/reference"
	"tempera/training/kernel"
	"tempera/training/model"
)

// planned is an objective that takes a plan.
type planned struct {
	config model.Config
	build  func(m *model.Model, p Plan) (training.Objective, error)
	split  bool // it can be accumulated
}

func plannedObjectives() map[string]planned {
	clip := func(m *model.Model, p Plan) (training.Objective, error) { return NewCLIP(m, p) }
	blip := func(o BLIPOptions) func(*model.Model, Plan) (training.Objective, error) {
		return func(m *model.Model, p Plan) (training.Objective, error) {
			o.Plan = p
			if o.Queue > 0 {
				o.Queue = 3 * p.Batch
			}
			return NewBLIP(m, o)
		}
	}
	sigmoid, last := tinyOf(model.CLIP), tinyOf(model.CLIP)
	sigmoid.Loss, last.Text.Pool, last.Text.Causal = model.Sigmoid, model.Last, true
	siglip := sigmoid
	siglip.Vision.Form, siglip.Text.Pool, siglip.Embed = model.SigLIPVision, model.End, siglip.Vision.Width
	return map[string]planned{
		"lm":                      {tinyOf(model.LM), func(m *model.Model, p Plan) (training.Objective, error) { return NewLM(m, p) }, true},
		"clip":                    {tinyOf(model.CLIP), clip, true},
		"clip by its last tokens": {last, clip, true},
		"siglip":                  {sigmoid, clip, true},
		"siglip in its own form":  {siglip, clip, true},
		"captioning":              {tinyOf(model.BLIP), blip(Captioning(rows)), true},
		"blip":                    {tinyOf(model.BLIP), blip(small()), false},
	}
}

// stepped is what a step leaves: its loss and all gradients.
type stepped struct {
	loss      float64
	gradients map[string][]float64
}

func (o planned) step(t *testing.T, b device.Backend, p Plan) stepped {
	t.Helper()
	m, err := model.New(b, o.config, 3)
	require.NoError(t, err)
	obj, err := o.build(m, p)
	require.NoError(t, err)
	defer func() { require.NoError(t, obj.(io.Closer).Close()) }()
	s := stepped{gradients: map[string][]float64{}}
	for range 2 { // the second step finds memory that was used
		for _, q := range m.Params() {
			if q.Grad != nil {
				b.Zero(q.Grad)
			}
		}
		metrics, err := obj.Step(1, shortBatch(m))
		require.NoError(t, err)
		s.loss = metrics[training.LossKey]
	}
	for _, q := range m.Params() {
		if q.Trained() {
			s.gradients[q.Name] = exact(t, b, q.Grad)
		}
	}
	return s
}

func exact(t *testing.T, b device.Backend, v *device.Value) []float64 {
	t.Helper()
	if r, ok := b.(*reference.Backend); ok {
		return r.Read(v)
	}
	x, err := device.ReadFloats(b, v)
	require.NoError(t, err)
	out := make([]float64, len(x))
	for i := range x {
		out[i] = float64(x[i])
	}
	return out
}

// shortBatch is pairsOf with uneven rows: the first have few counted targets, and none of the first half's texts is of full length.
func shortBatch(m *model.Model) *training.Batch {
	b := pairsOf(m, 1)
	tokens, lengths, targets := b.Int32s(Tokens, rows*context), b.Int32s(Lengths, rows), b.Int32s(Targets, rows*context)
	for i := range rows {
		if i < rows/2 {
			lengths[i] = int32(2 + i%2)
		}
		for j := int(lengths[i]); j < context; j++ {
			tokens[i*context+j] = 0
		}
		for j := max(1, int(lengths[i])-1); j < context; j++ {
			targets[i*context+j] = device.IgnoreIndex
		}
	}
	return b
}

func near(t *testing.T, got, want stepped, tolerance float64) {
	t.Helper()
	require.InDelta(t, want.loss, got.loss, 1e-6*math.Max(1, want.loss))
	require.Len(t, got.gradients, len(want.gradients))
	largest := 0.0
	for _, w := range want.gradients {
		largest = max(largest, most(w))
	}
	for name, w := range want.gradients {
		for i := range w {
			require.InDelta(t, w[i], got.gradients[name][i], tolerance*max(most(w), 1e-2*largest), "%s[%d]", name, i)
		}
	}
}

// exactly are the backends with the tolerance between plans of one step.
func exactly(t *testing.T, test func(t *testing.T, b device.Backend, tolerance float64)) {
	e, err := kernel.New(kernel.Options{Threads: 2})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	t.Run("in float64", func(t *testing.T) { test(t, reference.New(), 1e-7) }) // shares and eps are float32
	t.Run("on the host heap", func(t *testing.T) { test(t, device.NewCPU(e), 1e-5) })
	t.Run("on memory that the host cannot address", func(t *testing.T) { test(t, device.NewCPUOn(e, device.OpaqueHeap()), 1e-5) })
}

func TestAPlanChangesNeitherLossNorGradients(t *testing.T) {
	for name, o := range plannedObjectives() {
		t.Run(name, func(t *testing.T) {
			exactly(t, func(t *testing.T, b device.Backend, tolerance float64) {
				whole := o.step(t, b, Plan{Batch: rows})
				for _, p := range []Plan{
					{Batch: rows, Accumulate: 2},
					{Batch: rows, Accumulate: rows},
					{Batch: rows, Lengths: []int{2, 3, context + 3}},
					{Batch: rows, Accumulate: 3, Checkpoint: true, Lengths: []int{3}},
				} {
					if p.parts() > 1 && !o.split {
						continue
					}
					t.Run(fmt.Sprintf("%+v", p), func(t *testing.T) { near(t, o.step(t, b, p), whole, tolerance) })
				}
				kept := o.step(t, b, Plan{Batch: rows, Checkpoint: true})
				require.Equal(t, whole, kept, "computed again: not the same bits")
			})
		})
	}
}

func TestTheMeanOverPartsIsNotTheMeanOfParts(t *testing.T) {
	const no = device.IgnoreIndex
	require.Equal(t, []float64{0.25, 0.75}, shares([]int32{1, no, no, 2, 3, 4}, 2))
	require.Equal(t, []float64{0, 1}, shares([]int32{no, no, 1, no}, 2))
	require.Equal(t, []float64{0, 0}, shares([]int32{no, no}, 2))
	require.Equal(t, []float64{1}, shares([]int32{no, no}, 1))
	require.Equal(t, 2, longest([]int32{1, 2, no, no, no, no}, 3))
	require.Equal(t, 1, longest([]int32{no, no}, 2))
	require.Equal(t, []int32{1, 2, 4, 5}, cut([]int32{1, 2, 3, 4, 5, 6}, 3, 2))
}

func TestPartsOfABatchNeedThePartsMemory(t *testing.T) {
	for name, o := range plannedObjectives() {
		t.Run(name, func(t *testing.T) {
			m, err := model.New(reference.New(), o.config, 3)
			require.NoError(t, err)
			need := func(p Plan) training.Needs {
				obj, err := o.build(m, p)
				require.NoError(t, err)
				n, err := obj.(training.Sized).Needs(p.Batch)
				require.NoError(t, err)
				require.NoError(t, obj.(io.Closer).Close())
				return n
			}
			const many = 8 * rows
			whole := need(Plan{Batch: many})
			require.Less(t, need(Plan{Batch: many, Checkpoint: true}).Activations, whole.Activations)
			require.Equal(t, whole.Activations, need(Plan{Batch: many, Lengths: []int{2, 3}}).Activations, "buckets share an arena")
			half := need(Plan{Batch: many / 2})
			require.InEpsilon(t, whole.Batch/2, half.Batch, 1e-9)
			if o.split {
				require.Less(t, need(Plan{Batch: many, Accumulate: 4}).Activations, whole.Activations/2)
			}
		})
	}
}

func TestAPlanNamesEveryFault(t *testing.T) {
	err := Plan{Batch: 6, Accumulate: 4, Lengths: []int{4, 4}}.Validate()
	require.ErrorContains(t, err, "divides the batch, 6")
	require.ErrorContains(t, err, "lengths are [4 4]")
	require.ErrorContains(t, Plan{}.Validate(), "the batch is 0")
	o := small()
	o.Accumulate = 2
	require.ErrorContains(t, o.Validate(), "only captioning can be split")
}
