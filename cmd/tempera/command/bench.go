package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"tempera/cmd/worker/host"
	"tempera/infra/temporalx"
	"tempera/workflows/dag"
)

func benchCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine",
	}
	c.AddCommand(benchGemmCommand(a), benchTrainCommand(a), benchDecodeCommand(a), benchRLCommand(a), benchAttentionCommand(a), benchLoadCommand(a), benchCheckpointCommand(a), benchDAGCommand(a), benchShardsCommand(a))
	return c
}

// benchResult is what the engine's benchmarks print.
type benchResult struct {
	Bench     string  `json:"bench"`
	Items     int     `json:"items"`
	Unit      string  `json:"unit"` // of Items
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	Cores     int     `json:"cores"`
	Go        string  `json:"go"`
	Run       string  `json:"run"`
}

func benchDAGCommand(a *app) *cobra.Command {
	var stages, width int
	c := &cobra.Command{
		Use:   "dag",
		Short: "Run a DAG of stages that do nothing, on the stack that is up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if stages < 1 || width < 1 {
				return wrong(errors.New("--stages and --width want at least 1"))
			}
			return a.bench(cmd.Context(), benchResult{Bench: "dag", Items: stages, Unit: "stages"}, func(label string) *dag.Spec {
				return layered(label, stages, width)
			})
		},
	}
	c.Flags().IntVar(&stages, "stages", 1000, "stages of the DAG")
	c.Flags().IntVar(&width, "width", 50, "stages of one layer; each waits for two of the layer before")
	return c
}

func benchShardsCommand(a *app) *cobra.Command {
	var shards, window int
	c := &cobra.Command{
		Use:   "shards",
		Short: "Run a stage that does nothing over many shards, on the stack that is up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if shards < 1 || window < 1 {
				return wrong(errors.New("--shards and --window want at least 1"))
			}
			return a.bench(cmd.Context(), benchResult{Bench: "shards", Items: shards, Unit: "shards"}, func(label string) *dag.Spec {
				return fannedOut(label, shards, window)
			})
		},
	}
	c.Flags().IntVar(&shards, "shards", 10000, "shards of the stage")
	c.Flags().IntVar(&window, "window", 256, "shards in flight")
	return c
}

// layered is a DAG of no-ops. The label keeps its stages apart from those of
// earlier runs, whose results would be found.
func layered(label string, stages, width int) *dag.Spec {
	spec := &dag.Spec{Name: "bench-dag", Defaults: dag.Defaults{Parallel: 64}}
	for i := range stages {
		s := dag.Stage{ID: fmt.Sprintf("s%05d", i), Kind: "noop", Params: fmt.Appendf(nil, `{"label":"%s %d"}`, label, i)}
		if layer, at := i/width, i%width; layer > 0 {
			before := (layer - 1) * width
			s.Needs = []string{fmt.Sprintf("s%05d", before+at)}
			if width > 1 {
				s.Needs = append(s.Needs, fmt.Sprintf("s%05d", before+(at+1)%width))
			}
		}
		spec.Stages = append(spec.Stages, s)
	}
	return spec
}

// fannedOut is a no-op mapped over the shards that another no-op made.
func fannedOut(label string, shards, window int) *dag.Spec {
	return &dag.Spec{Name: "bench-shards", Stages: []dag.Stage{
		{ID: "data", Kind: "noop", Params: fmt.Appendf(nil, `{"label":"%s","shards":%d}`, label, shards)},
		{
			ID: "work", Kind: "noop", Params: fmt.Appendf(nil, `{"label":"%s"}`, label),
			Inputs: map[string]dag.Inputs{"over": {"data.data"}}, Map: &dag.Map{Window: window},
		},
	}}
}

// benchSlots is how many no-ops the benchmark's own worker runs at a time.
const benchSlots = 256

// bench starts a worker of its own, runs the spec and measures from the start
// of the workflow to its end.
func (a *app) bench(ctx context.Context, r benchResult, spec func(label string) *dag.Spec) error {
	e, err := a.endpoints()
	if err != nil {
		return err
	}
	c, err := a.temporal(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()
	data, err := dataFolder(a.home)
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() {
		worked <- host.Run(work, host.Options{
			Endpoints: e, Data: data, Slots: benchSlots, Threads: 1, Grace: 5 * time.Second,
			Log: slog.New(slog.DiscardHandler),
		})
	}()
	err = awaitWorker(ctx, c, worked)
	if err == nil {
		err = a.measure(ctx, c, &r, spec)
	}
	stop()
	if err = errors.Join(err, <-worked); err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) {
		fmt.Fprintf(w, "%d %s in %.1f s: %.0f per second on %d cores (run %s)\n", r.Items, r.Unit, r.Seconds, r.PerSecond, r.Cores, r.Run)
	})
}

// awaitWorker waits until a worker polls for workflows.
func awaitWorker(ctx context.Context, c client.Client, worked chan error) error {
	for {
		n, err := temporalx.Pollers(ctx, c, temporalx.CPUQueue)
		if err != nil || n > 0 {
			return err
		}
		select {
		case err := <-worked:
			worked <- nil // bench reads it once more
			return fmt.Errorf("the worker of the benchmark ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (a *app) measure(ctx context.Context, c client.Client, r *benchResult, spec func(string) *dag.Spec) error {
	j := job{pipeline: "bench-" + r.Bench}
	j.name = j.id()
	j, err := pipelineJob(spec(j.name), j.name)
	if err != nil {
		return err
	}
	began := time.Now()
	run, err := a.start(ctx, c, j)
	if err != nil {
		return err
	}
	if err := c.GetWorkflow(ctx, run.Workflow, "").Get(ctx, nil); err != nil {
		if ctx.Err() != nil {
			return detached(fmt.Errorf("stopped: run %s may go on", run.Workflow))
		}
		return failed(fmt.Errorf("run %s: %s", run.Workflow, cause(err)))
	}
	r.Seconds = time.Since(began).Seconds()
	r.PerSecond = float64(r.Items) / r.Seconds
	r.Cores, r.Go, r.Run = runtime.NumCPU(), runtime.Version(), run.Workflow
	return nil
}
