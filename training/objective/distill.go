package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/op"
)

// TuneOptions are what fine-tuning adds to the training of a language model.
type TuneOptions struct {
	Plan    Plan // Batch and Lengths do not matter
	Noise   Noise
	Teacher *Teacher // nil: the texts teach alone
}

// Teacher is a model of the same vocabulary whose distributions a student learns (Hinton et al. 2015; for language models Sanh et al. 2019):
// the loss is Weight T² KL(teacher || student), both at the temperature T, and 1 - Weight times the cross-entropy of the texts. The factor T²
// keeps the size of the gradient. The teacher reads each text in the same step; its logits exist for a block of rows at a time.
type Teacher struct {
	Model       *model.Model
	Temperature float64
	Weight      float64
}

// Names of what a training with a teacher measures.
const (
	divergenceKey   = "divergence"    // KL(teacher || student) at the temperature, in nats
	crossEntropyKey = "cross_entropy" // of the texts
)

// prepare checks a teacher, nil or not, and freezes it.
func (t *Teacher) prepare(student *model.Model) error {
	if t == nil {
		return nil
	}
	var faults []error
	c := t.Model.Config
	if c.Text.Vocab != student.Config.Text.Vocab {
		faults = append(faults, fmt.Errorf("the teacher has %d words, the student %d: they need one tokenizer", c.Text.Vocab, student.Config.Text.Vocab))
	}
	if err := SameSight(c, student.Config); err != nil {
		faults = append(faults, fmt.Errorf("teacher and student: %w", err))
	}
	if !(t.Temperature > 0) || !(t.Weight >= 0 && t.Weight <= 1) {
		faults = append(faults, fmt.Errorf("temperature is %v and the teacher's weight %v: give a positive number, and one from 0 to 1", t.Temperature, t.Weight))
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return t.Model.Freeze(t.Model.Config.Parts()...)
}

// lessonText is a batch that a student has read: its states, and the cross-entropy of the texts.
type lessonText struct {
	student         *model.Model
	read            func(m *model.Model) *graph.Node // states of another reader, who sees the images too
	states, targets *graph.Node
	crossEntropy    *graph.Node
}

// teach is the loss with the teacher's part.
func (t *Teacher) teach(g *graph.Graph, l lessonText) *graph.Node {
	states := l.read(t.Model)
	divergence := op.HeadDivergence(g, l.student.Head(g, l.states), t.Model.Head(g, states), l.targets, float32(t.Temperature))
	g.Output(divergenceKey, divergence)
	g.Output(crossEntropyKey, l.crossEntropy)
	weight := t.Weight * t.Temperature * t.Temperature
	return op.WeightedSum(g, []float32{float32(weight), float32(1 - t.Weight)}, divergence, l.crossEntropy)
}

// measured are the outputs of a step.
func (t *Teacher) measured() []string {
	if t == nil {
		return []string{training.LossKey}
	}
	return []string{training.LossKey, divergenceKey, crossEntropyKey}
}

// flops are those of reading a row of a context.
func (t *Teacher) flops(context int) float64 {
	if t == nil {
		return 0
	}
	c := t.Model.Config
	c.Text.Context = context
	f := c.FLOPs()
	return f.Decode + f.Image + f.Project
}
