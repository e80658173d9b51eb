package model

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// LoRA trains a low-rank change of linear layers (Hu et al. 2022): y = x W +
// (Alpha/Rank) x A B. Every other parameter is frozen, W too. A starts random, B at
// 0, so training starts from the model as it was.
type LoRA struct {
	Rank  int     `json:"rank"`
	Alpha float64 `json:"alpha"`
	// Targets are patterns of the linear layers, as in path.Match: a star stands for
	// anything. "text.blocks.*" are all of the text tower's blocks, the default.
	Targets []string `json:"targets"`
	// Train are patterns of parameters that are trained in full, such as "projector.*".
	Train []string `json:"train,omitempty"`
}

// Suffixes of a linear layer's parameters.
const (
	weightSuffix = ".weight"
	biasSuffix   = ".bias"
	loraA        = ".lora_a"
	loraB        = ".lora_b"
)

func (l LoRA) resolve() *LoRA {
	l.Rank = cmp.Or(l.Rank, 8)
	l.Alpha = cmp.Or(l.Alpha, 2*float64(l.Rank))
	if len(l.Targets) == 0 {
		l.Targets = []string{"text.blocks.*"}
	}
	return &l
}

// Scale is what x A B is multiplied by.
func (l LoRA) Scale() float64 { return l.Alpha / float64(l.Rank) }

// targets tells whether a linear layer gets a change.
func (l LoRA) targets(layer string) bool { return matches(l.Targets, layer) }

// trains tells whether a parameter is trained.
func (l LoRA) trains(param string) bool { return isLoRA(param) || matches(l.Train, param) }

func isLoRA(param string) bool {
	return strings.HasSuffix(param, loraA) || strings.HasSuffix(param, loraB)
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// validate checks the patterns against the model without LoRA.
func (l LoRA) validate(f *faults, base []Spec) {
	f.positive("lora.rank", l.Rank)
	if !(l.Alpha > 0 && l.Alpha <= 1e6) {
		f.add("lora.alpha is %v: give a positive number, such as twice the rank", l.Alpha)
	}
	var layers, params []string
	for _, s := range base {
		params = append(params, s.Name)
		if s.linear {
			layers = append(layers, strings.TrimSuffix(s.Name, weightSuffix))
		}
	}
	matched := func(key, pattern string, names []string) {
		if _, err := path.Match(pattern, ""); err != nil {
			f.add("%s has the pattern %q: %w", key, pattern, err)
			return
		}
		if !slices.ContainsFunc(names, func(n string) bool { return matches([]string{pattern}, n) }) {
			f.add("%s has the pattern %q, which matches none of the model's, such as %q", key, pattern, names[len(names)-1])
		}
	}
	for _, p := range l.Targets {
		matched("lora.targets", p, layers)
	}
	for _, p := range l.Train {
		matched("lora.train", p, params)
	}
}
