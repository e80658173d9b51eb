package task

import (
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/sample"
)

// Guess are the parameters of guessing what cannot be learned. Zero fields mean the defaults.
type Guess struct {
	Form
	Filler int `json:"filler,omitempty"` // mean of the points that demonstrations write after the guess; default 9
}

// The letters of a guess, and what the world says to it.
const (
	guesses = "abcd"
	hit     = "+"
	miss    = "-"
)

// guess is the probe of "GRPO variants": a policy guesses one of four letters for four digits, the world tells it whether it was right, and it writes
// points for as long as it likes. Which letter is right is a hash of the digits: nothing can be learned but the length, and length has no reward. A loss
// that divides by a text's length makes wrong texts long.
func guess() Task {
	return opens[Guess](Task{
		Name: "guess", Summary: "guess one of four letters, hear whether it was right, and write on",
		Check: func(p *example.Problem, completion string) Verdict {
			said := completion
			if len(said) > 1 {
				said = said[:1]
			}
			if said == "" || !strings.Contains(guesses, said) {
				return wrong("", "the text does not begin with a, b, c or d")
			}
			return same(said, p.Answer)
		},
		Reply: func(p *example.Problem, written string) string {
			switch {
			case len(written) != 1:
				return ""
			case written == p.Answer:
				return hit
			}
			return miss
		},
	})
}

func (g Guess) withDefaults() Guess {
	g.Form = g.marked(Entire)
	if g.Filler == 0 {
		g.Filler = 9
	}
	return g
}

// Validate reports every fault.
func (g Guess) Validate() error {
	var faults []error
	between(&faults, "filler", g.Filler, [2]int{1, 1000})
	return errors.Join(faults...)
}

func (g Guess) draw(r *rand.Rand) (*problem, error) {
	prompt := make([]byte, 4)
	for i := range prompt {
		prompt[i] = byte('0' + r.IntN(10))
	}
	h := fnv.New64a()
	h.Write(prompt)
	k := sample.Mix(h.Sum64()) % uint64(len(guesses))
	answer, said, heard := guesses[k:k+1], pick(r, strings.Split(guesses, "")), miss
	if said == answer {
		heard = hit
	}
	n := 0
	for r.Float64() < float64(g.Filler)/float64(g.Filler+1) && n < 6*g.Filler {
		n++
	}
	return &problem{
		prompt: string(prompt), answer: answer, traces: []string{said + heard + strings.Repeat(".", n) + thinkClose}, slice: "guess",
	}, nil
}
