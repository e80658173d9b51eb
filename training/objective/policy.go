package objective

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/optim"
)

// Policy trains a language model, with or without eyes, on its own samples: PPO (Schulman et al. 2017), GRPO (Shao et al. 2024), Dr. GRPO (Liu et al. 2025), DAPO (Yu et al.
// 2025), RLOO (Ahmadian et al. 2024) and REINFORCE++ (Hu 2025) are settings of PolicyOptions. Deviations: GRPO's minibatches leave groups of equal
// rewards out where SkipEqual says so (their gradient is 0 without a divergence), and whitening is that of golden PPO, over all tokens.
//
// An iteration is Prompts groups of samples and the steps that learn from them. Its first step samples, judges and estimates advantages; the batch of
// a step is not used. Prompts and seeds are functions of the iteration, so that a run which begins one again gets the same bits.
//
// The old log-probabilities are those that the samples were drawn by. The first minibatch of an iteration compares them with the training graph's,
// which must be the same function of the weights: an iteration where they differ by more than MaxDrift on average is an error.
type Policy struct {
	PolicyParts
	options PolicyOptions
	graphs  policyGraphs
	load    *balancer
	state   optim.Tensor
	now     *iteration
	micro   *microBatch // that the graph's loss is of
}

// PolicyParts are what a policy learns with.
type PolicyParts struct {
	Model     *model.Model
	Reference *model.Model // is not trained; nil where no option needs it
	// Critic estimates values by its score head, for ByValues; it may be Model itself, and is nil otherwise. Its parameters are trained; their names
	// begin with critic.
	Critic  *model.Model
	Prompts Prompts
	Sampler Sampler
	Judge   Judge
	Warn    func(message string) // nil: nobody listens
	// Describe measures the samples of an iteration; nil: nothing more is.
	Describe func(groups []Group) map[string]float64
	// CriticRate is the critic's share of the learning rate; 0 means 1.
	CriticRate float64
}

var (
	_ training.Objective = (*Policy)(nil)
	_ training.Guarded   = (*Policy)(nil)
	_ training.Sized     = (*Policy)(nil)
	_ training.Rated     = (*Policy)(nil)
)

// criticPrefix keeps a critic's parameters apart from the policy's.
const criticPrefix = "critic."

// NewPolicy builds the objective on an lm or a vlm model.
func NewPolicy(parts PolicyParts, o PolicyOptions) (*Policy, error) {
	if err := errors.Join(o.Validate(), parts.validate(o)); err != nil {
		return nil, fmt.Errorf("policy objective: %w", err)
	}
	p := &Policy{PolicyParts: parts, options: o, load: newBalancer(parts.Model)}
	if c := p.Critic; c != nil && c != p.Model {
		for _, x := range c.Params() {
			x.Name = criticPrefix + x.Name
		}
	}
	p.graphs = newPolicyGraphs(p)
	g, err := p.graphs.training(p.largest(o.GraphTokens))
	if err != nil {
		return nil, fmt.Errorf("policy objective: %w", err)
	}
	trainOnly(p.Model, g)
	if p.Critic != nil {
		trainOnly(p.Critic, g)
	}
	v, err := device.FromFloats(p.Model.Backend(), []float32{0, float32(o.Beta)}, 2)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("policy objective: %w", err), p.Close())
	}
	p.state = optim.Tensor{Name: "policy", Value: v}
	return p, nil
}

func (parts PolicyParts) validate(o PolicyOptions) error {
	var faults []error
	fail := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	for name, m := range map[string]*model.Model{"policy": parts.Model, "reference": parts.Reference, "critic": parts.Critic} {
		if m == nil {
			continue
		}
		c, p := m.Config, parts.Model.Config
		fail(c.Kind != model.LM && c.Kind != model.VLM, "the %s is of kind %s: give an lm or a vlm model", name, c.Kind)
		err := SameSight(c, p)
		fail(err != nil, "the %s and the policy: %w", name, err)
		fail(c.Text.Vocab != p.Text.Vocab || c.Text.Context < p.Text.Context, "the %s has a vocabulary of %d and a context of %d, the policy %d and %d: give a model of the same tokenizer",
			name, c.Text.Vocab, c.Text.Context, p.Text.Vocab, p.Text.Context)
	}
	fail(parts.Reference == nil && o.Reference(), "a divergence from the reference is asked for, and there is no reference")
	fail(parts.Critic == nil && o.Advantage == ByValues, "advantages by values need a critic")
	fail(parts.Critic != nil && o.Advantage != ByValues, "there is a critic, and advantages are not by values")
	return errors.Join(faults...)
}

// Params is part of training.Objective.
func (p *Policy) Params() []*graph.Param {
	params := p.Model.Params()
	if p.Critic != nil && p.Critic != p.Model {
		params = append(params[:len(params):len(params)], p.Critic.Params()...)
	}
	return params
}

// State is part of training.Objective: iterations of equal rewards in a row, and beta.
func (p *Policy) State() []optim.Tensor { return []optim.Tensor{p.state} }

