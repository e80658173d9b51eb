package workflows

import (
	"errors"
	"fmt"

	"tempera/workflows/dag"
)

// PostRollouts spreads the samples of reinforcement over the workers of a queue.
type PostRollouts struct {
	Shards    int `json:"shards" doc:"Parts that the problems of an iteration are sampled in, at the same time where there are as many workers." min:"1"`
	Staleness int `json:"staleness" doc:"Iterations that the sampling policy may be behind the one that learns. 0 samples from the newest; with 1 the workers sample while the iteration before is learned from, and what that costs is corrected by importance." min:"0" max:"8"`
}

// faults are those of rollouts that are spread.
func (r PostRL) faults(name string) error {
	if r.Rollouts == nil {
		return nil
	}
	var faults []error
	if n := r.Rollouts.Shards; n < 1 || n > r.Prompts {
		faults = append(faults, fmt.Errorf("%s.rollouts.shards is %d: give 1 to the %d prompts of an iteration", name, n, r.Prompts))
	}
	if r.More["keep"] == "best" {
		faults = append(faults, fmt.Errorf("%s.more.keep is best, and with rollouts each iteration is a stage that hands its last parameters on: leave it out", name))
	}
	return errors.Join(faults...)
}

// spread adds a training by reinforcement whose iterations are stages: the problems are drawn, workers sample shards of them, and a step learns from the
// samples. It returns the last model.
func (c *chain) spread(id string, t taught, r PostRL) string {
	rewards := r.Rewards
	if rewards == nil {
		rewards = []PostReward{{Reward: "accuracy", Weight: 1}, {Reward: "format", Weight: 0.1}}
	}
	models, state, stages := []string{t.model}, "", []string{}
	for k := range r.Iterations {
		name := func(what string) string { return fmt.Sprintf("%s_%s%d", id, what, k) }
		problems := c.add(name("draw"), "draw", inputs{"model": {t.model}, "problems": t.problems}, params{
			"iteration": k, "prompts": r.Prompts, "shards": r.Rollouts.Shards, "seed": c.Seed,
		}.with(r.pick("max_tokens"))) + ".examples"
		sampler := models[max(0, k-r.Rollouts.Staleness)]
		samples := c.add(name("rollout"), "rollout", inputs{"model": {sampler}, "data": {problems}}, params{
			"samples": r.Group, "record": true, "rewards": rewards, "seed": c.Seed*r.Iterations + k, "max_tokens": mostTokens, "batch": 256,
		}.with(r.pick("max_tokens", "temperature"))) + ".examples"
		c.last().Map = &dag.Map{Window: r.Rollouts.Shards}
		in := inputs{"model": {models[k]}, "from": {samples}, "reference": {t.model}, "held_out": {t.test}}
		if state != "" {
			in["state"] = dag.Inputs{state}
		}
		if t.judge != "" {
			in["reward_model"] = dag.Inputs{t.judge}
		}
		step := c.add(name(""), "rl", in, r.params(c.PostCommon).with(params{"iteration": k}))
		models, state, stages = append(models, step+".model"), step+".state", append(stages, step)
	}
	if c.suffix == "" { // the report draws those of the first repetition
		c.joined = append(c.joined, params{"name": id, "stages": stages})
	}
	return models[r.Iterations]
}

// mostTokens leaves the length of a sample to the context.
const mostTokens = 1 << 20

// pick are some of the other parameters of the kind rl, where they are given; 0 is left to the kind.
func (r PostRL) pick(names ...string) params {
	p := params{}
	for _, name := range names {
		if v, ok := r.More[name]; ok && v != 0 && v != 0.0 {
			p[name] = v
		}
	}
	return p
}
