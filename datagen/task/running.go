package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"tempera/datagen/example"
)

// Running are the parameters of running sums modulo ten with a demonstrator who slips and carries on from the wrong sum. Zero fields mean the defaults.
type Running struct {
	Form
	Sums  int      `json:"sums,omitempty"`  // default 9
	Slip  *float64 `json:"slip,omitempty"`  // chance of a slip where one can happen; default 0.6
	Slips string   `json:"slips,omitempty"` // systematic: 7, 8 and 9 are added one short; random: any sum is off by one or two; default systematic
}

// The kinds of slips.
const (
	systematic = "systematic"
	random     = "random"
)

type runningFacts struct {
	Digits []int `json:"digits"`
}

// running is the task on which a verifier of steps beats one of outcomes: a systematic slip is what most samples agree on.
func running() Task {
	return opens[Running](Task{
		Name: "running", Summary: "running sums modulo ten, with slips in the demonstrations",
		Check: func(p *example.Problem, completion string) Verdict {
			digits, ok := digitsOf(p)
			if !ok {
				return wrong("", "the problem does not say its digits")
			}
			sums := strings.TrimSpace(completion)
			if len(sums) != len(digits)-1 {
				return wrong("", fmt.Sprintf("the answer is not %d digits", len(digits)-1))
			}
			for i := range len(sums) {
				if !isDigit(sums[i]) {
					return wrong("", "the answer has other characters than digits")
				}
			}
			return same(sums[len(sums)-1:], p.Answer)
		},
		Steps: runningSteps,
	})
}

func (s Running) withDefaults() Running {
	s.Form = s.marked(Entire)
	if s.Sums == 0 {
		s.Sums = 9
	}
	if s.Slip == nil {
		chance := 0.6
		s.Slip = &chance
	}
	if s.Slips == "" {
		s.Slips = systematic
	}
	return s
}

// Validate reports every fault.
func (s Running) Validate() error {
	var faults []error
	between(&faults, "sums", s.Sums, [2]int{1, 256})
	if !(*s.Slip >= 0 && *s.Slip <= 1) {
		faults = append(faults, fmt.Errorf("slip is %v: use a chance from 0 to 1", *s.Slip))
	}
	if s.Slips != systematic && s.Slips != random {
		faults = append(faults, fmt.Errorf("slips is %q: use systematic or random", s.Slips))
	}
	return errors.Join(faults...)
}

func (s Running) draw(r *rand.Rand) (*problem, error) {
	facts := runningFacts{make([]int, s.Sums+1)}
	prompt, gold, said := "", 0, 0
	trace := make([]byte, 0, s.Sums)
	for i := range facts.Digits {
		d := r.IntN(10)
		facts.Digits[i] = d
		prompt += fmt.Sprint(d)
		gold = (gold + d) % 10
		if i == 0 {
			said = d
			continue
		}
		said = (said + d + s.off(r, d)) % 10
		trace = append(trace, byte('0'+said))
	}
	return &problem{
		prompt: prompt + "=", answer: fmt.Sprint(gold), traces: []string{string(trace)}, facts: facts, level: s.Sums, slice: fmt.Sprintf("%d sums", s.Sums),
	}, nil
}

// off is the slip at adding d, modulo ten.
func (s Running) off(r *rand.Rand, d int) int {
	if r.Float64() >= *s.Slip {
		return 0
	}
	if s.Slips == random {
		return pick(r, []int{1, 2, 8, 9})
	}
	if d >= 7 {
		return 9
	}
	return 0
}

func digitsOf(p *example.Problem) ([]int, bool) {
	var facts runningFacts
	if err := json.Unmarshal(p.Facts, &facts); err != nil || len(facts.Digits) < 2 {
		return nil, false
	}
	for _, d := range facts.Digits {
		if d < 0 || d > 9 {
			return nil, false
		}
	}
	return facts.Digits, true
}

// runningSteps labels each sum by adding its digit to the sum before it, as that was written: a right step after a wrong one is right.
func runningSteps(p *example.Problem, completion string) (steps []string, right []bool) {
	digits, ok := digitsOf(p)
	if !ok {
		return nil, nil
	}
	last := digits[0]
	for i, c := range []byte(strings.TrimSpace(completion)) {
		so := isDigit(c) && i+1 < len(digits) && last >= 0 && int(c-'0') == (last+digits[i+1])%10
		steps, right = append(steps, string(rune(c))), append(right, so)
		if last = -1; isDigit(c) {
			last = int(c - '0')
		}
		if len(steps) == maxAnswer {
			break
		}
	}
	return steps, right
}
