//go:build gpu

// Package nvml asks the NVIDIA management library how GPUs are: temperature, use, memory, power. The library is loaded when it is first asked, and nothing of it is
// needed to build.
package nvml

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory_info;

static struct {
  int (*init)(void);
  int (*by_bus)(const char *, void **);
  int (*utilization)(void *, utilization *);
  int (*memory)(void *, memory_info *);
  int (*temperature)(void *, int, unsigned *);
  int (*power)(void *, unsigned *);
  int (*driver)(char *, unsigned);
  int (*ecc)(void *, int, int, unsigned long long *);
  const char *(*describe)(int);
} nvml;

// 0, or what is missing.
static const char *nvml_open(const char *path) {
  void *l = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!l) return dlerror();
#define FIND(field, name) if (!(nvml.field = dlsym(l, name))) return "it has no " name
  FIND(init, "nvmlInit_v2");
  FIND(by_bus, "nvmlDeviceGetHandleByPciBusId_v2");
  FIND(utilization, "nvmlDeviceGetUtilizationRates");
  FIND(memory, "nvmlDeviceGetMemoryInfo");
  FIND(temperature, "nvmlDeviceGetTemperature");
  FIND(power, "nvmlDeviceGetPowerUsage");
  FIND(driver, "nvmlSystemGetDriverVersion");
  FIND(ecc, "nvmlDeviceGetTotalEccErrors");
  FIND(describe, "nvmlErrorString");
#undef FIND
  int r = nvml.init();
  return r ? nvml.describe(r) : 0;
}
static int nvml_by_bus(const char *id, void **h) { return nvml.by_bus(id, h); }
static int nvml_driver(char *s, unsigned n) { return nvml.driver(s, n); }

typedef struct { unsigned busy, temperature, milliwatts; unsigned long long used, total, ecc; } state;

// A value that the device does not measure stays 0.
static int nvml_state(void *h, state *s) {
  utilization u = {0, 0};
  memory_info m = {0, 0, 0};
  int r = nvml.memory(h, &m);
  if (r) return r;
  nvml.utilization(h, &u);
  nvml.temperature(h, 0, &s->temperature);
  nvml.power(h, &s->milliwatts);
  nvml.ecc(h, 1, 0, &s->ecc); // uncorrected, since the driver was loaded
  s->busy = u.gpu;
  s->used = m.used;
  s->total = m.total;
  return 0;
}
static const char *nvml_describe(int r) { return nvml.describe(r); }
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// EnvLibrary names another file than libnvidia-ml.so.1.
const EnvLibrary = "TEMPERA_LIBNVML"

var open = sync.OnceValue(func() error {
	path := os.Getenv(EnvLibrary)
	if path == "" {
		path = "libnvidia-ml.so.1"
	}
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	if fault := C.nvml_open(p); fault != nil {
		return fmt.Errorf("NVML is not to be had from %s: %s", path, C.GoString(fault))
	}
	return nil
})

// Device is a GPU.
type Device struct{ handle unsafe.Pointer }

// State is how a GPU is now.
type State struct {
	Busy        float64 // share of the last second in which a kernel ran
	Temperature float64 // degrees Celsius
	Power       float64 // watts
	Used, Total int64   // bytes of memory
	ECC         int64   // errors of the memory that could not be corrected, since the driver was loaded
}

// Find finds a GPU by its PCI bus, as in 0000:1b:00.0.
func Find(bus string) (Device, error) {
	if err := open(); err != nil {
		return Device{}, err
	}
	id := C.CString(bus)
	defer C.free(unsafe.Pointer(id))
	var d Device
	return d, failed("find "+bus, C.nvml_by_bus(id, &d.handle))
}

// Driver is the version of the driver, as in 570.86.15.
func Driver() (string, error) {
	if err := open(); err != nil {
		return "", err
	}
	var s [80]C.char
	err := failed("driver version", C.nvml_driver(&s[0], C.uint(len(s))))
	return C.GoString(&s[0]), err
}

// State measures the GPU.
func (d Device) State() (State, error) {
	var s C.state
	if err := failed("state", C.nvml_state(d.handle, &s)); err != nil {
		return State{}, err
	}
	return State{
		Busy: float64(s.busy) / 100, Temperature: float64(s.temperature), Power: float64(s.milliwatts) / 1000,
		Used: int64(s.used), Total: int64(s.total), ECC: int64(s.ecc),
	}, nil
}

func failed(what string, r C.int) error {
	if r == 0 {
		return nil
	}
	return fmt.Errorf("NVML %s: %s", what, C.GoString(C.nvml_describe(r)))
}
