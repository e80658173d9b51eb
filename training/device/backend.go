package device

import "tempera/training/kernel"

// Backend is a device that graphs run on. Its methods may be called from several goroutines, except that two calls must not
// work on the same value unless both only read it.
//
// Arguments are structs named after the method. Unless a field says otherwise: values are dense, outputs are overwritten, gradients of
// parameters accumulate, a nil gradient is not computed, and results are the same bits on every run. A value whose size does not
// fit its shape is a bug of the caller and panics. Faults of the device itself surface at the next Sync or Download.
type Backend interface {
	Memory
	Linear
	Attention
	Norm
	Elementwise
	Loss
	Head
	Rows
	Experts
	Optimiser
}

// Activation names an elementwise function.
type Activation = kernel.Activation

// The activations.
const (
	Identity  = kernel.Identity
	GELUTanh  = kernel.GELUTanh
	GELUErf   = kernel.GELUErf
	SiLU      = kernel.SiLU
	QuickGELU = kernel.QuickGELU
)

// IgnoreIndex is the target of rows that take no part in a loss.
const IgnoreIndex = kernel.IgnoreIndex
