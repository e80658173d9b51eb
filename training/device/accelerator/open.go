//go:build gpu

package accelerator

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/device/cuda"
	"tempera/training/device/cuda/driver"
	"tempera/training/device/cuda/nvml"
)

func list() ([]GPU, error) {
	n, err := driver.Count()
	if err != nil {
		return nil, err
	}
	gpus := make([]GPU, n)
	for i := range gpus {
		d, err := driver.Describe(i)
		if err != nil {
			return nil, err
		}
		gpus[i] = GPU{
			Ordinal: i, Name: d.Name, Capability: fmt.Sprintf("%d.%d", d.Major, d.Minor), Driver: fmt.Sprintf("%d.%d", d.Driver/1000, d.Driver%1000/10),
			Memory: d.Memory, Bus: d.Bus,
		}
	}
	return gpus, nil
}

func open(ordinal int, precision string) (Backend, error) {
	if precision == "" {
		precision = BF16
	}
	return cuda.Open(cuda.Options{Ordinal: ordinal, Precision: cuda.Precision(precision)})
}

func group(backends []Backend) (device.Group, error) {
	own := make([]*cuda.Backend, len(backends))
	for i, b := range backends {
		own[i] = b.(*cuda.Backend)
	}
	return cuda.NewGroup(own...)
}

func isLost(err error) bool { return driver.IsLost(err) }

func isOutOfMemory(err error) bool { return driver.IsOutOfMemory(err) }

func measure(g GPU) (State, error) {
	d, err := nvml.Find(g.Bus)
	if err != nil {
		return State{}, err
	}
	s, err := d.State()
	return State{Busy: s.Busy, Temperature: s.Temperature, Power: s.Power, Used: s.Used, ECC: s.ECC}, err
}
