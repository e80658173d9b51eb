package training

import (
	"errors"
	"fmt"
	"time"

	"tempera/training/optim"
)

// Config configures a Loop.
type Config struct {
	Steps int64 `json:"steps"`
	// Minutes gives the run so many minutes instead of Steps. After the first steps
	// it is decided how many fit, and the number is part of every checkpoint.
	Minutes   float64        `json:"minutes,omitempty"`
	BatchSize int            `json:"batch_size"` // for samples per second
	Seed      uint64         `json:"seed"`       // recorded in checkpoints; batches and objective have it too
	Schedule  optim.Schedule `json:"schedule"`   // its Steps are the loop's where they are 0
	AdamW     optim.Options  `json:"adamw"`
	// A checkpoint is written when CheckpointEvery has passed since the last one,
	// and after every CheckpointSteps steps. 0 turns either off.
	CheckpointEvery time.Duration `json:"checkpoint_every"`
	CheckpointSteps int64         `json:"checkpoint_steps"`
	LogSteps        int64         `json:"log_steps"` // metrics are written after every so many steps; 0 means 10
	// Digest identifies everything that the result depends on: configuration,
	// data, initial weights. A checkpoint with another digest is refused.
	Digest string `json:"digest"`
	// Spike rewinds the run where loss or gradient jump; nil: they are let through.
	Spike *SpikeOptions `json:"spike,omitempty"`
	// DropNotFinite leaves the update of a step out whose loss or gradient is not a
	// number. Otherwise, and after ten in a row, it is a *DivergedError.
	DropNotFinite bool `json:"drop_not_finite,omitempty"`
	// PeakFLOPS of the device, or of all that do a step together, of which the metric mfu is the share in use; 0: measured at the start.
	PeakFLOPS float64 `json:"peak_flops,omitempty"`
	// MemoryLimit in bytes makes a run that would need more a *MemoryError, before it is allocated. 0 is four fifths of the machine's memory, or
	// of what its control group may use.
	MemoryLimit int64 `json:"memory_limit,omitempty"`
}

func (c Config) resolve() Config {
	if c.Schedule.Steps == 0 {
		c.Schedule.Steps = c.Steps
	}
	if c.LogSteps == 0 {
		c.LogSteps = 10
	}
	return c
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	c = c.resolve()
	var faults []error
	switch {
	case c.Minutes < 0 || c.Minutes > 0 && c.Steps > 0:
		faults = append(faults, fmt.Errorf("minutes is %v and steps is %d: give one of them", c.Minutes, c.Steps))
	case c.Steps < 1 && c.Minutes == 0:
		faults = append(faults, fmt.Errorf("steps is %d: give 1 or more", c.Steps))
	}
	faults = append(faults, c.Spike.Validate())
	if c.Steps == 0 {
		c.Schedule.Steps = max(c.Schedule.Steps, c.Schedule.Warmup) // decided later
	}
	if c.BatchSize < 1 {
		faults = append(faults, fmt.Errorf("batch_size is %d: give 1 or more", c.BatchSize))
	}
	if c.CheckpointEvery < 0 || c.CheckpointSteps < 0 {
		faults = append(faults, errors.New("a checkpoint interval is negative: give a positive one, or 0 for none"))
	}
	if c.LogSteps < 0 {
		faults = append(faults, fmt.Errorf("log_steps is %d: give 1 or more", c.LogSteps))
	}
	if c.MemoryLimit < 0 {
		faults = append(faults, fmt.Errorf("memory_limit is %d: give a number of bytes, or 0 for a share of the machine's", c.MemoryLimit))
	}
	return errors.Join(append(faults, c.Schedule.Validate(), c.AdamW.Validate())...)
}
