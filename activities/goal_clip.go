package activities

import (
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
)

// clipGoal learns which image and text of a batch belong together (Radford et al. 2021).
func clipGoal() goal {
	g := pairsGoal{
		objective:  func(j *job, _ int64) (closer, error) { return objective.NewCLIP(j.model, j.params.plan()) },
		validation: recallValidation,
	}
	return goal{name: "clip", kind: model.CLIP, data: artifact.TypeDataset, check: wholeContrastFaults, open: g.open, validate: g.validate}
}
