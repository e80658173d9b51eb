//go:build gpu

package cuda

import "tempera/training/device"

const (
	// CodeBytes is for kernels, the library's among them, which the driver loads when they are first launched.
	CodeBytes = 128 << 20
	// headBytes bounds the narrow gradients of a head's logits: half of the largest block of them that graphs make.
	headBytes = 256 << 20
	// leastWorkspaces is for workspaces that hold little: each has 1 MiB at least.
	leastWorkspaces = 8 << 20
)

// Leased is part of device.Leasing. In bf16 every value that is allocated now may get a narrow copy: parameters do where they are multiplied. Workspaces
// hold the gradients of a head's logits, of which the activations have twice as much, partial sums, and operands on their way: an eighth of the activations.
// The workspace of cuBLASLt is allocated already.
func (b *Backend) Leased(activations int64) int64 {
	bytes := CodeBytes + leastWorkspaces + activations/8
	if b.operands() == device.BFloat16 {
		bytes += int64(device.BFloat16.Bytes())*(b.held.Load()-b.copied.Load()) + min(activations/2, headBytes)
	}
	return bytes
}
