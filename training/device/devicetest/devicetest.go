// Package devicetest is the suite that every backend passes: each method of device.Backend, on odd shapes, against package reference.
//
// A backend joins with one call of Run. A method joins with a trial in the list of its family; a method without a trial fails the suite.
package devicetest

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/device/reference"
)

// trial is one call of one method.
type trial struct {
	method string // of device.Backend
	name   string // what is special about the call, as in "with bias"
	values []operand
	call   func(b device.Backend, v []*device.Value)
	// exact asks for equal elements: of copies, draws and indices.
	exact bool
}

// operand is a value of a trial: floats, or integers where ints is set.
type operand struct {
	shape  []int
	stored bool                       // as an activation: in the type that the backend rounds to
	floats func(r *rand.Rand) float64 // nil: normal numbers
	ints   []int32
}

// f is a tensor of normal numbers. All values are compared after the call, so that a call which writes what it should only read is found.
func f(shape ...int) operand { return operand{shape: shape} }

// a is a tensor of normal numbers that is an activation or the gradient of one.
func a(shape ...int) operand { return operand{shape: shape, stored: true} }

// positive is a tensor of numbers in [0.1, 1.1).
func positive(shape ...int) operand {
	return operand{shape: shape, floats: func(r *rand.Rand) float64 { return 0.1 + r.Float64() }}
}

// is is a vector of integers.
func is(data ...int32) operand { return operand{shape: []int{len(data)}, ints: data} }

// scalar is one element.
func scalar(x float64) operand {
	return operand{shape: []int{1}, floats: func(*rand.Rand) float64 { return x }}
}

// trials are all trials, family by family.
func trials() []trial {
	return slices.Concat(memoryTrials(), linearTrials(), attentionTrials(), normTrials(), elementwiseTrials(), lossTrials(), headTrials(), divergenceTrials(), rowTrials(), gridTrials(), expertTrials(), expertProducts(), optimiserTrials())
}

// Run holds a backend to the reference.
func Run(t *testing.T, b device.Backend) {
	for _, c := range trials() {
		t.Run(c.method+" "+c.name, func(t *testing.T) { c.run(t, b, device.Float32) })
	}
}

// RunRounded holds a backend to the reference with activations of another type, in the trials that have any.
func RunRounded(t *testing.T, b device.Backend, activations device.DType) {
	for _, c := range trials() {
		if slices.ContainsFunc(c.values, func(o operand) bool { return o.stored }) {
			t.Run(c.method+" "+c.name, func(t *testing.T) { c.run(t, b, activations) })
		}
	}
}

// tolerances of results, relative to the largest element of a value. Float32 has sums of a few hundred terms against float64; bfloat16 has eight bits of each
// element, before and after them.
var tolerances = map[device.DType]float64{device.Float32: 2e-5, device.BFloat16: 2e-2}

// Untried lists the methods of device.Backend that no trial calls. Transfers, Alloc, Free, Name and Sync serve every trial.
func Untried() []string {
	tried := map[string]bool{"Name": true, "Alloc": true, "Free": true, "Sync": true, "UploadFloats": true, "UploadInts": true, "DownloadFloats": true, "DownloadInts": true}
	for _, c := range trials() {
		tried[c.method] = true
	}
	var missing []string
	for m := range reflect.TypeFor[device.Backend]().Methods() {
		if !tried[m.Name] {
			missing = append(missing, m.Name)
		}
	}
	return missing
}

func (c trial) run(t *testing.T, b device.Backend, activations device.DType) {
	ref := reference.New()
	got, want := c.load(t, b, activations, activations), c.load(t, ref, device.Float32, activations)
	defer func() {
		for _, v := range got {
			check(t, b.Free(v.Buffer()))
		}
	}()
	c.call(b, got)
	check(t, b.Sync())
	c.call(ref, want)
	for i, o := range c.values {
		if o.ints != nil {
			c.compareInts(t, i, ints(t, b, got[i]), ints(t, ref, want[i]))
			continue
		}
		x := make([]float32, got[i].Size())
		check(t, b.DownloadFloats(x, got[i]))
		c.compare(t, i, x, ref.Read(want[i]), tolerances[activations])
	}
}

func ints(t *testing.T, b device.Backend, v *device.Value) []int32 {
	x, err := device.ReadInts(b, v)
	check(t, err)
	return x
}

// load makes the same values on any backend: activations are stored in one type, and hold numbers of another.
func (c trial) load(t *testing.T, b device.Backend, stored, numbers device.DType) []*device.Value {
	r := rand.New(rand.NewPCG(11, uint64(len(c.name))))
	vs := make([]*device.Value, len(c.values))
	for i, o := range c.values {
		d := device.Floats(o.shape...)
		if o.ints != nil {
			d = device.Ints(o.shape...)
		}
		if o.stored {
			d.DType = stored
		}
		v, err := device.New(b, d)
		check(t, err)
		vs[i] = v
		if o.ints != nil {
			check(t, b.UploadInts(v, o.ints))
			continue
		}
		x := make([]float32, d.Size())
		for j := range x {
			x[j] = float32(o.draw(r))
			if o.stored && numbers == device.BFloat16 {
				x[j] = bfloat16(x[j])
			}
		}
		check(t, b.UploadFloats(v, x))
	}
	return vs
}

// bfloat16 is the nearest number of eight bits of mantissa.
func bfloat16(x float32) float32 {
	b := math.Float32bits(x)
	return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
}

func (o operand) draw(r *rand.Rand) float64 {
	if o.floats == nil {
		return r.NormFloat64()
	}
	return o.floats(r)
}

func (c trial) compareInts(t *testing.T, i int, got, want []int32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("value %d is %v, the reference has %v", i, got, want)
	}
}

func (c trial) compare(t *testing.T, i int, got []float32, want []float64, tolerance float64) {
	t.Helper()
	most := 1.0
	for _, w := range want {
		if !math.IsInf(w, 0) {
			most = math.Max(most, math.Abs(w))
		}
	}
	for j, w := range want {
		g := float64(got[j])
		if d := math.Abs(g - w); g != w && (c.exact || !(d <= tolerance*most)) {
			t.Fatalf("value %d: element %d is %v, the reference has %v", i, j, g, w)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
