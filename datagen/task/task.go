// Package task makes problems whose answers can be checked, and checks them: sums, word problems, countdown, sorting, paths on a grid, questions about
// pictures, and the small worlds in which effects of post-training are shown.
//
// A checker is a pure function of a problem and of what was written for it. It is total, so that any text gets a verdict, and strict, so that only an
// answer in the agreed form, and only one, is right. Adding a task is one file and one line in All. Start reading at Task, then answer.go.
package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"

	"tempera/datagen/example"
	"tempera/datagen/sample"
)

// Task is a family of problems.
type Task struct {
	Name    string // what Problem.Task says
	Summary string
	Params  any // the defaults of what Open reads: a struct with JSON names; nil where Open reads nothing
	// Check judges a completion: what was written after the prompt, not the prompt.
	Check func(p *example.Problem, completion string) Verdict
	// Strategy names the way that a completion goes about it; nil: the task knows no ways.
	Strategy func(p *example.Problem, completion string) string
	// Steps cuts a completion, whole or not, into steps and tells of each whether it is right, by doing it again; nil: the task has no steps. Joined by
	// Separator they are the completion.
	Steps     func(p *example.Problem, completion string) (steps []string, right []bool)
	Separator string
	// Reply is what the world writes after what was written so far, once, between two tokens of a completion; "" where it is not its turn. nil: the world is silent.
	Reply func(p *example.Problem, written string) string

	open func(params json.RawMessage) (world, error) // nil: problems come from files
}

// Verdict is what a checker finds.
type Verdict struct {
	Right bool
	// Answer is the answer that was found, in the one form that equal answers share; "" where none was.
	Answer string
	// Value is 1 or 0 of what is right or wrong, and of the hidden rule the true reward.
	Value float64
	// Fault says why there is no answer, or why it is no right one.
	Fault string
}

// All lists the tasks.
func All() []Task {
	return []Task{
		arithmetic(), words(), countdown(), sorting(), counting(), grid(), scene(), rule(), running(), guess(),
		number(), choice(), text(),
	}
}

// byName is All, made once: checkers look tasks up for every completion.
var byName = sync.OnceValue(func() map[string]Task {
	tasks := map[string]Task{}
	for _, t := range All() {
		tasks[t.Name] = t
	}
	return tasks
})

// Find returns the task of a name, or an error that lists what there is.
func Find(name string) (Task, error) {
	t, ok := byName()[name]
	if !ok {
		var names []string
		for _, t := range All() {
			names = append(names, t.Name)
		}
		return Task{}, fmt.Errorf("there is no task %q: use %s", name, strings.Join(names, ", "))
	}
	return t, nil
}

// Check judges a completion by the task that the problem names. Of an unknown task nothing is right.
func Check(p *example.Problem, completion string) Verdict {
	t, err := Find(p.Task)
	if err != nil {
		return Verdict{Fault: err.Error()}
	}
	return t.Check(p, completion)
}

// Generated tells whether the task makes problems.
func (t Task) Generated() bool { return t.open != nil }

// Open reads parameters, a JSON object or nothing, and returns what makes problems by them. The error has every fault.
func (t Task) Open(params json.RawMessage) (*Generator, error) {
	if t.open == nil {
		return nil, fmt.Errorf("problems of task %s are read from files: it makes none", t.Name)
	}
	w, err := t.open(params)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", t.Name, err)
	}
	return &Generator{t.Name, w}, nil
}

// world is a task's parameters.
type world interface {
	Validate() error // every fault at once
	form() Form
	draw(r *rand.Rand) (*problem, error)
}

// problem is what a world draws.
type problem struct {
	prompt string
	answer string
	traces []string
	facts  any    // nil: none
	level  int    // of difficulty
	slice  string // of the evaluation's table
	image  []byte
}

// withDefaults is a world that fills its zero fields in.
type withDefaults[P any] interface {
	world
	withDefaults() P
}

// opens gives a task its world.
func opens[P withDefaults[P]](t Task) Task {
	var none P
	t.Params = none.withDefaults()
	t.open = func(raw json.RawMessage) (world, error) {
		var p P
		if err := Decode(raw, &p); err != nil {
			return nil, err
		}
		p = p.withDefaults()
		return p, errors.Join(p.form().validate(), p.Validate())
	}
	return t
}

