package activities

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"tempera/datagen/example"
	"tempera/infra/artifact"
)

// problemsFile has a line for each problem of an evaluation.
const problemsFile = "problems.jsonl"

// solvedProblem is a line of problems.jsonl.
type solvedProblem struct {
	Key      string  `json:"key"` // of what is asked: equal problems of other data sets have it too
	ID       string  `json:"id"`
	Slice    string  `json:"slice,omitempty"`
	Right    int     `json:"right"` // of the samples
	Accuracy float64 `json:"accuracy"`
	Reward   float64 `json:"reward"` // mean
	Greedy   *bool   `json:"greedy,omitempty"`
}

// writtenAnswer is a line of samples.jsonl of an evaluation on problems: a writtenText with what became of it.
type writtenAnswer struct {
	writtenText
	ID      string             `json:"id"`
	Wanted  string             `json:"wanted"`
	Answer  string             `json:"answer"`
	Right   bool               `json:"right"`
	Fault   string             `json:"fault,omitempty"`
	Reward  float64            `json:"reward"`
	Rewards map[string]float64 `json:"rewards,omitempty"`
	Tokens  int                `json:"tokens"`
	Method  string             `json:"method,omitempty"` // of a search
}

// problemKey is equal for problems that ask the same.
func problemKey(row *example.Example) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", normalPrompt(row), row.Problem.Answer)
	for _, p := range row.Pictures {
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:24]
}

// normalPrompt is a prompt in lower case with single spaces.
func normalPrompt(row *example.Example) string {
	return strings.Join(strings.Fields(strings.ToLower(row.Prompt.String())), " ")
}

// overlap notes the problems whose prompt is one of the training's.
func (e *taskEvaluation) overlap(ctx context.Context) error {
	inputs := e.task.Inputs["training"]
	if len(inputs) == 0 {
		return nil
	}
	note, seen := &OverlapNote{}, map[string]bool{}
	for _, a := range inputs {
		note.Training = append(note.Training, a.Digest)
		for row, err := range example.All(ctx, e.task.Store, a) {
			if err != nil {
				return err
			}
			if row.Prompt != nil {
				seen[normalPrompt(row)] = true
			}
		}
	}
	var clean []float64
	for _, g := range e.groups {
		if seen[normalPrompt(g.row)] && len(g.row.Pictures) == 0 {
			note.Problems++
		} else {
			clean = append(clean, 100*g.accuracy())
		}
	}
	note.Share = 100 * float64(note.Problems) / float64(len(e.groups))
	if len(clean) > 0 {
		i := e.bootstrap().Mean(clean)
		note.Clean = &i
	}
	e.tables.Overlap, e.found["overlap"] = note, exactly(note.Share)
	return nil
}

// publish writes the evaluation and puts the means into the stage's metrics.
func (e *taskEvaluation) publish(ctx context.Context, record Evaluation) error {
	var problems, samples jsonLines
	left := e.params.Show
	for i, g := range e.groups {
		line := solvedProblem{Key: problemKey(g.row), ID: g.row.ID, Slice: g.row.Slice, Right: g.right(), Accuracy: g.accuracy()}
		for _, x := range g.tries {
			line.Reward += x.score.Total / float64(len(g.tries))
		}
		if e.greedy != nil {
			line.Greedy = &e.greedy[i].tries[0].verdict.Right
		}
		if err := problems.add(line); err != nil {
			return err
		}
		for _, x := range g.tries[:min(len(g.tries), left)] {
			left--
			if err := samples.add(g.shown(x)); err != nil {
				return err
			}
		}
	}
	data, err := artifact.EncodeJSON(record)
	if err != nil {
		return err
	}
	return publishEvaluation(ctx, e.task, record, []text{{evaluationFile, data}, {problemsFile, problems.b.Bytes()}, {samplesFile, samples.b.Bytes()}})
}

// publishEvaluation stores the files of an evaluation and puts its means into the stage's metrics.
func publishEvaluation(ctx context.Context, t *Task, record Evaluation, files []text) error {
	a, err := putTexts(ctx, t.Store, artifact.TypeEvaluation, files)
	if err != nil {
		return err
	}
	t.Output("evaluation", a)
	for name, v := range record.Metrics {
		t.Metric(name, v.Mean)
	}
	return nil
}

func (g group) shown(x tried) writtenAnswer {
	return writtenAnswer{
		writtenText: writtenText{Prompt: g.row.Prompt.String(), Text: x.text, Ended: x.ended},
		ID:          g.row.ID, Wanted: g.row.Problem.Answer, Answer: x.verdict.Answer, Right: x.verdict.Right, Fault: x.verdict.Fault,
		Reward: x.score.Total, Rewards: x.score.Parts, Tokens: x.tokens,
	}
}

// jsonLines gathers lines of JSON.
type jsonLines struct{ b bytes.Buffer }

func (l *jsonLines) add(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.b.Write(append(line, '\n'))
	return nil
}

// linesOf names a file of an artifact.
type linesOf struct {
	store    artifact.Blobs
	artifact artifact.Artifact
	path     string
}

// readLines decodes the lines of a file.
func readLines[T any](ctx context.Context, f linesOf, yield func(T)) error {
	s, a, path := f.store, f.artifact, f.path
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return err
	}
	file, err := m.Find(path)
	if err != nil {
		return Invalid(fmt.Errorf("%s %s: %w", a.Type, a.Digest.Short(), err))
	}
	data, err := artifact.ReadAll(ctx, s, file.Digest, artifact.MaxJSON)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return Invalid(fmt.Errorf("%s of %s: %w", path, a.Digest, err))
		}
		yield(v)
	}
	return nil
}
