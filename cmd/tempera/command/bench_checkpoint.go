package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tempera/training/bench"
)

// checkpointResult adds what a new process needs to go on.
type checkpointResult struct {
	bench.CheckpointResult
	ResumeMS    float64 `json:"resume_ms"`     // from the start of a process to the start of its first new step
	FirstStepMS float64 `json:"first_step_ms"` // from there to the end of that step
}

// benchCheckpointCommand measures what checkpoints cost, and what resuming does.
func benchCheckpointCommand(a *app) *cobra.Command {
	o := bench.DefaultCheckpoint()
	resume := false
	c := &cobra.Command{
		Use:     "checkpoint",
		Short:   "Measure what a checkpoint costs the training, and how long a new process takes to go on",
		Example: "  tempera bench checkpoint --threads 2 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := o.Validate(); err != nil {
				return wrong(err)
			}
			if resume {
				r, err := bench.Resume(cmd.Context(), o)
				if err != nil {
					return err
				}
				return a.encode(a.out, r)
			}
			if o.Folder == "" {
				if o.Folder, err = os.MkdirTemp("", "tempera-bench-*"); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, os.RemoveAll(o.Folder)) }()
			}
			var again []string
			cmd.Flags().Visit(func(f *pflag.Flag) { again = append(again, "--"+f.Name+"="+f.Value.String()) })
			r, err := checkpointAndResume(cmd.Context(), o, again)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s of state: training stands still for %.1f ms, a checkpoint costs it %.1f ms in all (%.3f%% of a minute); a new process begins its first step after %.0f ms\n",
					bytesText(r.StateBytes), r.CopyMS, r.StallMS, 100*r.Share, r.ResumeMS)
			})
		},
	}
	o.Bind(c.Flags())
	c.Flags().Int64Var(&o.Every, "every", o.Every, "steps between checkpoints")
	c.Flags().StringVar(&o.Folder, "folder", o.Folder, "where checkpoints are written (default: a temporary folder)")
	c.Flags().BoolVar(&resume, "resume", resume, "go on with the checkpoint in --folder and print when the first step began and ended")
	return c
}

// checkpointAndResume trains here, then resumes in a process of its own, which gets the flags that were given.
func checkpointAndResume(ctx context.Context, o bench.CheckpointOptions, flags []string) (checkpointResult, error) {
	r, err := bench.Checkpoint(ctx, o)
	if err != nil {
		return checkpointResult{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return checkpointResult{}, err
	}
	var out bytes.Buffer
	c := exec.CommandContext(ctx, self, append(append([]string{"bench", "checkpoint"}, flags...), "--resume", "--json", "--folder="+o.Folder)...)
	c.Stdout, c.Stderr = &out, os.Stderr
	start := time.Now()
	if err := c.Run(); err != nil {
		return checkpointResult{}, fmt.Errorf("resume in a new process: %w", err)
	}
	var at bench.Resumed
	if err := json.Unmarshal(out.Bytes(), &at); err != nil {
		return checkpointResult{}, fmt.Errorf("resume in a new process: %w", err)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	return checkpointResult{r, ms(at.Begin.Sub(start)), ms(at.End.Sub(at.Begin))}, nil
}