// Decode reads parameters strictly: unknown keys are faults.
func Decode(params json.RawMessage, into any) error {
	if len(bytes.TrimSpace(params)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(params))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("params: %s is a %s: use a value of type %s", wrong.Field, wrong.Value, wrong.Type)
	}
	if err != nil {
		return fmt.Errorf("params: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// Split is a part of a task's problems.
type Split string

// The parts. A problem is of train or of test by what it asks, so that no problem of test is one of train, whatever the seeds.
const (
	Whole Split = "all"
	Train Split = "train"
	Test  Split = "test"
)

// Form is how problems are written, for every task the same. Zero fields mean the defaults.
type Form struct {
	Chat   bool    `json:"chat,omitempty"`     // messages for a chat template; else plain text
	System string  `json:"system,omitempty"`   // of a chat: what the system says first
	Mark   Mark    `json:"mark,omitempty"`     // how an answer is marked; default: the task's own way
	Split  Split   `json:"split,omitempty"`    // all, train or test; default all
	Held   float64 `json:"held_out,omitempty"` // share of problems that are test's; default 0.1
}

func (f Form) form() Form { return f }

func (f Form) marked(own Mark) Form {
	if f.Mark == "" {
		f.Mark = own
	}
	if f.Split == "" {
		f.Split = Whole
	}
	if f.Held == 0 {
		f.Held = 0.1
	}
	return f
}

func (f Form) validate() error {
	var faults []error
	if !f.Mark.known() {
		faults = append(faults, fmt.Errorf("mark is %q: use %s", f.Mark, strings.Join(markNames(), ", ")))
	}
	if f.Split != Whole && f.Split != Train && f.Split != Test {
		faults = append(faults, fmt.Errorf("split is %q: use all, train or test", f.Split))
	}
	if !(f.Held > 0 && f.Held < 1) {
		faults = append(faults, fmt.Errorf("held_out is %v: use a share between 0 and 1, such as 0.1", f.Held))
	}
	if f.System != "" && !f.Chat {
		faults = append(faults, errors.New("system is set and chat is not: set chat to true, or leave system out"))
	}
	return errors.Join(faults...)
}

// between adds a fault where v is out of bounds.
func between(faults *[]error, name string, v int, bounds [2]int) {
	if v < bounds[0] || v > bounds[1] {
		*faults = append(*faults, fmt.Errorf("%s is %d: use %d to %d", name, v, bounds[0], bounds[1]))
	}
}

// Generator makes the problems of one task with one set of parameters.
type Generator struct {
	task  string
	world world
}

// maxDraws bounds the search for a problem of a split.
const maxDraws = 1 << 14

// Generate makes problem i of a seed. It depends on both and on the parameters only. The error says that there is no such problem, or none was found.
func (g *Generator) Generate(seed uint64, i int) (*example.Example, error) {
	f := g.world.form()
	for try := range uint64(maxDraws) {
		p, err := g.world.draw(sample.Random(seed, "task/"+g.task, uint64(i)*maxDraws+try))
		if err != nil {
			return nil, fmt.Errorf("problem %d of task %s: %w", i, g.task, err)
		}
		facts, err := p.factsJSON()
		if err != nil {
			return nil, fmt.Errorf("problem %d of task %s: %w", i, g.task, err)
		}
		if !f.holds(p.prompt, facts) {
			continue
		}
		return g.row(p, facts, i), nil
	}
	return nil, fmt.Errorf("problem %d of task %s: none of %d drawn ones is of split %s: the task has too few, make it larger or change held_out (%v)", i, g.task, maxDraws, f.Split, f.Held)
}

func (p *problem) factsJSON() (json.RawMessage, error) {
	if p.facts == nil {
		return nil, nil
	}
	return json.Marshal(p.facts)
}

// holds tells whether a problem is of the split.
func (f Form) holds(prompt string, facts []byte) bool {
	if f.Split == Whole {
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(prompt))
	h.Write(facts)
	held := float64(sample.Mix(h.Sum64())>>11)/(1<<53) < f.Held
	return held == (f.Split == Test)
}

func (g *Generator) row(p *problem, facts json.RawMessage, i int) *example.Example {
	f := g.world.form()
	e := &example.Example{
		ID: fmt.Sprintf("%s-%08d", g.task, i), Prompt: example.Plain(p.prompt), Slice: p.slice, Source: g.task,
		Problem: &example.Problem{Task: g.task, Answer: p.answer, Facts: facts, Level: p.level, Traces: p.traces, Mark: string(f.Mark)},
	}
	if p.image != nil {
		e.Images, e.Pictures = []string{e.ID + ".png"}, [][]byte{p.image}
	}
	if f.Chat {
		e.Prompt = f.chat(p)
	}
	return e
}

// chat is the prompt as messages; its picture comes before the question.
func (f Form) chat(p *problem) *example.Text {
	ask := example.Say("user", p.prompt)
	if p.image != nil {
		ask.Content = append([]example.Part{{Type: "image"}}, ask.Content...)
	}
	if f.System == "" {
		return example.Chat(ask)
	}
	return example.Chat(example.Say("system", f.System), ask)
}

// Demonstrate returns a row whose completion is the problem's first trace with its answer, as a demonstration to learn from.
func Demonstrate(e *example.Example) *example.Example {
	row, trace := *e, ""
	if len(e.Problem.Traces) > 0 {
		trace = e.Problem.Traces[0]
	}
	row.Completion = Written(e, Mark(e.Problem.Mark).write(trace, e.Problem.Answer))
	return &row
}

// Written is a completion in the form of a row's prompt: plain, or what an assistant says.
func Written(e *example.Example, text string) *example.Text {
	if e.Prompt != nil && e.Prompt.Messages != nil {
		return example.Chat(example.Say("assistant", text))
	}
	return example.Plain(text)
}
