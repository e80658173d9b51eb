package activities

import (
	"context"
	"fmt"

	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/model"
)

// goal is what a training can be for: a file of its own, and a line in goals.
type goal struct {
	name  goalName
	kind  model.Kind                            // of the models that it trains
	data  string                                // the type of artifact that it learns from
	shape func(c *model.Config, p fitParams)    // what it asks of a new model; nil: nothing more
	room  func(c model.Config, p fitParams) int // tokens of a text beside its words, of a resolved configuration; nil: none
	check func(p fitParams) []error             // faults of its own parameters; nil: it has none
	open  func(ctx context.Context, j *job) (*lesson, error)
	// validate prepares the measurement of the job's model on held-out data alone.
	validate func(ctx context.Context, j *job, held artifact.Artifact) (*validation, error)
}

// validation measures a model on held-out data.
type validation struct {
	measure func(ctx context.Context) (training.Metrics, error)
	score   string // the metric that tells which model is the best
	lower   bool   // the least score wins
	close   func() error
}

// goals lists what can be learned. Adding one is one file and one line here.
func goals() []goal {
	return []goal{lmGoal(), clipGoal(), siglipGoal(), blipGoal(), captioningGoal(), vlmGoal()}
}

// goalName is the name of a goal as a parameter.
type goalName string

// Words is part of stage.Enumerated.
func (goalName) Words() []string {
	var names []string
	for _, n := range goalNames {
		names = append(names, string(n))
	}
	return names
}

// goalNames are those of goals. The list is made once, because goals refer to
// functions that look names up.
var goalNames = func() (names []goalName) {
	for _, g := range goals() {
		names = append(names, g.name)
	}
	return names
}()

func findGoal(name goalName) (goal, bool) {
	for _, g := range goals() {
		if g.name == name {
			return g, true
		}
	}
	return goal{}, false
}

// accepts tells whether the stage has the data that the goal learns from.
func (g goal) accepts(t *Task) error {
	for _, port := range []string{"data", "held_out"} {
		for _, a := range t.Inputs[port] {
			if a.Type == g.data {
				continue
			}
			way := "give image-text pairs"
			if g.data == artifact.TypeTokens {
				way = "make tokens of it with the kind tokens"
			}
			return Invalid(fmt.Errorf("input %s is %s %s, and objective %s learns from %s: %s", port, a.Type, a.Digest.Short(), g.name, g.data, way))
		}
	}
	return nil
}

// trains tells whether the goal is one for models of a configuration.
func (g goal) trains(c model.Config) error {
	if g.kind == c.Kind {
		return nil
	}
	return Invalid(fmt.Errorf("the model is of kind %s, and objective %s trains %s: use an objective of that kind", c.Kind, g.name, g.kind))
}

// weighted returns the weight of each of n data sets.
func weighted(weights []float64, n int) ([]float64, error) {
	if len(weights) == 0 {
		return make([]float64, n), nil // by their sizes
	}
	if len(weights) != n {
		return nil, Invalid(fmt.Errorf("weights has %d numbers for %d data sets: give one for each", len(weights), n))
	}
	return weights, nil
}
