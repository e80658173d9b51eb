package objective

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/policy"
)

// iteration is a batch of rollouts and what is learned from it. Arrays of tokens hold the learned ones of all episodes, one after the other.
type iteration struct {
	number   int64
	groups   []Group // all that were sampled
	episodes []episode
	spans    policy.Spans // of the episodes

	sampled, old, reference []float64 // log-probabilities; reference is nil where there is none
	values, returns         []float64 // of a critic
	importance              []float64
	advantages              []float64
	beta                    float64   // in the loss
	state                   []float32 // of the policy from its first step on
	learning                bool      // its first step has begun

	facts     training.Metrics
	kl        float64 // from the reference, nats of a sample
	sums      stepSums
	drift     difference
	sampledAt time.Time // when the rollouts and what is made of them were done
	trained   time.Duration
}

// episode is a sample that is learned from.
type episode struct {
	prompt Prompt
	sample *Sample
	reward float64
}

// rows is the number of tokens of an episode that pass the model.
func (e episode) rows() int { return len(e.prompt.Tokens) + len(e.sample.Tokens) - 1 }

// begin makes the rollouts of an iteration and estimates their advantages.
func (p *Policy) begin(number int64) (*iteration, error) {
	it := &iteration{number: number, facts: training.Metrics{}}
	learned, err := p.rollOut(it)
	if err != nil {
		return nil, err
	}
	state, err := device.ReadFloats(p.Model.Backend(), p.state.Value)
	if err != nil {
		return nil, err
	}
	if err := p.watchEqual(it, state); err != nil {
		return nil, err
	}
	it.beta = float64(state[1])
	began := time.Now()
	p.collect(it, learned)
	if err := p.judgeTokens(it); err != nil {
		return nil, err
	}
	p.estimate(it)
	it.facts["seconds_scoring"] += time.Since(began).Seconds()
	it.facts["kl"], it.facts["beta"] = it.kl, it.beta
	if it.reference == nil {
		delete(it.facts, "kl")
		delete(it.facts, "beta")
	}
	state[1] = float32(p.options.KLControl.Next(it.beta, it.kl, len(it.episodes)))
	it.state, it.sampledAt = state, time.Now()
	return it, nil
}

// rollOut samples and judges until there are groups to learn from, which it returns.
func (p *Policy) rollOut(it *iteration) ([]Group, error) {
	o := p.options
	var live []Group
	for round := range o.Rounds {
		began := time.Now()
		prompts, err := p.Prompts.Draw(it.number, round, o.Prompts)
		if err != nil {
			return nil, fmt.Errorf("choose prompts: %w", err)
		}
		for i := range prompts {
			prompts[i].Seed = PromptSeed(o.Seed, it.number, round*o.Prompts+i)
		}
		groups, err := p.Sampler.Sample(prompts, o.Group)
		if err != nil {
			return nil, fmt.Errorf("sample: %w", err)
		}
		it.facts["seconds_rollout"] += time.Since(began).Seconds()
		began = time.Now()
		if err := p.Judge.Judge(groups); err != nil {
			return nil, fmt.Errorf("judge the samples: %w", err)
		}
		it.facts["seconds_scoring"] += time.Since(began).Seconds()
		if err := p.check(groups); err != nil {
			return nil, err
		}
		it.groups = append(it.groups, groups...)
		for i, differs := range policy.Live(rewards(groups, o.Overlong), max(1, o.Group)) {
			if differs {
				live = append(live, groups[i])
			}
		}
		if len(live) >= o.Prompts {
			break
		}
	}
	it.describe(o, len(live))
	if p.Describe != nil {
		maps.Copy(it.facts, p.Describe(it.groups))
	}
	if o.Rounds > 1 || o.SkipEqual {
		return live[:min(len(live), o.Prompts)], nil
	}
	return it.groups, nil
}

// PromptSeed is the seed of the samples of an iteration's prompt, by its place.
func PromptSeed(seed uint64, iteration int64, place int) uint64 {
	return rand.New(rand.NewPCG(seed, uint64(iteration)<<32|uint64(place))).Uint64()
}

