package reward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
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
	Batch    int      `json:"batch"`             // samples that one process judges
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
	if p.Batch < 1 {
		faults = append(faults, fmt.Errorf("batch is %d: use at least 1", p.Batch))
	}
	if math.IsNaN(p.Default) || math.IsInf(p.Default, 0) {
		faults = append(faults, errors.New("default is not finite: use a number"))
	}
	return errors.Join(faults...)
}

// program judges by a program: for every sample it reads a line of JSON (question) and writes a line with a number. It runs in a process group of its own,
// in an empty folder and with nothing of the environment but PATH, with limits on memory, time and output. It is no jail: a program that wants to can read
// files and use the network.
//
// A program that crashes, hangs, floods or writes no number gives that sample the default and is started again for the next; too many of those are an
// error.
func program() Kind {
	return Kind{
		Name: "program", Summary: "a number from a program of yours: JSON lines in, a number a line out",
		Open: opened(programParams{Seconds: 10, MiB: 1024, MaxFails: 0.1, Batch: 256}, func(p programParams) Reward {
			return &judge{programParams: p}
		}),
	}
}

// ErrProgram is a program that cannot be started, or fails on too many samples: it does so each time.
var ErrProgram = errors.New("the program failed")

// question is what a program reads of a sample.
type question struct {
	ID         string        `json:"id"`
	Prompt     *example.Text `json:"prompt,omitempty"`
	Completion string        `json:"completion"`
	Task       string        `json:"task,omitempty"`
	Answer     string        `json:"answer,omitempty"`
	Facts      any           `json:"facts,omitempty"`
	Tokens     int           `json:"tokens"`
	Ended      bool          `json:"ended"`
}

func (s Sample) question() question {
	q := question{ID: s.Example.ID, Prompt: s.Example.Prompt, Completion: s.Text, Tokens: s.Tokens, Ended: s.Ended}
	if p := s.Example.Problem; p != nil {
		q.Task, q.Answer = p.Task, p.Answer
		if p.Facts != nil {
			q.Facts = p.Facts
		}
	}
	return q
}

// judge is a program with what became of its runs.
type judge struct {
	programParams

	mu     sync.Mutex
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
	j.mu.Lock()
	defer j.mu.Unlock()
	counts := map[string]int{"judged": j.judged}
	for what, n := range j.failed {
		counts[what] = n
	}
	return counts
}

// leastJudged is how many samples are judged before a share of failures says anything.
const leastJudged = 16

func (j *judge) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	bad := 0
	for at := 0; at < len(samples); {
		n, end := 0, min(len(samples), at+j.Batch)
		lines, err := questions(samples[at:end])
		if err != nil {
			return nil, err
		}
		run := process{command: j.Command, script: j.Script, limits: limits{time: time.Duration(j.Seconds * float64(time.Second)), mib: j.MiB}, lines: lines}
		what, err := run.each(ctx, func(line string) bool {
			v, ok := value(line)
			if !ok {
				v = j.Default
				bad++
				j.fail(noValue, fmt.Sprintf("it wrote %q", cut(line)))
			}
			out[at+n] = v
			n++
			return true
		})
		if err != nil {
			return nil, err
		}
		if at += n; at < end { // the sample that it broke on
			out[at] = j.Default
			at++
			bad++
			j.fail(what, run.why())
		}
		if bad > 0 && at >= min(leastJudged, len(samples)) && float64(bad) > j.MaxFails*float64(at) {
			return nil, fmt.Errorf("%w on %d of %d samples, and max_bad is %v; the last time: %s", ErrProgram, bad, at, j.MaxFails, j.last)
		}
	}
	j.mu.Lock()
	j.judged += len(samples)
	j.mu.Unlock()
	return out, nil
}

func (j *judge) fail(what, why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == nil {
		j.failed = map[string]int{}
	}
	j.failed[what]++
	j.last = strings.ReplaceAll(what, "_", " ") + ": " + why
}

func questions(samples []Sample) ([][]byte, error) {
	lines := make([][]byte, len(samples))
	for i, s := range samples {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s.question()); err != nil {
			return nil, fmt.Errorf("sample %s: %w", s.Example.ID, err)
		}
		lines[i] = b.Bytes()
	}
	return lines, nil
}

// value reads a finite number.
func value(line string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// cut shortens what a program wrote for a message.
func cut(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
