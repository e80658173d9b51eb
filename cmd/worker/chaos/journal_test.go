//go:build chaos

package chaos

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
)

// The messages of the worker's log that a journal is made of. They are written
// when the thing happens, so that a killed worker's are complete to the last
// step: heartbeats come a second late or two.
const (
	sayBegin   = "attempt begins"
	sayEnd     = "attempt ends"
	sayStep    = "progress"
	saySaved   = "checkpoint saved"
	sayResumed = "resumed from checkpoint"
)

// trainings are the kinds that write checkpoints.
var trainings = []string{"pretrain", "finetune", "train_replica", "sft", "reward_model", "dpo", "rl", "distill"}

// line is one line of the worker's log.
type line struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	Run     string    `json:"run"`
	Stage   string    `json:"stage"` // and the shard
	Kind    string    `json:"kind"`
	Attempt int       `json:"attempt"`
	Done    int64     `json:"done"`
	Step    int64     `json:"step"`
	Seconds float64   `json:"seconds"`
}

// attempt is what the journal knows of one attempt at a stage.
type attempt struct {
	run, stage, kind string
	number           int
	began, ended     time.Time // ended is zero while it runs, and where it was killed
	resumed          int64     // the step that it went on from
	steps            []mark    // done, one after the other
	saves            []mark    // checkpoints written
}

type mark struct {
	step int64
	at   time.Time
	took time.Duration // of a checkpoint
}

// training tells whether the attempt writes checkpoints.
func (a *attempt) training() bool { return slices.Contains(trainings, a.kind) }

// journal reads the attempts from the worker's log, in the order of their
// beginning.
func (s *stack) journal() (all []*attempt) {
	s.t.Helper()
	f, err := os.Open(filepath.Join(s.home, "worker.log"))
	require.NoError(s.t, err)
	defer f.Close()
	newest := map[string]*attempt{} // by run and stage
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil || l.Stage == "" {
			continue // of others, or cut off by a kill
		}
		id := l.Run + " " + l.Stage
		if l.Message == sayBegin {
			newest[id] = &attempt{run: l.Run, stage: l.Stage, kind: l.Kind, number: l.Attempt, began: l.Time}
			all = append(all, newest[id])
			continue
		}
		if a := newest[id]; a != nil && a.number != l.Attempt { // of one that was given up for dead
			a = earlier(all, a, l.Attempt)
			a.add(l)
		} else if a != nil {
			a.add(l)
		}
	}
	return all
}

// earlier returns the attempt of the same stage with a number.
func earlier(all []*attempt, of *attempt, number int) *attempt {
	for _, a := range slices.Backward(all) {
		if a.run == of.run && a.stage == of.stage && a.number == number {
			return a
		}
	}
	return of
}

func (a *attempt) add(l line) {
	switch l.Message {
	case sayEnd:
		a.ended = l.Time
	case sayResumed:
		a.resumed = l.Step
	case sayStep:
		a.steps = append(a.steps, mark{step: l.Done, at: l.Time})
	case saySaved:
		a.saves = append(a.saves, mark{step: l.Step, at: l.Time, took: time.Duration(l.Seconds * float64(time.Second))})
	}
}

// before returns the last step done before t; ok is false where there is none.
func (a *attempt) before(t time.Time) (last mark, ok bool) {
	for _, m := range a.steps {
		if m.at.Before(t) {
			last, ok = m, true
		}
	}
	return last, ok
}

// workerSince returns when the worker that ran at t was started.
func (s *stack) workerSince(t time.Time) (since time.Time) {
	for _, at := range s.started {
		if at.Before(t) {
			since = at
		}
	}
	return since
}

// open returns the attempts that ran at t in the process that started at since.
func open(all []*attempt, since, t time.Time) (running []*attempt) {
	for _, a := range all {
		if a.began.After(since) && a.began.Before(t) && (a.ended.IsZero() || a.ended.After(t)) {
			running = append(running, a)
		}
	}
	return running
}

// next returns the attempt that followed a; nil where there is none yet.
func next(all []*attempt, a *attempt) *attempt {
	for _, b := range all {
		if b.run == a.run && b.stage == a.stage && b.began.After(a.began) {
			return b
		}
	}
	return nil
}

// loss is what a killed training had done and its next attempt had to do again.
type loss struct {
	stage         string
	done, resumed int64
	time          time.Duration // that the lost steps had taken
	saved         bool          // there was a checkpoint to go on from
}

// lossOf compares a killed attempt with the one after it.
func lossOf(a, b *attempt) (l loss, ok bool) {
	last, ok := a.before(b.began) // one that was given up for dead may go on until then
	if !ok || !a.training() || len(b.steps) == 0 {
		return l, false
	}
	l = loss{stage: a.stage, done: last.step, resumed: b.resumed, saved: b.resumed > 0}
	kept := a.began // the start counts where not even the first step was kept
	for _, m := range a.steps {
		if m.step <= b.resumed {
			kept = m.at
		}
	}
	if b.resumed == a.resumed && len(a.steps) > 0 {
		kept = a.steps[0].at // nothing of this attempt was kept; its own start is the price of the kill before
	}
	l.time = max(0, last.at.Sub(kept))
	return l, true
}
