package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"tempera/training/device"
	"tempera/training/device/accelerator"
	"tempera/training/kernel"
)

// GemmOptions are the shapes and length of a measurement of matrix products C = op(A) op(B), op(A) being M x K and op(B) K x N.
type GemmOptions struct {
	Cores
	GPU      accelerator.Flags
	M, N, K  int      // one shape; 0: those of Sizes
	Sizes    []int    // square shapes
	Variants []string // of nn, nt, tn: which of A and B is stored transposed
	Packed   bool     // B is packed beforehand, as the weights of a decoder are
	Repeats  int      // the fastest counts
}

// GemmDefaults are those of the peer.
func GemmDefaults() GemmOptions {
	return GemmOptions{Sizes: []int{256, 512, 1024, 2048}, Variants: []string{"nn"}, Cores: Cores{Threads: 2}, Repeats: 20}
}

// Bind adds a flag per option, with the present values as defaults.
func (o *GemmOptions) Bind(f *pflag.FlagSet) {
	f.IntVar(&o.M, "m", o.M, "rows of A and C, for one shape instead of --sizes")
	f.IntVar(&o.N, "n", o.N, "columns of B and C")
	f.IntVar(&o.K, "k", o.K, "columns of A, rows of B")
	f.IntSliceVar(&o.Sizes, "sizes", o.Sizes, "square shapes")
	f.StringSliceVar(&o.Variants, "variant", o.Variants, "nn, nt (B is stored transposed), tn (A is)")
	f.BoolVar(&o.Packed, "packed", o.Packed, "pack B beforehand, as a decoder's weights are")
	o.bind(f)
	o.GPU.Bind(f)
	bindRepeats(f, &o.Repeats, "products of each shape")
}

// Validate returns all faults at once.
func (o GemmOptions) Validate() error {
	var faults []error
	if set := o.M | o.N | o.K; set != 0 && min(o.M, o.N, o.K) < 1 {
		faults = append(faults, fmt.Errorf("m, n and k are %d, %d and %d: give all three, each 1 or more, or none and --sizes", o.M, o.N, o.K))
	}
	if len(o.shapes()) == 0 {
		faults = append(faults, errors.New("there are no sizes: give some, e.g. --sizes 512,1024"))
	}
	for _, n := range o.Sizes {
		if n < 1 {
			faults = append(faults, fmt.Errorf("size %d: give 1 or more", n))
		}
	}
	if len(o.Variants) == 0 {
		faults = append(faults, errors.New("there is no variant: use nn, nt or tn"))
	}
	for _, v := range o.Variants {
		if !slices.Contains([]string{"nn", "nt", "tn"}, v) {
			faults = append(faults, fmt.Errorf("there is no variant %q: use nn, nt or tn", v))
		}
	}
	if o.Repeats < 1 {
		faults = append(faults, fmt.Errorf("repeats is %d: give 1 or more", o.Repeats))
	}
	return errors.Join(append(append(faults, o.faults()...), o.GPU.Faults()...)...)
}

func (o GemmOptions) shapes() (list []kernel.GemmArgs) {
	if o.M != 0 {
		return []kernel.GemmArgs{{M: o.M, N: o.N, K: o.K}}
	}
	for _, n := range o.Sizes {
		list = append(list, kernel.GemmArgs{M: n, N: n, K: n})
	}
	return list
}

// GemmResult is what a measurement prints.
type GemmResult struct {
	Peer       string        `json:"peer"`
	Threads    int           `json:"threads"`
	Packed     bool          `json:"packed"`
	PeakGFLOPS float64       `json:"peak_gflops"` // of the largest tile on operands in the first-level caches of all threads, in this run
	Products   []GemmProduct `json:"products"`
	Device     string        `json:"device"`
}

// GemmProduct is the fastest product of one shape.
type GemmProduct struct {
	M       int     `json:"m"`
	N       int     `json:"n"`
	K       int     `json:"k"`
	Variant string  `json:"variant"`
	MS      float64 `json:"ms"`
	GFLOPS  float64 `json:"gflops"`
	Share   float64 `json:"share"`    // of PeakGFLOPS
	GBPerS  float64 `json:"gb_per_s"` // A, B and C counted once
}

