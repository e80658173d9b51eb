package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tempera/serving/bench"
)

// benchDecodeCommand times generation. Its flags and keys are those of the PyTorch script that it is run beside.
func benchDecodeCommand(a *app) *cobra.Command {
	o := bench.Defaults()
	c := &cobra.Command{
		Use:     "decode",
		Short:   "Time greedy decoding of a llama model with random weights",
		Example: "  tempera bench decode --batch 1 --threads 1 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return wrong(err)
			}
			r, err := bench.Decode(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "batch %d, %d threads: %.0f tokens a second, %.0f us a step, weights read at %.1f GB/s\n",
					r.Batch, r.Threads, r.TokensPerS, r.StepUS, r.WeightGBPS)
			})
		},
	}
	o.Bind(c.Flags())
	return c
}
