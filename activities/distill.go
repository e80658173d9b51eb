package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/chat"
	"tempera/infra/artifact"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/workflows/stage"
)

type distillParams struct {
	sftParams
	Temperature float64 `json:"temperature" doc:"Of both distributions that are compared." above:"0"`
	Weight      float64 `json:"weight" doc:"Weight of the teacher's distributions; the rest is that of the texts." min:"0" max:"1"`
}

// Validate reports what no single field shows.
func (p distillParams) Validate() error { return p.sftParams.Validate() }

// distill trains a student on texts and on what a teacher of the same tokenizer
// makes of them: the distribution over the whole vocabulary for each token.
func distill() Kind {
	p := distillParams{sftParams: sftParams{tuneParams: defaultTune(), Batch: 16, Learn: chat.Assistant}, Temperature: 2, Weight: 0.5}
	return define(stage.Descriptor{
		Name: "distill", Version: 1, Queue: stage.CPU,
		Headline: []string{"loss"},
		Summary:  "Teach a language model the distributions of a larger one",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "The student, where to start from."},
			{Name: "teacher", Type: artifact.TypeModel, Doc: "A model of the same tokenizer; it is not trained."},
			{Name: "data", Type: artifact.TypeExamples, Many: true, Doc: "Rows with messages, or with prompt and completion, such as what the teacher wrote."},
			{Name: "held_out", Type: artifact.TypeExamples, Optional: true, Doc: "Rows that are not learned from: the loss on them is measured on the way."},
		},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The trained student."}},
	}, p, runDistill)
}

func runDistill(ctx context.Context, t *Task, p distillParams) error {
	return tuneOnRows(ctx, t, p.sftParams, func(u *tuning, b device.Backend) (*objective.Teacher, error) {
		source, _ := t.Input("teacher")
		from, err := loadModel(ctx, t, source)
		if err != nil {
			return nil, err
		}
		if err := sameTokenizer(from, u.from); err != nil {
			return nil, err
		}
		m, err := model.Load(b, from.weights)
		return &objective.Teacher{Model: m, Temperature: p.Temperature, Weight: p.Weight}, err
	})
}

// sameTokenizer refuses models whose tokens mean different things.
func sameTokenizer(teacher, student *loadedModel) error {
	a, errA := teacher.files.Find(tokenizerFile)
	b, errB := student.files.Find(tokenizerFile)
	if err := errors.Join(errA, errB); err != nil {
		return Invalid(err)
	}
	if a.Digest != b.Digest {
		return Invalid(fmt.Errorf("the teacher has tokenizer %s, the student %s: distributions over different tokens cannot be compared, train on the teacher's texts with the kind sft instead", a.Digest.Short(), b.Digest.Short()))
	}
	return nil
}
