package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"tempera/infra/artifact"
	"tempera/infra/temporalx"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// RegisterControl lets a worker run the activities that workflows call beside
// the kinds. They are light, and run on the workflows' queue.
func (r *Runtime) RegisterControl(w worker.ActivityRegistry) {
	for name, f := range map[string]any{
		stage.ActivityPlan: r.Plan, stage.ActivityResolve: r.Resolve, stage.ActivityCountShards: r.CountShards,
		stage.ActivityCollect: r.Collect, stage.ActivityAwait: r.AwaitStage, stage.ActivityProgress: r.ProgressOf,
		stage.ActivityPublish: r.Publish,
	} {
		w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
}

// Plan checks a spec against the kinds and against what is there now (artifacts,
// workers), and plans it. Every fault is in its error, which is final.
func (r *Runtime) Plan(ctx context.Context, q stage.PlanRequest) (stage.PlanResult, error) {
	defer r.alive(ctx)()
	spec, err := parseSpec(q.Spec)
	if err != nil {
		return stage.PlanResult{}, invalidPipeline(err)
	}
	unpublished, err := r.pin(ctx, spec)
	if err != nil {
		return stage.PlanResult{}, failure(err)
	}
	plan, err := dag.NewPlan(spec, r.Kinds)
	if err = spec.WithFaults(err, unpublished); err != nil {
		return stage.PlanResult{}, invalidPipeline(err)
	}
	faults, err := r.missing(ctx, plan)
	if err != nil {
		return stage.PlanResult{}, failure(err)
	}
	if len(faults) > 0 {
		return stage.PlanResult{}, invalidPipeline(fmt.Errorf("pipeline %s cannot start now:\n%w", plan.Name, errors.Join(faults...)))
	}
	known, err := r.known(ctx, plan)
	if err != nil {
		return stage.PlanResult{}, failure(err)
	}
	data, err := json.Marshal(plan)
	res := stage.PlanResult{Plan: data, Digest: artifact.DigestOf(data), Known: known}
	if r.Console != nil {
		res.Folder = r.Console(artifact.RunName(plan.Name, RunFolder(q.Run), "") + "/")
	}
	return res, err
}

// pin puts artifacts in the place of the published versions that a spec names.
// Within one spec a version is one artifact, whoever moves its alias meanwhile.
func (r *Runtime) pin(ctx context.Context, spec *dag.Spec) ([]dag.Fault, error) {
	type answer struct {
		a   artifact.Artifact
		err error
	}
	known := map[artifact.PublishedRef]answer{}
	return spec.Pin(func(ref artifact.PublishedRef) (artifact.Artifact, error) {
		found, ok := known[ref]
		if !ok {
			v, err := artifact.FindVersion(ctx, r.Store, ref)
			found = answer{v.Artifact, err}
			known[ref] = found
		}
		return found.a, found.err
	})
}

// parseSpec reads a spec that is a JSON object, or a JSON string that holds YAML.
func parseSpec(raw json.RawMessage) (*dag.Spec, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return dag.Parse([]byte(text))
	}
	return dag.Parse(raw)
}

func invalidPipeline(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), stage.InvalidPipeline, nil)
}

// missing tells what a plan needs and is not there: artifacts and workers.
func (r *Runtime) missing(ctx context.Context, plan *dag.Plan) (faults []error, _ error) {
	for _, a := range plan.Artifacts() {
		_, err := artifact.LoadManifest(ctx, r.Store, a)
		switch {
		case errors.Is(err, artifact.ErrNotFound):
			faults = append(faults, fmt.Errorf("%s@%s is not in the store: check the digest with `tempera artifacts list`", a.Type, a.Digest))
		case errors.Is(err, artifact.ErrTransient), err != nil && artifact.Permanent(err), ctx.Err() != nil:
			return nil, err
		case err != nil:
			faults = append(faults, fmt.Errorf("%s@%s cannot be an input: %w", a.Type, a.Digest, err))
		}
	}
	for _, q := range plan.Queues() {
		queue := temporalx.ActivityQueue(string(q))
		n, err := r.pollers(ctx, queue)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			faults = append(faults, fmt.Errorf("no worker polls queue %s: start one with `tempera worker --queues %s`", queue, q))
		}
	}
	return faults, nil
}

// pollers counts the workers of a queue. One that has just started together
// with this worker gets some seconds to show up.
func (r *Runtime) pollers(ctx context.Context, queue string) (n int, err error) {
	for deadline := time.Now().Add(5 * time.Second); ; {
		n, err = temporalx.PollersFor(ctx, r.Client, queue, r.Deployment)
		if err != nil || n > 0 || time.Now().After(deadline) {
			return n, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// knownLimit bounds the known results that a plan carries, in bytes of JSON: a
// payload may have 2 MB, and the plan is in it too.
const knownLimit = 800 << 10

// known looks up what has been committed, level by level as far as the keys
// follow: the key of a stage is known once the results before it are.
func (r *Runtime) known(ctx context.Context, plan *dag.Plan) (map[string]stage.Result, error) {
	run := dag.NewRun(plan)
	found := map[string]stage.Result{}
	size := 0
	for {
		ready := run.Ready()
		if len(ready) == 0 {
			return found, nil
		}
		results, err := r.lookUpAll(ctx, run, ready)
		if err != nil {
			return nil, err
		}
		for i, id := range ready {
			if err := run.Started(id); err != nil {
				return nil, err
			}
			res := results[i]
			if res == nil || run.Node(id).Force {
				err = run.Failed(id, "not known")
			} else {
				data, _ := json.Marshal(res) // it came from JSON
				if size += len(data); size > knownLimit {
					return found, nil
				}
				found[res.Key] = *res
				err = run.Succeeded(id, *res)
			}
			if err != nil {
				return nil, err
			}
		}
	}
}

// lookUpAll returns the committed results of stages, nil where there is none.
func (r *Runtime) lookUpAll(ctx context.Context, run *dag.Run, ids []string) ([]*stage.Result, error) {
	results := make([]*stage.Result, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookUps)
	for i, id := range ids {
		q, err := run.Request(id, "")
		if err != nil {
			continue // an input that no stage made: the run says so
		}
		g.Go(func() error {
			c, found, err := readCommit(ctx, r.Store, q.Key)
			if found {
				c.Result.Cached = true
				results[i] = &c.Result
			}
			return err
		})
	}
	return results, g.Wait()
}

// lookUps is how many names are read at a time.
const lookUps = 32

// Resolve checks the parameters with which a person retries a stage: changes
// over those that it had.
func (r *Runtime) Resolve(_ context.Context, q stage.ResolveRequest) (json.RawMessage, error) {
	params := map[string]json.RawMessage{}
	for _, raw := range []json.RawMessage{q.Params, q.Change} {
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, failure(Invalid(fmt.Errorf("params: want a JSON object: %w", err)))
		}
		maps.Copy(params, m)
	}
	data, err := json.Marshal(params)
	if err != nil {
		return nil, failure(Invalid(err))
	}
	resolved, err := r.Kinds.Resolve(q.Kind, data)
	return resolved, failure(err)
}

// Publish writes a run's record and its lineage into the run folder.
func (r *Runtime) Publish(ctx context.Context, rec stage.RunRecord) error {
	defer r.alive(ctx)()
	name := func(file string) string { return artifact.RunName(rec.Pipeline, RunFolder(rec.Run), file) }
	events, err := openLineage(rec)
	if err == nil {
		err = writeName(ctx, r.Store, name("openlineage.jsonl"), events)
	}
	if err == nil {
		err = artifact.WriteJSON(ctx, r.Store, name("run.json"), rec)
	}
	return failure(err)
}
