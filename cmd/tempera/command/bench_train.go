package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tempera/training/bench"
)

// benchTrainCommand times training steps. Its flags and keys are those of the
// PyTorch scripts that it is run beside.
func benchTrainCommand(a *app) *cobra.Command {
	o := bench.Defaults()
	c := &cobra.Command{
		Use:     "train",
		Short:   "Time training steps on random data",
		Example: "  tempera bench train --model gpt --threads 1 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return wrong(err)
			}
			r, err := bench.Train(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "%s, %d threads: %.1f ms a step (median of %d), %.0f items a second, loss %.3f to %.3f\n",
					r.Model, r.Threads, r.StepMS, o.Steps, r.ItemsPerS, r.FirstLoss, r.LastLoss)
			})
		},
	}
	o.Bind(c.Flags())
	return c
}
