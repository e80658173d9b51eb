package activities

import (
	"math"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
)

// siglipGoal judges every pair of a batch apart (Zhai et al. 2023).
func siglipGoal() goal {
	g := pairsGoal{
		objective:  func(j *job, _ int64) (closer, error) { return objective.NewCLIP(j.model, j.params.plan()) },
		validation: recallValidation,
	}
	return goal{
		name: "siglip", kind: model.CLIP, data: artifact.TypeDataset, check: wholeContrastFaults, open: g.open, validate: g.validate,
		shape: func(c *model.Config, p fitParams) {
			c.Loss = model.Sigmoid
			c.LogitBias = -math.Log(float64(p.Batch - 1)) // suits batches that are not of thousands
		},
	}
}
