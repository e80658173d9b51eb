package reward

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/task"
)

type overlongParams struct {
	Max   int `json:"max,omitempty"`   // tokens; default: those that a text may have
	Cache int `json:"cache,omitempty"` // tokens before max over which the penalty grows; default a fifth of max
}

func (p overlongParams) Validate() error {
	if p.Max < 0 || p.Cache < 0 || p.Max > 0 && p.Cache > p.Max {
		return fmt.Errorf("max is %d and cache %d: use numbers of tokens, cache no larger than max", p.Max, p.Cache)
	}
	return nil
}

// overlong is the soft punishment of DAPO (Yu et al. 2025, equation 13): 0 up to max - cache tokens, then falling to -1 at max. A text that was cut off
// has -1.
func overlong() Kind {
	return Kind{
		Name: "overlong", Summary: "0 for short texts, falling to -1 at the most tokens (DAPO)",
		Open: opened(overlongParams{}, func(p overlongParams) Reward {
			return each(func(s Sample) float64 {
				most, cache := p.Max, p.Cache
				if most == 0 {
					most = s.Budget
				}
				if cache == 0 {
					cache = max(1, most/5)
				}
				switch {
				case !s.Ended && (most == 0 || s.Tokens >= most):
					return -1
				case most == 0:
					return 0
				}
				return max(-1, min(0, float64(most-cache-s.Tokens)/float64(cache)))
			})
		}),
	}
}

// length is the length reward of Kimi k1.5 (Kimi Team 2025, section 2.3.3): among the samples of one prompt, 0.5 for the shortest down to -0.5 for the
// longest; a wrong text never gains by it.
func length() Kind {
	return Kind{
		Name: "length", Summary: "among the samples of a prompt, 0.5 for the shortest to -0.5 for the longest; nothing to gain for wrong ones (Kimi k1.5)",
		Open: opened(none{}, func(none) Reward { return shorter{} }),
	}
}

type shorter struct{}

func (shorter) Score(_ context.Context, samples []Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for start := 0; start < len(samples); {
		if samples[start].Example == nil {
			return nil, errors.New("a sample has no example")
		}
		end, least, most := start, samples[start].Tokens, samples[start].Tokens
		for ; end < len(samples) && samples[end].Example == samples[start].Example; end++ {
			least, most = min(least, samples[end].Tokens), max(most, samples[end].Tokens)
		}
		for i := start; i < end && most > least; i++ {
			s := samples[i]
			out[i] = 0.5 - float64(s.Tokens-least)/float64(most-least)
			if s.Example.Problem == nil || !s.Ended || !task.Check(s.Example.Problem, s.Text).Right {
				out[i] = min(0, out[i])
			}
		}
		start = end
	}
	return out, nil
}
