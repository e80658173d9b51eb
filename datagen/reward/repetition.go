package reward

import (
	"errors"
	"fmt"
	"strings"
)

type repetitionParams struct {
	N    int    `json:"n,omitempty"`    // units of an n-gram; default 3
	Unit string `json:"unit,omitempty"` // word or character; default word
}

func (p repetitionParams) Validate() error {
	var faults []error
	if p.N < 1 || p.N > 64 {
		faults = append(faults, fmt.Errorf("n is %d: use 1 to 64", p.N))
	}
	if p.Unit != "word" && p.Unit != "character" {
		faults = append(faults, fmt.Errorf("unit is %q: use word or character", p.Unit))
	}
	return errors.Join(faults...)
}

// repetition is minus the share of n-grams that a text has had before (as in Yeo et al. 2025, "Demystifying Long Chain-of-Thought").
func repetition() Kind {
	return Kind{
		Name: "repetition", Summary: "minus the share of n-grams that the text has had before",
		Open: opened(repetitionParams{N: 3, Unit: "word"}, func(p repetitionParams) Reward {
			return each(func(s Sample) float64 {
				units := strings.Fields(s.Text)
				if p.Unit == "character" {
					units = strings.Split(s.Text, "")
				}
				all := len(units) - p.N + 1
				if all < 1 {
					return 0
				}
				seen := make(map[string]bool, all)
				for i := range all {
					seen[strings.Join(units[i:i+p.N], "\x00")] = true
				}
				return float64(len(seen))/float64(all) - 1
			})
		}),
	}
}
