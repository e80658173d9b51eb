package activities

import (
	"context"
	"errors"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
)

// blipGoal learns contrast, matching and captioning on shared weights (Li et al. 2022).
func blipGoal() goal {
	return goal{
		name: "blip", kind: model.BLIP, data: artifact.TypeDataset,
		check: func(p fitParams) []error {
			if p.ITC+p.ITM+p.LM == 0 {
				return append(contrastFaults(p), errors.New("itc, itm and lm are all 0: give one of them a weight"))
			}
			return contrastFaults(p)
		},
		open: func(ctx context.Context, j *job) (*lesson, error) {
			g := pairsGoal{objective: newBLIP, validation: recallValidation}
			if j.params.ITC == 0 {
				g.validation = captionValidation
			}
			return g.open(ctx, j)
		},
	}
}

func newBLIP(j *job, epoch int64) (closer, error) {
	p := j.params
	o := objective.DefaultBLIP(p.Batch)
	o.Plan = p.plan()
	o.ITC, o.ITM, o.LM = p.ITC, p.ITM, p.LM
	o.Queue, o.Smoothing, o.Seed, o.AlphaSteps = p.Queue*p.Batch, p.Smoothing, p.Seed, 2*epoch
	return objective.NewBLIP(j.model, o)
}
