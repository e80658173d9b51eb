package graph

import "tempera/training/device"

// Op is one fused operation with one output. An Op value belongs to one node and may keep what Infer learnt.
type Op interface {
	// Name is the operation in errors and traces, such as "linear".
	Name() string
	// Infer checks the inputs and describes the output; of floats the graph chooses the type, see Exact. Its error states the rule that is broken;
	// the graph adds the names and shapes of the inputs.
	Infer(in []device.Desc) (device.Desc, error)
	// Forward writes all of c.Out.
	Forward(c *Call)
}

// Exact is an Op that can do without the rounding of activations. On a backend that stores activations in another type than float32 (device.Rounding), the
// graph gives an op's float output that type, whatever Infer says, unless it has one element or is exact.
type Exact interface {
	// Exact tells for these inputs whether the output is float32: results that losses are made of, or that have the type of float32 inputs.
	Exact(in []device.Desc) bool
}

// Scratcher is an Op whose forward needs memory that it forgets.
type Scratcher interface {
	// Scratch describes c.Scratch of the forward.
	Scratch(f ForwardRequest) []device.Desc
}

// Light is an Op that takes little time beside the products that read its output, so that it may rather be computed again than kept.
type Light interface {
	Light()
}

// ForwardRequest is a forward that is about to be planned.
type ForwardRequest struct {
	In     []device.Desc
	Out    device.Desc
	Saving bool // a backward follows
}

// Differentiable is an Op that has a gradient.
type Differentiable interface {
	Op
	// Wrt tells for each input whether the output can be differentiated with respect to it.
	Wrt() []bool
	// Backprop says what a backward that yields the wanted gradients keeps, reads and needs.
	Backprop(r Request) Backprop
	// Backward writes or adds the gradients c.DIn. It must not write c.In, c.Out or c.DOut.
	Backward(c *Call)
}

// Request asks for the gradients of some inputs.
type Request struct {
	In   []device.Desc
	Out  device.Desc
	Want []bool // per input; at least one is true
	Add  []bool // per input: the gradient will be added to what is there (it is a parameter's)
}

// Backprop is what a backward uses. What it does not name may be overwritten before the backward runs.
type Backprop struct {
	ReadsIn  []int         // inputs whose values the backward reads
	ReadsOut bool          // it reads the output's value
	Saved    []device.Desc // written by the forward, read by the backward: Call.Saved
	Scratch  []device.Desc // Call.Scratch of the backward

	// Through lists inputs whose gradient is the output's gradient itself. Where the graph can, it passes that on and
	// leaves Call.DIn nil; where it cannot (the input is a parameter, or of another type than the output), Backward writes or adds it.
	Through []int
	// Accumulates lists inputs to whose gradient Backward can as well add: Call.Add may be set for them although they are no parameters, which
	// saves the graph a sum where a tensor has several users.
	Accumulates []int
	// SavedOver maps a saved state to the input, of equal size, over which the forward can write it. The graph does so where nobody else reads that
	// input; the forward must be right either way.
	SavedOver map[int]int
	// Over maps an input to the saved state, of equal size, over which its gradient is to be written. Where the graph
	// cannot do so (the input is a parameter), DIn and the saved state are different values.
	Over map[int]int
}

// Call is what a forward or backward works on. The graph owns it and everything in it; it is the same on every run.
type Call struct {
	Backend device.Backend
	In      []*device.Value
	Out     *device.Value
	Saved   []*device.Value // nil where no backward follows
	Scratch []*device.Value

	// Of a backward only.
	DOut *device.Value   // the gradient of the output
	Unit bool            // DOut is a scalar known to be 1
	DIn  []*device.Value // per input: where its gradient goes, nil where nobody wants it
	Add  []bool          // per input: add to DIn rather than overwrite it
}

// Saving tells a forward that a backward follows.
func (c *Call) Saving() bool { return c.Saved != nil }
