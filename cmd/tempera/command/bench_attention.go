package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tempera/training/bench"
)

// benchAttentionCommand times attention. Its flags and keys are those of bench/peers/torch_attention.py.
func benchAttentionCommand(a *app) *cobra.Command {
	o := bench.AttentionDefaults()
	c := &cobra.Command{
		Use:     "attention",
		Short:   "Time self-attention on random data",
		Example: "  tempera bench attention --tokens 4096 --causal --backward --threads 1 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return wrong(err)
			}
			r, err := bench.Attention(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "forward %.2f ms, %.1f GFLOP/s on %d threads\n", r.ForwardMS, r.ForwardGFLOPS, r.Threads)
				if o.Backward {
					fmt.Fprintf(w, "backward %.2f ms, %.1f GFLOP/s\n", r.BackwardMS, r.BackwardGFLOPS)
				}
			})
		},
	}
	o.Bind(c.Flags())
	return c
}
