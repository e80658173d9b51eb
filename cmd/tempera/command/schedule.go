package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"tempera/infra/temporalx"
)

func scheduleCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "schedule",
		Short: "Start a pipeline by the clock, through a Temporal Schedule",
	}
	c.AddCommand(scheduleCreateCommand(a), scheduleListCommand(a),
		scheduleSwitchCommand(a, "pause", "Stop starting runs until unpause", func(ctx context.Context, h client.ScheduleHandle, note string) error {
			return h.Pause(ctx, client.SchedulePauseOptions{Note: note})
		}),
		scheduleSwitchCommand(a, "unpause", "Start runs again", func(ctx context.Context, h client.ScheduleHandle, note string) error {
			return h.Unpause(ctx, client.ScheduleUnpauseOptions{Note: note})
		}),
		scheduleSwitchCommand(a, "trigger", "Start a run now", func(ctx context.Context, h client.ScheduleHandle, _ string) error {
			return h.Trigger(ctx, client.ScheduleTriggerOptions{})
		}),
		scheduleSwitchCommand(a, "delete", "Remove the schedule; its runs go on", func(ctx context.Context, h client.ScheduleHandle, _ string) error {
			return h.Delete(ctx)
		}),
	)
	return c
}

// overlaps are what --overlap takes.
var overlaps = map[string]enums.ScheduleOverlapPolicy{
	"skip":       enums.SCHEDULE_OVERLAP_POLICY_SKIP,
	"buffer-one": enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE,
	"buffer-all": enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL,
	"cancel":     enums.SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER,
	"terminate":  enums.SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER,
	"allow":      enums.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
}

var overlapNames = []string{"skip", "buffer-one", "buffer-all", "cancel", "terminate", "allow"}

func scheduleCreateCommand(a *app) *cobra.Command {
	var (
		in      input
		crons   []string
		zone    string
		overlap string
		paused  bool
		catchUp time.Duration
	)
	c := &cobra.Command{
		Use:   "create <id> <file.yaml | workflow>",
		Short: "Create a schedule",
		Example: `  tempera schedule create nightly runs/capfilt.yaml --cron "30 2 * * *" --time-zone Europe/Berlin
  tempera schedule create weekly CaptionBootstrap --cron "0 6 * * 1" --set seeds=5 --overlap buffer-one`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, ok := overlaps[overlap]
			if !ok {
				return wrong(fmt.Errorf("--overlap %q: want %s", overlap, strings.Join(overlapNames, ", ")))
			}
			if len(crons) == 0 {
				return wrong(errors.New("--cron is missing: say when, e.g. --cron \"30 2 * * *\""))
			}
			if _, err := time.LoadLocation(zone); err != nil {
				return wrong(fmt.Errorf("--time-zone %q: want a name of the time zone database, e.g. Europe/Berlin", zone))
			}
			in.target = args[1]
			job, err := in.read(a)
			if err != nil {
				return err
			}
			c, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.ScheduleClient().Create(cmd.Context(), client.ScheduleOptions{
				ID:            args[0],
				Spec:          client.ScheduleSpec{CronExpressions: crons, TimeZoneName: zone},
				Overlap:       policy,
				CatchupWindow: catchUp,
				Paused:        paused,
				Action: &client.ScheduleWorkflowAction{
					ID: job.id(), Workflow: job.workflow, Args: []any{job.params}, TaskQueue: temporalx.WorkflowQueue,
				},
			})
			if err != nil {
				return scheduleFault(args[0], err)
			}
			return a.print(map[string]any{"schedule": args[0], "workflow": job.workflow, "cron": crons, "time_zone": zone}, func(w io.Writer) {
				fmt.Fprintf(w, "created schedule %s: %s at %s (%s)\n", args[0], job.workflow, strings.Join(crons, " and "), zone)
			})
		},
	}
	in.flags(c)
	f := c.Flags()
	f.StringArrayVar(&crons, "cron", nil, "when: minute hour day-of-month month day-of-week; may be repeated")
	f.StringVar(&zone, "time-zone", "UTC", "time zone of --cron")
	f.StringVar(&overlap, "overlap", "skip", "what happens while the last run goes on: "+strings.Join(overlapNames, ", "))
	f.BoolVar(&paused, "paused", false, "create it paused")
	f.DurationVar(&catchUp, "catch-up", time.Hour, "how late a missed start may still happen")
	return c
}

