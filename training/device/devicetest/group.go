package devicetest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tempera/training/device"
)

// RunGroup holds a group to its contract: sums are those of float64, up to rounding, in the same bits each time, and values come after earlier work.
func RunGroup(t *testing.T, g device.Group) {
	sizes := []int{1, 3, 1023, 4096, 70001}
	values := make([][]*device.Value, len(g.Backends()))
	for rank, b := range g.Backends() {
		for _, n := range sizes {
			v, err := device.New(b, device.Floats(n))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := b.Free(v.Buffer()); err != nil {
					t.Error(err)
				}
			})
			values[rank] = append(values[rank], v)
		}
	}
	// fill gives each rank numbers of its own, twice as large as what was uploaded: the last work before an exchange.
	fill := func() [][][]float32 {
		all := make([][][]float32, len(values))
		for rank, vs := range values {
			r := rand.New(rand.NewPCG(3, uint64(rank)))
			b := g.Backends()[rank]
			for _, v := range vs {
				x := make([]float32, v.Size())
				for i := range x {
					x[i] = float32(r.NormFloat64())
				}
				if err := b.UploadFloats(v, x); err != nil {
					t.Fatal(err)
				}
				b.Scale(v, v, 2)
				for i := range x {
					x[i] *= 2
				}
				all[rank] = append(all[rank], x)
			}
		}
		return all
	}
	read := func(rank, i int) []float32 {
		x, err := device.ReadFloats(g.Backends()[rank], values[rank][i])
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	t.Run("broadcast", func(t *testing.T) {
		given := fill()
		if err := g.Broadcast(values); err != nil {
			t.Fatal(err)
		}
		for rank := range values {
			for i := range sizes {
				if !slices.Equal(read(rank, i), given[0][i]) {
					t.Errorf("value %d of rank %d is not the root's", i, rank)
				}
			}
		}
	})
	t.Run("reduce", func(t *testing.T) {
		var before [][]float32
		for range 2 {
			given := fill()
			if err := g.Reduce(values); err != nil {
				t.Fatal(err)
			}
			var sums [][]float32
			for i := range sizes {
				sums = append(sums, read(0, i))
				for k, got := range sums[i] {
					want, most := 0.0, 0.0
					for rank := range given {
						x := float64(given[rank][i][k])
						want, most = want+x, max(most, math.Abs(x))
					}
					if !(math.Abs(float64(got)-want) <= 1e-6*most) {
						t.Fatalf("element %d of value %d is %v, want %v", k, i, got, want)
					}
				}
				for rank := 1; rank < len(values); rank++ {
					if !slices.Equal(read(rank, i), given[rank][i]) {
						t.Errorf("value %d of rank %d has changed", i, rank)
					}
				}
			}
			if before != nil && !slices.EqualFunc(sums, before, slices.Equal) {
				t.Error("the same values have a sum of other bits")
			}
			before = sums
		}
	})
}
