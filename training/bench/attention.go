package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"tempera/training/kernel"
)

// AttentionOptions are the shape and length of a measurement of attention.
type AttentionOptions struct {
	Cores
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
	return errors.Join(append(faults, o.faults()...)...)
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

// Attention measures self-attention on random data.
func Attention(ctx context.Context, o AttentionOptions) (AttentionResult, error) {
	if err := o.Validate(); err != nil {
		return AttentionResult{}, err
	}
	if o.KVHeads == 0 {
		o.KVHeads = o.Heads
	}
	e, device, err := o.engine()
	if err != nil {
		return AttentionResult{}, err
	}
	defer e.Close()
	r := AttentionResult{
		Peer: "tempera", Batch: o.Batch, Heads: o.Heads, KVHeads: o.KVHeads, Tokens: o.Tokens, Width: o.Width, Causal: o.Causal,
		Threads: e.Threads(), Device: device,
	}
	pairs := float64(o.Tokens) * float64(o.Tokens)
	if o.Causal {
		pairs = float64(o.Tokens) * float64(o.Tokens+1) / 2
	}
	product := 2 * float64(o.Batch*o.Heads*o.Width) * pairs
	b := o.args()
	forward, backward := func() { e.Attention(b.Forward) }, func() { e.AttentionBackward(b) }
	if r.ForwardMS, err = o.fastest(ctx, forward); err != nil {
		return r, err
	}
	r.ForwardGFLOPS = round(2*product/r.ForwardMS/1e6, 1)
	if o.Backward {
		if r.BackwardMS, err = o.fastest(ctx, backward); err != nil {
			return r, err
		}
		r.BackwardGFLOPS = round(5*product/r.BackwardMS/1e6, 1)
	}
	r.ForwardMS, r.BackwardMS = round(r.ForwardMS, 3), round(r.BackwardMS, 3)
	return r, nil
}

// args are queries, keys and values side by side, as one product makes them.
func (o AttentionOptions) args() kernel.AttentionBackwardArgs {
	random := rand.New(rand.NewPCG(0, 0))
	vector := func(heads int) []float32 {
		x := make([]float32, o.Batch*o.Tokens*heads*o.Width)
		for i := range x {
			x[i] = float32(random.NormFloat64())
		}
		return x
	}
	all := o.Heads + 2*o.KVHeads
	part := func(x []float32, head int) kernel.View {
		c := all * o.Width
		return kernel.View{Data: x[head*o.Width:], Batch: o.Tokens * c, Token: c, Head: o.Width}
	}
	x, dx, out, dout := vector(all), vector(all), vector(o.Heads), vector(o.Heads)
	f := kernel.AttentionArgs{
		B: o.Batch, T: o.Tokens, S: o.Tokens, H: o.Heads, KVHeads: o.KVHeads, D: o.Width, Causal: o.Causal,
		Q: part(x, 0), K: part(x, o.Heads), V: part(x, o.Heads+o.KVHeads), O: kernel.TightView(out, o.Tokens, o.Heads, o.Width),
		LogSumExp: make([]float32, o.Batch*o.Heads*o.Tokens),
	}
	return kernel.AttentionBackwardArgs{
		Forward: f, DO: kernel.TightView(dout, o.Tokens, o.Heads, o.Width),
		DQ: part(dx, 0), DK: part(dx, o.Heads), DV: part(dx, o.Heads+o.KVHeads),
	}
}

// fastest is the least time of a run in milliseconds, after one that does not count.
func (o AttentionOptions) fastest(ctx context.Context, run func()) (float64, error) {
	run()
	var ms []float64
	for range o.Repeats {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		start := time.Now()
		run()
		ms = append(ms, float64(time.Since(start).Nanoseconds())/1e6)
	}
	return slices.Min(ms), nil
}
