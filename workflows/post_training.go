package workflows

import (
	"errors"

	"tempera/workflows/dag"
)

// PostTrainingParams are the parameters of the workflow PostTraining. Defaults come from PostTrainingDefaults, and {} runs them.
type PostTrainingParams struct {
	PostCommon
	Preferences PostPreferences `json:"preferences" doc:"Demonstrations for SFT, and the pairs."`
	Model       PostModel       `json:"model" doc:"Where to start from."`
	Method      string          `json:"method" doc:"What follows on SFT and reward model: ppo and r1 (reinforcement by the reward model, or by rules), or dpo (the pairs themselves)." enum:"ppo,dpo,r1"`
	RewardModel PostFit         `json:"reward_model" doc:"Training of the reward model."`
	RL          PostRL          `json:"rl" doc:"ppo, r1: the reinforcement."`
	DPO         PostDPO         `json:"dpo" doc:"dpo: the training."`
	Judge       string          `json:"judge,omitempty" doc:"A reward model instead of a new one: model@sha256:<digest> or model:<name>@<alias>."`
	Evaluate    PostEvaluation  `json:"evaluate" doc:"How the models are measured."`
}

// PostTrainingDefaults are what {} runs: sentences under a hidden rule, SFT, reward model, PPO, evaluation.
func PostTrainingDefaults() PostTrainingParams {
	return PostTrainingParams{
		PostCommon: postCommon("post-training"), Preferences: rulePreferences(), Model: ruleLlama(), Method: "ppo",
		RewardModel: judgeFit(), RL: ruleRL(), DPO: defaultDPO(), Evaluate: ruleEvaluation(),
	}
}

// Validate returns every fault that no single field shows.
func (p PostTrainingParams) Validate() error {
	faults := append(p.Preferences.Rows.faults("preferences.rows"), p.RL.faults("rl"))
	if p.Preferences.own() {
		faults = append(faults, errors.New("preferences are your own pairs: the chain needs rows that a task checks; use RewardModel and DPO on your pairs"))
	}
	if p.Judge != "" && p.Method != "ppo" {
		faults = append(faults, errors.New("judge is a reward model, which only method ppo asks: leave it out"))
	}
	return errors.Join(faults...)
}

// PostTrainingSpec builds the pipeline: SFT, reward model, PPO, DPO or R1, evaluation, promotion, report. Each part may be replaced by a model that exists.
func PostTrainingSpec(p PostTrainingParams) (*dag.Spec, error) {
	return post(newChain(p.PostCommon, "SFT, reward model, "+p.Method+", evaluation, promotion", "reward"), p.repeat)
}

// repeat adds one repetition.
func (p PostTrainingParams) repeat(c *chain) made {
	w := c.preferences(p.Preferences, p.Model)
	before := c.evaluate(measured{"before", "SFT", w.writer, w.rows.test, ""}, p.Evaluate)
	judge := p.Judge
	if p.Method == "ppo" && judge == "" {
		judge = c.rewardModel(w, p.RewardModel).model
	}
	var model string
	switch p.Method {
	case "dpo":
		model = c.dpo(w, p.DPO, p.Preferences)
	case "r1":
		rl := p.RL
		rl.Rewards = p.Preferences.Rewards
		model = c.reinforce("r1", taught{w.writer, dag.Inputs{w.prompts}, w.rows.test, ""}, rl)
	default:
		model = c.reinforce("ppo", taught{w.writer, dag.Inputs{w.prompts}, w.rows.test, judge}, p.RL)
	}
	c.holds(p.Method, "SFT", 0)
	return made{model, c.evaluate(measured{"evaluate", p.Method, model, w.rows.test, before}, p.Evaluate)}
}
