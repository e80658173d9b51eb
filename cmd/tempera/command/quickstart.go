package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tempera/datagen/source/emoji"
	"tempera/datagen/source/npm"
	"tempera/infra/devstack"
)

func quickstartCommand(a *app) *cobra.Command {
	var (
		ports devstack.Ports
		in    input
		data  string
	)
	c := &cobra.Command{
		Use:   "quickstart",
		Short: "Start everything and run CaptionBootstrap; leaves the stack up",
		Long: `Builds and starts the embedded stack and a worker, runs CaptionBootstrap on
collages of emoji (or, with --data scenes, on generated scenes), and ends with its
results and where to look at them. Ctrl-C detaches; everything goes on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data != "emoji" && data != "scenes" {
				return wrong(fmt.Errorf("--data %q: want emoji or scenes", data))
			}
			in.target = "CaptionBootstrap"
			in.sets = append([]string{"sources=[\"" + data + "\"]"}, in.sets...)
			job, err := in.read(a)
			if err != nil {
				return err
			}
			if data == "emoji" {
				if err := a.installEmoji(cmd.Context()); err != nil {
					return err
				}
			}
			return a.quickstart(cmd.Context(), ports, job)
		},
	}
	c.Flags().StringVar(&data, "data", "emoji", "emoji (real drawings, fetched by npm) or scenes (generated)")
	in.flags(c)
	portFlags(c, &ports)
	return c
}

// installEmoji fetches the drawings before anything is started, so that a
// missing npm is told at once.
func (a *app) installEmoji(ctx context.Context) error {
	folder, err := devstack.Downloads()
	if err != nil {
		return err
	}
	err = emoji.Install(ctx, folder, func(line string) { a.say("%s", line) })
	if errors.Is(err, npm.ErrMissing) {
		return fmt.Errorf("%w: npm is needed for the emoji; without it: quickstart --data scenes", npm.ErrMissing)
	}
	return err
}

func (a *app) quickstart(ctx context.Context, ports devstack.Ports, j job) error {
	began := time.Now()
	e, err := a.up(ctx, ports)
	if err != nil {
		return err
	}
	if err := a.startWorker(ctx); err != nil {
		return err
	}
	c, err := a.temporal(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := a.start(ctx, c, j)
	if err != nil {
		return err
	}
	a.say("started %s", r.Workflow)
	if url := runURL(e.Temporal, r.Workflow, r.Run); url != "" {
		a.say("in the browser: %s", url)
	}
	err = a.follow(ctx, c, e, r.Workflow)
	if err == nil {
		a.say("The stack stays up (%s in all): `tempera dev status` shows it, `tempera dev down` stops it.", duration(time.Since(began)))
		if e.S3.Embedded {
			a.say("The console's user is %s, the password %s.", e.S3.AccessKey, e.S3.SecretKey)
		}
	}
	return err
}
