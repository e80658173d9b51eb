package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"tempera/datagen/chat"
	"tempera/datagen/reward"
	"tempera/infra/artifact"
	"tempera/serving/generate"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/policy"
	"tempera/training/tokenizer"
)

// rlRun is one training of a policy, with all that it needs.
type rlRun struct {
	task      *Task
	params    rlParams
	options   objective.PolicyOptions
	policy    *model.Model
	eye       *eye // nil: the policy sees nothing
	objective *objective.Policy
	tokenizer artifact.File

	prompts *rlPrompts // nil: the samples are given
	given   *rlGiven   // nil: it samples itself
	sampler *rlSampler
	judge   *rlJudge
	heldOut *rlHeldOut   // nil: it is not measured on the way
	state   artifact.Ref // of a chain, after the last step
	closers []func() error
}

// rlHeldOut is what a policy is measured on.
type rlHeldOut struct {
	prompts []objective.Prompt
	sampler *rlSampler
	judge   *rlJudge
}

// rlPictures is how many pictures a policy looks at together where it samples.
const rlPictures = 16

// openRL reads the inputs and builds the training.
func openRL(ctx context.Context, t *Task, dev *compute, p rlParams) (_ *rlRun, err error) {
	r := &rlRun{task: t, params: p}
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
	if err := textModel(from.weights.Config); err != nil {
		return nil, err
	}
	if r.policy, err = r.load(dev, from.weights, p.LoRA); err != nil {
		return nil, err
	}
	e, err := ChatEncoder(ctx, t.Store, from.files, from.weights.Config, chat.Options{})
	if err != nil {
		return nil, err
	}
	if r.eye, err = newEye(r.policy, rlPictures); err != nil {
		return nil, Invalid(err)
	}
	r.closers = append(r.closers, r.eye.close)
	encoder := promptEncoder{prompt: givenBy(e), retina: r.eye.sight(), context: from.weights.Config.Text.Context, room: max(1, p.MaxTokens)}
	if err := r.openData(ctx, dev, from, encoder); err != nil {
		return nil, err
	}
	if err := r.openHeldOut(ctx, encoder); err != nil {
		return nil, err
	}
	return r, r.openObjective(ctx, dev, from)
}

// openData reads what is learned from, problems or samples of them, and makes what samples and judges.
func (r *rlRun) openData(ctx context.Context, dev *compute, from *loadedModel, e promptEncoder) (err error) {
	t, p := r.task, r.params
	_, asked := t.Input("problems")
	_, given := t.Input("from")
	if asked == given {
		return Invalid(errors.New("inputs problems and from: give one of them"))
	}
	if r.judge, err = r.openRewards(ctx, dev); err != nil {
		return err
	}
	length := p.MaxTokens
	if asked {
		if r.prompts, err = openPrompts(ctx, t, "problems", e); err != nil {
			return err
		}
		r.prompts.seed, r.judge.rows = p.Seed, r.prompts.rows
		if length == 0 {
			length = e.context - r.prompts.longest()
		}
	} else {
		if r.given, err = openGiven(ctx, t, r.judge, givenOptions{p.Group, e.retina}); err != nil {
			return err
		}
		length = cmp.Or(length, e.context)
	}
	if r.options, err = p.options(length); err != nil {
		return Invalid(err)
	}
	if given {
		r.options.Prompts, r.options.Rounds = len(r.given.groups), 1
		if r.options.Importance == nil {
			r.options.Importance = &policy.Importance{Most: 2}
		}
	}
	return r.openSampler(ctx, dev, from)
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
	m, err := model.Load(dev.backend, w)
	if err != nil {
		return nil, err
	}
	return m, Invalid(m.Freeze(r.params.Freeze...))
}

// openSampler makes what writes, and lets the judge read it.
func (r *rlRun) openSampler(ctx context.Context, dev *compute, from *loadedModel) error {
	tok, length := from.tokenizer, r.options.Length
	r.judge.decode, r.judge.length = tok.Decode, length
	_, settings, err := tokenizer.Load(manifestFS{ctx, r.task.Store, from.files})
	if err != nil {
		return Invalid(fmt.Errorf("the model's tokenizer: %w", err))
	}
	r.sampler, err = newRLSampler(ctx, dev, rlSampler{
		model: r.policy, eye: r.eye, rows: r.judge.rows, encode: tok.Encode, decode: tok.Decode, stops: settings.Stop,
		search: generate.Search{Temperature: r.params.Temperature}, length: length,
	}, r.params.Rows)
	if err != nil {
		return Invalid(err)
	}
	r.closers = append(r.closers, r.sampler.generator.Close)
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
		r.closers = append(r.closers, j.rewards.Close)
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
	h := &rlHeldOut{}
	if h.prompts, err = p.first(r.params.EvaluateRows); err != nil {
		return err
	}
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
	if r.given != nil {
		parts.Prompts, parts.Sampler, parts.Judge = r.given, r.given, r.given
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
		if parts.Critic, err = r.critic(dev, w); err != nil {
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

// critic makes a critic of weights. A head that is new begins with values of 0.
func (r *rlRun) critic(dev *compute, w *model.Weights) (*model.Model, error) {
	head := w.Config.Score != nil && w.Config.Score.Heads()
	c := w.Config
	c.Score, c.LoRA = &model.Score{}, r.params.LoRA
	w, err := w.Extend(c, r.params.Seed)
	if err != nil {
		return nil, Invalid(err)
	}
	m, err := model.Load(dev.backend, w)
	if err == nil && !head {
		dev.backend.Zero(m.Param("score.weight").Value)
	}
	return m, err
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

// saveSamples publishes what the policy writes after the last step.
func (r *rlRun) saveSamples(ctx context.Context) error {
	p := r.params
	prompts, err := r.prompts.Draw(p.Iterations, 0, p.Prompts)
	if err != nil {
		return err
	}
	for i := range prompts {
		prompts[i].Seed = objective.PromptSeed(p.Seed, p.Iterations, i)
	}
	groups, err := r.sampler.Sample(prompts, p.Group)
	if err == nil {
		err = r.judge.Judge(groups)
	}
	if err != nil {
		return err
	}
	samples, err := storeSamples(ctx, r.task, r.judge, groups)
	if err != nil {
		return err
	}
	r.task.Output("samples", samples)
	return nil
}

// report puts what the training found into the result of the stage.
func (r *rlRun) report(result training.Result) {
	t, p := r.task, r.params
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
	t.Metric("iterations", float64(result.Steps/r.options.Steps()))
	if result.Retreat != nil {
		t.Metric("retreats", 1)
		t.Log.Warn("the training went back once", "why", result.Retreat.String())
	}
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
