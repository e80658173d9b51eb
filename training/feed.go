package training

import (
	"fmt"
	"sync"

	"tempera/training/device"
)

// feed prepares the batches of coming steps on a goroutine of its own, and sends them to the device.
type feed struct {
	ready   chan fed
	free    chan *Batch
	quit    chan struct{}
	ending  sync.Once
	done    chan struct{}
	parcels map[*Batch]device.Parcel // none: batches stay on the host
}

// feedBatches is how many batches exist: one is used while the other is being filled.
const feedBatches = 2

type fed struct {
	batch *Batch
	err   error
}

// startFeed prepares the batches of steps [from, to). There is a parcel for each
// batch, or none.
func startFeed(fill Batches, parcels []device.Parcel, from, to int64) *feed {
	f := &feed{ready: make(chan fed), free: make(chan *Batch, feedBatches), quit: make(chan struct{}), done: make(chan struct{}), parcels: map[*Batch]device.Parcel{}}
	for i := range feedBatches {
		b := &Batch{}
		if parcels != nil {
			f.parcels[b] = parcels[i]
		}
		f.free <- b
	}
	go func() {
		defer close(f.done)
		for step := from; step < to; step++ {
			var b *Batch
			select {
			case b = <-f.free:
			case <-f.quit:
				return
			}
			err := fillSafely(fill, step, b)
			if p := f.parcels[b]; p != nil && err == nil {
				err = p.Send(b.arrays())
			}
			select {
			case f.ready <- fed{b, err}:
			case <-f.quit:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return f
}

// fillSafely turns a panic of fill into an error: it runs outside the caller's goroutine.
func fillSafely(fill Batches, step int64, b *Batch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	clear(b.notes)
	err = fill(step, b)
	b.inspect()
	return err
}

// next waits for the batch of the next step.
func (f *feed) next() (*Batch, error) {
	n := <-f.ready
	return n.batch, n.err
}

// release gives a batch back to be filled again.
func (f *feed) release(b *Batch) {
	if p := f.parcels[b]; p != nil {
		p.Forget()
	}
	f.free <- b
}

// stop ends the goroutine and waits for it. It may be called again.
func (f *feed) stop() {
	f.ending.Do(func() { close(f.quit) })
	<-f.done
	for _, p := range f.parcels {
		p.Forget()
	}
}
