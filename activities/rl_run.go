package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/datagen/reward"
	"tempera/infra/artifact"
	"tempera/serving/generate"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/tokenizer"
)

// rlRun is one training of a policy, with all that it needs.
type rlRun struct {
	ctx       context.Context
	task      *Task
	params    rlParams
	options   objective.PolicyOptions
	policy    *model.Model
	objective *objective.Policy
	tokenizer artifact.File

	prompts *rlPrompts
	sampler *rlSampler
	judge   *rlJudge
	heldOut *rlHeldOut // nil: it is not measured on the way
	closers []func() error
}

// rlHeldOut is what a policy is measured on.
type rlHeldOut struct {
	prompts []objective.Prompt
	sampler *rlSampler
	judge   *rlJudge
}

// openRL reads the inputs and builds the training.
func openRL(ctx context.Context, t *Task, dev *compute, p rlParams) (_ *rlRun, err error) {
	r := &rlRun{ctx: ctx, task: t, params: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	source, _ := t.Input("model")
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return nil, err
	}
	if r.tokenizer, err = from.files.Find(tokenizerFile); err != nil {
		return nil, Invalid(err)
	}
	if k := from.weights.Config.Kind; k != model.LM {
		return nil, Invalid(fmt.Errorf("the model is of kind %s: give an lm model", k))
	}
	if r.policy, err = r.load(dev, from.weights, p.LoRA); err != nil {
		return nil, err
	}
	e, err := ChatEncoder(ctx, t.Store, from.files, from.weights.Config, chat.Options{})
	if err != nil {
		return nil, err
	}
	encoder := promptEncoder{prompt: givenBy(e), context: from.weights.Config.Text.Context, room: max(1, p.MaxTokens)}
	if r.prompts, err = openPrompts(ctx, t, "problems", encoder); err != nil {
		return nil, err
	}
	r.prompts.seed = p.Seed
	length := p.MaxTokens
	if length == 0 {
		length = encoder.context - r.prompts.longest()
	}
	if r.options, err = p.options(length); err != nil {
		return nil, Invalid(err)
	}
	if err := r.openRollouts(ctx, dev, from, r.prompts.rows); err != nil {
		return nil, err
	}
	if err := r.openHeldOut(ctx, encoder); err != nil {
		return nil, err
	}
	return r, r.openObjective(ctx, dev, from)
}

// load makes a model of weights, with low-rank changes if they are asked for.
func (r *rlRun) load(dev *compute, w *model.Weights, lora *model.LoRA) (*model.Model, error) {
	if lora != nil {
		c := w.Config
		c.LoRA = lora
		extended, err := w.Extend(c, r.params.Seed)
		if err != nil {
			return nil, Invalid(err)
		}
		w = extended
	}
	return model.Load(dev.backend, w)
}

// openRollouts makes what samples and judges.
func (r *rlRun) openRollouts(ctx context.Context, dev *compute, from *loadedModel, rows []*example.Example) error {
	tok, length := from.tokenizer, r.options.Length
	judge, err := r.openRewards(ctx, dev)
	if err != nil {
		return err
	}
	judge.rows, judge.decode, judge.length = rows, tok.Decode, length
	r.judge = judge
	_, settings, err := tokenizer.Load(manifestFS{ctx, r.task.Store, from.files})
	if err != nil {
		return Invalid(fmt.Errorf("the model's tokenizer: %w", err))
	}
	r.sampler, err = newRLSampler(ctx, dev, rlSampler{
		model: r.policy, rows: rows, encode: tok.Encode, decode: tok.Decode, stops: settings.Stop,
		search: generate.Search{Temperature: r.params.Temperature}, length: length,
	}, r.params.Rows)
	if err != nil {
		return Invalid(err)
	}
	return nil
}

// openRewards composes the rewards of the parameters and the reward model.
func (r *rlRun) openRewards(ctx context.Context, dev *compute) (*rlJudge, error) {
	j := &rlJudge{ctx: ctx, rewards: &reward.Rewards{}, weight: r.params.Judge, unfinished: r.params.Unfinished}
	if len(r.params.Rewards) > 0 {
		var err error
		if j.rewards, err = reward.Open(r.params.Rewards); err != nil {
			return nil, Invalid(err)
		}
	}
	a, ok := r.task.Input("reward_model")
	if !ok {
		if len(r.params.Rewards) == 0 {
			return nil, Invalid(errors.New("rewards is empty and there is no reward_model: give one of them"))
		}
		return j, nil
	}
	m, err := loadModel(ctx, r.task, a)
	if err != nil {
		return nil, err
	}
	if j.model, err = newRLRewardModel(dev, m.weights, r.policy.Config); err != nil {
		return nil, Invalid(err)
	}
	r.closers = append(r.closers, j.model.close)
	return j, nil
}

