package device

import (
	"math"

	"tempera/training/kernel"
)

// Gemm is part of Linear.
func (c *CPU) Gemm(a GemmArgs) {
	c.engine.Gemm(kernel.GemmArgs{
		M: a.M, N: a.N, K: a.K, A: c.f(a.A), B: c.f(a.B), C: c.f(a.C), TransA: a.TransA, TransB: a.TransB, Accumulate: a.Accumulate,
		Epilogue: kernel.Epilogue{Bias: c.f(a.Bias), Activation: a.Activation, Pre: c.f(a.Pre), Residual: c.f(a.Residual)},
	})
}

func (c *CPU) heads(h Heads) kernel.View {
	v := kernel.View{Batch: h.Batch, Token: h.Token, Head: h.Head}
	if d := c.f(h.Value); len(d) > 0 {
		v.Data = d[h.Offset:]
	}
	return v
}

func (c *CPU) attention(a AttentionArgs) kernel.AttentionArgs {
	k := kernel.AttentionArgs{
		B: a.B, T: a.T, S: a.S, H: a.H, KVHeads: a.KVHeads, D: a.D, Q: c.heads(a.Q), K: c.heads(a.K), V: c.heads(a.V),
		Scale: a.Scale, Causal: a.Causal, KeyLengths: c.i(a.KeyLengths), Packed: c.i(a.Packed), LogSumExp: c.f(a.LogSumExp),
	}
	if a.O.Value != nil {
		k.O = c.heads(a.O)
	}
	return k
}

// Attention is part of the family of that name.
func (c *CPU) Attention(a AttentionArgs) { c.engine.Attention(c.attention(a)) }

// AttentionBackward is part of Attention.
func (c *CPU) AttentionBackward(a AttentionBackwardArgs) {
	c.engine.AttentionBackward(kernel.AttentionBackwardArgs{
		Forward: c.attention(a.Forward), DO: c.heads(a.DO), DQ: c.heads(a.DQ), DK: c.heads(a.DK), DV: c.heads(a.DV), Accumulate: a.Accumulate,
	})
}

type cpuRoPE struct {
	table  *kernel.RoPETable
	tokens int
}

func (t cpuRoPE) Tokens() int { return t.tokens }

// NewRoPETable is part of Attention.
func (c *CPU) NewRoPETable(s RoPESpec) (RoPETable, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return cpuRoPE{kernel.NewRoPETable(s), len(s.Rows)}, nil
}

// RoPE is part of Attention.
func (c *CPU) RoPE(a RoPEArgs) {
	c.engine.RoPE(kernel.RoPEArgs{
		B: a.B, T: a.T, H: a.H, D: a.D, X: c.heads(a.X), Y: c.heads(a.Y), Table: a.Table.(cpuRoPE).table, Index: c.i(a.Index), Inverse: a.Inverse,
	})
}

// LayerNorm is part of Norm.
func (c *CPU) LayerNorm(a LayerNormArgs) {
	c.engine.LayerNorm(kernel.LayerNormArgs{
		Rows: a.Rows, Cols: a.Cols, X: c.f(a.X), W: c.f(a.W), B: c.f(a.B), Y: c.f(a.Y), Mean: c.f(a.Mean), RStd: c.f(a.RStd), Eps: a.Eps,
	})
}

// LayerNormBackward is part of Norm.
func (c *CPU) LayerNormBackward(a LayerNormBackwardArgs) {
	c.engine.LayerNormBackward(kernel.LayerNormBackwardArgs{
		Rows: a.Rows, Cols: a.Cols, X: c.f(a.X), W: c.f(a.W), Mean: c.f(a.Mean), RStd: c.f(a.RStd),
		DY: c.f(a.DY), DX: c.f(a.DX), DW: c.f(a.DW), DB: c.f(a.DB), Accumulate: a.Accumulate,
	})
}

// RMSNorm is part of Norm.
func (c *CPU) RMSNorm(a RMSNormArgs) {
	c.engine.RMSNorm(kernel.RMSNormArgs{Rows: a.Rows, Cols: a.Cols, X: c.f(a.X), W: c.f(a.W), Y: c.f(a.Y), RStd: c.f(a.RStd), Eps: a.Eps})
}

// RMSNormBackward is part of Norm.
func (c *CPU) RMSNormBackward(a RMSNormBackwardArgs) {
	c.engine.RMSNormBackward(kernel.RMSNormBackwardArgs{
		Rows: a.Rows, Cols: a.Cols, X: c.f(a.X), W: c.f(a.W), RStd: c.f(a.RStd), DY: c.f(a.DY), DX: c.f(a.DX), DW: c.f(a.DW), Accumulate: a.Accumulate,
	})
}

// L2Normalize is part of Norm.
func (c *CPU) L2Normalize(a L2NormalizeArgs) {
	c.engine.L2Normalize(kernel.L2NormalizeArgs{Rows: a.Rows, Cols: a.Cols, X: c.f(a.X), Y: c.f(a.Y), Inv: c.f(a.Inv), Eps: a.Eps})
}

