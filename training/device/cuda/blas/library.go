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
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"tempera/training/device/cuda/driver"
)

// environment names the library's file. Nothing else is tried then.
const environment = "TEMPERA_LIBCUBLASLT"

// folders are where toolkits and Python's packages put the library, beside those that the loader knows. Variables that are not set are left out.
var folders = []string{
	"$CUDA_HOME/lib64", "/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64",
	"$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib", "$CONDA_PREFIX/lib", "$CONDA_PREFIX/lib/python3*/site-packages/nvidia/*/lib",
	"$HOME/.local/lib/python3*/site-packages/nvidia/*/lib", "/usr/local/lib/python3*/*-packages/nvidia/*/lib", "/usr/lib/python3*/*-packages/nvidia/*/lib",
	"/opt/*/lib/python3*/site-packages/nvidia/*/lib",
}

// candidates are the files to try, best first.
func candidates() []string {
	if path := os.Getenv(environment); path != "" {
		return []string{path}
	}
	var paths []string
	for _, version := range []string{"13", "12", "11"} {
		name := "libcublasLt.so." + version
		paths = append(paths, name)
		for _, f := range folders {
			unset := false
			folder := os.Expand(f, func(variable string) string {
				value := os.Getenv(variable)
				unset = unset || value == ""
				return value
			})
			if found, err := filepath.Glob(filepath.Join(folder, name)); err == nil && !unset {
				paths = append(paths, found...)
			}
		}
	}
	return paths
}

// load opens the first candidate that can be opened.
func load(l *C.blas_library) (path string, err error) {
	var faults []string
	for _, path := range candidates() {
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