// Gemm measures matrix products, and in alternation with them the peak that they are compared with.
func Gemm(ctx context.Context, o GemmOptions) (GemmResult, error) {
	if err := o.Validate(); err != nil {
		return GemmResult{}, err
	}
	if gpu, err := o.GPU.Lease(ctx); gpu != nil || err != nil {
		if err != nil {
			return GemmResult{}, err
		}
		return o.gpu(ctx, gpu)
	}
	e, name, err := o.engine()
	if err != nil {
		return GemmResult{}, err
	}
	defer e.Close()
	r := GemmResult{Peer: "tempera", Threads: e.Threads(), Packed: o.Packed, Device: name}
	peak := 0.0
	for _, s := range o.shapes() {
		for _, variant := range o.Variants {
			a := o.operands(e, s, variant)
			best := time.Duration(0)
			e.Gemm(a)
			for range o.Repeats {
				if ctx.Err() != nil {
					return r, context.Cause(ctx)
				}
				peak = max(peak, e.TileRate(2))
				start := time.Now()
				e.Gemm(a)
				if d := time.Since(start); best == 0 || d < best {
					best = d
				}
			}
			work, memory := 2*float64(s.M)*float64(s.N)*float64(s.K), 4*float64(s.M*s.K+s.K*s.N+s.M*s.N)
			r.Products = append(r.Products, GemmProduct{
				M: s.M, N: s.N, K: s.K, Variant: variant, MS: round(best.Seconds()*1e3, 4), GFLOPS: round(work/best.Seconds()/1e9, 1),
				Share: work / best.Seconds(), GBPerS: round(memory/best.Seconds()/1e9, 1),
			})
		}
	}
	for i := range r.Products {
		r.Products[i].Share = round(r.Products[i].Share/peak, 3)
	}
	r.PeakGFLOPS = round(peak/1e9, 1)
	return r, nil
}

// productsAtATime is how many products of a GPU are asked for before it is waited for.
const productsAtATime = 20

// gpu measures products of a GPU, in the precision of its activations. The fastest of them is the peak.
func (o GemmOptions) gpu(ctx context.Context, l *accelerator.Lease) (r GemmResult, err error) {
	defer func() { err = errors.Join(err, l.Close()) }()
	b := l.Backend
	r = GemmResult{Peer: "tempera", Device: b.Name()}
	for _, s := range o.shapes() {
		for _, variant := range o.Variants {
			a, free, err := o.onDevice(b, s, variant)
			if err != nil {
				return r, err
			}
			best := math.Inf(1)
			for range o.Repeats {
				if ctx.Err() != nil {
					return r, context.Cause(ctx)
				}
				start := time.Now()
				for range productsAtATime {
					b.Gemm(a)
				}
				if err := b.Sync(); err != nil {
					return r, err
				}
				best = min(best, time.Since(start).Seconds()/productsAtATime)
			}
			work, memory := 2*float64(s.M)*float64(s.N)*float64(s.K), float64(a.A.MemSize()+a.B.MemSize()+a.C.MemSize())
			r.Products = append(r.Products, GemmProduct{
				M: s.M, N: s.N, K: s.K, Variant: variant, MS: round(best*1e3, 4), GFLOPS: round(work/best/1e9, 1), GBPerS: round(memory/best/1e9, 1),
			})
			r.PeakGFLOPS = max(r.PeakGFLOPS, round(work/best/1e9, 1))
			if err := free(); err != nil {
				return r, err
			}
		}
	}
	for i := range r.Products {
		r.Products[i].Share = round(r.Products[i].GFLOPS/r.PeakGFLOPS, 3)
	}
	return r, nil
}

// onDevice makes the operands of a shape, all of them activations, and what frees them.
func (o GemmOptions) onDevice(b device.Backend, s kernel.GemmArgs, variant string) (a device.GemmArgs, free func() error, err error) {
	a = device.GemmArgs{M: s.M, N: s.N, K: s.K, TransA: strings.HasPrefix(variant, "t"), TransB: strings.HasSuffix(variant, "t")}
	h := holder{backend: b}
	a.A, a.B, a.C = h.activations(s.M, s.K), h.activations(s.K, s.N), h.activations(s.M, s.N)
	h.randomise(a.A)
	h.randomise(a.B)
	if h.err != nil {
		return a, nil, errors.Join(h.err, h.free())
	}
	return a, h.free, nil
}

// operands fills a shape with random numbers: speed does not depend on them.
func (o GemmOptions) operands(e *kernel.Engine, a kernel.GemmArgs, variant string) kernel.GemmArgs {
	random := rand.New(rand.NewPCG(0, 0))
	vector := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(random.NormFloat64())
		}
		return x
	}
	a.TransA, a.TransB = strings.HasPrefix(variant, "t"), strings.HasSuffix(variant, "t")
	a.A, a.B, a.C = vector(a.M*a.K), vector(a.K*a.N), make([]float32, a.M*a.N)
	if o.Packed {
		a.Packed = e.PackB(kernel.PackBArgs{K: a.K, N: a.N, B: a.B, TransB: a.TransB})
	}
	return a
}