// L2NormalizeBackward is part of Norm.
func (c *CPU) L2NormalizeBackward(a L2NormalizeBackwardArgs) {
	c.engine.L2NormalizeBackward(kernel.L2NormalizeBackwardArgs{
		Rows: a.Rows, Cols: a.Cols, Y: c.f(a.Y), Inv: c.f(a.Inv), DY: c.f(a.DY), DX: c.f(a.DX), Eps: a.Eps, Accumulate: a.Accumulate,
	})
}

// Add is part of Elementwise.
func (c *CPU) Add(dst, a, b *Value) {
	mustMatch("Add", dst, a)
	mustMatch("Add", dst, b)
	c.engine.Add(c.f(dst), c.f(a), c.f(b))
}

// Scale is part of Elementwise.
func (c *CPU) Scale(dst, x *Value, alpha float32) {
	mustMatch("Scale", dst, x)
	c.engine.Scale(c.f(dst), c.f(x), alpha)
}

// Axpy is part of Elementwise.
func (c *CPU) Axpy(dst, x *Value, alpha float32) {
	mustMatch("Axpy", dst, x)
	c.engine.Axpy(c.f(dst), c.f(x), alpha)
}

// Activate is part of Elementwise.
func (c *CPU) Activate(a ActivateArgs) {
	c.engine.Activate(kernel.ActivateArgs{Activation: a.Activation, N: a.X.Size(), X: c.f(a.X), Y: c.f(a.Y)})
}

// ActivateBackward is part of Elementwise.
func (c *CPU) ActivateBackward(a ActivateBackwardArgs) {
	c.engine.ActivateBackward(kernel.ActivateBackwardArgs{
		Activation: a.Activation, N: a.X.Size(), X: c.f(a.X), DY: c.f(a.DY), DX: c.f(a.DX), Accumulate: a.Accumulate,
	})
}

// SwiGLU is part of Elementwise.
func (c *CPU) SwiGLU(a SwiGLUArgs) {
	k := kernel.SwiGLUArgs{Rows: a.Rows, Cols: a.Cols, Gate: c.f(a.Gate), Up: c.f(a.Up), Y: c.f(a.Y)}
	if a.Up == nil {
		k.Up, k.LDGate, k.LDUp = k.Gate[a.Cols:], 2*a.Cols, 2*a.Cols
	}
	c.engine.SwiGLU(k)
}

// SwiGLUBackward is part of Elementwise.
func (c *CPU) SwiGLUBackward(a SwiGLUBackwardArgs) {
	k := kernel.SwiGLUBackwardArgs{
		Rows: a.Rows, Cols: a.Cols, Gate: c.f(a.Gate), Up: c.f(a.Up), DY: c.f(a.DY), DGate: c.f(a.DGate), DUp: c.f(a.DUp),
	}
	if a.Up == nil {
		k.Up, k.DUp = k.Gate[a.Cols:], k.DGate[a.Cols:]
		k.LDGate, k.LDUp, k.LDDGate, k.LDDUp = 2*a.Cols, 2*a.Cols, 2*a.Cols, 2*a.Cols
	}
	c.engine.SwiGLUBackward(k)
}

// AddRows is part of Elementwise.
func (c *CPU) AddRows(a AddRowsArgs) {
	c.engine.AddRows(kernel.AddRowsArgs{Rows: a.Rows, Cols: a.Cols, Period: a.Period, X: c.f(a.X), P: c.f(a.P), Y: c.f(a.Y)})
}

// SumRows is part of Elementwise.
func (c *CPU) SumRows(a SumRowsArgs) {
	c.engine.SumRows(kernel.SumRowsArgs{Rows: a.Rows, Cols: a.Cols, Period: a.Period, X: c.f(a.X), DP: c.f(a.DP)})
}

// factor is f(s) and f'(s).
func (c *CPU) factor(f Factor, s *Value) (value, slope float64) {
	v := float64(c.f(s)[0])
	switch f {
	case TimesExp:
		return math.Exp(v), math.Exp(v)
	case DividedBy:
		return 1 / v, -1 / (v * v)
	default:
		return v, 1
	}
}

// ScaleBy is part of Elementwise.
func (c *CPU) ScaleBy(a ScaleByArgs) {
	mustMatch("ScaleBy", a.Y, a.X)
	f, _ := c.factor(a.Factor, a.S)
	if a.Accumulate {
		c.engine.Axpy(c.f(a.Y), c.f(a.X), float32(f))
		return
	}
	c.engine.Scale(c.f(a.Y), c.f(a.X), float32(f))
}

// ScaleByBackward is part of Elementwise.
func (c *CPU) ScaleByBackward(a ScaleByBackwardArgs) {
	mustMatch("ScaleByBackward", a.DY, a.X)
	_, slope := c.factor(a.Factor, a.S)
	c.f(a.DS)[0] += float32(slope * c.engine.Dot(c.f(a.DY), c.f(a.X)))
}
