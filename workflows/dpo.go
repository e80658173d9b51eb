package workflows

import (
	"errors"
	"fmt"

	"tempera/workflows/dag"
)

// DPOParams are the parameters of the workflow DPO. Defaults come from DPODefaults, and {} runs them.
type DPOParams struct {
	PostCommon
	Preferences PostPreferences `json:"preferences" doc:"Pairs to learn from."`
	Model       PostModel       `json:"model" doc:"Where to start from."`
	DPO         PostDPO         `json:"dpo" doc:"The training."`
	Evaluate    PostEvaluation  `json:"evaluate" doc:"How the models are measured."`
}

// PostDPO is one training on preferences.
type PostDPO struct {
	PostFit
	Loss   string  `json:"loss" doc:"sigmoid (DPO), ipo, hinge, kto, orpo, simpo." enum:"sigmoid,ipo,hinge,kto,orpo,simpo"`
	Beta   float64 `json:"beta" doc:"How strongly the policy is held to the reference." above:"0"`
	Rounds int     `json:"rounds" doc:"1 learns from the pairs that there are; each further round lets the newest policy write pairs, has them judged, and learns from those." min:"1" max:"16"`
}

// DPODefaults are what {} runs: sentences under a hidden rule.
func DPODefaults() DPOParams {
	return DPOParams{
		PostCommon: postCommon("dpo"), Preferences: rulePreferences(), Model: ruleLlama(), DPO: defaultDPO(), Evaluate: ruleEvaluation(),
	}
}

func defaultDPO() PostDPO {
	return PostDPO{PostFit: PostFit{Epochs: 1, Batch: 32, LearningRate: 5e-4, WarmUp: 10}, Loss: "sigmoid", Beta: 0.5, Rounds: 1}
}

// ruleEvaluation measures sentences by the hidden rule.
func ruleEvaluation() PostEvaluation {
	return PostEvaluation{By: "tasks", Samples: 4, MaxTokens: 48, More: map[string]any{"rewards": ruleRewards()}}
}

// Validate returns every fault that no single field shows.
func (p DPOParams) Validate() error {
	faults := p.Preferences.Rows.faults("preferences.rows")
	if p.DPO.Rounds > 1 && p.Preferences.own() {
		faults = append(faults, errors.New("dpo.rounds is above 1, and the pairs are your own: rounds write new ones, which a task must judge"))
	}
	return errors.Join(faults...)
}

// DPOSpec builds the pipeline: pairs, log-probabilities of the reference, training, win rate, publication, report.
func DPOSpec(p DPOParams) (*dag.Spec, error) {
	c := newChain(p.PostCommon, fmt.Sprintf("Direct preference optimisation, %s", p.DPO.Loss), "reward")
	return post(c, func(c *chain) made {
		w := c.preferences(p.Preferences, p.Model)
		model := c.dpo(w, p.DPO, p.Preferences)
		if p.Preferences.own() {
			return made{model: model} // the report has the curves of the training, held-out pairs among them
		}
		before := c.evaluate(measured{"before", "SFT", w.writer, w.rows.test, ""}, p.Evaluate)
		after := c.evaluate(measured{"evaluate", "DPO", model, w.rows.test, before}, p.Evaluate)
		c.holds("DPO", "SFT", 0)
		c.winRate("win_rate", "DPO over SFT", contest{model, w.writer, w.rows.test}, p.Preferences)
		return made{model, after}
	})
}

// dpo adds the rounds of training and returns the last model.
func (c *chain) dpo(w written, p PostDPO, from PostPreferences) string {
	model, pairs := w.writer, w.pairs.train
	for i := range p.Rounds {
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf("_%d", i+1)
			pairs = c.pairs("pairs"+suffix, model, w.prompts, from)
		}
		reference := c.add("reference"+suffix, "reference", inputs{"model": {model}, "data": {pairs}}, params{}) + ".scores"
		model = c.train("dpo"+suffix, "dpo", inputs{
			"model": {model}, "data": {pairs}, "reference": {reference}, "held_out": {w.pairs.test},
		}, p.params(c.PostCommon).with(params{"loss": p.Loss, "beta": p.Beta}))
	}
	return model
}

// contest is two models and the prompts that both write to.
type contest struct{ model, baseline, data string }

// winRate adds how often a model's completions are better than another's.
func (c *chain) winRate(id, label string, of contest, p PostPreferences) {
	id = c.add(id, "win_rate", inputs{"model": {of.model}, "baseline": {of.baseline}, "data": {of.data}}, params{"rewards": p.Rewards, "max_tokens": 48, "seed": c.Seed})
	c.arms = append(c.arms, arm{label, id + ".evaluation", c.Seed, false})
}
