package bench

import (
	"errors"
	"math/rand/v2"

	"tempera/training/device"
)

// holder allocates values and frees them together. After the first error it does nothing else.
type holder struct {
	backend device.Backend
	made    []*device.Value
	err     error
}

func (h *holder) value(d device.Desc) *device.Value {
	if h.err != nil {
		return nil
	}
	v, err := device.New(h.backend, d)
	if err != nil {
		h.err = err
		return nil
	}
	h.made = append(h.made, v)
	return v
}

func (h *holder) activations(rows, cols int) *device.Value {
	return h.value(device.Desc{DType: device.ActivationsOf(h.backend), Shape: device.Shape{rows, cols}})
}

func (h *holder) free() error {
	var errs []error
	for _, v := range h.made {
		errs = append(errs, h.backend.Free(v.Buffer()))
	}
	return errors.Join(errs...)
}

// randomise fills a value with a million random numbers, again and again: speed does not depend on them.
func (h *holder) randomise(v *device.Value) {
	if h.err != nil {
		return
	}
	random := rand.New(rand.NewPCG(0, 0))
	x := make([]float32, v.Size())
	some := x[:min(len(x), 1<<20)]
	for i := range some {
		some[i] = float32(random.NormFloat64())
	}
	for at := len(some); at < len(x); at += len(some) {
		copy(x[at:], some)
	}
	h.err = h.backend.UploadFloats(v, x)
}
