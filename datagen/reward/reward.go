// Package reward judges completions by rules: a number for each, from functions that are composed with weights. Every function is total and strict, and a
// part of the total that is kept by itself. Adding one is one file and one line in All; one that is not trusted, or not in Go, is a program.
package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/task"
)

// Sample is a completion to be judged.
type Sample struct {
	Example *example.Example // the row with the prompt and the problem
	Text    string           // what was written
	Tokens  int              // of the text, the ending one included
	Ended   bool             // the model ended it; otherwise it was cut off
	Budget  int              // most tokens that it could have; 0: not known
}

// Reward is a function of completions.
//
// Score returns a finite number for each sample. Samples of one prompt lie beside each other, so that a reward may compare them. It may be called from
// one goroutine at a time, and again with the same samples; what it returns depends on them only. An error means that nothing could be judged.
type Reward interface {
	Score(ctx context.Context, samples []Sample) ([]float64, error)
}

// Counter is a reward that counts what went wrong on the way, under names of its own.
type Counter interface {
	Counts() map[string]int
}

// Closer is a reward that holds something between its calls.
type Closer interface {
	Close() error
}

// Kind is one kind of reward.
type Kind struct {
	Name    string
	Summary string
	Open    func(params json.RawMessage) (Reward, error) // strict: unknown keys are faults
}

// All lists the kinds.
func All() []Kind {
	return []Kind{accuracy(), format(), language(), overlong(), length(), repetition(), rule(), program()}
}

// Names lists the names of the kinds.
func Names() []string {
	var names []string
	for _, k := range All() {
		names = append(names, k.Name)
	}
	return names
}

// each is a reward that looks at one sample at a time.
type each func(s Sample) float64

func (f each) Score(_ context.Context, samples []Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = f(s)
	}
	return out, nil
}

// opened reads parameters over defaults and makes a reward of them. P's Validate returns every fault.
func opened[P interface{ Validate() error }](defaults P, build func(P) Reward) func(json.RawMessage) (Reward, error) {
	return func(raw json.RawMessage) (Reward, error) {
		p := defaults
		if err := task.Decode(raw, &p); err != nil {
			return nil, err
		}
		if err := p.Validate(); err != nil {
			return nil, err
		}
		return build(p), nil
	}
}

// none are the parameters of a reward that has none.
type none struct{}

func (none) Validate() error { return nil }

// Term is a reward of a composition.
type Term struct {
	Reward string         `json:"reward" doc:"Kind of reward."`
	Name   string         `json:"name,omitempty" doc:"Of its curve; default: that of the kind."`
	Weight float64        `json:"weight" doc:"By which it counts; may be negative."`
	Params map[string]any `json:"params,omitempty" doc:"Of the kind."`
}

// Rewards is a weighted sum of rewards.
type Rewards struct {
	names   []string
	weights []float64
	parts   []Reward
}

// Open makes the rewards of a list; every fault of every one is reported at once.
func Open(terms []Term) (*Rewards, error) {
	r := &Rewards{}
	var faults []error
	for i, t := range terms {
		name := t.Name
		if name == "" {
			name = t.Reward
		}
		part, err := t.open()
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("rewards[%d]: %w", i, err))
		case slices.Contains(r.names, name):
			faults = append(faults, fmt.Errorf("rewards[%d]: there is a reward %q already: give it a name of its own", i, name))
		}
		r.names, r.weights, r.parts = append(r.names, name), append(r.weights, t.Weight), append(r.parts, part)
	}
	if len(terms) == 0 {
		faults = append(faults, fmt.Errorf("rewards is empty: give at least one of %s", strings.Join(Names(), ", ")))
	}
	return r, errors.Join(faults...)
}

func (t Term) open() (Reward, error) {
	i := slices.IndexFunc(All(), func(k Kind) bool { return k.Name == t.Reward })
	if i < 0 {
		return nil, fmt.Errorf("there is no reward %q: use %s", t.Reward, strings.Join(Names(), ", "))
	}
	if math.IsNaN(t.Weight) || math.IsInf(t.Weight, 0) {
		return nil, fmt.Errorf("weight is %v: use a number", t.Weight)
	}
	var raw json.RawMessage
	if t.Params != nil {
		var err error
		if raw, err = json.Marshal(t.Params); err != nil {
			return nil, fmt.Errorf("reward %s: %w", t.Reward, err)
		}
	}
	part, err := All()[i].Open(raw)
	if err != nil {
		return nil, fmt.Errorf("reward %s: %w", t.Reward, err)
	}
	return part, nil
}

// Add appends a reward that no list names, such as a reward model.
func (r *Rewards) Add(name string, weight float64, part Reward) {
	r.names, r.weights, r.parts = append(r.names, name), append(r.weights, weight), append(r.parts, part)
}

// Names lists the parts.
func (r *Rewards) Names() []string { return slices.Clone(r.names) }

// Score is what a sample got.
type Score struct {
	Total float64
	Parts map[string]float64 // by name, without the weights
}

// Score judges samples. A part that is not finite is an error that names it.
func (r *Rewards) Score(ctx context.Context, samples []Sample) ([]Score, error) {
	out := make([]Score, len(samples))
	for i := range out {
		out[i].Parts = make(map[string]float64, len(r.parts))
	}
	for k, part := range r.parts {
		values, err := part.Score(ctx, samples)
		if err != nil {
			return nil, fmt.Errorf("reward %s: %w", r.names[k], err)
		}
		if len(values) != len(samples) {
			return nil, fmt.Errorf("reward %s: it gave %d values for %d samples", r.names[k], len(values), len(samples))
		}
		for i, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("reward %s: it gave %v to sample %d (%s)", r.names[k], v, i, samples[i].Example.ID)
			}
			out[i].Parts[r.names[k]] = v
			out[i].Total += r.weights[k] * v
		}
	}
	return out, nil
}

// Counts are what the parts counted, each under the part's name, a dot and its own.
func (r *Rewards) Counts() map[string]int {
	counts := map[string]int{}
	for k, part := range r.parts {
		c, ok := part.(Counter)
		if !ok {
			continue
		}
		for name, n := range c.Counts() {
			counts[r.names[k]+"."+name] = n
		}
	}
	return counts
}

// Close frees what the parts hold.
func (r *Rewards) Close() error {
	var faults []error
	for k, part := range r.parts {
		if c, ok := part.(Closer); ok {
			if err := c.Close(); err != nil {
				faults = append(faults, fmt.Errorf("reward %s: %w", r.names[k], err))
			}
		}
	}
	return errors.Join(faults...)
}
