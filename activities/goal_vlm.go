package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
)

const vlmGoalName goalName = "vlm"

// vlmGoal learns to write the text of an image whose patches stand in it as tokens
// (LLaVA, Liu et al. 2023).
func vlmGoal() goal {
	g := pairsGoal{objective: newVLM, validation: vlmValidation, batches: illustratedBatches}
	return goal{
		name: vlmGoalName, kind: model.VLM, data: artifact.TypeDataset, open: g.open, validate: g.validate,
		shape: func(c *model.Config, _ fitParams) {
			c.Text.Form = model.Llama
			addImageToken(&c.Text)
		},
		room: func(c model.Config, p fitParams) int {
			return p.sight().tokens(c) + len(p.Prompt) // of a prompt, no token is less than a byte
		},
		check: func(p fitParams) []error {
			var faults []error
			if p.Native > 0 && p.Accumulate > 1 {
				faults = append(faults, fmt.Errorf("native is %d and accumulate %d: images that keep their shapes are packed and cannot be split: set accumulate to 1 and recompute to true", p.Native, p.Accumulate))
			}
			if p.Native > 0 {
				faults = append(faults, p.wholeFaults("native, which packs the images of a batch,")...)
			}
			if len(p.Freeze) > 0 && len(p.Freeze) >= len(model.Config{Kind: model.VLM}.Parts()) {
				faults = append(faults, errors.New("freeze lists every part: leave out the one that is to be trained"))
			}
			return faults
		},
	}
}

// addImageToken gives the image the first id that the tokenizer, whose vocabulary the
// text tower has so far, does not use.
func addImageToken(t *model.Text) {
	t.Special.Image = int32(t.Vocab)
	t.Vocab++
}

func newVLM(j *job, _ int64) (closer, error) {
	p, c := j.params, j.model.Config
	_, all, err := parallel.Spread(j.task.Group, j.model, func(m *model.Model) (*objective.VLM, error) {
		return objective.NewVLM(m, objective.VLMOptions{Plan: p.plan(), Packed: p.sight().room(c, p.Batch), Freeze: p.Freeze})
	})
	return all, err
}

// vlmValidation measures the loss of a caption's token, in nats.
func vlmValidation(j *job, pairs *evaluationPairs) (*validation, error) {
	c, s := j.model.Config, j.params.sight()
	n := min(j.params.Batch, len(pairs.samples))
	scorer, err := objective.NewVLMScorer(j.model, objective.VLMOptions{Plan: objective.Plan{Batch: n}, Packed: s.room(c, n)})
	if err != nil {
		return nil, err
	}
	texts, err := newIllustrator(j.encoder.tokenizer, c, s)
	if err != nil {
		return nil, errors.Join(err, scorer.Close())
	}
	captions := pairs.captions()
	measure := func(ctx context.Context) (training.Metrics, error) {
		return tokenLoss(ctx, tokenLossOf{pairs: len(captions), batch: n, score: func(at int) (float64, int, error) {
			var b training.Batch
			tokens, err := s.put(&b, c, pairs.part(at, n, c).shown())
			if err != nil {
				return 0, 0, err
			}
			texts.fill(&b, tokens, captions[at:at+n])
			return scorer.Score(&b)
		}})
	}
	return &validation{measure: measure, score: "val_loss", lower: true, close: scorer.Close}, nil
}
