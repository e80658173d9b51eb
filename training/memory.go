package training

import (
	"errors"
	"fmt"
	"runtime/metrics"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"tempera/training/device"
)

// Memory is what a run needs at its peak, in bytes. All but the scratch of kernels, which is estimated, is exact: it is what will be allocated.
type Memory struct {
	Parameters  int64
	Gradients   int64
	Optimiser   int64
	State       int64 // of the objective: moving averages, queues; the best parameters
	Activations int64 // with their gradients, what is saved for the reverse pass, and scratch of operations
	Inputs      int64 // of graphs
	Scratch     int64 // of kernels
	Batches     int64 // on the host: the one in use and the next
	Sampling    int64 // of what writes: weights that are packed for it, keys and values
	Copies      int64 // of the state, on the host: the checkpoint that is being written, the anchor of spikes
	Ahead       int64 // of batches, on the device: they are sent before they are used, where that is Ahead
	Clones      int64 // of the state, on the device: the same as Copies, where that is Cloning
	Declined    int64 // more of the last two, for which there is no room: training waits for transfers instead
	Present     int64 // the part of the peak that is allocated before the run
}

// Total is the peak.
func (m Memory) Total() int64 {
	return m.Parameters + m.Gradients + m.Optimiser + m.State + m.Activations + m.Inputs + m.Scratch + m.Batches + m.Sampling + m.Copies + m.Ahead + m.Clones
}

// Device is the part of the peak that is memory of the device, where that is not the host's.
func (m Memory) Device() int64 { return m.Total() - m.Batches - m.Copies }

func (m Memory) String() string {
	s := fmt.Sprintf("%s: parameters %s, gradients %s, optimiser %s, state %s, activations %s, inputs %s, kernels %s, batches %s, copies of the state %s",
		size(m.Total()), size(m.Parameters), size(m.Gradients), size(m.Optimiser), size(m.State), size(m.Activations), size(m.Inputs),
		size(m.Scratch), size(m.Batches), size(m.Copies))
	if m.Sampling > 0 {
		s += ", sampling " + size(m.Sampling)
	}
	if copies := m.Ahead + m.Clones; copies > 0 {
		s += ", copies of batches and of the state on the device " + size(copies)
	}
	if m.Declined > 0 {
		s += fmt.Sprintf("; no room for %s of such copies: training waits for transfers", size(m.Declined))
	}
	return s
}

