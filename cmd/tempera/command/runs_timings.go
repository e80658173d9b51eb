package command

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"

	"tempera/workflows/timing"
)

func runsTimingsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "timings <run>",
		Short: "Show where the time of a run went, and what the engine and the store took of it",
		Long: `Shows, from the histories that Temporal keeps, for each stage how long it was
queued and at work and what lost attempts cost, and for the run the overhead: the time
in which no stage was at work, and the time that stages spent on look-up and commit.
docs/operations.md defines each figure.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			t, err := timing.Read(cmd.Context(), c, args[0], time.Now())
			var missing *serviceerror.NotFound
			if errors.As(err, &missing) {
				return wrong(fmt.Errorf("there is no run %s, or its history is gone with the retention: see `tempera runs list`", args[0]))
			}
			if err != nil {
				return err
			}
			return a.print(t, func(w io.Writer) { showTimings(w, t) })
		},
	}
}

func showTimings(w io.Writer, t *timing.Timings) {
	var rows [][]string
	for _, s := range t.Stages {
		row := []string{s.ID, s.Kind, "", "", "", ""}
		if s.Started {
			row = []string{s.ID, s.Kind, secondsText(s.Queued), secondsText(s.Ran), fmt.Sprint(s.Attempts), secondsText(s.Lost)}
		}
		rows = append(rows, row)
	}
	table(w, []string{"STAGE", "KIND", "QUEUED", "RAN", "ATTEMPTS", "LOST"}, rows)
	fmt.Fprintln(w)
	wall := "wall"
	if t.Running {
		wall = "wall, so far"
	}
	lines := [][]string{
		{wall, secondsText(t.Wall), ""},
		{"for a person", secondsText(t.Person), "approvals and repairs"},
		{"at work", secondsText(t.Compute), "at least one stage"},
		{"training", secondsText(t.Training), "the work of stages that make a model"},
		{"lost", secondsText(t.Lost), "attempts without a result"},
		{"overhead", secondsText(t.Overhead), overheadText(t)},
	}
	table(w, lines[0], lines[1:])
}

// overheadText relates the overhead to what it is overhead of.
func overheadText(t *timing.Timings) string {
	text := fmt.Sprintf("%.1f%% of wall", t.OfWall)
	if t.Training > 0 {
		text = fmt.Sprintf("%.1f%% of training, ", t.OfTraining) + text
	}
	return fmt.Sprintf("%s; %s between stages, %s in them", text, secondsText(t.Engine), secondsText(t.Around))
}

func secondsText(seconds float64) string {
	if seconds < 0.0005 {
		return "0s"
	}
	return duration(time.Duration(seconds * float64(time.Second)))
}
