package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"tempera/training/device"
	"tempera/training/device/accelerator"
)

// AttentionOptions are the shape and length of a measurement of attention.
type AttentionOptions struct {
	Cores
	GPU      accelerator.Flags
	Batch    int
	Heads    int
	KVHeads  int // 0: Heads
	Tokens   int // of a sequence
	Width    int // of a head
	Causal   bool
	Backward bool // measure the backward pass too
	Repeats  int
}

// AttentionDefaults are those of the peer.
func AttentionDefaults() AttentionOptions {
	return AttentionOptions{Batch: 8, Heads: 4, Tokens: 1024, Width: 64, Cores: Cores{Threads: 2}, Repeats: 10}
}

// Bind adds a flag per option, with the present values as defaults.
func (o *AttentionOptions) Bind(f *pflag.FlagSet) {
	f.IntVar(&o.Batch, "batch", o.Batch, "sequences")
	f.IntVar(&o.Heads, "heads", o.Heads, "query heads")
	f.IntVar(&o.KVHeads, "kv-heads", o.KVHeads, "key and value heads; 0: as many as query heads")
	f.IntVar(&o.Tokens, "tokens", o.Tokens, "tokens of a sequence")
	f.IntVar(&o.Width, "width", o.Width, "width of a head")
	f.BoolVar(&o.Causal, "causal", o.Causal, "mask later tokens")
	f.BoolVar(&o.Backward, "backward", o.Backward, "measure the backward pass too")
	o.bind(f)
	o.GPU.Bind(f)
	bindRepeats(f, &o.Repeats, "passes")
}

// Validate returns all faults at once.
func (o AttentionOptions) Validate() error {
	var faults []error
	for _, i := range []struct {
		name  string
		value int
	}{{"batch", o.Batch}, {"heads", o.Heads}, {"tokens", o.Tokens}, {"width", o.Width}, {"repeats", o.Repeats}} {
		if i.value < 1 {
			faults = append(faults, fmt.Errorf("%s is %d: give 1 or more", i.name, i.value))
		}
	}
	if o.KVHeads < 0 || o.KVHeads > 0 && o.Heads%o.KVHeads != 0 {
		faults = append(faults, fmt.Errorf("kv-heads is %d: give a divisor of the %d heads, or 0", o.KVHeads, o.Heads))
	}
	return errors.Join(append(append(faults, o.faults()...), o.GPU.Faults()...)...)
}

// AttentionResult is one line of JSON. Rates count the products alone, without what a causal mask hides.
type AttentionResult struct {
	Peer           string  `json:"peer"`
	Batch          int     `json:"batch"`
	Heads          int     `json:"heads"`
	KVHeads        int     `json:"kv_heads"`
	Tokens         int     `json:"tokens"`
	Width          int     `json:"width"`
	Causal         bool    `json:"causal"`
	Threads        int     `json:"threads"`
	ForwardMS      float64 `json:"forward_ms"` // of the fastest pass
	ForwardGFLOPS  float64 `json:"forward_gflops"`
	BackwardMS     float64 `json:"backward_ms,omitempty"`
	BackwardGFLOPS float64 `json:"backward_gflops,omitempty"`
	Device         string  `json:"device"`
}

// Attention measures self-attention on random data, in the precision of activations.
func Attention(ctx context.Context, o AttentionOptions) (r AttentionResult, err error) {
	if err := o.Validate(); err != nil {
		return r, err
	}
	if o.KVHeads == 0 {
		o.KVHeads = o.Heads
	}
	d, err := Options{Cores: o.Cores, GPU: o.GPU, Devices: 1}.device(ctx)
	if err != nil {
		return r, err
	}
	defer d.close()
	b := d.backend
	r = AttentionResult{
		Peer: "tempera", Batch: o.Batch, Heads: o.Heads, KVHeads: o.KVHeads, Tokens: o.Tokens, Width: o.Width, Causal: o.Causal,
		Threads: d.threads, Device: b.Name(),
	}
	a, free, err := o.args(b)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, free()) }()
	pairs := float64(o.Tokens) * float64(o.Tokens)
	if o.Causal {
		pairs = float64(o.Tokens) * float64(o.Tokens+1) / 2
	}
	product := 2 * float64(o.Batch*o.Heads*o.Width) * pairs
	forward, err := o.fastest(ctx, b, func() { b.Attention(a.Forward) })
	if err != nil {
		return r, err
	}
	r.ForwardMS, r.ForwardGFLOPS = round(forward, 3), round(2*product/forward/1e6, 1)
	if o.Backward {
		backward, err := o.fastest(ctx, b, func() { b.AttentionBackward(a) })
		if err != nil {
			return r, err
		}
		r.BackwardMS, r.BackwardGFLOPS = round(backward, 3), round(5*product/backward/1e6, 1)
	}
	return r, nil
}

// args are queries, keys and values side by side, as one product makes them, and what frees them.
func (o AttentionOptions) args(b device.Backend) (a device.AttentionBackwardArgs, free func() error, err error) {
	h := holder{backend: b}
	all, c := o.Heads+2*o.KVHeads, (o.Heads+2*o.KVHeads)*o.Width
	x, dx := h.activations(o.Batch*o.Tokens, c), h.activations(o.Batch*o.Tokens, c)
	out, dout := h.activations(o.Batch*o.Tokens, o.Heads*o.Width), h.activations(o.Batch*o.Tokens, o.Heads*o.Width)
	sums := h.value(device.Floats(o.Batch, o.Heads, o.Tokens))
	h.randomise(x)
	h.randomise(dout)
	if h.err != nil {
		return a, nil, errors.Join(h.err, h.free())
	}
	part := func(v *device.Value, head int) device.Heads {
		w := device.HeadsOf(v, device.HeadsShape{T: o.Tokens, H: all, D: o.Width, Parts: 1})
		w.Offset = head * o.Width
		return w
	}
	whole := func(v *device.Value) device.Heads {
		return device.HeadsOf(v, device.HeadsShape{T: o.Tokens, H: o.Heads, D: o.Width, Parts: 1})
	}
	f := device.AttentionArgs{
		B: o.Batch, T: o.Tokens, S: o.Tokens, H: o.Heads, KVHeads: o.KVHeads, D: o.Width, Causal: o.Causal,
		Q: part(x, 0), K: part(x, o.Heads), V: part(x, o.Heads+o.KVHeads), O: whole(out), LogSumExp: sums,
	}
	return device.AttentionBackwardArgs{
		Forward: f, DO: whole(dout), DQ: part(dx, 0), DK: part(dx, o.Heads), DV: part(dx, o.Heads+o.KVHeads),
	}, h.free, nil
}

// fastest is the least time of a pass in milliseconds, after one that does not count. A GPU is asked for several passes before it is waited for.
func (o AttentionOptions) fastest(ctx context.Context, b device.Backend, pass func()) (float64, error) {
	passes := 1
	if _, ok := b.(device.Separate); ok {
		passes = productsAtATime
	}
	pass()
	if err := b.Sync(); err != nil {
		return 0, err
	}
	var ms []float64
	for range o.Repeats {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		start := time.Now()
		for range passes {
			pass()
		}
		if err := b.Sync(); err != nil {
			return 0, err
		}
		ms = append(ms, float64(time.Since(start).Nanoseconds())/1e6/float64(passes))
	}
	return slices.Min(ms), nil
}
