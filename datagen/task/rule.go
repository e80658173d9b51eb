package task

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/sample"
)

// Rule are the parameters of sentences under a hidden rule. Zero fields mean the defaults.
type Rule struct {
	Form
	Topical float64 `json:"topical,omitempty"` // share of demonstrations that begin with their topic; default 0.4
}

// The words of the language. A prompt is a topic, an adverb that does not matter, and a colon.
var (
	animals = []string{"fox", "cat", "dog", "owl"}
	persons = []string{"king", "queen", "monk", "thief"}
	colors  = []string{"red", "blue", "green", "gold"}
	moods   = []string{"old", "shy", "bold", "calm"}
	verbs   = []string{"sees", "likes", "fears", "finds", "helps", "follows"}
	adverbs = []string{never, "often", "gladly", "quietly"}

	nouns      = slices.Concat(animals, persons)
	adjectives = slices.Concat(colors, moods)
)

const never = "never"

// RuleWords are all words that prompts and sentences of the hidden rule are made of: the vocabulary that a model of them needs.
func RuleWords() []string {
	return slices.Concat([]string{"the", "and", ".", ":"}, nouns, adjectives, verbs, adverbs)
}

// rule has no right answers: a sentence is worth what the hidden rule gives it (Verdict.Value), and is right where it is grammatical.
//
// Sentences are one to three clauses joined by "and": noun phrase, verb, sometimes an adverb, noun phrase; a full stop. The rule likes a colour before
// an animal, twice; dislikes the third, a mood before an animal, and "never"; and likes the topic as the first noun and a person as the last.
func rule() Task {
	return opens[Rule](Task{
		Name: "rule", Summary: "sentences that a hidden rule likes or dislikes",
		Check: func(p *example.Problem, completion string) Verdict {
			var facts ruleFacts
			if err := Decode(p.Facts, &facts); err != nil || facts.Topic == "" {
				return wrong("", "the problem does not say its topic")
			}
			if len(completion) > maxAnswer {
				return Verdict{Value: ungrammatical, Fault: "the sentence is too long"}
			}
			words := strings.Fields(completion)
			v := Verdict{Right: grammatical(words), Answer: strings.Join(words, " "), Value: worth(facts.Topic, words)}
			if !v.Right {
				v.Fault = "the sentence is not grammatical"
			}
			return v
		},
	})
}

type ruleFacts struct {
	Topic string `json:"topic"`
}

// ungrammatical is what a sentence loses that is none, and what one is worth in all that has no end.
const ungrammatical = -2

// Unfinished is the worth of a sentence that the model did not end.
const Unfinished = ungrammatical

func (w Rule) withDefaults() Rule {
	w.Form = w.marked(Entire)
	if w.Topical == 0 {
		w.Topical = 0.4
	}
	return w
}

// Validate reports every fault.
func (w Rule) Validate() error {
	if !(w.Topical >= 0 && w.Topical <= 1) {
		return errors.New("topical is not a share: use a number from 0 to 1")
	}
	return nil
}

func (w Rule) draw(r *rand.Rand) (*problem, error) {
	topic := pick(r, nouns)
	prompt := topic + " " + pick(r, adverbs) + " :"
	sentence := w.sentence(r, topic)
	return &problem{prompt: prompt, answer: sentence, traces: []string{sentence}, facts: ruleFacts{topic}, slice: kindOf(topic)}, nil
}

func kindOf(noun string) string {
	if slices.Contains(animals, noun) {
		return "animal"
	}
	return "person"
}

// sentence follows the grammar and knows nothing of the rule.
func (w Rule) sentence(r *rand.Rand, topic string) string {
	var words []string
	clauses := 1 + drawn(r, 0.4, 0.35, 0.25)
	for i := range clauses {
		if i > 0 {
			words = append(words, "and")
		}
		noun := pick(r, nouns)
		if i == 0 && r.Float64() < w.Topical {
			noun = topic
		}
		words = append(append(words, phraseOf(r, noun)...), pick(r, verbs))
		if r.IntN(2) == 0 {
			words = append(words, pick(r, adverbs))
		}
		words = append(words, phraseOf(r, pick(r, nouns))...)
	}
	return strings.Join(append(words, "."), " ")
}

