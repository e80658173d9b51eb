// Package accelerator lends the GPUs of this machine to stages, one at a time each, and says on which device a stage computes.
package accelerator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Choice is which device a person asks for: auto, cpu, cuda or cuda:N.
type Choice struct {
	kind    string
	ordinal int // of cuda:N; -1: any
}

// The choices without a number. Auto is a GPU where the worker offers one to the stage, else the CPU.
var (
	Auto = Choice{"auto", -1}
	CPU  = Choice{"cpu", -1}
	CUDA = Choice{"cuda", -1}
)

// ParseChoice reads a choice; "" is Auto.
func ParseChoice(s string) (Choice, error) {
	for _, c := range []Choice{Auto, CPU, CUDA} {
		if s == c.kind {
			return c, nil
		}
	}
	if s == "" {
		return Auto, nil
	}
	if n, ok := strings.CutPrefix(s, "cuda:"); ok {
		if i, err := strconv.Atoi(n); err == nil && i >= 0 {
			return Choice{"cuda", i}, nil
		}
	}
	return Choice{}, fmt.Errorf("device %q: use auto, cpu, cuda or cuda:N with the number of a GPU", s)
}

// GPU tells whether nothing but a GPU will do.
func (c Choice) GPU() bool { return c.kind == CUDA.kind }

// takes tells whether a GPU of this number will do.
func (c Choice) takes(ordinal int) bool { return c.ordinal < 0 || c.ordinal == ordinal }

func (c Choice) String() string {
	if c.ordinal >= 0 {
		return fmt.Sprintf("%s:%d", c.kind, c.ordinal)
	}
	return c.kind
}

// The precisions of a GPU; the CPU computes in F32 only.
const (
	BF16 = "bf16" // activations in bfloat16, parameters and sums in float32
	TF32 = "tf32" // products of 10 bits of mantissa
	F32  = "f32"
)

// CheckPrecision finds what cannot be: a precision that the device does not have. "" is the device's best: BF16 on a GPU.
func CheckPrecision(c Choice, precision string) error {
	if !slices.Contains([]string{"", BF16, TF32, F32}, precision) {
		return fmt.Errorf("precision %q: use %s, %s or %s", precision, BF16, TF32, F32)
	}
	if c == CPU && precision != "" && precision != F32 {
		return fmt.Errorf("precision %s needs a GPU: the CPU computes in %s", precision, F32)
	}
	return nil
}
