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

// Sorting are the parameters of putting numbers in order. Zero fields mean the defaults.
type Sorting struct {
	Form
	Numbers int  `json:"numbers,omitempty"` // default 4
	Largest int  `json:"largest,omitempty"` // default 99
	Falling bool `json:"falling,omitempty"` // the largest first
}

func sorting() Task {
	return opens[Sorting](Task{
		Name: "sorting", Summary: "put numbers in order",
		Check: func(p *example.Problem, completion string) Verdict {
			found, fault := Extract(completion, marked(p, Tags))
			if fault != "" {
				return wrong("", fault)
			}
			numbers := strings.Split(found, ",")
			for i, n := range numbers {
				var ok bool
				if numbers[i], ok = integer(strings.TrimSpace(n)); !ok {
					return wrong("", "the answer is no list of whole numbers with commas between")
				}
			}
			return same(strings.Join(numbers, ","), p.Answer)
		},
	})
}

func (s Sorting) withDefaults() Sorting {
	s.Form = s.marked(Tags)
	if s.Numbers == 0 {
		s.Numbers = 4
	}
	if s.Largest == 0 {
		s.Largest = 99
	}
	return s
}

// Validate reports every fault.
func (s Sorting) Validate() error {
	var faults []error
	between(&faults, "numbers", s.Numbers, [2]int{2, 64})
	between(&faults, "largest", s.Largest, [2]int{1, 1000000})
	return errors.Join(faults...)
}

func (s Sorting) draw(r *rand.Rand) (*problem, error) {
	numbers := make([]int, s.Numbers)
	for i := range numbers {
		numbers[i] = r.IntN(s.Largest + 1)
	}
	sorted, order := slices.Sorted(slices.Values(numbers)), "up"
	if s.Falling {
		slices.Reverse(sorted)
		order = "down"
	}
	return &problem{
		prompt: order + ":" + list(numbers) + "=", answer: list(sorted), traces: []string{selection(numbers, sorted)},
		level: s.Numbers, slice: fmt.Sprintf("%d numbers", s.Numbers),
	}, nil
}

func list(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}

// selection writes down what is left after each number that is taken.
func selection(numbers, sorted []int) string {
	left, lines := slices.Clone(numbers), make([]string, 0, len(sorted))
	for _, n := range sorted[:len(sorted)-1] {
		i := slices.Index(left, n)
		left = slices.Delete(left, i, i+1)
		lines = append(lines, fmt.Sprintf("%d;%s", n, list(left)))
	}
	return strings.Join(lines, "/")
}

// Counting are the parameters of counting a letter. Zero fields mean the defaults.
type Counting struct {
	Form
	Length  int `json:"length,omitempty"`  // of the word; default 8
	Letters int `json:"letters,omitempty"` // different ones, from a on; default 4
}

func counting() Task {
	return opens[Counting](Task{
		Name: "counting", Summary: "count how often a letter is in a word",
		Check: func(p *example.Problem, completion string) Verdict {
			return checkInteger(marked(p, Tags), p.Answer, completion)
		},
	})
}

func (c Counting) withDefaults() Counting {
	c.Form = c.marked(Tags)
	if c.Length == 0 {
		c.Length = 8
	}
	if c.Letters == 0 {
		c.Letters = 4
	}
	return c
}

// Validate reports every fault.
func (c Counting) Validate() error {
	var faults []error
	between(&faults, "length", c.Length, [2]int{1, 256})
	between(&faults, "letters", c.Letters, [2]int{2, 26})
	return errors.Join(faults...)
}

func (c Counting) draw(r *rand.Rand) (*problem, error) {
	word, wanted, n := make([]byte, c.Length), byte('a'+r.IntN(c.Letters)), 0
	var trace strings.Builder
	for i := range word {
		word[i] = byte('a' + r.IntN(c.Letters))
		if word[i] == wanted {
			n++
		}
		fmt.Fprintf(&trace, "%c%d", word[i], n)
	}
	return &problem{
		prompt: fmt.Sprintf("%c in %s=", wanted, word), answer: strconv.Itoa(n), traces: []string{trace.String()},
		level: c.Length, slice: fmt.Sprintf("%d letters", c.Length),
	}, nil
}
