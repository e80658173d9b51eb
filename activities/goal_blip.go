package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
)

// blipGoal learns contrast, matching and captioning on shared weights (Li et al. 2022).
func blipGoal() goal {
	return goal{
		name: "blip", kind: model.BLIP, data: artifact.TypeDataset,
		check: func(p fitParams) []error {
			faults := contrastFaults(p)
			if p.ITC+p.ITM+p.LM == 0 {
				faults = append(faults, errors.New("itc, itm and lm are all 0: give one of them a weight"))
			}
			if p.Accumulate > 1 && p.ITC+p.ITM > 0 {
				faults = append(faults, fmt.Errorf("accumulate is %d: contrast and matching compare all pairs of a batch, which cannot be split: set accumulate to 1 and recompute to true, or itc and itm to 0", p.Accumulate))
			}
			if p.ITC+p.ITM > 0 {
				faults = append(faults, p.wholeFaults("what contrasts and matches")...)
			}
			return faults
		},
		open: func(ctx context.Context, j *job) (*lesson, error) { return blipPairs(j).open(ctx, j) },
		validate: func(ctx context.Context, j *job, held artifact.Artifact) (*validation, error) {
			return blipPairs(j).validate(ctx, j, held)
		},
	}
}

func blipPairs(j *job) pairsGoal {
	g := pairsGoal{objective: newBLIP, validation: recallValidation}
	if j.params.ITC == 0 {
		g.validation = captionValidation
	}
	return g
}

func newBLIP(j *job, epoch int64) (closer, error) {
	p := j.params
	o := objective.DefaultBLIP(p.Batch)
	o.Plan = p.plan()
	o.ITC, o.ITM, o.LM = p.ITC, p.ITM, p.LM
	o.Queue, o.Smoothing, o.Seed, o.AlphaSteps = p.Queue*p.Batch, p.Smoothing, p.Seed, 2*epoch
	_, all, err := parallel.Spread(j.task.Group, j.model, func(m *model.Model) (*objective.BLIP, error) { return objective.NewBLIP(m, o) })
	return all, err
}
