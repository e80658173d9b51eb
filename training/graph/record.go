package graph

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training/device"
)

// Waiting is an Op whose forward waits for the device: it cannot be part of a recording.
type Waiting interface {
	Waits()
}

func waits(op Op) bool {
	_, ok := op.(Waiting)
	return ok
}

// record is the steps of a graph as a backend has recorded them: one recording up to each step that waits, and one for the rest.
type record struct {
	backend device.Recorder
	parts   []recorded
}

type recorded struct {
	steps device.Recording
	then  *hosted // that waits; nil: the run ends
}

// perform asks for all steps. A backend that can record them does so in the second run, and is asked once per part from then on.
func (g *Graph) perform() error {
	if g.record != nil {
		return g.record.replay()
	}
	r, ok := g.backend.(device.Recorder)
	if !ok || !g.ran || !r.Records() {
		err := g.walk(nil)
		g.ran = err == nil
		return err
	}
	made := &record{backend: r}
	err := r.Record()
	if err == nil {
		err = g.walk(made)
		err = errors.Join(err, made.end(nil))
	}
	if err != nil {
		return errors.Join(err, made.close())
	}
	g.record = made
	return nil
}

// walk asks for each step, into a record if there is one.
func (g *Graph) walk(into *record) error {
	g.counter, g.recording = 0, into
	err := g.machine.RunAll()
	g.machine.Reset()
	g.recording = nil
	if err == nil && g.counter != len(g.steps) {
		err = fmt.Errorf("%d of %d steps ran", g.counter, len(g.steps))
	}
	return err
}

// pass does a step that waits, between two recordings.
func (r *record) pass(h *hosted) error {
	if err := r.end(h); err != nil {
		return err
	}
	h.run(&h.call)
	return r.backend.Record()
}

// end ends the recording and asks for it: the run that is recorded is a run.
func (r *record) end(then *hosted) error {
	steps, err := r.backend.Recorded()
	if err != nil {
		return err
	}
	r.parts = append(r.parts, recorded{steps, then})
	return steps.Replay()
}

func (r *record) replay() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("graph: %v", p)
		}
	}()
	for _, p := range r.parts {
		if err := p.steps.Replay(); err != nil {
			return err
		}
		if p.then != nil {
			p.then.run(&p.then.call)
		}
	}
	return nil
}

func (r *record) close() error {
	var errs []error
	for _, p := range slices.Backward(r.parts) {
		errs = append(errs, p.steps.Close())
	}
	return errors.Join(errs...)
}

// forget drops the record: values have moved, or are no more.
func (g *Graph) forget() error {
	r := g.record
	if r == nil {
		return nil
	}
	g.record, g.ran = nil, false
	return r.close()
}
