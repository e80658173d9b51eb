//go:build gpu

package driver

/*
#include <stdlib.h>
#include "enter.h"

static CUresult driver_alloc(CUcontext c, CUdeviceptr *p, size_t n) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemAlloc(p, n);
}
static CUresult driver_free(CUcontext c, CUdeviceptr p) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemFree(p);
}
static CUresult driver_host_alloc(CUcontext c, void **p, size_t n) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemHostAlloc(p, n, 0);
}
static CUresult driver_host_free(CUcontext c, void *p) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemFreeHost(p);
}
static CUresult driver_mem_info(CUcontext c, size_t *free, size_t *total) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemGetInfo(free, total);
}
static CUresult driver_stream(CUcontext c, CUstream *s) {
  CUresult r = driver_enter(c);
  return r ? r : cuStreamCreate(s, CU_STREAM_NON_BLOCKING);
}
static CUresult driver_module(CUcontext c, CUmodule *m, const void *image) {
  CUresult r = driver_enter(c);
  return r ? r : cuModuleLoadData(m, image);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
)

// Pointer is an address in a device's memory.
type Pointer uint64

// Info is what is known of a device.
type Info struct {
	Ordinal        int
	Name           string
	Major, Minor   int // compute capability
	Processors     int // streaming multiprocessors
	Memory         int64
	SharedPerBlock int    // bytes, at most
	Driver         int    // CUDA version of the driver: 12080 is 12.8
	Bus            string // PCI bus, as in 0000:1b:00.0
}

// Device is a device's primary context with a stream for kernels and one for copies. Its methods may be called from any goroutine.
type Device struct {
	Info
	device  cu.Device
	context cu.CUContext
	Compute Stream
	Copies  Stream
}

// Stream is a queue of work on the device.
type Stream struct {
	device *Device
	s      C.CUstream
}

// Count is the number of devices.
func Count() (int, error) {
	if err := Unavailable(); err != nil {
		return 0, err
	}
	return cu.NumDevices()
}

// Describe tells of device number ordinal without opening it.
func Describe(ordinal int) (Info, error) {
	_, i, err := find(ordinal)
	return i, err
}

func find(ordinal int) (cu.Device, Info, error) {
	n, err := Count()
	if err != nil {
		return 0, Info{}, err
	}
	if ordinal < 0 || ordinal >= n {
		return 0, Info{}, fmt.Errorf("there is no CUDA device %d: this machine has %d", ordinal, n)
	}
	dev, err := cu.GetDevice(ordinal)
	if err != nil {
		return 0, Info{}, fmt.Errorf("CUDA device %d: %w", ordinal, err)
	}
	i, err := describe(dev, ordinal)
	if err != nil {
		return 0, Info{}, fmt.Errorf("describe CUDA device %d: %w", ordinal, err)
	}
	return dev, i, nil
}

// Open opens device number ordinal.
func Open(ordinal int) (*Device, error) {
	dev, info, err := find(ordinal)
	if err != nil {
		return nil, err
	}
	d := &Device{device: dev, Info: info}
	runtime.LockOSThread() // package cu's calls work on the thread's context
	defer runtime.UnlockOSThread()
	if d.context, err = d.device.RetainPrimaryCtx(); err != nil {
		return nil, fmt.Errorf("open CUDA device %d (%s): %w", ordinal, d.Name, err)
	}
	for _, s := range []*Stream{&d.Compute, &d.Copies} {
		s.device = d
		if err := failed("stream", C.driver_stream(d.c(), &s.s)); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

func describe(dev cu.Device, ordinal int) (Info, error) {
	i := Info{Ordinal: ordinal, Driver: cu.Version()}
	var errs []error
	attribute := func(a cu.DeviceAttribute) int {
		v, err := dev.Attribute(a)
		errs = append(errs, err)
		return v
	}
	var bus [16]C.char
	errs = append(errs, failed("PCI bus", C.cuDeviceGetPCIBusId(&bus[0], C.int(len(bus)), C.CUdevice(dev))))
	i.Bus = C.GoString(&bus[0])
	name, err := dev.Name()
	memory, err2 := dev.TotalMem()
	i.Name, i.Memory = name, memory
	i.Major, i.Minor = attribute(cu.ComputeCapabilityMajor), attribute(cu.ComputeCapabilityMinor)
	i.Processors, i.SharedPerBlock = attribute(cu.MultiprocessorCount), attribute(cu.DeviceAttribute(C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN))
	return i, errors.Join(append(errs, err, err2)...)
}

// c is the context in this package's types.
func (d *Device) c() C.CUcontext { return *(*C.CUcontext)(unsafe.Pointer(&d.context)) }

// Close gives the context back. Memory and modules of the device are gone then.
func (d *Device) Close() error { return d.device.ReleasePrimaryCtx() }

// Free memory and all memory of the device, in bytes.
func (d *Device) MemoryInfo() (free, total int64, err error) {
	var f, t C.size_t
	err = failed("memory info", C.driver_mem_info(d.c(), &f, &t))
	return int64(f), int64(t), err
}

// Alloc allocates memory, which is not cleared, aligned to 256 bytes.
func (d *Device) Alloc(bytes int) (Pointer, error) {
	var p C.CUdeviceptr
	err := failed(fmt.Sprintf("allocation of %.1f MiB", float64(bytes)/(1<<20)), C.driver_alloc(d.c(), &p, C.size_t(max(bytes, 1))))
	return Pointer(p), err
}

// Free gives memory back, after the work that has been asked for.
func (d *Device) Free(p Pointer) error { return failed("free", C.driver_free(d.c(), C.CUdeviceptr(p))) }

// HostAlloc allocates memory of the host that the device can copy from and to by itself.
func (d *Device) HostAlloc(bytes int) ([]byte, error) {
	var p unsafe.Pointer
	if err := failed(fmt.Sprintf("allocation of %d pinned bytes", bytes), C.driver_host_alloc(d.c(), &p, C.size_t(bytes))); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}

// HostFree gives HostAlloc's memory back.
func (d *Device) HostFree(b []byte) error {
	return failed("free of pinned memory", C.driver_host_free(d.c(), unsafe.Pointer(unsafe.SliceData(b))))
}

// Module is loaded kernels.
type Module struct{ m cu.Module }

// Load loads PTX, a C string, or machine code.
func (d *Device) Load(image []byte) (Module, error) {
	var m C.CUmodule
	p := C.CBytes(append(image[:len(image):len(image)], 0))
	defer C.free(p)
	err := failed("load of kernels", C.driver_module(d.c(), &m, p))
	return Module{*(*cu.Module)(unsafe.Pointer(&m))}, err
}

// Function is a kernel.
type Function struct{ f cu.Function }

// Function finds a kernel by its name.
func (m Module) Function(name string) (Function, error) {
	f, err := m.m.Function(name)
	if err != nil {
		return Function{}, fmt.Errorf("kernel %s: %w", name, err)
	}
	return Function{f}, nil
}

// c is the function in this package's types: cu.Function holds nothing else.
func (f Function) c() C.CUfunction { return *(*C.CUfunction)(unsafe.Pointer(&f.f)) }
