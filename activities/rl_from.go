package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/objective"
)

// rlGiven is one iteration of samples that other stages drew and judged: prompts, sampler and judge of a training that samples nothing itself.
type rlGiven struct {
	groups []objective.Group
	judge  *rlJudge
}

// givenOptions say what is read of samples.
type givenOptions struct {
	size   int     // of a group
	retina *retina // nil: the model sees nothing
}

// openGiven reads the samples of the port from. Groups of another size than most, of which samples are missing, are left out and counted, as are rows
// without what was drawn.
func openGiven(ctx context.Context, t *Task, j *rlJudge, o givenOptions) (*rlGiven, error) {
	g := &rlGiven{judge: j}
	places := map[string]int{}
	_, err := takeRows(ctx, t, "from", func(_ int, x *example.Example) error {
		d := x.Drawn
		if d == nil || x.Score == nil {
			return fmt.Errorf("row %s does not say what was drawn, or has no score: sample with the kind rollout and record: true", x.ID)
		}
		if err := o.retina.check(x); err != nil {
			return err
		}
		at, seen := places[d.Group]
		if !seen {
			pictures, err := o.retina.read(x.Pictures)
			if err != nil {
				return err
			}
			at = len(g.groups)
			places[d.Group] = at
			g.groups = append(g.groups, objective.Group{Prompt: objective.Prompt{Index: at, Tokens: d.Prompt, Pictures: pictures}})
			j.rows = append(j.rows, x)
		}
		group := &g.groups[at]
		group.Samples = append(group.Samples, objective.Sample{Tokens: d.Tokens, LogProbs: d.LogProbs, Given: d.Given, Ended: d.Ended})
		group.Verdicts = append(group.Verdicts, objective.Verdict{Reward: *x.Score, Parts: x.Rewards})
		return nil
	})
	if err != nil {
		return nil, err
	}
	whole := g.groups[:0]
	for _, group := range g.groups {
		if len(group.Samples) == o.size {
			whole = append(whole, group)
		}
	}
	if n := len(g.groups) - len(whole); n > 0 {
		t.Metric("groups_left_out", float64(n))
		t.Log.Warn("groups of samples are left out: they have another size", "groups", n, "size", o.size)
	}
	g.groups = whole
	if len(whole) == 0 {
		return nil, Invalid(fmt.Errorf("input from has no group of %d samples: set group to the number that was drawn of each prompt", o.size))
	}
	return g, nil
}

// Draw is part of objective.Prompts.
func (g *rlGiven) Draw(int64, int, int) ([]objective.Prompt, error) {
	out := make([]objective.Prompt, len(g.groups))
	for i, group := range g.groups {
		out[i] = group.Prompt
	}
	return out, nil
}

// Sample is part of objective.Sampler.
func (g *rlGiven) Sample([]objective.Prompt, int) ([]objective.Group, error) { return g.groups, nil }

// Judge is part of objective.Judge: samples have their rewards, to which a reward model adds its own.
func (g *rlGiven) Judge(groups []objective.Group) error {
	for _, group := range groups {
		for i := range group.Samples {
			v := &group.Verdicts[i]
			v.Right = right(g.judge.sample(group, i), v.Parts)
			if v.Parts == nil {
				v.Parts = map[string]float64{}
			}
		}
	}
	return g.judge.judgeByModel(groups)
}

// stateFile is the checkpoint of a state artifact.
const stateFile = "state.safetensors"

// rlStateMeta is the Meta of a state: what it goes with.
type rlStateMeta struct {
	Model     artifact.Digest `json:"model"`
	Iteration int64           `json:"iteration"` // that has been done
}

// carried are checkpoints of a stage that begins with the state that another one ended with.
type carried struct {
	Checkpoints
	open func(ctx context.Context) (io.ReadCloser, error)
}

// Load implements Checkpoints: the stage's own come first.
func (c carried) Load(ctx context.Context, read func(step int64, r io.Reader) error) (_ bool, err error) {
	found, err := c.Checkpoints.Load(ctx, read)
	if found || err != nil {
		return found, err
	}
	r, err := c.open(ctx)
	if err != nil {
		return false, fmt.Errorf("state of the iteration before: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return true, read(0, r)
}

// chainDigest is that of the checkpoints of all stages of a chain, which hand their state on.
const chainDigest = "a chain of rl from samples"

// chain makes the loop one iteration of a training whose iterations are stages: it begins with the state of the one before.
func (r *rlRun) chain(ctx context.Context, loop *training.Loop) error {
	t, p, steps := r.task, r.params, r.options.Steps()
	loop.Config.Steps, loop.Config.Schedule.Steps, loop.Config.Digest = (p.Iteration+1)*steps, p.Iterations*steps, chainDigest
	loop.Final = r.keepState
	a, ok := t.Input("state")
	if !ok {
		if p.Iteration > 0 {
			return Invalid(fmt.Errorf("iteration is %d and there is no state: give that of iteration %d", p.Iteration, p.Iteration-1))
		}
		return nil
	}
	m, err := artifact.LoadManifest(ctx, t.Store, a)
	if err != nil {
		return err
	}
	var meta rlStateMeta
	if err := json.Unmarshal(m.Meta, &meta); err != nil {
		return Invalid(fmt.Errorf("state %s: facts: %w", a.Digest.Short(), err))
	}
	source, _ := t.Input("model")
	if meta.Model != source.Digest || meta.Iteration != p.Iteration-1 {
		return Invalid(fmt.Errorf("the state is that of model %s after iteration %d; this is iteration %d of model %s: give the model and the state of one stage",
			meta.Model.Short(), meta.Iteration, p.Iteration, source.Digest.Short()))
	}
	f, err := m.Find(stateFile)
	if err != nil {
		return Invalid(err)
	}
	loop.Checkpoints = carried{t.Checkpoints, func(ctx context.Context) (io.ReadCloser, error) { return t.Store.Open(ctx, f.Digest) }}
	return nil
}

// keepState stores what the next iteration begins with.
func (r *rlRun) keepState(ctx context.Context, write func(io.Writer) error) (err error) {
	r.state, err = putStream(ctx, r.task.Store, write)
	return err
}

// saveState publishes the state that goes with a model.
func (r *rlRun) saveState(ctx context.Context, model artifact.Artifact) error {
	a, err := putState(ctx, r.task.Store, rlStateMeta{Model: model.Digest, Iteration: r.params.Iteration}, artifact.File{Path: stateFile, Ref: r.state})
	if err != nil {
		return err
	}
	r.task.Output("state", a)
	return nil
}
