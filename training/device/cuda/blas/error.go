//go:build gpu

package blas

import "C"

import "fmt"

// Error is a status of the library.
type Error struct {
	Status int // cublasStatus_t
	Call   string
}

const notSupported = 15

func (e *Error) Error() string {
	names := map[int]string{
		1: "not initialized", 3: "allocation failed", 7: "invalid value", 8: "architecture mismatch", 11: "mapping error", 13: "execution failed", 14: "internal error",
		notSupported: "not supported", 16: "license error",
	}
	name, ok := names[e.Status]
	if !ok {
		name = "unknown"
	}
	return fmt.Sprintf("cuBLASLt %s: status %d (%s)", e.Call, e.Status, name)
}

// failed makes an error of a status.
func failed(call string, status C.int) error {
	if status == 0 {
		return nil
	}
	return &Error{int(status), call}
}
