package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"tempera/infra/devstack"
	"tempera/infra/temporalx"
)

func startCommand(a *app) *cobra.Command {
	var in input
	var wait bool
	c := &cobra.Command{
		Use:   "start <file.yaml | workflow>",
		Short: "Start a pipeline from a file, or a named workflow",
		Example: `  tempera start runs/capfilt.yaml --wait
  tempera start CaptionBootstrap --set seeds=5 --set filter.steps=1000
  tempera start CaptionBootstrap --params '{"source": "scenes"}' --name tonight
  0 2 * * *  cd /srv/tempera && tempera start runs/capfilt.yaml --wait   (in a crontab)`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.target = args[0]
			job, err := in.read(a)
			if err != nil {
				return err
			}
			e, err := a.endpoints()
			if err != nil {
				return err
			}
			c, err := a.temporal(cmd.Context(), e)
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := a.start(cmd.Context(), c, job)
			if err != nil {
				return err
			}
			r.UI = runURL(e.Temporal, r.Workflow, r.Run)
			if !wait {
				return a.print(r, func(w io.Writer) {
					fmt.Fprintf(w, "started %s\n", r.Workflow)
					if r.UI != "" {
						fmt.Fprintf(w, "in the browser: %s\n", r.UI)
					}
					fmt.Fprintf(w, "watch it:       tempera watch %s\n", r.Workflow)
				})
			}
			a.say("started %s %s", r.Workflow, r.UI)
			return a.follow(cmd.Context(), c, e, r.Workflow)
		},
	}
	in.flags(c)
	c.Flags().BoolVar(&wait, "wait", false, "wait for the end and show the progress; Ctrl-C detaches")
	return c
}

// input is what start and schedule take.
type input struct {
	target string // a file or a workflow's name
	params string
	sets   []string
	force  bool
	name   string
}

func (in *input) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&in.params, "params", "", "parameters of a named workflow: a JSON object, @file, or - for standard input")
	f.StringArrayVar(&in.sets, "set", nil, "key=value: a parameter (filter.steps=500); in a file of stages the key begins with the stage (train.steps=500)")
	f.BoolVar(&in.force, "force", false, "run every stage, also where its result is known")
	f.StringVar(&in.name, "name", "", "name of the run; its workflow ID and run folder (default: the pipeline's name and the time)")
}

// job is a checked request for a run.
type job struct {
	workflow string          // the workflow's type
	params   json.RawMessage // its one argument
	pipeline string
	name     string
}

// id returns the workflow ID of the run.
func (j job) id() string {
	if j.name != "" {
		return j.name
	}
	return j.pipeline + "-" + time.Now().UTC().Format("20060102-150405")
}

// read finds out what is to be run and checks all of it before any server is
// asked.
func (in input) read(a *app) (job, error) {
	settings, err := parseSettings(in.sets)
	if err != nil {
		return job{}, err
	}
	if strings.ContainsAny(in.name, "/ \t\n") {
		return job{}, wrong(fmt.Errorf("--name %q: want no slashes and no spaces, it names a folder", in.name))
	}
	data, err := os.ReadFile(in.target)
	switch {
	case err == nil:
		return in.fromFile(a, data, settings)
	case !errors.Is(err, fs.ErrNotExist):
		return job{}, wrong(fmt.Errorf("%s: %w", in.target, err))
	case filepath.Ext(in.target) != "" || strings.ContainsRune(in.target, filepath.Separator):
		return job{}, wrong(fmt.Errorf("there is no file %s", in.target))
	}
	return in.named(a, in.target, map[string]any{}, settings)
}

// started is what `start` prints.
type started struct {
	Workflow string `json:"workflow_id"`
	Run      string `json:"run_id"`
	Pipeline string `json:"pipeline"`
	UI       string `json:"ui,omitempty"`
}

func (a *app) start(ctx context.Context, c client.Client, j job) (started, error) {
	n, err := temporalx.Pollers(ctx, c, temporalx.WorkflowQueue)
	if err != nil {
		return started{}, err
	}
	if n == 0 {
		a.say("no worker polls queue %s yet: the run waits until one does (`tempera worker`)", temporalx.WorkflowQueue)
	}
	id := j.id()
	r, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: temporalx.WorkflowQueue,
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, j.workflow, j.params)
	var exists *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &exists) {
		return started{}, wrong(fmt.Errorf("there is a run %s already: watch it with `tempera watch %s`, or choose another --name", id, id))
	}
	if err != nil {
		return started{}, fmt.Errorf("start %s: %w", id, err)
	}
	return started{Workflow: id, Run: r.GetRunID(), Pipeline: j.pipeline}, nil
}

// runURL is where the run is seen in Temporal's UI; "" where that is not known.
func runURL(t devstack.Temporal, workflow, run string) string {
	if t.UI == "" {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s/%s/timeline", t.UI, t.Namespace, workflow, run)
}
