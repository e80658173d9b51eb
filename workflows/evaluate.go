package workflows

import (
	"errors"

	"tempera/workflows/dag"
)

// EvaluateParams are the parameters of the workflow Evaluate. Defaults come from EvaluateDefaults; it needs a model.
type EvaluateParams struct {
	PostCommon
	Model    string         `json:"model" doc:"What is measured: model:<name>@<alias> or model@sha256:<digest>."`
	Baseline string         `json:"baseline,omitempty" doc:"A model that it is compared with on the same rows, paired."`
	Rows     PostRows       `json:"rows" doc:"What is measured on; only the rows that are held out are used."`
	Learned  []string       `json:"learned,omitempty" doc:"examples@sha256:<digest> that the model learned from, for a note on what overlaps."`
	Evaluate PostEvaluation `json:"evaluate" doc:"How."`
	Require  string         `json:"require,omitempty" doc:"Condition over the metrics that must hold for the model to be promoted, such as evaluate.pass_1 > 50."`
}

// EvaluateDefaults measure sums.
func EvaluateDefaults() EvaluateParams {
	c := postCommon("evaluate")
	c.Publish = "no"
	return EvaluateParams{
		PostCommon: c, Model: "model:sft@candidate", Rows: arithmeticRows(), Evaluate: PostEvaluation{By: "tasks", Samples: 4, MaxTokens: 48},
	}
}

// Validate returns every fault that no single field shows.
func (p EvaluateParams) Validate() error {
	faults := append(p.Rows.faults("rows"), p.Evaluate.fault(p.Rows))
	if p.Require != "" && p.Publish == "no" {
		faults = append(faults, errors.New("require holds promotion back, and publish is no: give candidate or champion, or leave require out"))
	}
	return errors.Join(faults...)
}

// EvaluateSpec builds the pipeline: evaluation of a model, and of a baseline, publication behind a gate, report.
func EvaluateSpec(p EvaluateParams) (*dag.Spec, error) {
	spec, err := post(newChain(p.PostCommon, "Evaluation of "+p.Model, p.Evaluate.metrics()...), func(c *chain) made {
		rows := c.rows("rows", p.Rows, "problems")
		baseline := ""
		if p.Baseline != "" {
			baseline = c.evaluate(measured{"baseline", p.Baseline, p.Baseline, rows.test, ""}, p.Evaluate)
		}
		after := c.evaluate(measured{"evaluate", p.Model, p.Model, rows.test, baseline}, p.Evaluate)
		if len(p.Learned) > 0 {
			c.last().Inputs["training"] = p.Learned
		}
		return made{p.Model, after}
	})
	for i := range spec.Stages {
		if spec.Stages[i].Kind == "publish" && p.Require != "" {
			spec.Stages[i].Gate = &dag.Gate{Metric: p.Require}
		}
	}
	return spec, err
}
