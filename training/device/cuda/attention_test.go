//go:build gpu

package cuda

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"tempera/training/device"
)

// attend runs both directions of a causal attention with shared keys and returns all results.
func attend(t *testing.T, b *Backend, d int) []float32 {
	t.Helper()
	const batch, tokens, heads, keyHeads = 2, 131, 4, 2
	r := rand.New(rand.NewPCG(3, 5))
	fresh := func(dtype device.DType, shape ...int) *device.Value {
		desc := device.Floats(shape...)
		desc.DType = dtype
		v, err := device.New(b, desc)
		check(t, err)
		x := make([]float32, v.Size())
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		check(t, b.UploadFloats(v, x))
		t.Cleanup(func() { check(t, b.Free(v.Buffer())) })
		return v
	}
	queries := func() device.Heads {
		return device.HeadsOf(fresh(b.Activations(), batch, tokens, heads, d), device.HeadsShape{T: tokens, H: heads, D: d, Parts: 1})
	}
	keys := func() device.Heads {
		return device.HeadsOf(fresh(b.Activations(), batch, tokens, keyHeads, d), device.HeadsShape{T: tokens, H: keyHeads, D: d, Parts: 1})
	}
	a := device.AttentionArgs{
		B: batch, T: tokens, S: tokens, H: heads, KVHeads: keyHeads, D: d, Q: queries(), K: keys(), V: keys(), O: queries(), Causal: true,
		LogSumExp: fresh(device.Float32, batch, heads, tokens),
	}
	g := device.AttentionBackwardArgs{Forward: a, DO: queries(), DQ: queries(), DK: keys(), DV: keys()}
	b.Attention(a)
	b.AttentionBackward(g)
	var all []float32
	for _, v := range []*device.Value{a.O.Value, a.LogSumExp, g.DQ.Value, g.DK.Value, g.DV.Value} {
		x, err := device.ReadFloats(b, v)
		check(t, err)
		all = append(all, x...)
	}
	return all
}

func TestAttentionHasTheSameBitsEachTime(t *testing.T) {
	for _, p := range []Precision{Full, Mixed} {
		t.Run(string(p), func(t *testing.T) {
			b := open(t, p)
			once := attend(t, b, 64)
			t.Run("again", func(t *testing.T) { equalBits(t, attend(t, b, 64), once) })
			t.Run("where shared memory holds one tile of keys", func(t *testing.T) {
				all := b.device.SharedPerBlock
				defer func() { b.device.SharedPerBlock = all }()
				b.device.SharedPerBlock = 52 << 10
				equalBits(t, attend(t, b, 64), once)
			})
		})
	}
}

func TestAttentionThatSharedMemoryDoesNotHoldIsAFault(t *testing.T) {
	b := open(t, Full)
	b.device.SharedPerBlock = 16 << 10
	b.Attention(device.AttentionArgs{B: 1, T: 1, S: 1, H: 1, D: 64, Q: oneHead(t, b), K: oneHead(t, b), V: oneHead(t, b), O: oneHead(t, b)})
	if err := b.Sync(); err == nil {
		t.Fatal("no error")
	}
}

func oneHead(t *testing.T, b *Backend) device.Heads {
	v, err := device.New(b, device.Floats(64))
	check(t, err)
	return device.Heads{Value: v}
}

func TestTablesOfRotationsThatNobodyHasAreFreed(t *testing.T) {
	b := open(t, Full)
	func() {
		table, err := b.NewRoPETable(device.RoPESpec{Width: 4, Theta: 10, Rows: []int32{0, 1}})
		check(t, err)
		runtime.KeepAlive(table)
	}()
	for range 100 {
		runtime.GC()
		time.Sleep(time.Millisecond)
		b.tables.mu.Lock()
		n := len(b.tables.live)
		b.tables.mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Fatal("the table is still there")
}

func equalBits(t *testing.T, got, want []float32) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }) {
		t.Fatal("other bits")
	}
}
