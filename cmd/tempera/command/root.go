// Package command holds the commands of tempera, one file each; Root lists
// them. Start reading at Main.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs one command line and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	root := Root(a)
	root.SetArgs(args)
	// The first Ctrl-C detaches; handing the signal back lets a second one end
	// the process at once.
	context.AfterFunc(ctx, stop)
	return a.report(root.ExecuteContext(ctx))
}

// Root returns the command tree.
func Root(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "tempera",
		Short: "Durable vision-language training pipelines",
		Long: `Tempera runs vision-language training pipelines that survive crashes.

Exit codes: 0 done, 1 the run failed, 2 wrong input, 3 the environment is not as
it must be (a server does not answer, a disk is full, a port is taken), 130
detached by Ctrl-C: the run goes on.

Environment: TEMPERA_HOME (data folder, .tempera), TEMPERA_CACHE (built servers);
TEMPORAL_ADDRESS and the SDK's other TEMPORAL_ variables, S3_ENDPOINT, S3_BUCKET
and the usual AWS_ variables use servers of yours instead of the embedded ones.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print JSON instead of text")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours and no repainting (also NO_COLOR)")
	flags.StringVar(&a.home, "home", "", "data folder of the embedded stack (default $TEMPERA_HOME, else .tempera)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return wrong(fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath()))
	})
	root.AddCommand(
		quickstartCommand(a), devCommand(a), workerCommand(a),
		startCommand(a), watchCommand(a), runsCommand(a), dataCommand(a),
		artifactsCommand(a), modelsCommand(a), scheduleCommand(a),
		benchCommand(a), schemaCommand(a), versionCommand(a),
	)
	refuseUnknown(root)
	return root
}

// refuseUnknown makes wrong arguments and unknown subcommands exit with the code
// of wrong input.
func refuseUnknown(c *cobra.Command) {
	check := c.Args
	if c.HasSubCommands() && c.HasParent() {
		check = cobra.NoArgs
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return wrong(fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath()))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
}

// isDetach reports whether a person asked to stop watching.
func isDetach(err error) bool { return errors.Is(err, context.Canceled) }
