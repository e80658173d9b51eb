// Package cuda holds the kernels for NVIDIA GPUs: their sources, and the compiled images that a binary carries.
//
// One .cu file is one module. build.sh compiles it to PTX, which the driver of any device of compute capability 8.0 or later compiles when it is loaded, and to
// machine code for 9.0; fake/ compiles the same sources for a CPU. Package training/device/cuda calls the kernels.
package cuda

import (
	"embed"
	"fmt"
)

//go:embed images
var images embed.FS

// Check tells whether the kernels run on devices of a compute capability.
func Check(major, minor int) error {
	if major < 8 {
		return fmt.Errorf("the kernels need compute capability 8.0 (Ampere) or later, this device has %d.%d", major, minor)
	}
	return nil
}

// Image is the best image of a module for a compute capability.
func Image(module string, major, minor int) ([]byte, error) {
	if code, err := images.ReadFile(fmt.Sprintf("images/%s.sm_%d%d.cubin", module, major, minor)); err == nil {
		return code, nil
	}
	if err := Check(major, minor); err != nil {
		return nil, err
	}
	ptx, err := images.ReadFile("images/" + module + ".compute_80.ptx")
	if err != nil {
		return nil, fmt.Errorf("there is no module %s of kernels", module)
	}
	return ptx, nil
}
