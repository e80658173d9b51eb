package objective

import (
	"math"

	"tempera/training"
	"tempera/training/policy"
)

// stepSums are what losses saw; those of parts and of steps add up.
type stepSums struct {
	policy       policy.Sums
	value        float64 // the critic's loss, weighted like a mean of tokens
	valueClipped int
	missed       float64 // squared distance of values from returns
	drift        difference
	steps        int
}

func (s *stepSums) add(o stepSums) {
	s.policy.Add(o.policy)
	s.value += o.value
	s.valueClipped += o.valueClipped
	s.missed += o.missed
	s.drift.add(o.drift)
	s.steps += o.steps
}

// difference is how far numbers are apart.
type difference struct {
	sum, most float64
	count     int
}

func (d *difference) add(o difference) {
	d.sum, d.most, d.count = d.sum+o.sum, max(d.most, o.most), d.count+o.count
}

func (d difference) mean() float64 { return d.sum / float64(max(1, d.count)) }

func differ(a, b []float64) difference {
	d := difference{count: len(a)}
	for i, v := range a {
		x := math.Abs(v - b[i])
		d.sum, d.most = d.sum+x, max(d.most, x)
	}
	return d
}

// pick takes the elements at places; nil of nil.
func pick(from []float64, places []int) []float64 {
	if from == nil {
		return nil
	}
	out := make([]float64, len(places))
	for i, p := range places {
		out[i] = from[p]
	}
	return out
}

// loss is what the training graph asks the host about the micro-batch: in[0] has the log-probability and the entropy of each row, in[1] the value.
func (p *Policy) loss(in, grad [][]float64) float64 {
	m, it, o := p.micro, p.micro.it, p.options
	n := len(m.rows)
	t := policy.Tokens{
		LogProb: make([]float64, n), Entropy: make([]float64, n), Old: pick(it.old, m.places), Advantage: pick(it.advantages, m.places),
		Importance: pick(it.importance, m.places), Weight: m.weights,
	}
	for i, row := range m.rows {
		t.LogProb[i], t.Entropy[i] = in[0][2*row], in[0][2*row+1]
	}
	l := policy.Loss{Clip: o.Clip, Beta: it.beta, KL: o.KL, Entropy: o.Entropy}
	if !o.KLInReward {
		t.Reference = pick(it.reference, m.places)
	}
	dLogProb, dEntropy := make([]float64, n), make([]float64, n)
	m.sums = stepSums{policy: l.Gradient(t, dLogProb, dEntropy), drift: differ(t.LogProb, pick(it.sampled, m.places))}
	for i, row := range m.rows {
		grad[0][2*row], grad[0][2*row+1] = dLogProb[i], dEntropy[i]
	}
	loss := m.sums.policy.Loss
	if p.Critic == nil {
		return loss
	}
	old, returns := pick(it.values, m.places), pick(it.returns, m.places)
	for i, row := range m.rows {
		v := in[1][row]
		l, slope, clipped := policy.Value(v, old[i], returns[i], o.ValueClip)
		m.sums.value += m.means[i] * l
		m.sums.missed += (v - returns[i]) * (v - returns[i])
		grad[1][row] = o.ValueLoss * m.means[i] * slope
		if clipped {
			m.sums.valueClipped++
		}
	}
	return loss + o.ValueLoss*m.sums.value
}

// describe measures the rollouts: facts of all samples, also of those that nothing is learned from.
func (it *iteration) describe(o PolicyOptions, live int) {
	f := it.facts
	n, right, cut := 0.0, 0.0, 0.0
	squares, lengths := 0.0, [2]float64{}
	for _, g := range it.groups {
		for i, v := range g.Verdicts {
			n++
			f["reward"] += v.Reward
			squares += v.Reward * v.Reward
			for name, part := range v.Parts {
				f["reward_"+name] += part
			}
			length := float64(len(g.Samples[i].Tokens))
			if v.Right {
				right++
				lengths[1] += length
			} else {
				lengths[0] += length
			}
			if !g.Samples[i].Ended {
				cut++
			}
		}
	}
	for name := range f {
		switch name {
		case "seconds_rollout", "seconds_scoring":
		default:
			f[name] /= n
		}
	}
	f["reward_std"] = math.Sqrt(max(0, squares/n-f["reward"]*f["reward"]))
	f["samples"], f["pass_rate"], f["truncated"] = n, right/n, cut/n
	f["equal_groups"] = 1 - float64(live)/float64(len(it.groups))
	f["length"] = (lengths[0] + lengths[1]) / n
	if right > 0 {
		f["length_right"] = lengths[1] / right
	}
	if right < n {
		f["length_wrong"] = lengths[0] / (n - right)
	}
	if o.Rounds > 1 {
		f["rounds"] = float64(len(it.groups)) / float64(o.Prompts)
	}
}

// metrics are the facts of the iteration and the means of its steps so far. Seconds are the clock's; nothing depends on them.
func (it *iteration) metrics(o PolicyOptions) training.Metrics {
	m := training.Metrics{training.LossKey: 0}
	for k, v := range it.facts {
		m[k] = v
	}
	seconds := m["seconds_rollout"] + m["seconds_scoring"] + it.trained.Seconds()
	m["seconds_training"], m["samples_per_second"] = it.trained.Seconds(), m["samples"]/seconds
	m["drift_mean"], m["drift_max"] = it.drift.mean(), it.drift.most
	s := it.sums
	if s.steps == 0 {
		return m
	}
	steps, tokens := float64(s.steps), float64(s.policy.Tokens)
	m["policy_loss"] = s.policy.Loss / steps
	m[training.LossKey] = (s.policy.Loss + o.ValueLoss*s.value) / steps
	m["entropy"], m["clip_fraction"] = s.policy.Entropy/tokens, float64(s.policy.Clipped)/tokens
	m["moved"], m["ratio_max"] = s.policy.Moved/tokens, s.policy.MaxRatio
	if it.values != nil {
		m["value_loss"], m["value_clip_fraction"] = s.value/steps, float64(s.valueClipped)/tokens
		m["value_error"] = math.Sqrt(s.missed / tokens)
	}
	return m
}
