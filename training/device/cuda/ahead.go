//go:build gpu

package cuda

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// worthSending is the size, in bytes, of arrays that are sent ahead: smaller ones are uploaded as fast as they are copied.
const worthSending = 64 << 10

// ahead finds arrays of the host that have been sent already.
type ahead struct {
	staging staging // of the copies stream, to the device
	least   int     // bytes of an array that is sent

	mu      sync.Mutex
	parcels []*parcel
}

// parcel is memory for arrays. The copies stream fills it, the compute stream reads it.
type parcel struct {
	b      *Backend
	memory driver.Pointer
	bytes  int
	arrays []arrival    // that uploads find; b.ahead.mu guards them
	sent   driver.Event // they are there
	used   driver.Event // all that was to read them has
}

// arrival is an array and where it arrives. It keeps the array's memory from being given to another one.
type arrival struct {
	host []byte
	at   driver.Pointer
}

// holds tells whether src lies within the array.
func (a arrival) holds(src []byte) bool {
	return start(src) >= start(a.host) && start(src)+uintptr(len(src)) <= start(a.host)+uintptr(len(a.host))
}

func start(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// NewParcel is part of device.Ahead.
func (b *Backend) NewParcel(bytes int) (device.Parcel, error) {
	p := &parcel{b: b, bytes: bytes}
	var errs [3]error
	p.sent, errs[0] = b.device.NewEvent(false)
	p.used, errs[1] = b.device.NewEvent(false)
	p.memory, errs[2] = b.device.Alloc(bytes)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("parcel: %w", err)
	}
	b.ahead.mu.Lock()
	defer b.ahead.mu.Unlock()
	b.ahead.parcels = append(b.ahead.parcels, p)
	return p, nil
}

// Send is part of device.Parcel.
func (p *parcel) Send(floats [][]float32, ints [][]int32) error {
	var all [][]byte
	for _, x := range floats {
		all = append(all, bytesOf(x))
	}
	for _, x := range ints {
		all = append(all, bytesOf(x))
	}
	copies := p.b.device.Copies
	if err := copies.Wait(p.used); err != nil {
		return err
	}
	var arrays []arrival
	end := 0
	for _, host := range all {
		if len(host) < p.b.ahead.least || end+len(host) > p.bytes {
			continue
		}
		a := arrival{host, p.memory + driver.Pointer(end)}
		if err := p.b.ahead.staging.upload(a.at, host); err != nil {
			return err
		}
		arrays, end = append(arrays, a), end+len(host)
	}
	if err := copies.Record(p.sent); err != nil {
		return err
	}
	p.b.ahead.mu.Lock()
	defer p.b.ahead.mu.Unlock()
	p.arrays = arrays
	return nil
}

// Forget is part of device.Parcel.
func (p *parcel) Forget() {
	p.b.ahead.mu.Lock()
	defer p.b.ahead.mu.Unlock()
	p.arrays = nil
	p.b.fail(p.b.compute.Record(p.used))
}

// Free is part of device.Parcel.
func (p *parcel) Free() error {
	p.b.ahead.mu.Lock()
	defer p.b.ahead.mu.Unlock()
	p.b.ahead.parcels = slices.DeleteFunc(p.b.ahead.parcels, func(q *parcel) bool { return q == p })
	return errors.Join(p.b.device.Free(p.memory), p.sent.Close(), p.used.Close())
}

// take lets f ask for work that reads src on the device, if it has been sent there.
func (b *Backend) take(src []byte, f func(from driver.Pointer)) bool {
	if len(src) == 0 {
		return false
	}
	b.ahead.mu.Lock()
	defer b.ahead.mu.Unlock()
	for _, p := range b.ahead.parcels {
		for _, a := range p.arrays {
			if a.holds(src) {
				b.fail(b.compute.Wait(p.sent))
				f(a.at + driver.Pointer(start(src)-start(a.host)))
				return true
			}
		}
	}
	return false
}
