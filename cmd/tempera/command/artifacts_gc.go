package command

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tempera/infra/artifact/sweep"
)

func artifactsGCCommand(a *app) *cobra.Command {
	var (
		yes   bool
		grace time.Duration
		age   time.Duration
	)
	c := &cobra.Command{
		Use:   "gc",
		Short: "Show what nothing refers to any more; with --yes remove it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grace <= 0 || age < 0 {
				return wrong(errors.New("--grace and --commit-age want durations above 0, e.g. 168h"))
			}
			s, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			plan, err := sweep.NewPlan(cmd.Context(), s, sweep.Options{Grace: grace, CommitAge: age})
			if err != nil {
				return err
			}
			did := "would remove"
			if yes {
				did = "removed"
				if plan, err = plan.Execute(cmd.Context(), s); err != nil {
					return err
				}
			}
			if err := a.print(plan, func(w io.Writer) { showSweep(w, plan, did) }); err != nil {
				return err
			}
			if len(plan.Damaged) > 0 {
				return fmt.Errorf("%w, so that no blob may be removed: %s", sweep.ErrDamaged, strings.Join(plan.Damaged, "; "))
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&yes, "yes", false, "remove; without it this is a dry run")
	f.DurationVar(&grace, "grace", sweep.DefaultGrace, "keep what is younger: a running stage refers to it only when it commits")
	f.DurationVar(&age, "commit-age", 0, "forget results of stages that no run names and that are older; 0 keeps every result")
	return c
}

func showSweep(w io.Writer, plan *sweep.Plan, did string) {
	const shown = 20
	var rows [][]string
	for _, i := range plan.Items[:min(len(plan.Items), shown)] {
		rows = append(rows, []string{i.Name, bytesText(i.Size), i.Why})
	}
	if len(rows) > 0 {
		table(w, []string{"NAME", "SIZE", "WHY"}, rows)
	}
	if more := len(plan.Items) - shown; more > 0 {
		fmt.Fprintf(w, "and %d more; --json lists all\n", more)
	}
	fmt.Fprintf(w, "%s %d objects, %s; kept %d objects, %s\n", did, plan.Objects, bytesText(plan.Bytes), plan.KeptObjects, bytesText(plan.KeptBytes))
}
