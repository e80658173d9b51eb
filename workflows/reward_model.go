package workflows

import (
	"errors"

	"tempera/workflows/dag"
)

// RewardModelParams are the parameters of the workflow RewardModel. Defaults come from RewardModelDefaults, and {} runs them.
type RewardModelParams struct {
	PostCommon
	Preferences PostPreferences `json:"preferences" doc:"Pairs to learn from."`
	Model       PostModel       `json:"model" doc:"Where to start from."`
	RewardModel PostFit         `json:"reward_model" doc:"Training of the reward model."`
}

// PostPreferences are where pairs of completions come from: your own rows, or a small model that writes, and a rule that judges, wrongly at times.
type PostPreferences struct {
	Rows    PostRows       `json:"rows" doc:"Demonstrations that the writer learns from and prompts that it writes to; with data or files: the pairs."`
	SFT     PostFit        `json:"sft" doc:"Training of the writer."`
	Writer  string         `json:"writer,omitempty" doc:"A fine-tuned model that writes, and that training goes on from, instead: model:<name>@<alias> or model@sha256:<digest>."`
	Pairs   int            `json:"pairs" doc:"Prompts of the pairs." min:"1"`
	Noise   float64        `json:"noise" doc:"How often the judge errs: the better one is chosen with the probability sigmoid(difference / noise); 0: never." min:"0"`
	Rewards []PostReward   `json:"rewards" doc:"What the judge likes."`
	More    map[string]any `json:"more,omitempty" doc:"Any other parameter of the kind rollout."`
}

// own tells whether the pairs are the user's.
func (p PostPreferences) own() bool { return p.Rows.Data != "" || p.Rows.Source == "files" }

// ruleRewards is the hidden rule itself.
func ruleRewards() []PostReward { return []PostReward{{Reward: "rule", Weight: 1}} }

// rulePreferences are sentences that a hidden rule likes or not.
func rulePreferences() PostPreferences {
	return PostPreferences{
		Rows:  PostRows{Source: "rule", Count: 4000, HeldOut: 500},
		SFT:   PostFit{Epochs: 6, Batch: 16, LearningRate: 3e-3, WarmUp: 50},
		Pairs: 9000, Noise: 0.5, Rewards: ruleRewards(), More: map[string]any{"margin": 0.25, "batch": 256},
	}
}

// RewardModelDefaults are what {} runs: sentences under a hidden rule, of which a reward model learns by noisy comparisons.
func RewardModelDefaults() RewardModelParams {
	return RewardModelParams{PostCommon: postCommon("reward-model"), Preferences: rulePreferences(), Model: ruleLlama(), RewardModel: rewardFit()}
}

func rewardFit() PostFit {
	return PostFit{Epochs: 3, Batch: 32, LearningRate: 2e-3, WarmUp: 20}
}

// judgeFit is a reward model whose scores stay small where a policy goes astray.
func judgeFit() PostFit {
	return PostFit{Epochs: 3, Batch: 32, LearningRate: 4e-3, WarmUp: 20, More: map[string]any{"readout": "sum", "scale": 0.3, "decay": 0.05}}
}

// Validate returns every fault that no single field shows.
func (p RewardModelParams) Validate() error {
	return errors.Join(p.Preferences.Rows.faults("preferences.rows")...)
}

// RewardModelSpec builds the pipeline: pairs, a reward model, its accuracy, publication, report.
func RewardModelSpec(p RewardModelParams) (*dag.Spec, error) {
	if !p.Preferences.own() { // the writer's own likelihoods tell short sentences apart soonest; of long texts they tell the length
		p.RewardModel.More = params{"readout": "likelihood"}.with(p.RewardModel.More)
	}
	return post(newChain(p.PostCommon, "Reward model from preferences", "accuracy"), func(c *chain) made {
		return c.rewardModel(c.preferences(p.Preferences, p.Model), p.RewardModel)
	})
}

// written are a writer, pairs of what it wrote, and the prompts.
type written struct {
	writer         string
	rows, pairs    split
	prompts, truth string // to write to; pairs that nothing erred about, "" where nobody knows
}

// preferences adds a writer that has learned from demonstrations, and pairs of its completions.
func (c *chain) preferences(p PostPreferences, m PostModel) written {
	if p.own() {
		pairs := c.rows("pairs", p.Rows, "problems")
		if p.Writer != "" {
			m.From = p.Writer
		}
		return written{writer: c.start("base", m, dag.Inputs{pairs.train}), pairs: pairs, rows: pairs, prompts: pairs.train}
	}
	rows := c.rows("rows", p.Rows, "demonstrations")
	w := written{writer: p.Writer, rows: rows}
	if w.writer == "" {
		w.writer = c.sft("sft", c.start("base", m, dag.Inputs{rows.train}), dag.Inputs{rows.train}, p.SFT)
	}
	prompts := p.Rows
	prompts.Count = p.Pairs
	w.prompts = c.prompts("prompts", prompts)
	w.pairs.train = c.pairs("pairs", w.writer, w.prompts, p)
	w.pairs.test = c.pairs("pairs_test", w.writer, rows.test, p)
	if p.Noise > 0 {
		p.Noise = 0
		w.truth = c.pairs("pairs_truth", w.writer, rows.test, p)
	}
	return w
}

// prompts adds problems of the training split that demonstrations do not fix the number of.
func (c *chain) prompts(id string, r PostRows) string {
	p := params{"source": r.Source, "count": r.Count, "seed": c.Seed + 2, "rows": "problems", "params": params{"split": "train"}.with(r.Params)}
	return c.add(id, "examples", nil, p) + ".examples"
}

// pairs adds two completions of each prompt, of which a judge chooses one.
func (c *chain) pairs(id, writer, prompts string, p PostPreferences) string {
	return c.add(id, "rollout", inputs{"model": {writer}, "data": {prompts}}, params{
		"samples": 2, "temperature": 1.0, "max_tokens": 48, "keep": "pairs", "noise": p.Noise, "rewards": p.Rewards, "seed": c.Seed,
	}.with(p.More)) + ".examples"
}

// rewardModel adds a reward model and its accuracy: on held-out pairs as they were judged, and on those that nothing erred about.
func (c *chain) rewardModel(w written, f PostFit) made {
	model := c.train("reward_model", "reward_model", inputs{"model": {w.writer}, "data": {w.pairs.train}, "held_out": {w.pairs.test}}, f.params(c.PostCommon))
	judge := func(id, label, pairs string) string {
		ref := c.add(id, "evaluate_preferences", inputs{"model": {model}, "data": {pairs}}, params{"seed": c.Seed}) + ".evaluation"
		c.arms = append(c.arms, arm{label, ref, c.Seed, c.metrics[0] == "accuracy"})
		return ref
	}
	evaluation := judge("accuracy", "reward model, pairs as judged", w.pairs.test)
	if w.truth != "" {
		evaluation = judge("accuracy_truth", "reward model, true order", w.truth)
	}
	return made{model, evaluation}
}
