package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tempera/training"
	"tempera/training/model"
)

// CheckpointOptions are those of a training that writes checkpoints to a folder.
type CheckpointOptions struct {
	Options
	Every  int64  // steps between checkpoints
	Folder string // where they are kept
}

// DefaultCheckpoint has a model whose state, weights and moments, is about 100 MB.
func DefaultCheckpoint() CheckpointOptions {
	o := Defaults()
	o.Dim, o.Heads, o.FF, o.Vocab, o.Steps, o.Warmup = 384, 6, 1536, 4096, 40, 3
	return CheckpointOptions{Options: o, Every: 10}
}

// Validate returns all faults at once.
func (o CheckpointOptions) Validate() error {
	var fault error
	if o.Every < 1 || o.Every > int64(o.Steps) {
		fault = fmt.Errorf("every is %d: give a number of steps from 1 to --steps, %d", o.Every, o.Steps)
	}
	return errors.Join(o.Options.Validate(), fault)
}

// CheckpointResult says what a checkpoint costs the training that goes on beside it.
type CheckpointResult struct {
	Peer        string  `json:"peer"`
	Params      int64   `json:"params"`
	StateBytes  int64   `json:"state_bytes"`
	Threads     int     `json:"threads"`
	Device      string  `json:"device"`
	Cloned      bool    `json:"cloned"` // the state is copied on the device first
	Checkpoints int     `json:"checkpoints"`
	StepMS      float64 `json:"step_ms"`        // median of the steps that no checkpoint touches
	CopyMS      float64 `json:"copy_ms"`        // median time that training stands still while its state is copied
	WriteMS     float64 `json:"write_ms"`       // median time of a write, beside the training
	StallMS     float64 `json:"stall_ms"`       // median time that a checkpoint costs: the copy, and how much slower steps are during the write
	Share       float64 `json:"share_a_minute"` // the same as a share of a minute
}

// Checkpoint measures a training that writes checkpoints.
func Checkpoint(ctx context.Context, o CheckpointOptions) (r CheckpointResult, err error) {
	t, err := o.training(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	done, err := t.loop.Run(ctx)
	if err != nil {
		return r, err
	}
	r = CheckpointResult{
		Peer: "tempera", Params: parameters(t.model), Threads: t.threads, Device: t.loop.Backend.Name(), Cloned: done.Memory.Clones > 0,
		Checkpoints: len(t.files.writes),
	}
	for _, w := range t.files.writes {
		r.StateBytes = max(r.StateBytes, w.bytes)
	}
	t.costs(&r, o.Warmup)
	return r, nil
}

// costs compares the steps that a checkpoint touches with the others.
func (t *checkpointed) costs(r *CheckpointResult, skip int) {
	var free, waits []time.Duration
	spans := t.watch.spans(skip)
	touches := func(s span, w write) bool { return s.from.Before(w.end) && w.begin.Before(s.to) }
	for _, s := range spans {
		touched := false
		for _, w := range t.files.writes {
			touched = touched || touches(s, w)
		}
		if !touched {
			free, waits = append(free, s.work), append(waits, s.wait)
		}
	}
	step, wait := median(free), median(waits)
	var copies, stalls, writes []time.Duration
	for _, w := range t.files.writes {
		var stall, held time.Duration
		for _, s := range spans {
			if touches(s, w) {
				stall += s.wait - wait + s.work - step
				held = max(held, s.wait-wait)
			}
		}
		copies, stalls, writes = append(copies, held), append(stalls, stall), append(writes, w.end.Sub(w.begin))
	}
	r.StepMS, r.CopyMS, r.WriteMS, r.StallMS = milliseconds(step), milliseconds(median(copies)), milliseconds(median(writes)), milliseconds(median(stalls))
	r.Share = round(median(stalls).Minutes(), 6)
}

// checkpointed is a training with a folder of checkpoints.
type checkpointed struct {
	loop    training.Loop
	watch   *stopwatch
	model   *model.Model
	files   *folder
	threads int
	close   func() error
}

func (o CheckpointOptions) training(ctx context.Context) (*checkpointed, error) {
	d, err := o.device(ctx)
	if err != nil {
		return nil, err
	}
	m, err := model.New(d.backend, o.config(), 0)
	if err != nil {
		d.close()
		return nil, err
	}
	obj, err := o.spread(m, d.group)
	if err != nil {
		d.close()
		return nil, err
	}
	t := &checkpointed{model: m, watch: &stopwatch{sizedObjective: obj}, files: &folder{path: o.Folder}, threads: d.threads}
	t.close = func() (err error) {
		if c, ok := obj.(io.Closer); ok {
			err = c.Close()
		}
		d.close()
		return err
	}
	data := o.batch(m.Config)
	t.loop = training.Loop{
		Config: o.loopConfig(), Backend: d.backend, Objective: t.watch, Checkpoints: t.files,
		Batches: func(_ int64, b *training.Batch) error { *b = *data; return nil },
	}
	t.loop.Config.CheckpointSteps = o.Every
	return t, nil
}

func parameters(m *model.Model) (n int64) {
	for _, p := range m.Params() {
		n += int64(p.Value.Size())
	}
	return n
}

// folder keeps the newest checkpoint in a file that is replaced whole.
type folder struct {
	path   string
	writes []write
}

type write struct {
	begin, end time.Time
	bytes      int64
}

func (f *folder) file() string { return filepath.Join(f.path, "checkpoint.safetensors") }

// Save is part of training.Checkpoints.
func (f *folder) Save(_ context.Context, _ int64, state func(io.Writer) error) error {
	w := write{begin: time.Now()}
	tmp, err := os.CreateTemp(f.path, "checkpoint-*")
	if err != nil {
		return err
	}
	err = errors.Join(state(tmp), tmp.Sync())
	if info, statErr := tmp.Stat(); statErr == nil {
		w.bytes = info.Size()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), f.file())
	}
	w.end = time.Now()
	f.writes = append(f.writes, w)
	return err
}

// Load is part of training.Checkpoints.
func (f *folder) Load(_ context.Context, read func(int64, io.Reader) error) (bool, error) {
	r, err := os.Open(f.file())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, errors.Join(read(0, r), r.Close())
}

// Resumed is when a resumed training began and ended its first new step.
type Resumed struct {
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
}

// Resume goes on with the training whose checkpoint is in the folder, for one step.
func Resume(ctx context.Context, o CheckpointOptions) (r Resumed, err error) {
	t, err := o.training(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.loop.Progress = func(int64, int64, string) { cancel(errResumed) }
	t.loop.Config.CheckpointSteps = 0
	_, err = t.loop.Run(ctx)
	if len(t.watch.end) == 0 {
		return r, errors.Join(errors.New("no step was made"), err)
	}
	return Resumed{t.watch.begin[0], t.watch.end[0]}, nil
}

var errResumed = errors.New("the first step is done")
