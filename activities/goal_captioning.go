package activities

import (
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
)

// captioningGoal learns to write the text of an image: the decoder of a blip model alone.
func captioningGoal() goal {
	g := pairsGoal{
		objective: func(j *job, _ int64) (closer, error) {
			o := objective.Captioning(j.params.Batch)
			o.Plan = j.params.plan()
			o.Smoothing = j.params.Smoothing
			_, all, err := parallel.Spread(j.task.Group, j.model, func(m *model.Model) (*objective.BLIP, error) { return objective.NewBLIP(m, o) })
			return all, err
		},
		validation: captionValidation,
	}
	return goal{name: "captioning", kind: model.BLIP, data: artifact.TypeDataset, open: g.open, validate: g.validate}
}
