//go:build gpu

package cuda

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// clone is copies of values in memory of its own. They are made and brought back on the compute stream, and sent to the host on the other one.
type clone struct {
	b      *Backend
	live   []*device.Value
	memory driver.Pointer
	at     []driver.Pointer // where in memory the copy of each is
	taken  driver.Event
}

// NewClone is part of device.Cloning.
func (b *Backend) NewClone(live []*device.Value) (device.Clone, error) {
	c := &clone{b: b, live: live}
	var l layout
	for _, v := range live {
		c.at = append(c.at, l.floats(v.Size()))
	}
	var err error
	if c.taken, err = b.device.NewEvent(false); err != nil {
		return nil, err
	}
	if c.memory, err = b.device.Alloc(l.bytes); err != nil {
		return nil, errors.Join(fmt.Errorf("copy of %d values: %w", len(live), err), c.taken.Close())
	}
	for i := range c.at {
		c.at[i] += c.memory
	}
	return c, nil
}

// Take is part of device.Clone.
func (c *clone) Take() error {
	for i, v := range c.live {
		c.b.fail(c.b.compute.Copy(c.at[i], reading(v, device.Float32), int(v.MemSize())))
	}
	c.b.fail(c.b.compute.Record(c.taken))
	return c.b.faulty()
}

// Download is part of device.Clone.
func (c *clone) Download(dst []float32, i int) error {
	if err := sized(c.live[i], len(dst), true); err != nil {
		return err
	}
	if err := c.b.device.Copies.Wait(c.taken); err != nil {
		return err
	}
	return c.b.clones.download(bytesOf(dst), c.at[i])
}

// Restore is part of device.Clone.
func (c *clone) Restore() error {
	for i, v := range c.live {
		c.b.fail(c.b.compute.Copy(address(v, device.Float32), c.at[i], int(v.MemSize())))
	}
	return c.b.Sync()
}

// Free is part of device.Clone.
func (c *clone) Free() error { return errors.Join(c.b.device.Free(c.memory), c.taken.Close()) }
