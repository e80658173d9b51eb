//go:build gpu

package cuda

import (
	"errors"
	"fmt"
	"os"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// recordingOff is an environment variable: where it is set, nothing is recorded.
const recordingOff = "TEMPERA_NO_CUDA_GRAPHS"

// recording is a CUDA graph. It was made while all narrow copies were fresh, so they are before each replay.
type recording struct {
	b    *Backend
	work *driver.Recording
	left []*narrow // that are stale after it
}

var _ device.Recorder = (*Backend)(nil)

// Records is part of device.Recorder.
func (b *Backend) Records() bool { return os.Getenv(recordingOff) == "" }

// Record is part of device.Recorder.
func (b *Backend) Record() error {
	b.products.refresh()
	err := b.Sync()
	if err == nil {
		err = b.compute.BeginRecording()
	}
	return b.unrecorded(err)
}

// Recorded is part of device.Recorder.
func (b *Backend) Recorded() (device.Recording, error) {
	work, err := b.compute.EndRecording()
	if fault := b.faultOf(); fault != nil {
		return nil, errors.Join(b.unrecorded(fault), work.Close())
	}
	return &recording{b, work, b.products.stale()}, b.unrecorded(err)
}

func (b *Backend) unrecorded(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("record the work of a graph (%s=1 does without): %w", recordingOff, err)
}

// Replay is part of device.Recording.
func (r *recording) Replay() error {
	r.b.products.refresh()
	for _, c := range r.left {
		c.fresh.Store(false)
	}
	return r.work.Replay()
}

// Close is part of device.Recording.
func (r *recording) Close() error { return errors.Join(r.b.Sync(), r.work.Close()) }