// scheduleSwitchCommand makes the commands that do one thing to one schedule.
func scheduleSwitchCommand(a *app, verb, short string, do func(context.Context, client.ScheduleHandle, string) error) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use:   verb + " <id>",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			h := c.ScheduleClient().GetHandle(cmd.Context(), args[0])
			if err := do(cmd.Context(), h, note); err != nil {
				return scheduleFault(args[0], err)
			}
			return a.print(map[string]string{"schedule": args[0], "done": verb}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s done\n", args[0], verb)
			})
		},
	}
	if strings.HasSuffix(verb, "pause") {
		c.Flags().StringVar(&note, "why", "", "a note for the others")
	}
	return c
}

func scheduleFault(id string, err error) error {
	var missing *serviceerror.NotFound
	var invalid *serviceerror.InvalidArgument
	switch {
	case errors.Is(err, temporal.ErrScheduleAlreadyRunning):
		return wrong(fmt.Errorf("schedule %s exists already: delete it first", id))
	case errors.As(err, &missing):
		return wrong(fmt.Errorf("there is no schedule %s: see `tempera schedule list`", id))
	case errors.As(err, &invalid):
		return wrong(fmt.Errorf("schedule %s: %w", id, err))
	}
	return fmt.Errorf("schedule %s: %w", id, err)
}

// scheduleInfo is one line of `schedule list`.
type scheduleInfo struct {
	ID       string    `json:"id"`
	Workflow string    `json:"workflow"`
	Cron     []string  `json:"cron,omitempty"` // as the server shows it
	Paused   bool      `json:"paused"`
	Note     string    `json:"note,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Last     string    `json:"last_run,omitempty"`
}

func scheduleListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the schedules",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			found, err := schedules(cmd.Context(), c)
			if err != nil {
				return err
			}
			return a.print(found, func(w io.Writer) { showSchedules(w, found) })
		},
	}
}

func schedules(ctx context.Context, c client.Client) ([]scheduleInfo, error) {
	iter, err := c.ScheduleClient().List(ctx, client.ScheduleListOptions{PageSize: 100})
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	found := []scheduleInfo{}
	for iter.HasNext() {
		e, err := iter.Next()
		if err != nil {
			return nil, fmt.Errorf("list schedules: %w", err)
		}
		s := scheduleInfo{ID: e.ID, Workflow: e.WorkflowType.Name, Paused: e.Paused, Note: e.Note}
		if e.Spec != nil {
			for _, cal := range e.Spec.Calendars {
				s.Cron = append(s.Cron, calendarText(cal))
			}
			s.Cron = append(s.Cron, e.Spec.CronExpressions...)
		}
		if len(e.NextActionTimes) > 0 && !e.Paused {
			s.Next = e.NextActionTimes[0]
		}
		if n := len(e.RecentActions); n > 0 && e.RecentActions[n-1].StartWorkflowResult != nil {
			s.Last = e.RecentActions[n-1].StartWorkflowResult.WorkflowID
		}
		found = append(found, s)
	}
	slices.SortFunc(found, func(x, y scheduleInfo) int { return strings.Compare(x.ID, y.ID) })
	return found, nil
}

// calendarText writes a calendar the way cron does: the server keeps cron
// expressions as calendars.
func calendarText(c client.ScheduleCalendarSpec) string {
	part := func(ranges []client.ScheduleRange, low, high int) string {
		if len(ranges) == 0 {
			return fmt.Sprint(low)
		}
		var parts []string
		for _, r := range ranges {
			end, step := max(r.End, r.Start), max(r.Step, 1)
			text := fmt.Sprint(r.Start)
			switch {
			case r.Start == low && end == high:
				text = "*"
			case end > r.Start:
				text = fmt.Sprintf("%d-%d", r.Start, end)
			}
			if step > 1 {
				text += fmt.Sprintf("/%d", step)
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ",")
	}
	return strings.Join([]string{
		part(c.Minute, 0, 59), part(c.Hour, 0, 23), part(c.DayOfMonth, 1, 31), part(c.Month, 1, 12), part(c.DayOfWeek, 0, 6),
	}, " ")
}

func showSchedules(w io.Writer, found []scheduleInfo) {
	if len(found) == 0 {
		fmt.Fprintln(w, "no schedules; `tempera schedule create` makes one")
		return
	}
	var rows [][]string
	for _, s := range found {
		state := "on"
		if s.Paused {
			state = strings.TrimSpace("paused " + s.Note)
		}
		rows = append(rows, []string{s.ID, s.Workflow, strings.Join(s.Cron, " and "), state, clock(s.Next), s.Last})
	}
	table(w, []string{"SCHEDULE", "WORKFLOW", "CRON", "STATE", "NEXT", "LAST RUN"}, rows)
}
