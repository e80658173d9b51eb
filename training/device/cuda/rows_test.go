//go:build gpu

package cuda

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/kernel"
)

// A table's gradient is added up in the order of the indices: its bits are those of the CPU, whichever way the device finds the rows.
func TestGradientsOfTablesAddUpInTheOrderOfIndices(t *testing.T) {
	engine, err := kernel.New(kernel.Options{Threads: 1})
	check(t, err)
	defer engine.Close()
	for name, n := range map[string]int{"of few indices": fewIndices, "of many indices": 3*orderTile + 11} {
		t.Run(name, func(t *testing.T) {
			const rows, cols = 300, 12
			r := rand.New(rand.NewPCG(1, 2))
			table, dy, index := make([]float32, rows*cols), make([]float32, n*cols), make([]int32, n)
			for i := range dy {
				dy[i] = float32(r.NormFloat64() * math.Exp(r.NormFloat64()))
			}
			for i := range index {
				index[i] = int32(r.IntN(rows)*r.IntN(3)/2) - 1
			}
			gradient := func(b device.Backend) []float32 {
				d, err := device.FromFloats(b, table, rows, cols)
				check(t, err)
				y, err := device.FromFloats(b, dy, n, cols)
				check(t, err)
				i, err := device.New(b, device.Ints(n))
				check(t, err)
				check(t, b.UploadInts(i, index))
				b.GatherBackward(device.GatherBackwardArgs{TableRows: rows, Cols: cols, DTable: d, Index: i, DY: y})
				out, err := device.ReadFloats(b, d)
				check(t, err)
				return out
			}
			if got, want := gradient(open(t, Full)), gradient(device.NewCPU(engine)); !slices.Equal(got, want) {
				t.Fatal("the bits differ from the CPU's")
			}
		})
	}
}

func TestAnIndexPastTheTableGivesNaN(t *testing.T) {
	b := open(t, Mixed)
	table, err := device.FromFloats(b, []float32{1, 2}, 2, 1)
	check(t, err)
	index, err := device.New(b, device.Ints(3))
	check(t, err)
	check(t, b.UploadInts(index, []int32{-1, 2, 1}))
	y, err := device.New(b, device.Desc{DType: device.BFloat16, Shape: device.Shape{3, 1}})
	check(t, err)
	b.Gather(device.GatherArgs{TableRows: 2, Cols: 1, Table: table, Index: index, Y: y})
	got, err := device.ReadFloats(b, y)
	check(t, err)
	if got[0] != 0 || !math.IsNaN(float64(got[1])) || got[2] != 2 {
		t.Fatalf("rows -1, 2 and 1 are %v", got)
	}
}
