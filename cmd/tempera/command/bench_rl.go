package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tempera/activities"
)

func benchRLCommand(a *app) *cobra.Command {
	o := activities.DefaultRLBench()
	c := &cobra.Command{
		Use:   "rl",
		Short: "Measure iterations of reinforcement learning: samples, rewards, optimiser steps",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := o.Run(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "%.0f samples/s of %.1f tokens on average: rollouts %.0f %%, rewards %.1f %%, training %.0f %%, on %s\n",
					r.SamplesPerS, r.MeanLength, 100*r.RolloutShare, 100*r.ScoreShare, 100*r.TrainShare, r.Device)
			})
		},
	}
	o.Bind(c.Flags())
	return c
}
