//go:build gpu

package cuda

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/device/reference"
)

// random is a value of normal numbers.
func random(t *testing.T, m device.Memory, d device.Desc, seed uint64) *device.Value {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, d.Size())
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	v, err := device.New(m, d)
	check(t, err)
	check(t, m.UploadFloats(v, x))
	return v
}

func stored(shape ...int) device.Desc { return device.Desc{DType: device.BFloat16, Shape: shape} }

func read(t *testing.T, m device.Memory, v *device.Value) []float32 {
	t.Helper()
	x, err := device.ReadFloats(m, v)
	check(t, err)
	return x
}

// Whatever writes into a parameter, the next product sees it: it is that with a new parameter of the same elements.
func TestProductsSeeWhatWasWritten(t *testing.T) {
	const m, n, k = 8, 24, 16
	adamw := device.AdamWArgs{LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1}
	writers := map[string]func(t *testing.T, b *Backend, w *device.Value){
		"an upload":    func(t *testing.T, b *Backend, w *device.Value) { check(t, b.UploadFloats(w, make([]float32, k*n))) },
		"Zero":         func(_ *testing.T, b *Backend, w *device.Value) { b.Zero(w) },
		"Zero of many": func(t *testing.T, b *Backend, w *device.Value) { b.Zero(random(t, b, w.Desc(), 4), w) },
		"Zero in part": func(_ *testing.T, b *Backend, w *device.Value) {
			b.Zero(device.NewValue(device.Floats(n), w.Buffer(), n))
		},
		"Copy":  func(t *testing.T, b *Backend, w *device.Value) { b.Copy(w, random(t, b, w.Desc(), 4)) },
		"Add":   func(_ *testing.T, b *Backend, w *device.Value) { b.Add(w, w, w) },
		"EMA":   func(t *testing.T, b *Backend, w *device.Value) { b.EMA(w, random(t, b, w.Desc(), 4), 0.5) },
		"Clamp": func(_ *testing.T, b *Backend, w *device.Value) { b.Clamp(w, -0.1, 0.1) },
		"Muon": func(t *testing.T, b *Backend, w *device.Value) {
			update(t, b, device.UpdateArgs{Muon: []device.MuonArgs{{P: w, G: random(t, b, w.Desc(), 4), M: random(t, b, w.Desc(), 5), LR: 0.1}}})
		},
		"another Gemm": func(t *testing.T, b *Backend, w *device.Value) {
			b.Gemm(device.GemmArgs{M: k, N: n, K: 8, A: random(t, b, stored(k, 8), 4), B: random(t, b, stored(8, n), 5), C: w})
		},
		"AdamW": func(t *testing.T, b *Backend, w *device.Value) {
			a := adamw
			a.P, a.G, a.M, a.V = w, random(t, b, w.Desc(), 4), random(t, b, w.Desc(), 5), ones(t, b, w.Desc())
			update(t, b, device.UpdateArgs{AdamW: []device.AdamWArgs{a}})
		},
		"AdamW in part": func(t *testing.T, b *Backend, w *device.Value) {
			a := adamw
			row := device.NewValue(device.Floats(n), w.Buffer(), n)
			a.P, a.G, a.M, a.V = row, random(t, b, row.Desc(), 4), random(t, b, row.Desc(), 5), ones(t, b, row.Desc())
			update(t, b, device.UpdateArgs{AdamW: []device.AdamWArgs{a}})
		},
	}
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			b := open(t, Mixed)
			x, w := random(t, b, stored(m, k), 1), random(t, b, device.Floats(k, n), 2)
			product := func(w *device.Value) []float32 {
				y := random(t, b, stored(m, n), 3)
				b.Gemm(device.GemmArgs{M: m, N: n, K: k, A: x, B: w, C: y})
				return read(t, b, y)
			}
			before := product(w)
			write(t, b, w)
			after := product(w)
			again, err := device.FromFloats(b, read(t, b, w), k, n)
			check(t, err)
			if !slices.Equal(after, product(again)) {
				t.Fatal("the product is not that of what was written")
			}
			if slices.Equal(after, before) {
				t.Fatal("nothing was written")
			}
		})
	}
}

