package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"tempera/datagen/example"
)

// Countdown are the parameters of making a number of others. Zero fields mean the defaults.
type Countdown struct {
	Form
	Numbers int  `json:"numbers,omitempty"` // default 3
	Largest int  `json:"largest,omitempty"` // number that is given; default 25
	Target  int  `json:"target,omitempty"`  // largest number to make; default 100
	All     bool `json:"all,omitempty"`     // every number must be used; else each at most once
}

type countdownFacts struct {
	Numbers []int `json:"numbers"`
	Target  int   `json:"target"`
	All     bool  `json:"all,omitempty"`
}

func countdown() Task {
	return opens[Countdown](Task{
		Name: "countdown", Summary: "make a number of others with + - * / and brackets",
		Check: checkCountdown,
	})
}

func (c Countdown) withDefaults() Countdown {
	c.Form = c.marked(Tags)
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Numbers, 3}, {&c.Largest, 25}, {&c.Target, 100}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// Validate reports every fault.
func (c Countdown) Validate() error {
	var faults []error
	between(&faults, "numbers", c.Numbers, [2]int{2, 8})
	between(&faults, "largest", c.Largest, [2]int{2, 1000})
	between(&faults, "target", c.Target, [2]int{2, 100000})
	return errors.Join(faults...)
}

// operand is a number that was made, and how.
type operand struct {
	value int
	text  string
	sum   bool // its last step was + or -: it needs brackets beside * and /
}

// maxStarts bounds the search for numbers that make a target.
const maxStarts = 1000

func (c Countdown) draw(r *rand.Rand) (*problem, error) {
	for range maxStarts {
		numbers := make([]int, c.Numbers)
		left := make([]operand, c.Numbers)
		for i := range numbers {
			numbers[i] = 1 + r.IntN(c.Largest)
			left[i] = operand{value: numbers[i], text: strconv.Itoa(numbers[i])}
		}
		if !c.All {
			r.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
			left = left[:2+r.IntN(len(left)-1)]
		}
		made, trace, ok := c.combine(r, left)
		if !ok || made.value < 1 || made.value > c.Target || slices.Contains(numbers, made.value) {
			continue
		}
		list := make([]string, len(numbers))
		for i, n := range numbers {
			list[i] = strconv.Itoa(n)
		}
		return &problem{
			prompt: strings.Join(list, ",") + ":" + strconv.Itoa(made.value) + "=", answer: made.text, traces: []string{strings.Join(trace, ",")},
			facts: countdownFacts{numbers, made.value, c.All}, level: c.Numbers, slice: fmt.Sprintf("%d numbers", c.Numbers),
		}, nil
	}
	return nil, fmt.Errorf("no %d numbers up to %d were found that make one up to %d: raise target, or lower largest", c.Numbers, c.Largest, c.Target)
}

// combine joins two operands at random until one is left.
func (c Countdown) combine(r *rand.Rand, left []operand) (made operand, trace []string, ok bool) {
	for len(left) > 1 {
		i := r.IntN(len(left))
		a := left[i]
		left = slices.Delete(slices.Clone(left), i, i+1)
		k := r.IntN(len(left))
		b := left[k]
		var m operand
		sign := "+"
		switch op := r.IntN(4); {
		case op == 0 && a.value >= b.value && b.value > 0:
			m, sign = operand{a.value - b.value, a.text + "-" + b.bracketed(b.sum), true}, "-"
		case op == 1:
			m, sign = operand{a.value * b.value, a.bracketed(a.sum) + "*" + b.bracketed(b.sum), false}, "*"
		case op == 2 && b.value > 1 && a.value%b.value == 0:
			m, sign = operand{a.value / b.value, a.bracketed(a.sum) + "/" + b.bracketed(b.sum || strings.ContainsAny(b.text, "*/")), false}, "/"
		default:
			m = operand{a.value + b.value, a.text + "+" + b.text, true}
		}
		if m.value > 1<<30 {
			return operand{}, nil, false
		}
		trace = append(trace, fmt.Sprintf("%d%s%d=%d", a.value, sign, b.value, m.value))
		left[k] = m
	}
	return left[0], trace, true
}

func (o operand) bracketed(needed bool) string {
	if needed {
		return "(" + o.text + ")"
	}
	return o.text
}

func checkCountdown(p *example.Problem, completion string) Verdict {
	var facts countdownFacts
	if err := json.Unmarshal(p.Facts, &facts); err != nil || len(facts.Numbers) == 0 {
		return wrong("", "the problem does not say its numbers")
	}
	found, fault := Extract(completion, marked(p, Tags))
	if fault != "" {
		return wrong("", fault)
	}
	value, used, err := evaluate(found)
	if err != nil {
		return wrong("", err.Error())
	}
	answer := strings.ReplaceAll(found, " ", "")
	left := slices.Clone(facts.Numbers)
	for _, n := range used {
		i := slices.Index(left, n)
		if i < 0 {
			return wrong(answer, fmt.Sprintf("%d is not given, or is used too often", n))
		}
		left = slices.Delete(left, i, i+1)
	}
	switch {
	case facts.All && len(left) > 0:
		return wrong(answer, "not every number is used")
	case !value.IsInt() || !value.Num().IsInt64() || value.Num().Int64() != int64(facts.Target):
		return wrong(answer, fmt.Sprintf("it makes %s, not %d", value.RatString(), facts.Target))
	}
	return right(answer)
}
