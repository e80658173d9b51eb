package bench

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"tempera/training/device/accelerator"
	"tempera/training/kernel"
)

// Cores are what a measurement runs on.
type Cores struct {
	Threads int // 0: all
	Level   kernel.Level
}

func (c *Cores) bind(f *pflag.FlagSet) {
	f.IntVar(&c.Threads, "threads", c.Threads, "threads")
	f.Var(&c.Level, "cpu-level", "CPU features to use: portable, avx2 or avx512 (default: the fastest that the CPU has, or $"+kernel.EnvLevel+")")
}

func (c Cores) faults() []error {
	var faults []error
	if c.Threads < 0 {
		faults = append(faults, fmt.Errorf("threads is %d: give a number, or 0 for all cores", c.Threads))
	}
	if _, err := c.Level.Resolve(); err != nil {
		faults = append(faults, err)
	}
	return faults
}

// Accelerator is the device of a measurement: a GPU or the CPU.
type Accelerator struct {
	Device    string // cpu, cuda or cuda:N
	Precision string // of a GPU
}

func (a *Accelerator) bind(f *pflag.FlagSet) {
	f.StringVar(&a.Device, "device", "cpu", "cpu, cuda or cuda:N")
	f.StringVar(&a.Precision, "precision", a.Precision, "of a GPU: bf16, tf32 or f32 (default: bf16)")
}

func (a Accelerator) faults() []error {
	c, err := accelerator.ParseChoice(a.Device)
	if err == nil {
		err = accelerator.CheckPrecision(c, a.Precision)
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// lease opens the GPU that is asked for; nil: the CPU.
func (a Accelerator) lease() (*accelerator.Lease, error) {
	c, err := accelerator.ParseChoice(a.Device)
	if err != nil || !c.GPU() {
		return nil, err
	}
	pool, err := accelerator.NewPool(nil)
	if err != nil {
		return nil, err
	}
	return pool.Take(context.Background(), c, a.Precision)
}

// engine starts what runs the kernels, and says what it is.
func (c Cores) engine() (e *kernel.Engine, device string, err error) {
	e, err = kernel.New(kernel.Options{Threads: c.Threads, Level: c.Level})
	if err != nil {
		return nil, "", err
	}
	return e, fmt.Sprintf("cpu (%v, %d threads)", e.Level(), e.Threads()), nil
}

// bindRepeats adds the flag of how often something is measured.
func bindRepeats(f *pflag.FlagSet, n *int, what string) {
	f.IntVar(n, "repeats", *n, what+" that are measured; the fastest counts")
}
