//go:build gpu

package cuda

import (
	"errors"
	"sync"

	"tempera/training/device/cuda/driver"
)

// staging is pinned memory through which a stream's transfers go: the host fills or empties one half while the device copies the other. Memory is
// allocated at the first use.
type staging struct {
	device *driver.Device
	stream driver.Stream
	sync   func() error // what a download waits for beside its own copies, or returns

	mu     sync.Mutex
	halves [2]half
	turn   int

	trips sync.Mutex     // held while wide is in use
	wide  driver.Pointer // float32 on the device, on the way to or from bfloat16
}

type half struct {
	memory []byte
	done   driver.Event // its last copy
}

const halfBytes = 4 << 20

func (s *staging) close() error {
	var errs []error
	if s.wide != 0 {
		errs = append(errs, s.device.Free(s.wide))
	}
	for _, h := range s.halves {
		if h.memory != nil {
			errs = append(errs, s.device.HostFree(h.memory))
		}
	}
	return errors.Join(errs...)
}

// upload copies src, in the order of the stream. It may be changed when upload has returned.
func (s *staging) upload(to driver.Pointer, src []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(src) > 0 {
		h, err := s.next()
		if err != nil {
			return err
		}
		n := copy(h.memory, src)
		if err := s.stream.ToDevice(to, h.memory[:n]); err != nil {
			return err
		}
		if err := s.stream.Record(h.done); err != nil {
			return err
		}
		to, src = to+driver.Pointer(n), src[n:]
	}
	return nil
}

// download copies to dst and waits for it, and so for all earlier work of the stream.
func (s *staging) download(dst []byte, from driver.Pointer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	arrive := func() error { return nil } // empties the half that is on its way
	for len(dst) > 0 {
		h, err := s.next()
		if err != nil {
			return err
		}
		part := dst[:min(len(dst), len(h.memory))]
		if err := s.stream.ToHost(h.memory[:len(part)], from); err != nil {
			return err
		}
		if err := s.stream.Record(h.done); err != nil {
			return err
		}
		if err := arrive(); err != nil {
			return err
		}
		arrive = func() error {
			err := h.done.Sync()
			copy(part, h.memory)
			return err
		}
		dst, from = dst[len(part):], from+driver.Pointer(len(part))
	}
	if err := arrive(); err != nil {
		return err
	}
	return s.sync()
}

// next is the half whose turn it is, when its last copy is done.
func (s *staging) next() (*half, error) {
	s.turn ^= 1
	h := &s.halves[s.turn]
	if h.memory != nil {
		return h, h.done.Sync()
	}
	var err error
	if h.done, err = s.device.NewEvent(false); err != nil {
		return nil, err
	}
	h.memory, err = s.device.HostAlloc(halfBytes)
	return h, err
}

// through gives f parts of n elements, with float32 memory of the device for each.
func (s *staging) through(n int, f func(at, n int, wide driver.Pointer) error) error {
	s.trips.Lock()
	defer s.trips.Unlock()
	if s.wide == 0 {
		var err error
		if s.wide, err = s.device.Alloc(halfBytes); err != nil {
			return err
		}
	}
	const most = halfBytes / 4
	for at := 0; at < n; at += most {
		if err := f(at, min(most, n-at), s.wide); err != nil {
			return err
		}
	}
	return nil
}
