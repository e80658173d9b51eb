package generate

import (
	"math"
	"slices"

	"tempera/training/kernel"
)

// sequence is one text, greedy or sampled, and what a search with beams shares with it.
type sequence struct {
	engine   *kernel.Engine
	request  Request
	prompt   []int32
	budget   int // tokens to generate at most
	eos      int32
	suppress []bool
	fed      int // tokens in the caches
	out      Result
}

func (s *sequence) input(tokens []int32) int {
	if s.fed < len(s.prompt) {
		tokens[0] = s.prompt[s.fed]
	} else {
		tokens[0] = s.out.Tokens[len(s.out.Tokens)-1]
	}
	s.fed++
	return s.fed
}

func (s *sequence) advance(logProbs []float32) (from []int, done bool, err error) {
	if s.fed < len(s.prompt) {
		return nil, false, nil
	}
	c, ok := s.choose(logProbs)
	if !ok {
		return nil, true, errNoToken
	}
	s.out.LogProbs = append(s.out.LogProbs, c.logProb)
	s.out.LogProb += float64(c.logProb)
	if c.token == s.eos {
		s.out.Ended = true
		return nil, true, nil
	}
	s.out.Tokens = append(s.out.Tokens, c.token)
	return nil, len(s.out.Tokens) == s.budget, nil
}

func (s *sequence) choose(logProbs []float32) (candidate, bool) {
	if s.request.Search.Temperature > 0 {
		token, ok := draw(nucleus(s.probabilities(logProbs), s.request.Search), uniform(s.request.Seed, len(s.out.LogProbs)))
		if !ok {
			return candidate{}, false
		}
		return candidate{token, logProbs[token]}, true
	}
	best := top(logProbs, s.suppress, 1)
	if len(best) == 0 {
		return candidate{}, false
	}
	return best[0], true
}

// probabilities are those at the request's temperature, without the suppressed tokens.
func (s *sequence) probabilities(logProbs []float32) []float32 {
	p := slices.Clone(logProbs)
	for i, hidden := range s.suppress {
		if hidden {
			p[i] = float32(math.Inf(-1))
		}
	}
	s.engine.Softmax(kernel.SoftmaxArgs{Rows: 1, Cols: len(p), X: p, Y: p, Scale: float32(1 / s.request.Search.Temperature)})
	for i, hidden := range s.suppress {
		if hidden {
			p[i] = 0
		}
	}
	return p
}

func (s *sequence) result() Result { return s.out }
