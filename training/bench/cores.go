package bench

import (
	"fmt"

	"github.com/spf13/pflag"

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
