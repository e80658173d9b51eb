package device

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Group is several backends of one process that exchange float32 values. Rank 0 is the root.
//
// An exchange comes after the work that the backends were asked for before, and is done when its method returns. Its error is also that of such work. One exchange goes on at a
// time; the values of all ranks have one length and, place by place, one size. The same group gives the same bits on every run.
type Group interface {
	// Name says by what values are exchanged, for logs.
	Name() string
	// Backends are those of the ranks.
	Backends() []Backend
	// Broadcast copies the root's values, values[0], to those of each other rank, values[rank].
	Broadcast(values [][]*Value) error
	// Reduce adds the values of the other ranks to the root's.
	Reduce(values [][]*Value) error
	// Close ends the group, not its backends.
	Close() error
}

// Each calls f for n ranks at once and joins their errors. A panic of one is the caller's.
func Each(n int, f func(rank int) error) error {
	errs, panics := make([]error, n), make([]any, n)
	var all sync.WaitGroup
	for rank := range n {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panics[rank] = fmt.Sprintf("rank %d: %v\n%s", rank, p, debug.Stack())
				}
			}()
			errs[rank] = f(rank)
		})
	}
	all.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	return errors.Join(errs...)
}

// hostGroup exchanges values by way of the host's memory.
type hostGroup struct {
	backends []Backend
	rooms    [][]float32 // of each rank, as large as the largest value so far
}

// NewHostGroup is a group that any backends can form: values go through the host's memory, and sums are made there, in the order of the ranks.
func NewHostGroup(backends ...Backend) Group {
	return &hostGroup{backends, make([][]float32, len(backends))}
}

// Name is part of Group.
func (g *hostGroup) Name() string { return fmt.Sprintf("the host, for %d devices", len(g.backends)) }

// Backends is part of Group.
func (g *hostGroup) Backends() []Backend { return g.backends }

// Close is part of Group.
func (g *hostGroup) Close() error { return nil }

// download copies a rank's value into its room.
func (g *hostGroup) download(rank int, v *Value) ([]float32, error) {
	if len(g.rooms[rank]) < v.Size() {
		g.rooms[rank] = make([]float32, v.Size())
	}
	room := g.rooms[rank][:v.Size()]
	return room, g.backends[rank].DownloadFloats(room, v)
}

// Broadcast is part of Group.
func (g *hostGroup) Broadcast(values [][]*Value) error {
	CheckRanks(g, values)
	for i, v := range values[0] {
		data, err := g.download(0, v)
		if err == nil {
			err = Each(len(values)-1, func(k int) error { return g.backends[k+1].UploadFloats(values[k+1][i], data) })
		}
		if err != nil {
			return fmt.Errorf("broadcast of %v by the host: %w", v, err)
		}
	}
	return nil
}

// Reduce is part of Group.
func (g *hostGroup) Reduce(values [][]*Value) error {
	CheckRanks(g, values)
	for i, v := range values[0] {
		parts := make([][]float32, len(values))
		err := Each(len(values), func(rank int) (err error) {
			parts[rank], err = g.download(rank, values[rank][i])
			return err
		})
		if err != nil {
			return fmt.Errorf("sum of %v by the host: %w", v, err)
		}
		for _, part := range parts[1:] {
			for k, x := range part {
				parts[0][k] += x
			}
		}
		if err := g.backends[0].UploadFloats(v, parts[0]); err != nil {
			return fmt.Errorf("sum of %v by the host: %w", v, err)
		}
	}
	return nil
}

// CheckRanks panics where values are not what a group exchanges.
func CheckRanks(g Group, values [][]*Value) {
	if len(values) != len(g.Backends()) {
		panic(fmt.Sprintf("device: the values of %d ranks for %d", len(values), len(g.Backends())))
	}
	for rank, vs := range values {
		if len(vs) != len(values[0]) {
			panic(fmt.Sprintf("device: rank %d has %d values, the root %d", rank, len(vs), len(values[0])))
		}
		for i, v := range vs {
			if v.Size() != values[0][i].Size() || v.desc.DType != Float32 {
				panic(fmt.Sprintf("device: value %d is %v on rank %d and %v on the root", i, v, rank, values[0][i]))
			}
		}
	}
}
