package workflows

import (
	"errors"

	"tempera/workflows/dag"
)

// SFTParams are the parameters of the workflow SFT. Defaults come from SFTDefaults, and {} runs them.
type SFTParams struct {
	PostCommon
	Rows     PostRows       `json:"rows" doc:"Demonstrations to learn from."`
	Model    PostModel      `json:"model" doc:"Where to start from."`
	SFT      PostFit        `json:"sft" doc:"The training."`
	Evaluate PostEvaluation `json:"evaluate" doc:"How the model is measured."`
}

// SFTDefaults are what {} runs: sums of three numbers, some worked in steps, learned by a model of a hundred thousand parameters.
func SFTDefaults() SFTParams {
	return SFTParams{
		PostCommon: postCommon("sft"), Rows: arithmeticRows(), Model: smallLlama(), SFT: coldStart(),
		Evaluate: PostEvaluation{By: "tasks", Samples: 1, MaxTokens: 48},
	}
}

// arithmeticRows are sums of three numbers of two digits.
func arithmeticRows() PostRows { return PostRows{Source: "arithmetic", Count: 2000, HeldOut: 1000} }

// coldStart is the training after which a model answers some sums.
func coldStart() PostFit { return PostFit{Epochs: 16, Batch: 16, LearningRate: 4e-3, WarmUp: 50} }

// Validate returns every fault that no single field shows.
func (p SFTParams) Validate() error {
	return errors.Join(append(p.Rows.faults("rows"), p.Evaluate.fault(p.Rows))...)
}

// SFTSpec builds the pipeline: rows, a model, fine-tuning, evaluation, publication, report.
func SFTSpec(p SFTParams) (*dag.Spec, error) {
	c := newChain(p.PostCommon, "Supervised fine-tuning", p.Evaluate.metric())
	return post(c, func(c *chain) made {
		rows := c.rows("rows", p.Rows, "demonstrations")
		start := c.start("base", p.Model, dag.Inputs{rows.train})
		before := c.evaluate(measured{"before", "before", start, rows.test, ""}, p.Evaluate)
		model := c.sft("sft", start, dag.Inputs{rows.train}, p.SFT)
		return made{model, c.evaluate(measured{"evaluate", "after SFT", model, rows.test, before}, p.Evaluate)}
	})
}