func size(bytes int64) string {
	if bytes >= 1<<30 {
		return fmt.Sprintf("%.2f GiB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

// MemoryError says that a run needs more memory than it may take. It is found before the memory is allocated; trying again does not help.
type MemoryError struct {
	Needed Memory
	Takes  int64 // the part of Needed that the limit is for
	Limit  int64
	Free   bool  // the limit is what the device has left, not one that was set
	Batch  int   // of the run
	Fits   int   // the largest half, quarter and so on of the batch that fits; 0: none does
	Needs  int64 // what a run with that batch needs
}

func (e *MemoryError) Error() string {
	s := fmt.Sprintf("a batch of %d needs %v", e.Batch, e.Needed)
	if e.Takes != e.Needed.Total() {
		s += fmt.Sprintf(", of these %s on the device", size(e.Takes))
	}
	s += fmt.Sprintf("; the limit is %s", size(e.Limit))
	more := "raise memory_limit"
	if e.Free {
		more = "use a device with more memory"
	}
	if e.Fits == 0 {
		return s + ": no smaller batch fits: take a smaller model or shorter texts, or " + more
	}
	return s + fmt.Sprintf(": use a batch of %d (%s), or keep the batch and accumulate it in more parts, or compute layers again (recompute), or %s", e.Fits, size(e.Needs), more)
}

// machineShare is the share of the machine's memory that a run may take where the configuration sets no limit: the rest is for
// the garbage of the process, for data that is being decoded, and for the system.
const machineShare = 0.8

// machineLimit is the default of Config.MemoryLimit: a share of the smaller of the control group's limit and the machine's memory.
func machineLimit() (int64, error) {
	limit, err := memlimit.FromSystem()
	if err != nil {
		return 0, fmt.Errorf("read the machine's memory: %w: set memory_limit", err)
	}
	switch group, err := memlimit.FromCgroup(); {
	case err == nil:
		limit = min(limit, group)
	case !errors.Is(err, memlimit.ErrNoLimit) && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported):
		return 0, fmt.Errorf("read the control group's memory: %w: set memory_limit", err)
	}
	return int64(machineShare * float64(limit)), nil
}

// weigh predicts the memory of the run and compares it with the limit, before gradients, moments, activations and copies are allocated.
// Objectives that are not Sized are not weighed.
func (r *run) weigh() error {
	o, ok := r.Objective.(Sized)
	if !ok {
		return nil
	}
	m, err := r.memory(o, r.config.BatchSize)
	if err != nil {
		return fmt.Errorf("predict the memory: %w", err)
	}
	limit, taken, err := r.limit(m)
	if err != nil {
		return err
	}
	fits := taken(m) <= limit
	if fits {
		if err := r.spare(&m, limit); err != nil {
			return err
		}
	}
	r.needed = m
	if r.Planned != nil {
		r.Planned(m)
	}
	if fits {
		return nil
	}
	_, apart := r.Backend.(device.Separate)
	e := &MemoryError{Needed: m, Takes: taken(m), Limit: limit, Free: apart && r.config.MemoryLimit == 0, Batch: r.config.BatchSize}
	for batch := e.Batch / 2; batch > 0 && e.Fits == 0; batch /= 2 {
		if m, err := r.memory(o, batch); err == nil && taken(m) <= limit { // an objective may not take every batch
			e.Fits, e.Needs = batch, taken(m)
		}
	}
	return e
}

// limit is the most that the run may take, and which part of its memory counts. m is what it needs.
func (r *run) limit(m Memory) (int64, func(Memory) int64, error) {
	own, apart := r.Backend.(device.Separate)
	taken := Memory.Total
	if apart {
		taken = Memory.Device
	}
	if r.config.MemoryLimit > 0 {
		return r.config.MemoryLimit, taken, nil
	}
	if apart {
		free, err := own.FreeBytes()
		return free + m.Present, taken, err
	}
	limit, err := machineLimit()
	return limit, taken, err
}

// memory predicts what the run needs with batches of a size.
func (r *run) memory(o Sized, batch int) (Memory, error) {
	needs, err := o.Needs(batch)
	if err != nil {
		return Memory{}, err
	}
	m := Memory{Activations: needs.Activations, Inputs: needs.Inputs, Batches: feedBatches * needs.Batch, Sampling: needs.Sampling, Present: needs.Sampler}
	for _, p := range r.Objective.Params() {
		bytes := bytesOf(p.Value)
		m.Parameters += bytes
		if p.Trained() {
			m.Gradients += bytes
			m.Optimiser += r.config.AdamW.StateBytes(p)
		}
	}
	for _, t := range r.Objective.State() {
		m.State += bytesOf(t.Value)
	}
	m.Present += m.Parameters + m.State
	if r.Carry != nil {
		m.Copies += m.Optimiser + m.State
	}
	if e := r.Evaluation; e != nil && e.KeepBest {
		for _, p := range r.Objective.Params() {
			if p.Trained() {
				m.State += bytesOf(p.Value)
			}
		}
	}
	m.Copies += int64(r.snapshots()) * m.live()
	if b, ok := r.Backend.(device.Leasing); ok {
		m.Scratch = b.Leased(m.Activations) + r.config.AdamW.ScratchBytes(r.Backend, r.Objective.Params())
	}
	return m, nil
}

// live is the state of a run, all that a checkpoint holds.
func (m Memory) live() int64 { return m.Parameters + m.Optimiser + m.State }

// snapshots is how many copies of the state there are: the one that becomes a checkpoint, and the anchor.
func (r *run) snapshots() int {
	n := 0
	if r.Checkpoints != nil {
		n++
	}
	if r.anchors() {
		n++
	}
	return n
}

// spareShare is the share of a device's memory that a run may take for what it can do without: the rest is for what is not predicted.
const spareShare = 0.9

// spare adds what saves training from waiting for transfers, as far as there is room for it under a limit.
func (r *run) spare(m *Memory, limit int64) error {
	own, ok := r.Backend.(device.Separate)
	if !ok {
		return nil
	}
	free, err := own.FreeBytes()
	if err != nil {
		return err
	}
	room := int64(spareShare*float64(min(limit, free+m.Present))) - m.Device()
	claim := func(to *int64, bytes int64) bool {
		if bytes > room {
			m.Declined += bytes
			return false
		}
		room -= bytes
		*to += bytes
		return true
	}
	if _, ok := r.Backend.(device.Ahead); ok {
		claim(&m.Ahead, m.Batches)
	}
	if _, ok := r.Backend.(device.Cloning); ok {
		for range r.snapshots() {
			if claim(&m.Clones, m.live()) {
				r.clones++
			}
		}
	}
	return nil
}

func bytesOf(v *device.Value) int64 { return int64(v.MemSize()) }

// heapBytes is what the process holds: what was live at the last garbage collection, with what has come since.
func heapBytes() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}
