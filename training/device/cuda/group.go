//go:build gpu

package cuda

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
	"tempera/training/device/cuda/nccl"
)

// group exchanges values by NCCL.
type group struct {
	own      []*Backend
	backends []device.Backend
	comms    *nccl.Comms // nil: an exchange has failed
	version  string
}

// NewGroup is a group of GPUs whose values go from one to the other by NCCL. Where there is no NCCL, they go by way of the host.
func NewGroup(backends ...*Backend) (device.Group, error) {
	g := &group{own: backends}
	var devices []*driver.Device
	for _, b := range backends {
		g.backends, devices = append(g.backends, b), append(devices, b.device)
	}
	var err error
	g.comms, err = nccl.Open(devices)
	if errors.Is(err, nccl.ErrMissing) {
		return missing{device.NewHostGroup(g.backends...), err}, nil
	}
	if err != nil {
		return nil, err
	}
	g.version = g.comms.Version
	return g, nil
}

// missing is a group over the host for want of NCCL.
type missing struct {
	device.Group
	why error
}

// Name is part of device.Group.
func (m missing) Name() string { return fmt.Sprintf("%s (%v)", m.Group.Name(), m.why) }

// Name is part of device.Group.
func (g *group) Name() string { return fmt.Sprintf("NCCL %s, for %d devices", g.version, len(g.own)) }

// Backends is part of device.Group.
func (g *group) Backends() []device.Backend { return g.backends }

// Broadcast is part of device.Group.
func (g *group) Broadcast(values [][]*device.Value) error {
	return g.exchange(values, (*nccl.Comms).Broadcast, func(rank int) bool { return rank > 0 })
}

// Reduce is part of device.Group.
func (g *group) Reduce(values [][]*device.Value) error {
	return g.exchange(values, (*nccl.Comms).Reduce, func(rank int) bool { return rank == 0 })
}

// exchange asks for an exchange that writes the values of some ranks, and waits for it. Where one device fails, those that wait for it are released.
func (g *group) exchange(values [][]*device.Value, ask func(*nccl.Comms, []nccl.Value) error, writes func(rank int) bool) error {
	device.CheckRanks(g, values)
	if g.comms == nil {
		return errors.New("the group has failed before")
	}
	var all []nccl.Value
	for i, v := range values[0] {
		one := nccl.Value{Size: v.Size()}
		for rank := range values {
			of := reading
			if writes(rank) {
				of = address
			}
			one.Addresses = append(one.Addresses, of(values[rank][i], device.Float32))
		}
		if one.Size > 0 {
			all = append(all, one)
		}
	}
	var errs []error
	if err := ask(g.comms, all); err != nil {
		errs = append(errs, g.abort(err)) // what the devices say follows: the library's words tell no lost one
	}
	failed := make(chan error, len(g.own))
	for _, b := range g.own {
		go func() { failed <- b.Sync() }()
	}
	for range g.own {
		if err := <-failed; err != nil {
			errs = append(errs, g.abort(err))
		}
	}
	return errors.Join(errs...)
}

// abort gives the communicators up after an error, which it returns.
func (g *group) abort(err error) error {
	if g.comms == nil {
		return err
	}
	comms := g.comms
	g.comms = nil
	return errors.Join(err, comms.Abort())
}

// Close is part of device.Group. Communicators of a device that has failed would wait for it.
func (g *group) Close() error {
	for _, b := range g.own {
		if g.comms != nil && b.Sync() != nil {
			return g.abort(nil)
		}
	}
	if g.comms == nil {
		return nil
	}
	return g.comms.Close()
}
