//go:build gpu

package blas

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "lt.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"tempera/training/device/cuda/driver"
	"tempera/training/device/cuda/library"
)

// environment names the library's file. Nothing else is tried then.
const environment = "TEMPERA_LIBCUBLASLT"

// load opens the first candidate that can be opened.
func load(l *C.blas_library) (path string, err error) {
	var faults []string
	for _, path := range library.Candidates(environment, "libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11") {
		c := C.CString(path)
		message := C.blas_load(l, c)
		if message == nil {
			C.free(unsafe.Pointer(c))
			return path, nil
		}
		faults = append(faults, C.GoString(message))
		C.free(unsafe.Pointer(c))
	}
	return "", fmt.Errorf("cuBLASLt is not to be found: install the CUDA libraries (as in: pip install nvidia-cublas-cu12), or set %s to the path of libcublasLt.so (%s)",
		environment, strings.Join(faults, "; "))
}

// Open loads the library, if it has not been, and makes a handle on a device.
func Open(d *driver.Device) (*Handle, error) {
	h := &Handle{device: d, library: (*C.blas_library)(C.calloc(1, C.sizeof_blas_library)), plans: map[key]*plan{}}
	h.library.enter = (*[0]byte)(driver.Enter())
	h.library.context = d.Context()
	var err error
	if h.Path, err = load(h.library); err == nil {
		err = failed("open", C.blas_open(h.library))
	}
	if err != nil {
		C.free(unsafe.Pointer(h.library))
		return nil, err
	}
	h.Version = int(C.blas_version(h.library))
	if h.workspace, err = d.Alloc(workspaceBytes); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}
