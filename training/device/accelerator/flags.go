package accelerator

import (
	"context"

	"github.com/spf13/pflag"
)

// Flags are the device of a measurement.
type Flags struct {
	Device    string // cpu, cuda or cuda:N; "" is cpu
	Precision string // of a GPU; "" is BF16
}

// Bind adds the flags.
func (f *Flags) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&f.Device, "device", CPU.String(), "cpu, cuda or cuda:N")
	fs.StringVar(&f.Precision, "precision", f.Precision, "of a GPU: bf16, tf32 or f32 (default: bf16)")
}

// Faults are all that is wrong with them.
func (f Flags) Faults() []error {
	c, err := ParseChoice(f.Device)
	if err == nil {
		err = CheckPrecision(c, f.Precision)
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// Wanted tells whether they ask for a GPU.
func (f Flags) Wanted() bool {
	c, err := ParseChoice(f.Device)
	return err == nil && c.GPU()
}

// Lease opens the GPU that is asked for; nil: the CPU.
func (f Flags) Lease(ctx context.Context) (*Lease, error) {
	t, err := f.LeaseAll(ctx, 1)
	if err != nil || t == nil {
		return nil, err
	}
	return t.Leases[0], nil
}

// LeaseAll opens so many GPUs, where GPUs are asked for; nil: the CPU.
func (f Flags) LeaseAll(ctx context.Context, n int) (*Together, error) {
	c, err := ParseChoice(f.Device)
	if err != nil || !c.GPU() {
		return nil, err
	}
	pool, err := NewPool(nil)
	if err != nil {
		return nil, err
	}
	return pool.TakeAll(ctx, c, f.Precision, n)
}