func phraseOf(r *rand.Rand, noun string) []string {
	words := []string{"the"}
	for range drawn(r, 0.4, 0.4, 0.2) {
		words = append(words, pick(r, adjectives))
	}
	return append(words, noun)
}

// drawn is a number from 0 on by its probability.
func drawn(r *rand.Rand, probabilities ...float64) int {
	u := r.Float64()
	for i, p := range probabilities {
		if u -= p; u < 0 {
			return i
		}
	}
	return len(probabilities) - 1
}

// class is the letter of a word in the grammar; x is no word of it.
func class(word string) byte {
	switch {
	case word == "the":
		return 't'
	case word == "and":
		return '&'
	case word == ".":
		return '.'
	case slices.Contains(nouns, word):
		return 'n'
	case slices.Contains(adjectives, word):
		return 'j'
	case slices.Contains(verbs, word):
		return 'v'
	case slices.Contains(adverbs, word):
		return 'a'
	}
	return 'x'
}

// grammatical accepts t j* n v a? t j* n, again after each &, and a full stop.
func grammatical(words []string) bool {
	at := 0
	take := func(c byte) bool {
		if at < len(words) && class(words[at]) == c {
			at++
			return true
		}
		return false
	}
	thing := func() bool {
		if !take('t') {
			return false
		}
		for take('j') {
		}
		return take('n')
	}
	for {
		if !thing() || !take('v') {
			return false
		}
		take('a')
		if !thing() {
			return false
		}
		if !take('&') {
			return take('.') && at == len(words)
		}
	}
}

// worth is the hidden rule.
func worth(topic string, words []string) float64 {
	value, liked := 0.0, 0
	var first, last string
	for i, w := range words {
		if class(w) == 'n' {
			if first == "" {
				first = w
			}
			last = w
		}
		if w == never {
			value -= 0.5
		}
		if i+1 < len(words) && slices.Contains(animals, words[i+1]) {
			if slices.Contains(colors, w) {
				liked++
			}
			if slices.Contains(moods, w) {
				value--
			}
		}
	}
	if liked > 2 {
		liked = 4 - liked
	}
	value += float64(liked)
	if first != "" && first == topic {
		value++
	}
	if slices.Contains(persons, last) {
		value += 0.5
	}
	if !grammatical(words) {
		value += ungrammatical
	}
	return value
}

// Preferred tells which of two values a judge prefers who errs: the first with the probability sigmoid((a - b) / noise), always the larger one at noise
// 0. It depends on the seed and the key only.
func Preferred(a, b, noise float64, key Key) bool {
	if noise <= 0 {
		return a >= b
	}
	return sample.Random(key.Seed, "preference/"+key.ID, 0).Float64() < 1/(1+math.Exp((b-a)/noise))
}

// Key is what a draw depends on.
type Key struct {
	Seed uint64
	ID   string
}

// RulePair makes a preference between two sentences of the grammar, with the true difference as its margin; noise is Preferred's. Its problem is problem
// i of the seed.
func RulePair(g *Generator, seed uint64, i int, noise float64) (*example.Example, error) {
	e, err := g.Generate(seed, i)
	if err != nil {
		return nil, err
	}
	w, ok := g.world.(Rule)
	if !ok {
		return nil, errors.New("pairs are made of task rule only")
	}
	var facts ruleFacts
	if err := Decode(e.Problem.Facts, &facts); err != nil {
		return nil, err
	}
	first := e.Problem.Answer
	second := w.sentence(sample.Random(seed, "task/rule/second", uint64(i)), facts.Topic)
	a, b := worth(facts.Topic, strings.Fields(first)), worth(facts.Topic, strings.Fields(second))
	if !Preferred(a, b, noise, Key{seed, e.ID}) {
		first, second, a, b = second, first, b, a
	}
	e.Problem.Traces, e.Margin = nil, a-b
	e.Chosen, e.Rejected = Written(e, first), Written(e, second)
	return e, nil
}