func update(t *testing.T, b device.Backend, a device.UpdateArgs) {
	t.Helper()
	_, err := b.Update(a)
	check(t, err)
}

func ones(t *testing.T, b *Backend, d device.Desc) *device.Value {
	x := make([]float32, d.Size())
	for i := range x {
		x[i] = 1
	}
	v, err := device.New(b, d)
	check(t, err)
	check(t, b.UploadFloats(v, x))
	return v
}

func TestANarrowCopyIsFreedWithItsBuffer(t *testing.T) {
	b := open(t, Mixed)
	x, y := random(t, b, stored(8, 16), 1), random(t, b, stored(8, 8), 2)
	free := func() int64 {
		n, _, err := b.device.MemoryInfo()
		check(t, err)
		return n
	}
	before := free()
	w := random(t, b, device.Floats(16, 8), 3)
	b.Gemm(device.GemmArgs{M: 8, N: 8, K: 16, A: x, B: w, C: y})
	if copyOf(w) == nil {
		t.Fatal("the parameter has no copy")
	}
	check(t, b.Sync())
	check(t, b.Free(w.Buffer()))
	if after := free(); after < before {
		t.Fatalf("%d bytes are not free again", before-after)
	}
}

// In bf16 the steps of Muon are products of bfloat16: their errors are parts of an update whose elements are about the learning rate.
func TestMuonInBFloat16(t *testing.T) {
	b, ref := open(t, Mixed), reference.New()
	for _, shape := range [][]int{{3, 24, 40}, {64, 24}, {17, 9}} {
		args := func(m device.Memory) device.MuonArgs {
			d := device.Floats(shape...)
			return device.MuonArgs{P: random(t, m, d, 1), G: random(t, m, d, 2), M: random(t, m, d, 3), LR: 0.1, Momentum: 0.9, Decay: 0.1}
		}
		got, want := args(b), args(ref)
		update(t, b, device.UpdateArgs{Muon: []device.MuonArgs{got}})
		update(t, ref, device.UpdateArgs{Muon: []device.MuonArgs{want}})
		y, x := read(t, b, got.P), read(t, ref, want.P)
		var wrong, all float64
		for i := range x {
			wrong += math.Pow(float64(x[i]-y[i]), 2)
			all += 0.1 * 0.1 * 0.2 * 0.2
		}
		if r := math.Sqrt(wrong / all); !(r < 0.03) {
			t.Fatalf("%v: updates differ by %.3f of their size", shape, r)
		}
	}
}

func TestProductsInTF32(t *testing.T) {
	const m, n, k = 40, 56, 200
	b, ref := open(t, TF32), reference.New()
	product := func(m2 device.Backend) []float32 {
		y := random(t, m2, device.Floats(m, n), 3)
		m2.Gemm(device.GemmArgs{M: m, N: n, K: k, A: random(t, m2, device.Floats(m, k), 1), B: random(t, m2, device.Floats(k, n), 2), C: y})
		return read(t, m2, y)
	}
	got, want := product(b), product(ref)
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d < 0.03) { // 200 terms of about 1, each off by up to 2^-11
			t.Fatalf("element %d is %v, the reference has %v", i, got[i], want[i])
		}
	}
}

func TestProductsAndSumsAreTheSameOnEveryRun(t *testing.T) {
	const m, n, k = 136, 264, 1000
	run := func(b *Backend) []float32 {
		x, w, y := random(t, b, stored(m, k), 1), random(t, b, device.Floats(k, n), 2), random(t, b, stored(m, n), 3)
		dw := random(t, b, device.Floats(k, n), 4)
		b.Gemm(device.GemmArgs{M: m, N: n, K: k, A: x, B: w, C: y, Activation: device.GELUTanh})
		b.Gemm(device.GemmArgs{M: k, N: n, K: m, A: x, TransA: true, B: y, C: dw, Accumulate: true})
		sum, err := b.SumSquares([]*device.Value{y, dw, w})
		check(t, err)
		return slices.Concat(read(t, b, y), read(t, b, dw), []float32{float32(sum), float32(sum - float64(float32(sum)))})
	}
	if !slices.Equal(run(open(t, Mixed)), run(open(t, Mixed))) {
		t.Fatal("two runs differ")
	}
}
