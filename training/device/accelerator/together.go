package accelerator

import (
	"context"
	"errors"

	"tempera/training/device"
)

// Together are GPUs that one stage uses. The first is the root of their group, on which all that is not divided runs.
type Together struct {
	Leases []*Lease
	Group  device.Group // nil: it is one GPU
}

// TakeAll waits until n GPUs that the choice takes are free at once, and opens them. Those who came first are served first.
func (p *Pool) TakeAll(ctx context.Context, c Choice, precision string, n int) (*Together, error) {
	leases, err := p.take(ctx, &request{c, n}, precision)
	if err != nil {
		return nil, err
	}
	t := &Together{Leases: leases}
	if n == 1 {
		return t, nil
	}
	var backends []Backend
	for _, l := range leases {
		backends = append(backends, l.Backend)
	}
	if t.Group, err = group(backends); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Root is the backend of the first GPU.
func (t *Together) Root() Backend { return t.Leases[0].Backend }

// GPUs are what they are.
func (t *Together) GPUs() string {
	var gpus []GPU
	for _, l := range t.Leases {
		gpus = append(gpus, l.GPU)
	}
	return names(gpus)
}

// Close frees the GPUs for others.
func (t *Together) Close() error {
	var errs []error
	if t.Group != nil {
		errs = append(errs, t.Group.Close())
	}
	for _, l := range t.Leases {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Class is that of Lease. A GPU that has failed is one that does not close without an error; after Close it is known which.
func (t *Together) Class(err error) error {
	at := t.Leases[0]
	for _, l := range t.Leases {
		if isLost(l.closed) {
			at = l
			break
		}
	}
	err = at.Class(err)
	var full *OutOfMemoryError
	if errors.As(err, &full) {
		full.GPU = t.GPUs()
	}
	return err
}
