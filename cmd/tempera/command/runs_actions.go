package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/user"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"tempera/workflows"
)

// change is what a command asks of a run.
type change struct {
	update string
	args   workflows.Command
}

// runsActionCommands are the commands that change a run.
func runsActionCommands(a *app) []*cobra.Command {
	return []*cobra.Command{
		runsCancelCommand(a), runsApproveCommand(a), runsRetryCommand(a), runsSkipCommand(a),
		runsPauseCommand(a, workflows.UpdatePause, "Start no further stages; those that run go on"),
		runsPauseCommand(a, workflows.UpdateResume, "Start stages again after pause"),
	}
}

// ask sends the update and waits until the run has accepted or refused it.
func (a *app) ask(ctx context.Context, run string, ch change) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	h, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: run, UpdateName: ch.update, Args: []any{ch.args}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = h.Get(ctx, nil)
	}
	if err != nil {
		return updateFault(run, err)
	}
	return a.print(map[string]string{"run": run, "done": ch.update}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s done\n", run, ch.update)
	})
}

// updateFault tells a refusal, which another command line would mend, from a
// server or worker that is away.
func updateFault(run string, err error) error {
	var refused *temporal.ApplicationError
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing):
		return wrong(fmt.Errorf("run %s is not there or has ended: see `tempera runs list`", run))
	case errors.As(err, &refused):
		return wrong(fmt.Errorf("run %s: %s", run, cause(err)))
	case noWorker(err):
		return fmt.Errorf("no worker answers for run %s: start one with `tempera worker` (%w)", run, err)
	}
	return fmt.Errorf("run %s: %w", run, err)
}

// whoami is who approves where --by does not say.
func whoami() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

func runsApproveCommand(a *app) *cobra.Command {
	var by, why string
	c := &cobra.Command{
		Use:   "approve <run> <stage>",
		Short: "Let a stage through its gate",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), args[0], change{workflows.UpdateApprove, workflows.Command{Stage: args[1], By: by, Why: why}})
		},
	}
	c.Flags().StringVar(&by, "by", whoami(), "who approves")
	c.Flags().StringVar(&why, "why", "", "why")
	return c
}

func runsRetryCommand(a *app) *cobra.Command {
	var params string
	var sets []string
	c := &cobra.Command{
		Use:   "retry <run> <stage>",
		Short: "Run a failed stage again, with other parameters if wished",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			object, err := a.readObject(params)
			if err != nil {
				return err
			}
			settings, err := parseSettings(sets)
			if err != nil {
				return err
			}
			for _, s := range settings {
				if err := s.apply(object); err != nil {
					return err
				}
			}
			retry := workflows.Command{Stage: args[1]}
			if len(object) > 0 {
				if retry.Params, err = json.Marshal(object); err != nil {
					return wrong(err)
				}
			}
			return a.ask(cmd.Context(), args[0], change{workflows.UpdateRetry, retry})
		},
	}
	c.Flags().StringVar(&params, "params", "", "parameters to change: a JSON object, @file, or -")
	c.Flags().StringArrayVar(&sets, "set", nil, "key=value: a parameter to change")
	return c
}

func runsSkipCommand(a *app) *cobra.Command {
	var why string
	c := &cobra.Command{
		Use:   "skip <run> <stage>",
		Short: "Leave a stage out",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), args[0], change{workflows.UpdateSkip, workflows.Command{Stage: args[1], By: whoami(), Why: why}})
		},
	}
	c.Flags().StringVar(&why, "why", "", "why")
	return c
}

func runsCancelCommand(a *app) *cobra.Command {
	var why string
	c := &cobra.Command{
		Use:   "cancel <run> [stage]",
		Short: "End a run, or one stage of it and what waits for that",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return a.ask(cmd.Context(), args[0], change{workflows.UpdateCancel, workflows.Command{Stage: args[1], By: whoami(), Why: why}})
			}
			c, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.CancelWorkflow(cmd.Context(), args[0], ""); err != nil {
				return updateFault(args[0], err)
			}
			return a.print(map[string]string{"run": args[0], "done": "cancel"}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: asked to cancel\n", args[0])
			})
		},
	}
	c.Flags().StringVar(&why, "why", "", "why, of a stage")
	return c
}

func runsPauseCommand(a *app, update, short string) *cobra.Command {
	return &cobra.Command{
		Use:   update + " <run>",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), args[0], change{update, workflows.Command{By: whoami()}})
		},
	}
}
