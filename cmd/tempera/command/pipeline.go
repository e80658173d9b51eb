package command

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"go.temporal.io/sdk/client"

	"tempera/workflows"
	"tempera/workflows/dag"
)

// fromFile makes a job of a run file.
func (in input) fromFile(a *app, data []byte, settings []setting) (job, error) {
	file, err := dag.ParseFile(data)
	if err != nil {
		return job{}, wrong(fmt.Errorf("%s: %w", in.target, err))
	}
	if file.Run != nil {
		params := map[string]any{}
		if len(file.Run.Params) > 0 {
			if params, err = decodeObject(file.Run.Params); err != nil {
				return job{}, wrong(fmt.Errorf("%s: params: %w", in.target, err))
			}
		}
		return in.named(a, file.Run.Workflow, params, settings)
	}
	if in.params != "" {
		return job{}, wrong(fmt.Errorf("%s is a file of stages: use --set <stage>.<key>=value instead of --params", in.target))
	}
	for _, s := range settings {
		if err := s.applyToSpec(file.Spec); err != nil {
			return job{}, err
		}
	}
	if err := dag.Check(file.Spec, catalog()); err != nil {
		return job{}, wrong(fmt.Errorf("%s: %w", in.target, err))
	}
	if in.force {
		return in.forced(file.Spec)
	}
	return pipelineJob(file.Spec, in.name)
}

// named makes a job of a named workflow with parameters and --params and --set
// over them.
func (in input) named(a *app, name string, params map[string]any, settings []setting) (job, error) {
	n, err := workflows.Find(name)
	if err != nil && name != workflows.PipelineName {
		return job{}, wrong(err)
	}
	more, err := a.readObject(in.params)
	if err != nil {
		return job{}, err
	}
	maps.Copy(params, more)
	for _, s := range settings {
		if err := s.apply(params); err != nil {
			return job{}, err
		}
	}
	data, err := json.Marshal(params)
	if err != nil {
		return job{}, wrong(err)
	}
	if name == workflows.PipelineName {
		return in.pipeline(data)
	}
	spec, err := n.Spec(data)
	if err != nil {
		return job{}, wrong(err)
	}
	if err := dag.Check(spec, catalog()); err != nil {
		return job{}, wrong(fmt.Errorf("%s: %w", name, err))
	}
	if in.force { // the workflow's parameters cannot say it; its spec can
		return in.forced(spec)
	}
	return job{workflow: name, params: data, pipeline: spec.Name, name: in.name}, nil
}

// pipeline makes a job of a spec that was given as parameters; {} is the
// demonstration.
func (in input) pipeline(data json.RawMessage) (job, error) {
	if string(data) == "{}" {
		return job{workflow: workflows.PipelineName, params: data, pipeline: "demo", name: in.name}, nil
	}
	spec, err := dag.Parse(data)
	if err == nil {
		err = dag.Check(spec, catalog())
	}
	if err != nil {
		return job{}, wrong(err)
	}
	if in.force {
		return in.forced(spec)
	}
	return pipelineJob(spec, in.name)
}

// forced makes every stage of the spec run.
func (in input) forced(spec *dag.Spec) (job, error) {
	for i := range spec.Stages {
		spec.Stages[i].Force = true
	}
	return pipelineJob(spec, in.name)
}

// pipelineJob makes a job of a checked spec.
func pipelineJob(spec *dag.Spec, name string) (job, error) {
	data, err := json.Marshal(spec)
	if err != nil {
		return job{}, wrong(fmt.Errorf("pipeline %s: %w", spec.Name, err))
	}
	return job{workflow: workflows.PipelineName, params: data, pipeline: spec.Name, name: name}, nil
}

// queryRun asks a run how it stands. A worker must be there to answer.
func queryRun(ctx context.Context, c client.Client, id string) (*dag.Run, error) {
	v, err := c.QueryWorkflow(ctx, id, "", workflows.QueryStatus)
	if err != nil {
		return nil, err
	}
	run := new(dag.Run)
	if err := v.Get(run); err != nil {
		return nil, fmt.Errorf("state of run %s: %w", id, err)
	}
	return run, nil
}
