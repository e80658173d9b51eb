package reward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"tempera/datagen/example"
)

type programParams struct {
	Command  []string `json:"command,omitempty"` // the program and its arguments, by an absolute path or found in PATH
	Script   string   `json:"script,omitempty"`  // text of a file that is given to the command as its last argument, or run itself where there is no command
	Seconds  float64  `json:"seconds"`           // most for one sample
	MiB      int      `json:"mib"`               // most memory
	Default  float64  `json:"default"`           // what a sample gets that the program could not judge
	MaxFails float64  `json:"max_bad"`           // share of samples that may fail before it is an error
}

func (p programParams) Validate() error {
	var faults []error
	if len(p.Command) == 0 && p.Script == "" || len(p.Command) > 0 && p.Command[0] == "" {
		faults = append(faults, errors.New(`command is empty: give a program and its arguments, such as ["python3", "/opt/judge.py"], or a script`))
	}
	if !(p.Seconds > 0 && p.Seconds <= 3600) {
		faults = append(faults, fmt.Errorf("seconds is %v: use a number above 0, up to 3600", p.Seconds))
	}
	if p.MiB < 1 {
		faults = append(faults, fmt.Errorf("mib is %d: use at least 1", p.MiB))
	}
	if !(p.MaxFails >= 0 && p.MaxFails <= 1) {
		faults = append(faults, fmt.Errorf("max_bad is %v: use a share from 0 to 1", p.MaxFails))
	}
	if math.IsNaN(p.Default) || math.IsInf(p.Default, 0) {
		faults = append(faults, errors.New("default is not finite: use a number"))
	}
	return errors.Join(faults...)
}

// program judges by a program that runs for as long as the stage does: for every sample it reads a line of JSON (question) and writes one (judgement),
// which must depend on the question only. Lines that are no judgement of the question are not minded. It runs in a process group of its own, in an empty
// folder and with nothing of the environment but PATH, with limits on memory, time and output. It is no jail: a program that wants to can read files and
// use the network.
//
// A program that crashes, hangs, floods or judges by no number gives that sample the default and is started again for the next; too many of those are an
// error.
func program() Kind {
	return Kind{
		Name: "program", Summary: "a number from a program of yours: JSON lines in, JSON lines out",
		Open: opened(programParams{Seconds: 10, MiB: 1024, MaxFails: 0.1}, func(p programParams) Reward {
			return &judge{programParams: p, failed: map[string]int{}}
		}),
	}
}

// ErrProgram is a program that cannot be started, or fails on too many samples: it does so each time.
var ErrProgram = errors.New("the program failed")

// question is what a program reads of a sample.
type question struct {
	N          int           `json:"n"` // counts the questions
	ID         string        `json:"id"`
	Prompt     *example.Text `json:"prompt,omitempty"`
	Completion string        `json:"completion"`
	Task       string        `json:"task,omitempty"`
	Answer     string        `json:"answer,omitempty"`
	Facts      any           `json:"facts,omitempty"`
	Tokens     int           `json:"tokens"`
	Ended      bool          `json:"ended"`
}

// judgement is what it writes.
type judgement struct {
	N      *int     `json:"n"` // that of the question
	Reward *float64 `json:"reward"`
}

func (s Sample) question(n int) question {
	q := question{N: n, ID: s.Example.ID, Prompt: s.Example.Prompt, Completion: s.Text, Tokens: s.Tokens, Ended: s.Ended}
	if p := s.Example.Problem; p != nil {
		q.Task, q.Answer = p.Task, p.Answer
		if p.Facts != nil {
			q.Facts = p.Facts
		}
	}
	return q
}

// judge is a program with what became of its answers.
type judge struct {
	programParams
	running *process // nil: none
	asked   int

	judged int
	failed map[string]int // by what went wrong
	last   string         // what went wrong last
}

// The things that go wrong.
const (
	crashed = "crashed"
	hung    = "hung"
	flooded = "flooded"
	noValue = "no_number"
)

// Counts implements Counter.
func (j *judge) Counts() map[string]int {
	counts := maps.Clone(j.failed)
	counts["judged"] = j.judged
	return counts
}

// leastJudged is how many samples are judged before a share of failures says anything.
const leastJudged = 16

func (j *judge) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	bad := 0
	for i, s := range samples {
		v, ok, err := j.ask(ctx, s)
		if err != nil {
			return nil, err
		}
		if out[i] = v; !ok {
			out[i] = j.Default
			bad++
		}
		if judged := i + 1; bad > 0 && judged >= min(leastJudged, len(samples)) && float64(bad) > j.MaxFails*float64(judged) {
			return nil, fmt.Errorf("%w on %d of %d samples, and max_bad is %v; the last time: %s", ErrProgram, bad, judged, j.MaxFails, j.last)
		}
	}
	j.judged += len(samples)
	return out, nil
}

// ask has a sample judged; ok is false where the program failed on it. The error says that there is no program, or that ctx has ended.
func (j *judge) ask(ctx context.Context, s Sample) (v float64, ok bool, err error) {
	if j.running == nil {
		j.running, err = start(j.Command, j.Script, limits{time.Duration(j.Seconds * float64(time.Second)), j.MiB})
		if err != nil {
			return 0, false, err
		}
	}
	j.asked++
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s.question(j.asked)); err != nil {
		return 0, false, fmt.Errorf("sample %s: %w", s.Example.ID, err)
	}
	other := ""
	what, err := j.running.ask(ctx, line.Bytes(), func(text string) bool {
		var a judgement
		err := json.Unmarshal([]byte(text), &a)
		if a.N == nil || *a.N != j.asked {
			other = text
			return false
		}
		if ok = err == nil && a.Reward != nil; ok {
			v = *a.Reward
		} else {
			j.fail(noValue, fmt.Sprintf("it wrote %q", cut(text)))
		}
		return true
	})
	if what == "" && err == nil {
		return v, ok, nil
	}
	broken := j.running
	if err := errors.Join(err, j.Close()); err != nil {
		return 0, false, err
	}
	why := broken.why()
	if other != "" {
		why += fmt.Sprintf("; it wrote %q, which is no answer such as {\"n\": %d, \"reward\": 1}", cut(other), j.asked)
	}
	j.fail(what, why)
	return 0, false, nil
}

// Close ends the program. A score after that starts it again.
func (j *judge) Close() error {
	if j.running == nil {
		return nil
	}
	err := j.running.end()
	j.running = nil
	return err
}

func (j *judge) fail(what, why string) {
	j.failed[what]++
	j.last = strings.ReplaceAll(what, "_", " ") + ": " + why
}

// cut shortens what a program wrote for a message.
func cut(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
