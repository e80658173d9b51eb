package workflows

import (
	"errors"
	"maps"

	"tempera/workflows/dag"
)

// PPOParams are the parameters of the workflow PPO. Defaults come from PPODefaults, and {} runs them.
type PPOParams struct {
	PostCommon
	Preferences PostPreferences `json:"preferences" doc:"Pairs that the reward model learns from."`
	Model       PostModel       `json:"model" doc:"Where to start from."`
	RewardModel PostFit         `json:"reward_model" doc:"Training of the reward model."`
	RL          PostRL          `json:"rl" doc:"Reinforcement by the reward model's score."`
	Unheld      bool            `json:"unheld" doc:"Adds the same without divergence from the SFT model in the reward: what over-optimisation of a reward model looks like."`
	Evaluate    PostEvaluation  `json:"evaluate" doc:"How the models are measured."`
}

// PPODefaults are what {} runs: sentences under a hidden rule.
func PPODefaults() PPOParams {
	return PPOParams{
		PostCommon: postCommon("ppo"), Preferences: rulePreferences(), Model: ruleLlama(), RewardModel: judgeFit(), RL: ruleRL(), Evaluate: ruleEvaluation(),
	}
}

// ruleRL is reinforcement by a reward model of the hidden rule, which is looked at but weighs nothing.
func ruleRL() PostRL {
	return PostRL{
		Algorithm: "ppo", Iterations: 40, Prompts: 32, Group: 4, LearningRate: 1e-3, Rewards: []PostReward{{Reward: "rule"}},
		Loss: map[string]any{"beta": 0.6, "epochs": 2}, More: map[string]any{"max_tokens": 40, "critic_rate": 2, "unfinished": -3},
	}
}

// Validate returns every fault that no single field shows.
func (p PPOParams) Validate() error {
	faults := append(p.Preferences.Rows.faults("preferences.rows"), p.RL.faults("rl"))
	if p.Preferences.own() {
		faults = append(faults, errors.New("preferences are your own pairs, and reinforcement needs prompts with problems: train the reward model with RewardModel and name it in a spec of the kind rl"))
	}
	return errors.Join(faults...)
}

// PPOSpec builds the pipeline: a writer, pairs, a reward model, reinforcement, evaluation under the true rule, publication, report.
func PPOSpec(p PPOParams) (*dag.Spec, error) {
	return post(newChain(p.PostCommon, "Reinforcement by a reward model", "reward"), func(c *chain) made {
		w := c.preferences(p.Preferences, p.Model)
		t := taught{w.writer, dag.Inputs{w.prompts}, w.rows.test, c.rewardModel(w, p.RewardModel).model}
		before := c.evaluate(measured{"before", "SFT", w.writer, w.rows.test, ""}, p.Evaluate)
		model := c.reinforce("ppo", t, p.RL)
		after := c.evaluate(measured{"evaluate", "PPO", model, w.rows.test, before}, p.Evaluate)
		c.holds("PPO", "SFT", 0)
		if p.Unheld {
			q := p.RL
			q.Loss = maps.Clone(q.Loss)
			q.Loss["beta"] = 0.0
			c.evaluate(measured{"evaluate_unheld", "PPO, beta 0", c.reinforce("unheld", t, q), w.rows.test, before}, p.Evaluate)
			c.holds("PPO", "PPO, beta 0", 0)
		}
		c.winRate("win_rate", "PPO over SFT", contest{model, w.writer, w.rows.test}, p.Preferences)
		return made{model, after}
	})
}

// taught is a policy, what it is asked, what it is measured on, and its reward model, "" for none.
type taught struct {
	model       string
	problems    dag.Inputs
	test, judge string
}

// reinforce adds a training by reinforcement and returns the model.
func (c *chain) reinforce(id string, t taught, r PostRL) string {
	if r.Rollouts != nil {
		return c.spread(id, t, r)
	}
	in := inputs{"model": {t.model}, "problems": t.problems, "held_out": {t.test}}
	if t.judge != "" {
		in["reward_model"] = dag.Inputs{t.judge}
	}
	return c.train(id, "rl", in, r.params(c.PostCommon))
}