// check looks at what came from outside.
func (p *Policy) check(groups []Group) error {
	var faults []error
	text := p.Model.Config.Text
	for _, g := range groups {
		if len(g.Samples) != p.options.Group || len(g.Verdicts) != len(g.Samples) || len(g.Prompt.Tokens) == 0 {
			return fmt.Errorf("prompt %d has %d tokens, %d samples and %d verdicts, want %d samples and as many verdicts",
				g.Prompt.Index, len(g.Prompt.Tokens), len(g.Samples), len(g.Verdicts), p.options.Group)
		}
		if err := checkPictures(p.Model.Config, g.Prompt.Tokens, g.Prompt.Pictures); err != nil {
			faults = append(faults, fmt.Errorf("prompt %d: %w", g.Prompt.Index, err))
		}
		for i := range g.Samples {
			s := &g.Samples[i]
			switch {
			case s.learned() == 0 || len(s.LogProbs) != len(s.Tokens):
				faults = append(faults, fmt.Errorf("sample %d of prompt %d has %d tokens, %d of them the policy's, and %d log-probabilities", i, g.Prompt.Index, len(s.Tokens), s.learned(), len(s.LogProbs)))
			case len(g.Prompt.Tokens)+len(s.Tokens)-1 > text.Context:
				faults = append(faults, fmt.Errorf("sample %d of prompt %d has %d tokens with its prompt, the context is %d", i, g.Prompt.Index, len(g.Prompt.Tokens)+len(s.Tokens), text.Context))
			case math.IsNaN(g.Verdicts[i].Reward) || math.IsInf(g.Verdicts[i].Reward, 0):
				faults = append(faults, fmt.Errorf("the reward of sample %d of prompt %d is %v", i, g.Prompt.Index, g.Verdicts[i].Reward))
			}
			faults = append(faults, checkIDs(g.Prompt.Tokens, text.Vocab), checkIDs(s.Tokens, text.Vocab))
		}
	}
	return errors.Join(faults...)
}

// watchEqual counts iterations that have nothing to learn from, although not all is right.
func (p *Policy) watchEqual(it *iteration, state []float32) error {
	if it.facts["equal_groups"] < 1 || it.facts["pass_rate"] == 1 || p.options.Group < 2 {
		state[0] = 0
		return nil
	}
	state[0]++
	found := fmt.Sprintf("all %d groups of samples have equal rewards (%.3g on average, %.3g right)", len(it.groups), it.facts["reward"], it.facts["pass_rate"])
	if int(state[0]) >= p.options.EqualLimit {
		return &training.FinalError{Err: fmt.Errorf("%s, for %d iterations in a row: there is nothing to learn from; start from a model that is right sometimes, or give easier problems, more samples of each, or a reward with parts",
			found, int(state[0]))}
	}
	if p.Warn != nil {
		p.Warn(fmt.Sprintf("iteration %d: %s: nothing is learned from it", it.number, found))
	}
	return nil
}

// collect lists the episodes of groups.
func (p *Policy) collect(it *iteration, groups []Group) {
	all := rewards(groups, p.options.Overlong)
	for _, g := range groups {
		for k := range g.Samples {
			s := &g.Samples[k]
			it.episodes = append(it.episodes, episode{prompt: g.Prompt, sample: s, reward: all[len(it.episodes)]})
			for t, lp := range s.LogProbs {
				if !s.given(t) {
					it.sampled = append(it.sampled, float64(lp))
				}
			}
			it.spans = append(it.spans, len(it.sampled))
		}
	}
	it.old = it.sampled
}

