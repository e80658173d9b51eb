package workflows

import (
	"errors"
	"fmt"
	"strings"

	"tempera/workflows/dag"
)

// R1ZeroParams are the parameters of the workflow R1Zero. Defaults come from R1ZeroDefaults, and {} runs them.
type R1ZeroParams struct {
	PostCommon
	Rows     PostRows       `json:"rows" doc:"Problems; a new model reads demonstrations of them first."`
	Model    PostModel      `json:"model" doc:"The base model."`
	Base     PostFit        `json:"base" doc:"Training of a new base model on demonstrations: one that never succeeds learns nothing from rewards. A model that is given starts as it is."`
	Demos    int            `json:"demonstrations" doc:"How many of the problems, which a task makes, are demonstrated; 0: all. Reinforcement asks all." min:"0"`
	RL       PostRL         `json:"rl" doc:"Reinforcement by rules alone."`
	Control  float64        `json:"control" doc:"Epochs of more demonstrations instead of reinforcement, as a control; 0: none." min:"0"`
	Blind    bool           `json:"blind" doc:"Of a model that sees, on scenes: measures what is reinforced on other and on blank pictures too, and does all of it once more with blank pictures only. Both tell how far the questions alone go."`
	Gain     float64        `json:"gain" doc:"Points by which reinforcement must be ahead of the base, as the comparison judges." min:"0" max:"100"`
	Evaluate PostEvaluation `json:"evaluate" doc:"How the models are measured."`
}

// R1ZeroDefaults are what {} runs: sums of three numbers.
func R1ZeroDefaults() R1ZeroParams {
	return R1ZeroParams{
		PostCommon: postCommon("r1-zero"), Rows: arithmeticRows(), Model: smallLlama(), Base: coldStart(), RL: reasoningRL(), Control: 8,
		Evaluate: PostEvaluation{By: "tasks", Samples: 4, MaxTokens: 48},
	}
}

// reasoningRL is reinforcement by right answers and their form.
func reasoningRL() PostRL {
	return PostRL{Algorithm: "grpo", Iterations: 40, Prompts: 32, Group: 8, LearningRate: 4e-4, More: map[string]any{"max_tokens": 48}}
}

// Validate returns every fault that no single field shows.
func (p R1ZeroParams) Validate() error {
	faults := p.Rows.faults("rows")
	own := p.Rows.Data != "" || p.Rows.Source == "files"
	if p.Demos > 0 && (own || p.Model.From != "") {
		faults = append(faults, errors.New("demonstrations is set, and the rows are your own or the model is given: it is for new models on a task's problems, leave it out"))
	}
	if p.Demos > p.Rows.Count {
		faults = append(faults, fmt.Errorf("demonstrations is %d, of %d rows: lower it, or give 0 for all", p.Demos, p.Rows.Count))
	}
	if p.Blind && (own || p.Rows.Source != "scene" || p.Model.Vision == nil || p.Model.From != "") {
		faults = append(faults, errors.New("blind is set: it needs rows.source scene and a new model with model.vision; to blind another model use pictures of evaluate_tasks"))
	}
	return errors.Join(faults...)
}

// R1ZeroSpec builds the pipeline: a base model, reinforcement by rules, evaluation beside more demonstrations, publication, report.
func R1ZeroSpec(p R1ZeroParams) (*dag.Spec, error) {
	return post(newChain(p.PostCommon, "Reinforcement by rules alone", p.Evaluate.metric()), p.repeat)
}

// repeat adds one repetition.
func (p R1ZeroParams) repeat(c *chain) made {
	rows := c.rows("rows", p.Rows, "demonstrations")
	demos := c.demonstrated("demonstrations", p.Rows, rows, p.Demos)
	start := c.start("init", p.Model, dag.Inputs{rows.train})
	base := start
	if p.Model.From == "" {
		base = c.sft("base", start, dag.Inputs{demos}, p.Base)
	}
	before := c.evaluate(measured{"before", "base", base, rows.test, ""}, p.Evaluate)
	model := c.reinforce("rl", taught{base, dag.Inputs{rows.train}, rows.test, ""}, p.RL)
	after := c.evaluate(measured{"evaluate", p.RL.Algorithm, model, rows.test, before}, p.Evaluate)
	c.holds(p.RL.Algorithm, "base", p.Gain)
	if p.Control > 0 {
		const label = "control: more demonstrations"
		more := p.Base
		more.Epochs = p.Control
		c.evaluate(measured{"evaluate_control", label, c.sft("control", base, dag.Inputs{demos}, more), rows.test, before}, p.Evaluate)
		c.holds(p.RL.Algorithm, label, 0)
	}
	if p.Blind {
		p.blind(c, start, measured{model: model, data: rows.test, baseline: after})
	}
	return made{model, after}
}

// blind adds what tells whether a model looks: the reinforced one shown other pictures and blank ones, and one that is trained the same way on blank
// pictures.
func (p R1ZeroParams) blind(c *chain, start string, seen measured) {
	shown := func(id, label, pictures, model string) {
		e := p.Evaluate
		e.More = params{"pictures": pictures}.with(e.More)
		c.evaluate(measured{id, label, model, seen.data, seen.baseline}, e)
		c.holds(p.RL.Algorithm, label, 0)
	}
	shown("evaluate_other", p.RL.Algorithm+", shown other pictures", "other", seen.model)
	shown("evaluate_blank", p.RL.Algorithm+", shown blank pictures", "blank", seen.model)
	r := p.Rows
	r.Params = params{"blank": true}.with(r.Params)
	problems := c.demonstrated("blank_rows", r, split{}, r.Count)
	demos := c.demonstrated("blank_demonstrations", r, split{train: problems}, p.Demos)
	base := c.sft("blank_base", start, dag.Inputs{demos}, p.Base)
	in := inputs{"model": {base}, "problems": {problems}}
	shown("evaluate_blank_rl", p.RL.Algorithm+", trained on blank pictures", "blank", c.train("blank_rl", "rl", in, p.RL.params(c.PostCommon)))
}