// Whole is part of training.Divided.
func (p *Policy) Whole(done int64) bool { return done%p.options.Steps() == 0 }

// Guards is part of training.Guarded: how far the policy is from the reference shows in what it samples.
func (p *Policy) Guards() bool { return p.options.MaxKL > 0 }

// Open is part of training.Guarded.
func (p *Policy) Open(step int64) error {
	number := step / p.options.Steps()
	p.now = nil
	it, err := p.begin(number)
	if err != nil {
		return fmt.Errorf("iteration %d: %w", number, err)
	}
	if most := p.options.MaxKL; most > 0 && !(it.kl <= most) {
		return fmt.Errorf("iteration %d: %w", number,
			&training.ExplodedError{What: "the divergence from the reference, in nats of a sample,", Value: it.kl, Limit: most})
	}
	p.now = it
	return nil
}

// Step is part of training.Objective. Metrics are means over the steps of the iteration so far; see policy_loss.go.
func (p *Policy) Step(step int64, _ *training.Batch) (training.Metrics, error) {
	number, k := step/p.options.Steps(), int(step%p.options.Steps())
	if k == 0 {
		if p.now == nil || p.now.number != number || p.now.learning {
			if err := p.Open(step); err != nil {
				return nil, err
			}
		}
		p.now.learning = true
		if err := p.Model.Backend().UploadFloats(p.state.Value, p.now.state); err != nil {
			return nil, err
		}
	}
	if p.now == nil || p.now.number != number {
		return nil, fmt.Errorf("step %d is not the first of iteration %d, and that has not begun", step, number)
	}
	it := p.now
	mini := it.minibatch(p.options, k)
	if len(mini.episodes) == 0 {
		return it.metrics(p.options), training.ErrIdle
	}
	if err := p.learn(it, mini, k); err != nil {
		return nil, fmt.Errorf("iteration %d: %w", number, err)
	}
	it.trained = time.Since(it.sampledAt)
	m := it.metrics(p.options)
	p.load.measure(m)
	return m, nil
}

// learn computes the gradient of a minibatch, part by part, and looks at how far the policy is.
func (p *Policy) learn(it *iteration, mini minibatch, k int) error {
	var s stepSums
	for _, part := range mini.parts(p.options) {
		m := p.lay(it, part)
		if err := p.run(m); err != nil {
			return err
		}
		s.add(m.sums)
	}
	s.steps = 1
	it.sums.add(s)
	if k == 0 && p.options.Importance == nil {
		it.drift = s.drift
	}
	if d := it.drift; d.mean() > p.options.MaxDrift && p.options.Importance == nil {
		return &training.FinalError{Err: fmt.Errorf("the training graph's log-probabilities differ from those of sampling by %.3g on average and %.3g at most, and may by %.3g on average: sampler and training do not compute the same model",
			d.mean(), d.most, p.options.MaxDrift)}
	}
	if moved := s.policy.Moved / float64(max(1, s.policy.Tokens)); !(moved <= p.options.MaxMoved) {
		return &training.ExplodedError{What: "the divergence from the policy that sampled, in nats of a token,", Value: moved, Limit: p.options.MaxMoved}
	}
	return nil
}

// RateShare is part of training.Rated.
func (p *Policy) RateShare(x *graph.Param) float64 {
	if p.CriticRate != 0 && strings.HasPrefix(x.Name, criticPrefix) {
		return p.CriticRate
	}
	return 1
}

// Updated is part of training.Objective: experts are balanced.
func (p *Policy) Updated(int64) error { return p.load.update() }

// Needs is part of training.Sized. batch is a number of samples.
func (p *Policy) Needs(batch int) (training.Needs, error) {
	g, err := p.graphs.training(p.largest(min(p.options.GraphTokens, batch*p.Model.Config.Text.Context)))
	if err != nil {
		return training.Needs{}, err
	}
	m := g.Memory()
	needs := training.Needs{Activations: m.Arena, Inputs: m.Inputs, Batch: int64(batch) * int64(p.Model.Config.Text.Context) * 8}
	if s, ok := p.Sampler.(Weighed); ok {
		needs.Sampling, needs.Sampler = s.Memory(), s.Held()
	}
	return needs, nil
}

// largest is the size of the graph that so many tokens take, with the most pictures that they show.
func (p *Policy) largest(tokens int) trainingKey {
	c := p.Model.Config
	if c.Kind != model.VLM {
		return trainingKey{tokens: roundTokens(tokens)}
	}
	return trainingKey{roundTokens(tokens), roundPictures(max(1, min(p.options.Prompts, tokens/c.ImageTokens())))}
}

// Close frees the graphs and the state. The parameters stay.
func (p *Policy) Close() error {
	err := p.graphs.close()
	if v := p.state.Value; v != nil {
		err = errors.Join(err, p.Model.Backend().Free(v.Buffer()))
	}
	return err
}
