//go:build gpu

// Package nccl exchanges values of several GPUs of this process by NVIDIA's collective communications library. The library is loaded when it is first asked for,
// and nothing of it is needed to build.
package nccl

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "nccl.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"tempera/training/device/cuda/driver"
	"tempera/training/device/cuda/library"
)

// environment names the library's file; nothing else is tried then. none is no file: there is no NCCL.
const (
	environment = "TEMPERA_LIBNCCL"
	none        = "none"
)

// ErrMissing is wrapped by the error of Open where there is no library.
var ErrMissing = errors.New("NCCL is not to be found")

// Comms are the communicators of devices, each a rank. One call at a time.
type Comms struct {
	Version string
	ranks   int
	library *C.nccl_library
	memory  []unsafe.Pointer
}

// Open loads the library and makes communicators of devices, in their order. Exchanges are work of the devices' compute streams.
func Open(devices []*driver.Device) (_ *Comms, err error) {
	c := &Comms{ranks: len(devices)}
	c.library = (*C.nccl_library)(c.alloc(C.sizeof_nccl_library))
	defer func() {
		if err != nil {
			c.free()
		}
	}()
	if err := c.load(); err != nil {
		return nil, err
	}
	v := int(C.nccl_version(c.library))
	c.Version = fmt.Sprintf("%d.%d.%d", v/10000, v%10000/100, v%100)
	c.library.enter, c.library.ranks = (*[0]byte)(driver.Enter()), C.int(c.ranks)
	array := func() *unsafe.Pointer { return (*unsafe.Pointer)(c.alloc(c.ranks * 8)) }
	c.library.contexts, c.library.comms, c.library.streams = array(), array(), array()
	ordinals := make([]C.int, c.ranks)
	for rank, d := range devices {
		ordinals[rank] = C.int(d.Ordinal)
		unsafe.Slice(c.library.contexts, c.ranks)[rank] = d.Context()
		unsafe.Slice(c.library.streams, c.ranks)[rank] = d.Compute.Handle()
	}
	if err := c.failed("of the devices", C.nccl_open(c.library, &ordinals[0])); err != nil {
		return nil, fmt.Errorf("%w (%s=%s does without)", err, environment, none)
	}
	return c, nil
}

// alloc is memory of C, cleared, that lives as long as the communicators.
func (c *Comms) alloc(bytes int) unsafe.Pointer {
	p := C.calloc(1, C.size_t(bytes))
	c.memory = append(c.memory, p)
	return p
}

func (c *Comms) free() {
	for _, p := range c.memory {
		C.free(p)
	}
}

// load opens the first candidate that can be opened. A file that the environment names must be there.
func (c *Comms) load() error {
	named := os.Getenv(environment)
	if named == none {
		return fmt.Errorf("%w: %s is %s", ErrMissing, environment, none)
	}
	var faults []string
	for _, path := range library.Candidates(environment, "libnccl.so.2") {
		p := C.CString(path)
		message := C.nccl_load(c.library, p)
		C.free(unsafe.Pointer(p))
		if message == nil {
			return nil
		}
		faults = append(faults, C.GoString(message))
	}
	if named != "" {
		return fmt.Errorf("load NCCL, which %s names: %s", environment, strings.Join(faults, "; "))
	}
	return fmt.Errorf("%w: install it (as in: pip install nvidia-nccl-cu12), or set %s to the path of libnccl.so (%s)", ErrMissing, environment, strings.Join(faults, "; "))
}

func (c *Comms) failed(what string, r C.int) error {
	if r == 0 {
		return nil
	}
	return fmt.Errorf("NCCL %s %s: %s", c.Version, what, C.GoString(C.nccl_describe(c.library, r)))
}

// Value is float32 numbers that each rank has at an address of its own.
type Value struct {
	Addresses []driver.Pointer // of the ranks
	Size      int              // elements
}

// most is how many calls of the library a group may have.
const most = 2048

// Broadcast asks for copies of rank 0's values on the others.
func (c *Comms) Broadcast(values []Value) error { return c.exchange("broadcast", 0, values) }

// Reduce asks for sums of all ranks' values on rank 0.
func (c *Comms) Reduce(values []Value) error { return c.exchange("reduce", 1, values) }

func (c *Comms) exchange(what string, reduce C.int, values []Value) error {
	var addresses, sizes []C.uint64_t
	for i, v := range values {
		for _, p := range v.Addresses {
			addresses = append(addresses, C.uint64_t(p))
		}
		sizes = append(sizes, C.uint64_t(v.Size))
		if (len(sizes)+1)*c.ranks <= most && i+1 < len(values) {
			continue
		}
		if err := c.failed(what, C.nccl_exchange(c.library, reduce, C.int(len(sizes)), &addresses[0], &sizes[0])); err != nil {
			return err
		}
		addresses, sizes = addresses[:0], sizes[:0]
	}
	return nil
}

// Abort ends exchanges that have been asked for and wait for a device which does not answer. The communicators are gone.
func (c *Comms) Abort() error {
	err := c.failed("abort", C.nccl_abort(c.library))
	c.free()
	return err
}

// Close ends the communicators, which have not been aborted.
func (c *Comms) Close() error {
	err := c.failed("close", C.nccl_close(c.library))
	c.free()
	return err
}
