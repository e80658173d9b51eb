package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tempera/infra/artifact"
	"tempera/training"
	"tempera/workflows/stage"
)

// replicaParams are those of one replica in one round of a training by several.
type replicaParams struct {
	fitParams
	Replicas   int64 `json:"replicas" doc:"Trainings side by side: of every so many batches, each replica sees another one." min:"1"`
	Replica    int64 `json:"replica" doc:"Which of them, from 0." min:"0"`
	LocalSteps int64 `json:"local_steps" doc:"Steps of a round; steps, of the whole training, is a multiple of it." min:"1"`
	Round      int64 `json:"round" doc:"Which round, from 0." min:"0"`
}

// Validate reports what no single field shows.
func (p replicaParams) Validate() error {
	faults := []error{p.fitParams.Validate()}
	for _, f := range []struct {
		wrong bool
		fault error
	}{
		{p.Replica >= p.Replicas, fmt.Errorf("replica is %d of %d: they count from 0", p.Replica, p.Replicas)},
		{p.Steps%max(1, p.LocalSteps) != 0, fmt.Errorf("steps is %d, no multiple of local_steps (%d): change one of them", p.Steps, p.LocalSteps)},
		{p.Round*p.LocalSteps >= p.Steps, fmt.Errorf("round is %d, and %d steps have %d rounds of %d: they count from 0", p.Round, p.Steps, p.Steps/max(1, p.LocalSteps), p.LocalSteps)},
		{p.Minutes > 0, errors.New("minutes: the replicas of a round take equal steps: give steps")},
		{len(p.Stages) > 0, errors.New("stages: a replica has no curriculum: leave it out")},
		{p.Spike != nil, errors.New("spike: a replica that left batches out would see those of another one: leave it out")},
		{p.Patience > 0 || p.Keep == "best", errors.New("patience and keep: a replica is not measured, the mean of a round is: leave them out")},
	} {
		if f.wrong {
			faults = append(faults, f.fault)
		}
	}
	return errors.Join(faults...)
}

// trainReplica trains a model for the local steps of one replica in one round of
// DiLoCo (Douillard et al. 2023). Rounds share the schedule of the learning rate;
// moments go from round to round and are never averaged.
func trainReplica() Kind {
	p := replicaParams{fitParams: defaultFit(), Replicas: 1, LocalSteps: 50}
	p.Objective = lmGoalName
	return define(stage.Descriptor{
		Name: "train_replica", Version: 1, Queue: stage.CPU,
		Headline: []string{"loss", "tokens"},
		Summary:  "Train one of several replicas of a model for a round of local steps",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "What all replicas of the round start from."},
			{Name: "data", Type: dataTypes, Many: true, Doc: "Pairs, or of lm tokens: those of all replicas."},
			{Name: "state", Type: artifact.TypeState, Optional: true, Doc: "What the replica ended the round before with; absent in round 0."},
		},
		Outputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "The replica's model."},
			{Name: "state", Type: artifact.TypeState, Doc: "Moments of its optimiser, for the next round."},
		},
	}, p, runTrainReplica)
}

// replicaMeta is the Meta of a replica's state: which one it is, and what it made of what.
type replicaMeta struct {
	Round    int64           `json:"round"`
	Replica  int64           `json:"replica"`
	Replicas int64           `json:"replicas"`
	Steps    int64           `json:"steps"` // that the training has done
	Start    artifact.Digest `json:"start"` // the model that the round began with
	Model    artifact.Digest `json:"model"` // the replica's own
	Loss     float64         `json:"loss"`  // mean over the round
	Tokens   float64         `json:"tokens"`
}

func runTrainReplica(ctx context.Context, t *Task, p replicaParams) (err error) {
	j, release, err := goOn(ctx, t, p.fitParams)
	if err != nil {
		return err
	}
	defer release()
	l, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	p.share(l)
	c := course{t, p.loopParams, j.model, l}
	loop, err := c.loop()
	if err != nil {
		return err
	}
	r := &replica{task: t, params: p}
	if err := r.leg(ctx, loop); err != nil {
		return err
	}
	result, err := loop.Run(ctx)
	if err != nil {
		return trainingError(err)
	}
	out, err := j.publish(ctx)
	if err != nil {
		return err
	}
	c.report(result)
	t.Metric(training.LossKey, result.Loss)
	t.Metric(training.TokensKey, result.Tokens)
	return r.publish(ctx, out, result)
}

