//go:build gpu

package driver

/*
#include "enter.h"
static void *driver_enter_address(void) { return (void *)driver_enter; }
*/
import "C"

import "unsafe"

// Context is the device's CUcontext, for C code of other libraries.
func (d *Device) Context() unsafe.Pointer { return unsafe.Pointer(d.c()) }

// Enter is the address of the C function int enter(void *context), which makes a context current on the calling thread. C code of other
// packages calls it before it calls a library: a goroutine may have moved since.
func Enter() unsafe.Pointer { return C.driver_enter_address() }
