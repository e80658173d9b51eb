package network

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/model"
)

// Follow makes the cache work with the parameters of a model of the same configuration, on the same device, as they are now: they are copied there, and
// low-rank changes are merged there, by a product in the precision of the device. What the pages hold is of the old ones: no table may have tokens.
func (c *DeviceCache) Follow(m *model.Model) error {
	for _, w := range c.net.made {
		from, err := paramOf(m, w.param, w.Size())
		if err == nil && w.changed != "" {
			from, err = c.merged(m, w, from)
		}
		if err != nil {
			return fmt.Errorf("weights of a model on the device: %w", err)
		}
		c.net.backend.Copy(w.Value, from)
	}
	return nil
}

// merged is a weight, which from is without its change, until the next one.
func (c *DeviceCache) merged(m *model.Model, w madeWeight, from *device.Value) (*device.Value, error) {
	b, lora, in, out := c.net.backend, c.net.config.LoRA, w.Shape()[0], w.Shape()[1]
	wide, err := c.buf("merged", device.Floats(in, out))
	if err != nil {
		return nil, err
	}
	x, err := paramOf(m, w.changed+".lora_a", in*lora.Rank)
	if err != nil {
		return nil, err
	}
	y, err := paramOf(m, w.changed+".lora_b", lora.Rank*out)
	if err != nil {
		return nil, err
	}
	b.Gemm(device.GemmArgs{M: in, N: out, K: lora.Rank, A: x, B: y, C: wide})
	b.Scale(wide, wide, float32(lora.Scale()))
	b.Add(wide, wide, from)
	return wide, nil
}

// paramOf is a parameter of so many elements.
func paramOf(m *model.Model, name string, size int) (*device.Value, error) {
	p := m.Param(name)
	switch {
	case p == nil:
		return nil, fmt.Errorf("the model has no parameter %s", name)
	case p.Value.Size() != size:
		return nil, fmt.Errorf("parameter %s has %d values, the configuration needs %d", name, p.Value.Size(), size)
	}
	return p.Value, nil
}
