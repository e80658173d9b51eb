//go:build gpu

package cuda

import (
	"math"
	"slices"
	"testing"

	"tempera/training/device"
)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wave is n numbers of both signs, of different sizes.
func wave(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(float64(3*i+1))) * float32(1+i%7)
	}
	return x
}

// placed is a value that begins at a word of its buffer, and holds a wave.
func placed(t *testing.T, b *Backend, d device.Desc, word int) *device.Value {
	t.Helper()
	v := device.NewValue(d, must[device.Buffer](t)(b.Alloc(word+d.Words())), word)
	if err := b.UploadFloats(v, wave(d.Size())); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRowsMayBeginAtAnyWord(t *testing.T) {
	const rows, cols = 5, 1024
	for _, p := range []Precision{Full, Mixed} {
		t.Run(string(p), func(t *testing.T) {
			b := open(t, p)
			d := device.Desc{DType: b.Activations(), Shape: device.Shape{rows, cols}}
			at := func(word int) []float32 {
				x, y, z := placed(t, b, d, word), placed(t, b, d, word), placed(t, b, d, word)
				w, scale := placed(t, b, device.Floats(cols), word), placed(t, b, device.Floats(rows), word)
				b.RMSNorm(device.RMSNormArgs{Rows: rows, Cols: cols, X: x, W: w, Y: y, RStd: scale, Eps: 1e-6})
				b.Softmax(device.SoftmaxArgs{Rows: rows, Cols: cols, X: y, Y: z})
				return slices.Concat(read(t, b, y), read(t, b, z))
			}
			want := at(0)
			for word := 1; word < 4; word++ {
				for i, g := range at(word) {
					if math.Abs(float64(g-want[i])) > 1e-2*math.Abs(float64(want[i])) {
						t.Fatalf("from word %d on, element %d is %v: it is %v where rows are aligned", word, i, g, want[i])
					}
				}
			}
		})
	}
}

func TestSumsOverRowsAreTheSameBitsEveryTime(t *testing.T) {
	const rows, cols = 300, 513
	b := open(t, Full)
	run := func() []float32 {
		m := device.Floats(rows, cols)
		x, y, dx, dy := placed(t, b, m, 0), placed(t, b, m, 0), placed(t, b, m, 0), placed(t, b, m, 0)
		w, dw, db := placed(t, b, device.Floats(cols), 0), placed(t, b, device.Floats(cols), 0), placed(t, b, device.Floats(cols), 0)
		mean, scale := placed(t, b, device.Floats(rows), 0), placed(t, b, device.Floats(rows), 0)
		b.LayerNorm(device.LayerNormArgs{Rows: rows, Cols: cols, X: x, W: w, Y: y, Mean: mean, RStd: scale, Eps: 1e-5})
		b.LayerNormBackward(device.LayerNormBackwardArgs{Rows: rows, Cols: cols, X: x, W: w, Mean: mean, RStd: scale, DY: dy, DX: dx, DW: dw, DB: db})
		targets := must[*device.Value](t)(device.New(b, device.Ints(rows)))
		b.CrossEntropy(device.CrossEntropyArgs{Rows: rows, Classes: cols, Logits: dx, Targets: targets, RowLoss: scale, Mean: mean})
		return slices.Concat(read(t, b, dw), read(t, b, db), read(t, b, mean)[:1])
	}
	want := run()
	for range 3 {
		if !slices.Equal(run(), want) {
			t.Fatal("two runs differ")
		}
	}
}
