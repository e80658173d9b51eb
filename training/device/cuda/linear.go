//go:build gpu

package cuda

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/device/cuda/blas"
	"tempera/training/device/cuda/driver"
)

// Gemm is part of device.Linear. A few rows are a kernel's of our own. For others cuBLASLt adds the bias, computes the tanh GELU and adds the residual where nothing stands between; one kernel does the
// rest. In bf16 a bias is rounded to the type of C.
func (b *Backend) Gemm(a device.GemmArgs) {
	fitting("Gemm", extent{"A", a.A, a.M * a.K}, extent{"B", a.B, a.K * a.N}, extent{"C", a.C, a.M * a.N},
		extent{"Bias", a.Bias, a.N}, extent{"Pre", a.Pre, a.M * a.N}, extent{"Residual", a.Residual, a.M * a.N})
	if a.M*a.N == 0 {
		return
	}
	b.products.mu.Lock()
	defer b.products.mu.Unlock()
	b.fail(b.products.gemm(a))
}

// extent is the size that a value must have, if it is there.
type extent struct {
	name string
	v    *device.Value
	size int
}

// fitting panics where a value does not fit its shape.
func fitting(method string, all ...extent) {
	for _, e := range all {
		if e.v != nil && e.v.Size() != e.size {
			panic(fmt.Sprintf("cuda: %s of %s %v, of which the shape has %d elements", method, e.name, e.v, e.size))
		}
	}
}

// ending is what follows a product: C = activation(From + Bias) + Residual.
type ending struct {
	from                driver.Pointer
	bias, pre, residual *device.Value
	activation          device.Activation
}

func (e ending) empty() bool {
	return e.bias == nil && e.pre == nil && e.residual == nil && e.activation == device.Identity
}

func (p *products) gemm(a device.GemmArgs) error {
	t := a.C.Desc().DType
	c := address(a.C, t)
	m := blas.Product{
		M: a.M, N: a.N, K: a.K, TransA: a.TransA, TransB: a.TransB, Operands: typeOf(p.b.operands()), Result: typeOf(t), Compute: p.b.arithmetic(),
	}
	o := blas.Operands{D: c, Alpha: 1}
	var err, err2 error
	o.A, err = p.operand(a.A, spareA)
	o.B, err2 = p.operand(a.B, spareB)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if m.Operands == blas.BFloat16 && gemvTakes(a, o.A, o.B) {
		return p.gemv(a, o.A, o.B)
	}
	if a.Accumulate {
		o.Beta = 1
	}
	if a.Residual != nil && reading(a.Residual, t) == c { // keep it until the end
		work, err := p.spare(spareWork, a.M*a.N*t.Bytes())
		if err != nil {
			return err
		}
		o.C, o.D = c, work
	}
	left, err := p.fused(a, m, o)
	if errors.Is(err, blas.ErrUnsupported) {
		left = ending{from: o.D, bias: a.Bias, pre: a.Pre, residual: a.Residual, activation: a.Activation}
		err = p.multiply(m, o)
	}
	if err != nil || left.empty() && left.from == c {
		return err
	}
	p.b.kernel("linear", "finish", t).pointer(c).pointer(left.from).floats(left.bias).value(left.pre, t).value(left.residual, t).i64(a.M).i64(a.N).
		i32(int(left.activation)).each(a.M * a.N)
	return nil
}

// fused asks for the product with as much of its epilogue as cuBLASLt can do, and returns what is left.
func (p *products) fused(a device.GemmArgs, m blas.Product, o blas.Operands) (ending, error) {
	t := a.C.Desc().DType
	left := ending{from: o.D, residual: a.Residual, activation: a.Activation}
	var err error
	if a.Bias != nil {
		m.Epilogue |= blas.Bias
		if o.Bias, err = p.in(t, a.Bias, spareBias); err != nil {
			return left, err
		}
	}
	aligned := a.Pre == nil || a.N%8 == 0 && address(a.Pre, t)%16 == 0 // as the library wants the auxiliary
	switch {
	case a.Activation == device.GELUTanh && a.Residual == nil && aligned:
		m.Epilogue |= blas.GELU
		left.activation = device.Identity
		if a.Pre != nil {
			m.Epilogue |= blas.Auxiliary
			o.Auxiliary = address(a.Pre, t)
		}
	case a.Pre != nil: // the product goes there, and from there on
		if o.C == 0 {
			o.C = o.D
		}
		o.D = address(a.Pre, t)
		left.from = o.D
	case a.Activation == device.Identity && a.Residual != nil && !a.Accumulate:
		o.C, o.D, o.Beta = reading(a.Residual, t), address(a.C, t), 1
		left.from, left.residual = o.D, nil
	}
	if m.K == 0 {
		return left, blas.ErrUnsupported
	}
	return left, p.blas.Multiply(m, o)
}