// share leaves the replica its part of the lesson's batches: of the order of a
// single training, every batch goes to one replica.
func (p replicaParams) share(l *lesson) {
	all, epochs := l.batches, l.epochs
	l.batches = func(step int64, b *training.Batch) error { return all(step*p.Replicas+p.Replica, b) }
	l.epochs = func(steps int64) []float64 { return epochs(steps * p.Replicas) }
}

// replica is one execution.
type replica struct {
	task   *Task
	params replicaParams
	state  artifact.Ref // what the loop ended with
}

// replicaChain is the digest of the states of all replicas, which hand them on.
const replicaChain = "replicas of a training in rounds"

// leg makes the loop the replica's steps of the round.
func (r *replica) leg(ctx context.Context, loop *training.Loop) error {
	p := r.params
	loop.Config.Schedule.Steps = p.Steps
	loop.Config.Steps = (p.Round + 1) * p.LocalSteps
	loop.Carry = &training.Carry{From: p.Round * p.LocalSteps, Digest: replicaChain, Give: r.keep}
	a, ok := r.task.Input("state")
	switch {
	case !ok && p.Round > 0:
		return Invalid(fmt.Errorf("round is %d and there is no state: give that of round %d", p.Round, p.Round-1))
	case !ok:
		return nil
	}
	m, meta, err := replicaState(ctx, r.task.Store, a)
	if err != nil {
		return err
	}
	if meta.Round != p.Round-1 || meta.Replica != p.Replica || meta.Replicas != p.Replicas || meta.Steps != loop.Carry.From {
		return Invalid(fmt.Errorf("the state is that of replica %d of %d after round %d and %d steps; this is replica %d of %d in round %d, which begins with step %d",
			meta.Replica, meta.Replicas, meta.Round, meta.Steps, p.Replica, p.Replicas, p.Round, loop.Carry.From))
	}
	f, err := m.Find(stateFile)
	if err != nil {
		return Invalid(err)
	}
	loop.Carry.Take = func(ctx context.Context, read func(io.Reader) error) (err error) {
		src, err := r.task.Store.Open(ctx, f.Digest)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, src.Close()) }()
		return read(src)
	}
	return nil
}

// replicaState reads the manifest of a replica's state.
func replicaState(ctx context.Context, s artifact.Blobs, a artifact.Artifact) (*artifact.Manifest, replicaMeta, error) {
	var meta replicaMeta
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return nil, meta, err
	}
	if err := json.Unmarshal(m.Meta, &meta); err != nil || meta.Replicas == 0 {
		return nil, meta, Invalid(fmt.Errorf("state %s is not that of a replica: give one of the kind train_replica", a.Digest.Short()))
	}
	return m, meta, nil
}

// keep stores the moments.
func (r *replica) keep(ctx context.Context, write func(io.Writer) error) (err error) {
	r.state, err = putStream(ctx, r.task.Store, write)
	return err
}

// publish makes the state that goes with the replica's model an output.
func (r *replica) publish(ctx context.Context, model artifact.Artifact, found training.Result) error {
	start, _ := r.task.Input("model")
	p := r.params
	a, err := putState(ctx, r.task.Store, replicaMeta{
		Round: p.Round, Replica: p.Replica, Replicas: p.Replicas, Steps: found.Steps,
		Start: start.Digest, Model: model.Digest, Loss: found.Loss, Tokens: found.Tokens,
	}, artifact.File{Path: stateFile, Ref: r.state})
	if err != nil {
		return err
	}
	r.task.Output("state", a)
	return nil
}

// putState stores a state of files and of what it goes with.
func putState(ctx context.Context, s artifact.Blobs, meta any, files ...artifact.File) (artifact.Artifact, error) {
	raw, err := json.Marshal(meta)
	if err != nil {
		return artifact.Artifact{}, err
	}
	return artifact.PutManifest(ctx, s, &artifact.Manifest{Type: artifact.TypeState, Files: files, Meta: raw})
}
