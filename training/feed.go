package training

import "fmt"

// feed prepares the batches of coming steps on a goroutine of its own.
type feed struct {
	ready chan fed
	free  chan *Batch
	quit  chan struct{}
	done  chan struct{}
}

type fed struct {
	batch *Batch
	err   error
}

// startFeed prepares the batches of steps [from, to). Two batches exist: one is
// used while the other is being filled.
func startFeed(fill Batches, from, to int64) *feed {
	f := &feed{ready: make(chan fed), free: make(chan *Batch, 2), quit: make(chan struct{}), done: make(chan struct{})}
	f.free <- &Batch{}
	f.free <- &Batch{}
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
func (f *feed) release(b *Batch) { f.free <- b }

// stop ends the goroutine and waits for it.
func (f *feed) stop() {
	close(f.quit)
	<-f.done
}
