package training

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"tempera/training/graph"
	"tempera/training/optim"
)

// Objective is what is being trained and how its loss is computed. It owns its
// parameters, its graphs and whatever else a resumed run needs.
//
// The loop calls Step and, after the optimiser has moved the parameters,
// Updated, once each per step and never at the same time. Both must be functions
// of the parameters, the state, the batch and the step's number only, and leave
// the arrays of the batch as they are: the device may have them already.
type Objective interface {
	// Params lists all parameters in a fixed order. Those that are frozen are kept
	// in checkpoints but not trained.
	Params() []*graph.Param
	// State lists the other tensors that a resumed run needs, in a fixed order.
	State() []optim.Tensor
	// Step runs forward and backward, adding to the gradients of the parameters.
	// The metrics have the loss as "loss". Steps count from 0.
	Step(step int64, b *Batch) (Metrics, error)
	// Updated follows the optimiser: clamps, moving averages, queues.
	Updated(step int64) error
}

// Costed is an Objective that knows the floating-point operations of a step,
// a multiplication and an addition being two.
type Costed interface {
	StepFLOPs() float64
}

// Spread is a Costed objective whose steps several equal devices do together.
type Spread interface {
	Costed
	Devices() int
}

// Sized is an Objective that knows what its graphs need.
type Sized interface {
	// Needs plans a step on batches of another size, or of its own. Nothing is allocated.
	Needs(batch int) (Needs, error)
}

// Needs is what an objective needs besides its parameters, their gradients and its state, in bytes.
type Needs struct {
	Activations int64 // with their gradients, what is saved for the reverse pass, and scratch
	Inputs      int64 // of graphs
	Batch       int64 // a batch on the host
	Sampling    int64 // of what writes to the prompts of a step
	Sampler     int64 // the part of Sampling that is allocated already
}

// Divided is an Objective whose steps come in iterations: the first step of one makes what all of them learn from, and keeps it nowhere. So the state
// of a run is taken between iterations only, and a run that stops within one, or goes back, begins it again.
type Divided interface {
	// Whole tells whether no iteration is under way when a number of steps are done. It is true of 0, and a function of the number alone.
	Whole(done int64) bool
}

// Guarded is a Divided objective that can tell, before an iteration begins, that the one before went too far.
type Guarded interface {
	Divided
	// Guards tells whether it looks. It is the same throughout a run.
	Guards() bool
	// Open makes what the iteration that begins with a step learns from, and moves nothing. Where it returns an *ExplodedError, the loop goes back to
	// the beginning of the iteration before; a state that it has not let pass is no checkpoint.
	Open(step int64) error
}

// ErrIdle is returned by Step, beside its metrics, where the batch has nothing to learn from: the loop leaves the parameters and the optimiser as
// they are, and goes on.
var ErrIdle = errors.New("the batch has nothing to learn from")

// Rated is an Objective some of whose parameters take a share of the learning
// rate only.
type Rated interface {
	RateShare(p *graph.Param) float64
}

// Metrics are the measurements of one step by name.
type Metrics map[string]float64

// Add adds share times other, which has the same names or more.
func (m Metrics) Add(other Metrics, share float64) {
	for k, v := range other {
		m[k] += share * v
	}
}

// LossKey names the total loss in Metrics.
const LossKey = "loss"

func (m Metrics) String() string {
	s := ""
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprintf("%s=%.4g", k, m[k])
	}
	return s
}

// Batch is the input of a step: named arrays of numbers. Its memory is used again
// for later steps.
type Batch struct {
	floats map[string][]float32
	ints   map[string][]int32
	notes  Metrics
	broken string // the array that holds NaN or infinity; "": none does
}

// Note puts a measurement of the batch itself among the metrics of its step.
func (b *Batch) Note(name string, value float64) {
	if b.notes == nil {
		b.notes = Metrics{}
	}
	b.notes[name] = value
}

// TokensKey names the note that says how many tokens a batch predicts.
const TokensKey = "tokens"

// inspect looks for numbers that are none.
func (b *Batch) inspect() {
	b.broken = ""
	for _, name := range slices.Sorted(maps.Keys(b.floats)) {
		for _, v := range b.floats[name] {
			if v-v != 0 { // NaN or infinite
				b.broken = name
				return
			}
		}
	}
}

// Float32s returns the array called name for writing, with n elements of
// unspecified content.
func (b *Batch) Float32s(name string, n int) []float32 {
	if b.floats == nil {
		b.floats = map[string][]float32{}
	}
	b.floats[name] = slices.Grow(b.floats[name][:0], n)[:n]
	return b.floats[name]
}

// Int32s returns the array called name for writing, with n elements of
// unspecified content.
func (b *Batch) Int32s(name string, n int) []int32 {
	if b.ints == nil {
		b.ints = map[string][]int32{}
	}
	b.ints[name] = slices.Grow(b.ints[name][:0], n)[:n]
	return b.ints[name]
}

// ReadFloat32s returns what a batch holds under name, which must be n elements.
func (b *Batch) ReadFloat32s(name string, n int) ([]float32, error) {
	v, ok := b.floats[name]
	if !ok || len(v) != n {
		return nil, fmt.Errorf("the batch has %d floats called %q, want %d", len(v), name, n)
	}
	return v, nil
}

// ReadInt32s returns what a batch holds under name, which must be n elements.
func (b *Batch) ReadInt32s(name string, n int) ([]int32, error) {
	v, ok := b.ints[name]
	if !ok || len(v) != n {
		return nil, fmt.Errorf("the batch has %d integers called %q, want %d", len(v), name, n)
	}
	return v, nil
}

// arrays lists what the batch holds, in a fixed order.
func (b *Batch) arrays() (floats [][]float32, ints [][]int32) {
	for _, name := range slices.Sorted(maps.Keys(b.floats)) {
		floats = append(floats, b.floats[name])
	}
	for _, name := range slices.Sorted(maps.Keys(b.ints)) {
		ints = append(ints, b.ints[name])
	}
	return floats, ints
}

// HasInt32s tells whether the batch has integers called name.
func (b *Batch) HasInt32s(name string) bool { return len(b.ints[name]) > 0 }

// Batches fills the batch of a step. It must be a function of the step's number
// alone, for a run that resumes must see what it would have seen. It is called
// from one goroutine, ahead of the step that uses the batch.
type Batches func(step int64, b *Batch) error