// openHeldOut reads the problems that the policy is measured on.
func (r *rlRun) openHeldOut(ctx context.Context, e promptEncoder) error {
	if _, ok := r.task.Input("held_out"); !ok {
		if r.params.Keep == "best" {
			return Invalid(errors.New("keep: best needs held_out: give that input"))
		}
		return nil
	}
	p, err := openPrompts(ctx, r.task, "held_out", e)
	if err != nil {
		return err
	}
	h := &rlHeldOut{prompts: p.first(r.params.EvaluateRows)}
	sampler, judge := *r.sampler, *r.judge
	sampler.rows, sampler.search = p.rows, generate.Search{}
	judge.rows = p.rows
	h.sampler, h.judge = &sampler, &judge
	r.heldOut = h
	return nil
}

// passKey is the share of held-out problems that are solved at the first try, greedily.
const passKey = "pass_at_1"

// evaluate is training.Evaluation.Run.
func (r *rlRun) evaluate(ctx context.Context) (training.Metrics, error) {
	h := r.heldOut
	h.sampler.ctx, h.judge.ctx = ctx, ctx
	groups, err := h.sampler.Sample(h.prompts, 1)
	if err != nil {
		return nil, err
	}
	if err := h.judge.Judge(groups); err != nil {
		return nil, err
	}
	m := training.Metrics{passKey: 0, "val_reward": 0, "val_length": 0}
	for _, g := range groups {
		v := g.Verdicts[0]
		if v.Right {
			m[passKey]++
		}
		m["val_reward"] += v.Reward
		m["val_length"] += float64(len(g.Samples[0].Tokens))
		for name, x := range v.Parts {
			m["val_"+name] += x
		}
	}
	for name := range m {
		m[name] /= float64(len(groups))
	}
	return m, nil
}

// openObjective builds what learns, with the models that are not the policy.
func (r *rlRun) openObjective(ctx context.Context, dev *compute, from *loadedModel) error {
	parts := objective.PolicyParts{
		Model: r.policy, Prompts: r.prompts, Sampler: r.sampler, Judge: r.judge,
		Warn:     func(message string) { r.task.Log.Warn(message) },
		Describe: r.judge.strategies,
	}
	o := r.options
	if o.Reference() {
		w, err := r.other(ctx, "reference", from)
		if err != nil {
			return err
		}
		if parts.Reference, err = model.Load(dev.backend, w); err != nil {
			return err
		}
	}
	if o.Advantage == objective.ByValues {
		w, err := r.other(ctx, "critic", from)
		if err != nil {
			return err
		}
		c := w.Config
		c.Score, c.LoRA = &model.Score{}, r.params.LoRA
		if w, err = w.Extend(c, r.params.Seed); err != nil {
			return Invalid(err)
		}
		if parts.Critic, err = model.Load(dev.backend, w); err != nil {
			return err
		}
		parts.CriticRate = r.params.CriticRate
	}
	var err error
	if r.objective, err = objective.NewPolicy(parts, o); err != nil {
		return Invalid(err)
	}
	r.closers = append(r.closers, r.objective.Close)
	return nil
}

// other is the weights of an optional input; those of the policy as it starts where it is absent.
func (r *rlRun) other(ctx context.Context, port string, from *loadedModel) (*model.Weights, error) {
	a, ok := r.task.Input(port)
	if !ok {
		return from.weights, nil
	}
	m, err := loadModel(ctx, r.task, a)
	if err != nil {
		return nil, err
	}
	return m.weights, nil
}

// finish publishes the last samples and what the training found.
func (r *rlRun) finish(result training.Result) error {
	t, p := r.task, r.params
	prompts, err := r.prompts.Draw(p.Iterations, 0, p.Prompts)
	if err != nil {
		return err
	}
	for i := range prompts {
		prompts[i].Seed = objective.PromptSeed(p.Seed, p.Iterations, i)
	}
	groups, err := r.sampler.Sample(prompts, p.Group)
	if err != nil {
		return err
	}
	if err := r.judge.Judge(groups); err != nil {
		return err
	}
	samples, err := saveSamples(r.ctx, t, r.judge, groups)
	if err != nil {
		return err
	}
	t.Output("samples", samples)
	for _, name := range shownRL() {
		if v, ok := result.Metrics[name]; ok {
			t.Metric(name, v)
		}
	}
	found := result.Latest
	if p.Keep == "best" {
		found = result.Best
		t.Metric("best_iteration", float64(result.BestStep/r.options.Steps()))
	}
	for name, v := range found {
		t.Metric(name, v)
	}
	t.Metric("iterations", float64(p.Iterations))
	if result.Retreat != nil {
		t.Metric("retreats", 1)
		t.Log.Warn("the training went back once", "why", result.Retreat.String())
	}
	return nil
}

// shownRL are the measurements of the last iteration that become the stage's.
func shownRL() []string {
	return []string{"reward", "pass_rate", "equal_groups", "entropy", "kl", "length", "length_right", "length_wrong", "truncated", "clip_fraction", "drift_max"}
}

func (r *rlRun) close() error {
	var errs []error
	for _, c := range slices.Backward(r.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
