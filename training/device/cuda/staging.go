//go:build gpu

package cuda

import (
	"errors"
	"sync"

	"tempera/training/device/cuda/driver"
)

// staging is pinned memory through which transfers go: the host fills one half while the device copies the other.
type staging struct {
	b      *Backend
	mu     sync.Mutex
	halves [2]half
	turn   int
	wide   driver.Pointer // float32 on the device, on the way to or from bfloat16
	trips  sync.Mutex     // held while wide is in use
}

type half struct {
	memory []byte
	done   driver.Event // its last copy
}

const halfBytes = 4 << 20

func newStaging(b *Backend) (*staging, error) {
	s := &staging{b: b}
	for i := range s.halves {
		h := &s.halves[i]
		var err error
		if h.memory, err = b.device.HostAlloc(halfBytes); err != nil {
			return nil, err
		}
		if h.done, err = b.device.NewEvent(false); err != nil {
			return nil, err
		}
	}
	var err error
	s.wide, err = b.device.Alloc(halfBytes)
	return s, err
}

func (s *staging) close() error {
	errs := []error{s.b.device.Free(s.wide)}
	for _, h := range s.halves {
		errs = append(errs, s.b.device.HostFree(h.memory))
	}
	return errors.Join(errs...)
}

// upload copies src, in the order of the compute stream. It may be changed when upload has returned.
func (s *staging) upload(to driver.Pointer, src []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(src) > 0 {
		h := s.next()
		if err := h.done.Sync(); err != nil {
			return err
		}
		n := copy(h.memory, src)
		if err := s.b.compute.ToDevice(to, h.memory[:n]); err != nil {
			return err
		}
		if err := s.b.compute.Record(h.done); err != nil {
			return err
		}
		to, src = to+driver.Pointer(n), src[n:]
	}
	return nil
}

// download copies to dst and waits for it, and so for all earlier work.
func (s *staging) download(dst []byte, from driver.Pointer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(dst) > 0 {
		h := s.next()
		if err := h.done.Sync(); err != nil {
			return err
		}
		n := min(len(dst), len(h.memory))
		if err := s.b.compute.ToHost(h.memory[:n], from); err != nil {
			return err
		}
		if err := s.b.Sync(); err != nil {
			return err
		}
		copy(dst, h.memory[:n])
		dst, from = dst[n:], from+driver.Pointer(n)
	}
	return nil
}

func (s *staging) next() *half {
	s.turn ^= 1
	return &s.halves[s.turn]
}

// through gives f parts of n elements, with float32 memory of the device for each.
func (s *staging) through(n int, f func(at, n int, wide driver.Pointer) error) error {
	s.trips.Lock()
	defer s.trips.Unlock()
	const most = halfBytes / 4
	for at := 0; at < n; at += most {
		if err := f(at, min(most, n-at), s.wide); err != nil {
			return err
		}
	}
	return nil
}
