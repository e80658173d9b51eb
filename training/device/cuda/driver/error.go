//go:build gpu

package driver

/*
#include <cuda.h>
*/
import "C"

import (
	"errors"
	"fmt"
)

// Error is an error code of the driver.
type Error struct {
	Code int
	Call string // what was asked for
}

func (e *Error) Error() string {
	var name, text *C.char
	C.cuGetErrorName(C.CUresult(e.Code), &name)
	C.cuGetErrorString(C.CUresult(e.Code), &text)
	if text == nil {
		return fmt.Sprintf("CUDA %s: error %d", e.Call, e.Code)
	}
	return fmt.Sprintf("CUDA %s: %s (%s)", e.Call, C.GoString(text), C.GoString(name))
}

// failed makes an error of a code.
func failed(call string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return &Error{int(r), call}
}

// IsOutOfMemory tells whether the device had no memory left.
func IsOutOfMemory(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == C.CUDA_ERROR_OUT_OF_MEMORY
}

// IsLost tells whether the device, not the program, failed: it fell off the bus, its memory lost bits, a link broke. Another device can do the work.
func IsLost(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case C.CUDA_ERROR_ECC_UNCORRECTABLE, C.CUDA_ERROR_NVLINK_UNCORRECTABLE, C.CUDA_ERROR_HARDWARE_STACK_ERROR, C.CUDA_ERROR_DEVICE_UNAVAILABLE,
		C.CUDA_ERROR_SYSTEM_NOT_READY, C.CUDA_ERROR_NO_DEVICE, C.CUDA_ERROR_UNKNOWN:
		return true
	}
	return false
}
