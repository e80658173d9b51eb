package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"tempera/datagen/example"
)

// Arithmetic are the parameters of sums of several numbers. Zero fields mean the defaults.
type Arithmetic struct {
	Form
	Terms  int                `json:"terms,omitempty"`  // default 3
	Digits int                `json:"digits,omitempty"` // of each number; default 2
	Styles map[string]float64 `json:"styles,omitempty"` // weights of the ways that demonstrations go; default direct 0.7, steps 0.3
}

// The ways to add numbers.
const (
	Direct  = "direct"  // the sum without a thought
	Columns = "columns" // a sum for each column, from the right, with its carry: 7+5+6=18,4+8+3+1=16
	Steps   = "steps"   // one addition at a time: 7+5=12,12+6=18,4+8=12,12+3=15,15+1=16
)

var styles = map[string]func([]int, int) string{Direct: func([]int, int) string { return "" }, Columns: columns, Steps: steps}

// sumFacts are what the sum is of.
type sumFacts struct {
	Numbers []int `json:"numbers"`
	Digits  int   `json:"digits"`
}

func arithmetic() Task {
	return opens[Arithmetic](Task{
		Name: "arithmetic", Summary: "sums of several numbers, added at once or column by column",
		Check: func(p *example.Problem, completion string) Verdict {
			return checkInteger(marked(p, Tags), p.Answer, completion)
		},
		Strategy:  addingStyle,
		Steps:     addingSteps,
		Separator: ",",
	})
}

func (a Arithmetic) withDefaults() Arithmetic {
	a.Form = a.marked(Tags)
	if a.Terms == 0 {
		a.Terms = 3
	}
	if a.Digits == 0 {
		a.Digits = 2
	}
	if a.Styles == nil {
		a.Styles = map[string]float64{Direct: 0.7, Steps: 0.3}
	}
	return a
}

// Validate reports every fault.
func (a Arithmetic) Validate() error {
	var faults []error
	between(&faults, "terms", a.Terms, [2]int{2, 20})
	between(&faults, "digits", a.Digits, [2]int{1, 15})
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(a.Styles)) {
		w := a.Styles[name]
		if styles[name] == nil || !(w >= 0 && w <= 1e6) {
			faults = append(faults, fmt.Errorf("styles has %q: %v: use direct, columns and steps with weights from 0", name, w))
		}
		sum += w
	}
	if !(sum > 0) {
		faults = append(faults, errors.New("styles has no weight above 0: give direct, columns or steps one"))
	}
	return errors.Join(faults...)
}

func (a Arithmetic) draw(r *rand.Rand) (*problem, error) {
	low, high := 1, 10
	for range a.Digits - 1 {
		low, high = 10*low, 10*high
	}
	if a.Digits == 1 {
		low = 0
	}
	numbers, sum := make([]int, a.Terms), 0
	var prompt strings.Builder
	for i := range numbers {
		numbers[i] = low + r.IntN(high-low)
		sum += numbers[i]
		if i > 0 {
			prompt.WriteByte('+')
		}
		prompt.WriteString(strconv.Itoa(numbers[i]))
	}
	prompt.WriteByte('=')
	style := weighted(r, a.Styles)
	return &problem{
		prompt: prompt.String(), answer: strconv.Itoa(sum), traces: []string{styles[style](numbers, a.Digits)},
		facts: sumFacts{numbers, a.Digits}, level: a.Terms * a.Digits, slice: fmt.Sprintf("%d numbers of %d digits", a.Terms, a.Digits),
	}, nil
}

// weighted draws a name by its weight.
func weighted(r *rand.Rand, weights map[string]float64) string {
	names, sum := slices.Sorted(maps.Keys(weights)), 0.0
	for _, n := range names {
		sum += weights[n]
	}
	u := r.Float64() * sum
	for _, n := range names {
		if u -= weights[n]; u < 0 {
			return n
		}
	}
	return names[len(names)-1]
}

// eachColumn calls add with the digits of every column, from the right, and the carry that comes into it (-1 for the first); add returns the column's sum.
func eachColumn(numbers []int, digits int, add func(column []int, carry int) int) {
	carry, power := -1, 1
	for range digits {
		column := make([]int, len(numbers))
		for i, n := range numbers {
			column[i] = n / power % 10
		}
		carry, power = add(column, carry)/10, 10*power
	}
}

func columns(numbers []int, digits int) string {
	var lines []string
	eachColumn(numbers, digits, func(column []int, carry int) int {
		if carry >= 0 {
			column = append(column, carry)
		}
		sum, terms := 0, make([]string, len(column))
		for i, d := range column {
			sum += d
			terms[i] = strconv.Itoa(d)
		}
		lines = append(lines, strings.Join(terms, "+")+"="+strconv.Itoa(sum))
		return sum
	})
	return strings.Join(lines, ",")
}

func steps(numbers []int, digits int) string {
	var lines []string
	eachColumn(numbers, digits, func(column []int, carry int) int {
		if carry >= 0 {
			column = append(column, carry)
		}
		sum := column[0]
		for _, d := range column[1:] {
			lines = append(lines, fmt.Sprintf("%d+%d=%d", sum, d, sum+d))
			sum += d
		}
		return sum
	})
	return strings.Join(lines, ",")
}

// addingStyle names the way by the form of the thought alone, whether or not it is right.
func addingStyle(_ *example.Problem, completion string) string {
	thought, ok := Thinking(completion)
	if !ok {
		return "none"
	}
	return styleOf(thought)
}

func styleOf(thought string) string {
	if strings.TrimSpace(thought) == "" {
		return Direct
	}
	style := Steps
	for _, equation := range strings.Split(thought, ",") {
		left, _, ok := strings.Cut(equation, "=")
		switch n := strings.Count(left, "+"); {
		case !ok || n == 0:
			return "other"
		case n > 1:
			style = Columns
		}
	}
	return style
}

// addingSteps compares a completion, which may still be open, with what its way would write; behind the first wrong step none is right. The last step of a
// whole one holds its answer, which must be right too.
func addingSteps(p *example.Problem, completion string) (steps []string, right []bool) {
	var facts sumFacts
	if json.Unmarshal(p.Facts, &facts) != nil || len(facts.Numbers) == 0 || facts.Digits < 1 || facts.Digits > 15 {
		return nil, nil
	}
	thought, _, closed := strings.Cut(strings.TrimPrefix(completion, thinkOpen), thinkClose)
	thought = strings.TrimSuffix(thought, ",")
	var want []string
	if way := styles[styleOf(thought)]; way != nil {
		want = strings.Split(way(facts.Numbers, facts.Digits), ",")
	}
	steps = strings.Split(strings.TrimSuffix(completion, ","), ",")
	so := true
	for i, s := range steps {
		s, _, _ = strings.Cut(strings.TrimPrefix(s, thinkOpen), thinkClose)
		so = so && i < len(want) && s == want[i]
		if closed && i == len(steps)-1 {
			so = so && i == len(want)-1 && checkInteger(marked(p, Tags), p.Answer, completion).Right
		}
		right = append(right, so)
	}
	return steps, right
}
