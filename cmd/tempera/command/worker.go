package command

import (
	"github.com/spf13/cobra"

	"tempera/cmd/worker/host"
)

func workerCommand(a *app) *cobra.Command {
	var f host.Flags
	c := &cobra.Command{
		Use:   "worker",
		Short: "Run a worker in this terminal; Ctrl-C lets running stages checkpoint",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.Options(a.err)
			if err != nil {
				return wrong(err)
			}
			if o.Endpoints, err = a.endpoints(); err != nil {
				return err
			}
			if o.Data, err = dataFolder(a.home); err != nil {
				return err
			}
			return host.Run(cmd.Context(), o)
		},
	}
	f.Add(c.Flags())
	return c
}