// R1Params are the parameters of the workflow R1. Defaults come from R1Defaults, and {} runs them.
type R1Params struct {
	PostCommon
	Rows      PostRows       `json:"rows" doc:"Problems, with demonstrations for the cold start."`
	General   PostRows       `json:"general" doc:"Other rows: learned from beside the accepted samples, and in the scenarios of the last reinforcement."`
	Model     PostModel      `json:"model" doc:"The base model."`
	ColdStart PostFit        `json:"cold_start" doc:"First training on demonstrations."`
	Reasoning PostRL         `json:"reasoning" doc:"Reinforcement on the problems."`
	Rejection PostRejection  `json:"rejection" doc:"Samples of the reinforced model that are learned from."`
	SFT       PostFit        `json:"sft" doc:"Training of the base model on accepted samples and general rows."`
	Scenarios PostRL         `json:"scenarios" doc:"Reinforcement on problems and general rows."`
	Gain      float64        `json:"gain" doc:"Points of pass@1 by which reinforcement must beat the cold start for its samples to be used; where it does not, the run waits with a failed stage. 0: no gate." min:"0" max:"100"`
	Evaluate  PostEvaluation `json:"evaluate" doc:"How the models are measured."`
}

// PostRejection is rejection sampling.
type PostRejection struct {
	Prompts   int `json:"prompts" doc:"Problems that are sampled." min:"1"`
	Samples   int `json:"samples" doc:"Completions of each." min:"1"`
	PerPrompt int `json:"per_prompt" doc:"Most right ones of a problem that are kept; 0: all." min:"0"`
	MaxTokens int `json:"max_tokens" doc:"Most tokens of a completion." min:"1"`
}

// R1Defaults are what {} runs: sums, and sorting as the other rows.
func R1Defaults() R1Params {
	scenarios := reasoningRL()
	scenarios.Iterations = 20
	return R1Params{
		PostCommon: postCommon("r1"), Rows: arithmeticRows(), General: PostRows{Source: "sorting", Count: 1000, HeldOut: 300},
		Model: smallLlama(), ColdStart: coldStart(), Reasoning: reasoningRL(),
		Rejection: PostRejection{Prompts: 1000, Samples: 4, PerPrompt: 2, MaxTokens: 48},
		SFT:       PostFit{Epochs: 8, Batch: 16, LearningRate: 4e-3, WarmUp: 50}, Scenarios: scenarios, Gain: 5,
		Evaluate: PostEvaluation{By: "tasks", Samples: 4, MaxTokens: 48},
	}
}

// Validate returns every fault that no single field shows.
func (p R1Params) Validate() error {
	return errors.Join(append(p.Rows.faults("rows"), p.General.faults("general")...)...)
}

// R1Spec builds the pipeline of DeepSeek-R1 (2025): cold start, reinforcement on problems, rejection sampling, training of the base on what was accepted
// and on general rows, reinforcement on all scenarios. Between them gates hold what did not get better.
func R1Spec(p R1Params) (*dag.Spec, error) {
	return post(newChain(p.PostCommon, "Cold start, reinforcement, rejection sampling, SFT, reinforcement on all scenarios", p.Evaluate.metric()), p.repeat)
}

// repeat adds one repetition.
func (p R1Params) repeat(c *chain) made {
	rows, general := c.rows("rows", p.Rows, "demonstrations"), c.rows("general", p.General, "demonstrations")
	base := c.start("init", p.Model, dag.Inputs{rows.train, general.train})
	cold := c.sft("cold_start", base, dag.Inputs{rows.train}, p.ColdStart)
	first := c.evaluate(measured{"evaluate_cold", "cold start", cold, rows.test, ""}, p.Evaluate)
	reasoner := c.reinforce("reasoning", taught{cold, dag.Inputs{rows.train}, rows.test, ""}, p.Reasoning)
	second := c.evaluate(measured{"evaluate_reasoning", "reasoning RL", reasoner, rows.test, first}, p.Evaluate)
	accepted := c.accepted("accepted", reasoner, rows.train, p.Rejection)
	if p.Gain > 0 {
		stage := func(ref string) string { return strings.TrimSuffix(ref, ".evaluation") }
		c.last().Gate = &dag.Gate{Metric: fmt.Sprintf("%s.pass_1 > %s.pass_1 + %g", stage(second), stage(first), p.Gain)}
	}
	tuned := c.sft("sft", base, dag.Inputs{accepted, general.train}, p.SFT)
	c.evaluate(measured{"evaluate_sft", "SFT on the mixture", tuned, rows.test, first}, p.Evaluate)
	model := c.reinforce("scenarios", taught{tuned, dag.Inputs{rows.train, general.train}, rows.test, ""}, p.Scenarios)
	after := c.evaluate(measured{"evaluate", "R1", model, rows.test, first}, p.Evaluate)
	c.holds("R1", "cold start", 0)
	c.evaluate(measured{"evaluate_general", "R1, general rows", model, general.test, ""}, p.Evaluate)
	return made{model, after}
}

// accepted adds the right completions of problems.
func (c *chain) accepted(id, model, problems string, r PostRejection) string {
	return c.add(id, "rollout", inputs{"model": {model}, "data": {problems}}, params{
		"samples": r.Samples, "temperature": 1.0, "max_tokens": r.MaxTokens, "keep": "right", "per_prompt": r.PerPrompt, "distinct": true, "prompts": r.Prompts, "seed": c.Seed,
	}) + ".examples"
}