// judgeTokens computes what frozen models, and the policy before its update, say about the tokens.
func (p *Policy) judgeTokens(it *iteration) error {
	want := scoring{reference: p.options.Reference(), values: p.Critic != nil, policy: p.options.Importance != nil}
	if want == (scoring{}) || len(it.episodes) == 0 {
		return nil
	}
	n := it.spans.Tokens()
	for _, x := range []struct {
		wanted bool
		to     *[]float64
	}{{want.reference, &it.reference}, {want.values, &it.values}, {want.policy, &it.old}} {
		if x.wanted {
			*x.to = make([]float64, n)
		}
	}
	all := minibatch{episodes: allOf(len(it.episodes)), it: it}
	for _, part := range all.parts(p.options) {
		if err := p.score(it, part, want); err != nil {
			return err
		}
	}
	if want.policy {
		it.importance = p.options.Importance.Weights(it.old, it.sampled)
		it.drift = differ(it.old, it.sampled)
	}
	if want.reference {
		for t, lp := range it.old {
			it.kl += (lp - it.reference[t]) / float64(len(it.episodes))
		}
	}
	return nil
}

func allOf(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// estimate sets the advantages of the tokens.
func (p *Policy) estimate(it *iteration) {
	o := p.options
	perToken := make([]float64, it.spans.Tokens()) // the divergence's part of the rewards
	if o.KLInReward && it.reference != nil {
		for t := range perToken {
			perToken[t] = -it.beta * (it.old[t] - it.reference[t])
		}
	}
	switch o.Advantage {
	case ByGroup:
		scores := make([]float64, len(it.episodes))
		for i, e := range it.episodes {
			scores[i] = e.reward
			for t, to := it.spans.Of(i); t < to; t++ {
				scores[i] += perToken[t]
			}
		}
		it.advantages = it.spans.Spread(o.Baseline.Advantages(scores, o.Group))
	default:
		for i, e := range it.episodes {
			_, end := it.spans.Of(i)
			perToken[end-1] += e.reward
		}
		it.advantages = o.GAE.Advantages(it.spans, perToken, it.values)
		if it.values != nil {
			it.returns = policy.Returns(it.advantages, it.values)
		}
	}
	if o.Whiten {
		policy.Whiten(it.advantages)
	}
}

// minibatch is some of an iteration's episodes, by number.
type minibatch struct {
	it       *iteration
	episodes []int
	weights  policy.Weighting
}

// minibatch is that of step k of the iteration. Epochs have orders of their own.
func (it *iteration) minibatch(o PolicyOptions, k int) minibatch {
	epoch, i := k/o.Minibatches, k%o.Minibatches
	n := len(it.episodes)
	order := rand.New(rand.NewPCG(o.Seed^0x5eed, uint64(it.number)<<16|uint64(epoch))).Perm(n)
	m := minibatch{it: it, episodes: order[i*n/o.Minibatches : (i+1)*n/o.Minibatches]}
	m.weights = policy.Weighting{By: o.Aggregation, Sequences: float64(len(m.episodes)), Length: float64(o.Length)}
	if o.SkipEqual { // those that were left out count, with a gradient of 0
		m.weights.Sequences = float64(o.Prompts*o.Group) / float64(o.Minibatches)
	}
	return m
}

// mostEpisodes bounds those that pass the model at a time.
const mostEpisodes = 256

// part is episodes of a minibatch that pass the model together, with the weights of their tokens.
type part struct {
	episodes []int
	weights  []float64
	means    []float64 // weights of the mean of the minibatch's tokens
}

// parts cuts a minibatch, in order, into as few as the tokens of a graph allow.
func (m minibatch) parts(o PolicyOptions) []part {
	var spans policy.Spans
	for _, e := range m.episodes {
		from, to := m.it.spans.Of(e)
		spans = append(spans, spans.Tokens()+to-from)
	}
	weights, means := m.weights.Weights(spans), policy.Weighting{By: policy.PerToken}.Weights(spans)
	var parts []part
	begin, rows := 0, 0
	cut := func(end int) {
		from, _ := spans.Of(begin)
		_, to := spans.Of(end - 1)
		parts = append(parts, part{slices.Clone(m.episodes[begin:end]), weights[from:to], means[from:to]})
		begin, rows = end, 0
	}
	for i, e := range m.episodes {
		n := m.it.episodes[e].rows()
		if i > begin && (rows+n > o.GraphTokens || i-begin == mostEpisodes) {
			cut(i)
		}
		rows += n
	}
	if begin < len(m.episodes) {
		cut(len(m.episodes))
	}
	return parts
}
