package task

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"tempera/datagen/example"
)

// Words are the parameters of sums told as a story of several steps. Zero fields mean the defaults.
type Words struct {
	Form
	Steps       int `json:"steps,omitempty"`       // of the story; default 3
	Largest     int `json:"largest,omitempty"`     // number of the story; default 20
	Distractors int `json:"distractors,omitempty"` // sentences that do not matter; default 0
}

var (
	people = []string{"Ana", "Ben", "Chen", "Dora", "Emil", "Fay", "Goran", "Hana"}
	things = []string{"apples", "books", "coins", "eggs", "marbles", "pears", "shells", "stamps"}
)

func words() Task {
	return opens[Words](Task{
		Name: "words", Summary: "sums of several steps, told in words",
		Check: func(p *example.Problem, completion string) Verdict {
			return checkInteger(marked(p, Tags), p.Answer, completion)
		},
	})
}

func (w Words) withDefaults() Words {
	w.Form = w.marked(Tags)
	if w.Steps == 0 {
		w.Steps = 3
	}
	if w.Largest == 0 {
		w.Largest = 20
	}
	return w
}

// Validate reports every fault.
func (w Words) Validate() error {
	var faults []error
	between(&faults, "steps", w.Steps, [2]int{1, 12})
	between(&faults, "largest", w.Largest, [2]int{3, 10000})
	between(&faults, "distractors", w.Distractors, [2]int{0, 12})
	return errors.Join(faults...)
}

func (w Words) draw(r *rand.Rand) (*problem, error) {
	who, what := pick(r, people), pick(r, things)
	has := 1 + r.IntN(w.Largest)
	story := []string{fmt.Sprintf("%s has %d %s.", who, has, what)}
	var trace []string
	for range w.Steps {
		sentence, line, now := w.step(r, who, has)
		story, trace, has = append(story, sentence), append(trace, line), now
	}
	for range w.Distractors {
		other := pick(r, slices.DeleteFunc(slices.Clone(people), func(p string) bool { return p == who }))
		aside := fmt.Sprintf("%s has %d %s.", other, 1+r.IntN(w.Largest), pick(r, things))
		story = slices.Insert(story, 1+r.IntN(len(story)), aside)
	}
	story = append(story, fmt.Sprintf("How many %s does %s have now?", what, who))
	return &problem{
		prompt: strings.Join(story, " "), answer: strconv.Itoa(has), traces: []string{strings.Join(trace, ",")},
		level: w.Steps, slice: fmt.Sprintf("%d steps", w.Steps),
	}, nil
}

// step is a sentence of the story, its sum, and what is left then.
func (w Words) step(r *rand.Rand, who string, has int) (sentence, line string, now int) {
	n := 1 + r.IntN(w.Largest)
	switch op := r.IntN(4); {
	case op == 0 && has > 1:
		n = 1 + r.IntN(min(has, w.Largest))
		return fmt.Sprintf("%s gives %d away.", who, n), fmt.Sprintf("%d-%d=%d", has, n, has-n), has - n
	case op == 1 && has > 1:
		n = 1 + r.IntN(min(has, w.Largest))
		return fmt.Sprintf("%s loses %d.", who, n), fmt.Sprintf("%d-%d=%d", has, n, has-n), has - n
	case op == 2 && has <= 5*w.Largest && has > 0:
		n = 2 + r.IntN(2)
		return fmt.Sprintf("Now %s has %d times as many.", who, n), fmt.Sprintf("%d*%d=%d", has, n, has*n), has * n
	}
	return fmt.Sprintf("%s finds %d more.", who, n), fmt.Sprintf("%d+%d=%d", has, n, has+n), has + n
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
