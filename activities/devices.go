package activities

import (
	"fmt"

	"tempera/training/device/accelerator"
	"tempera/training/parallel"
)

// replicasInstead is what trains on several CPUs.
const replicasInstead = "train replicas by data_parallel of Pretrain (DiLoCo), which need no GPU"

// parts is the number of micro-batches of a step: as many as accumulate says, or more where devices share them evenly.
func (p loopParams) parts() int { return parallel.Parts(p.Accumulate, p.Devices) }

// spreadFaults are those of devices that share steps, whose batches have the given sizes.
func (p loopParams) spreadFaults(batches ...int) []error {
	var faults []error
	for _, n := range batches {
		switch {
		case n%p.parts() == 0:
		case p.Devices > 1:
			faults = append(faults, fmt.Errorf("batch is %d, no multiple of %d, the parts that %d devices run of a step (accumulate is %d): change one of them", n, p.parts(), p.Devices, p.Accumulate))
		default:
			faults = append(faults, fmt.Errorf("batch is %d, no multiple of accumulate (%d): change one of them", n, p.Accumulate))
		}
	}
	if p.Devices <= 1 {
		return faults
	}
	c, err := accelerator.ParseChoice(p.Device)
	switch {
	case err != nil: // told elsewhere
	case c == accelerator.CPU:
		faults = append(faults, fmt.Errorf("devices is %d and device cpu: devices are GPUs; %s", p.Devices, replicasInstead))
	case c.GPU() && c != accelerator.CUDA:
		faults = append(faults, fmt.Errorf("devices is %d and device %v names one: use device: cuda", p.Devices, c))
	}
	return faults
}

// wholeFaults are those of objectives that must see a whole batch on one device.
func (p loopParams) wholeFaults(what string) []error {
	if p.Devices <= 1 {
		return nil
	}
	return []error{fmt.Errorf("devices is %d, and %s looks at a whole batch, which devices cannot share: leave devices out, or %s", p.Devices, what, replicasInstead)}
}
