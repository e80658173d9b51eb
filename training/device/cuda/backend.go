//go:build gpu

package cuda

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
	kernels "tempera/training/kernel/cuda"
)

// Backend is one device. Methods ask for work on its compute stream and return; what goes wrong is the error of the next Sync or transfer.
type Backend struct {
	device    *driver.Device
	compute   driver.Stream
	precision Precision
	modules   modules
	staging   staging // of the compute stream
	clones    staging // of the copies stream, to the host
	ahead     ahead
	workspace workspace
	products  *products
	tables    ropeTables
	heads     workspace    // of language heads, whose methods call others
	held      atomic.Int64 // words of buffers
	copied    atomic.Int64 // words of those that have a narrow copy

	mu    sync.Mutex
	fault error // the first since the last Sync
}

// Precision says how numbers are stored and multiplied.
type Precision string

// The precisions. Parameters, their moments, statistics and sums are float32 in each.
const (
	Full  Precision = "f32"  // products in float32
	TF32  Precision = "tf32" // products of 10 bits of mantissa, summed in float32
	Mixed Precision = "bf16" // activations are stored in bfloat16; products of bfloat16, summed in float32
)

var _ device.Backend = (*Backend)(nil)

// Options say which device and how.
type Options struct {
	Ordinal   int
	Precision Precision
}

// Open opens a device. The error says what is missing.
func Open(o Options) (*Backend, error) {
	d, err := driver.Open(o.Ordinal)
	if err != nil {
		return nil, err
	}
	b := &Backend{device: d, compute: d.Compute, precision: o.Precision, modules: modules{device: d}}
	if err := b.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("CUDA device %d (%s): %w", o.Ordinal, d.Name, err), d.Close())
	}
	return b, nil
}

func (b *Backend) start() error {
	err := kernels.Check(b.device.Major, b.device.Minor)
	if err != nil {
		return err
	}
	b.staging = staging{device: b.device, stream: b.compute, sync: b.Sync}
	aside := func() staging {
		return staging{device: b.device, stream: b.device.Copies, sync: func() error { return nil }}
	}
	b.clones, b.ahead.staging, b.ahead.least = aside(), aside(), worthSending
	b.products, err = newProducts(b)
	return err
}

// Close gives the device back. All buffers are gone then.
func (b *Backend) Close() error {
	return errors.Join(b.Sync(), b.device.Copies.Sync(), b.products.close(), b.workspace.close(b.device), b.tables.close(b.device), b.heads.close(b.device),
		b.staging.close(), b.clones.close(), b.ahead.staging.close(), b.device.Close())
}

// Info describes the device.
func (b *Backend) Info() driver.Info { return b.device.Info }

// Activations is part of device.Rounding.
func (b *Backend) Activations() device.DType {
	if b.precision == Mixed {
		return device.BFloat16
	}
	return device.Float32
}

// Name is part of device.Memory.
func (b *Backend) Name() string {
	return fmt.Sprintf("cuda:%d (%s, %s)", b.device.Ordinal, b.device.Name, b.precision)
}

// fail keeps the first fault for the next Sync.
func (b *Backend) fail(err error) {
	if err == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault == nil {
		b.fault = err
	}
}

// faulty is the first fault since the last Sync, which will return it too.
func (b *Backend) faulty() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fault
}

// Sync is part of device.Memory.
func (b *Backend) Sync() error {
	b.fail(b.compute.Sync())
	return b.faultOf()
}

// faultOf is the fault that was kept, once.
func (b *Backend) faultOf() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.fault
	b.fault = nil
	return err
}
