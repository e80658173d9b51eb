package activities

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/training/score"
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

// normalPrompt is what a row asks, however it is spaced and in whatever case.
func normalPrompt(row *example.Example) string { return normal(row.Prompt.String()) }

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
	return publishEvaluation(ctx, e.task, record, text{problemsFile, problems.b.Bytes()}, text{samplesFile, samples.b.Bytes()})
}

// markdown is the metrics and the slices of an evaluation as tables.
func (e Evaluation) markdown() string {
	line := func(name string, i score.Interval) []string {
		return []string{name, fmt.Sprintf("%.4g", i.Mean), fmt.Sprintf("%.4g to %.4g", i.Low, i.High), fmt.Sprint(i.N)}
	}
	metrics := [][]string{{"metric", "mean", "95 %", "n"}}
	for _, name := range sortedKeys(e.Metrics) {
		metrics = append(metrics, line(name, e.Metrics[name]))
	}
	text := markdownTable(metrics)
	if e.Tasks == nil || len(e.Tasks.Slices) < 2 {
		return text
	}
	slices := [][]string{{"slice", "mean", "95 %", "n"}}
	for _, s := range e.Tasks.Slices {
		slices = append(slices, line(s.Name, s.Interval))
	}
	return text + "\n" + markdownTable(slices)
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
	enc := json.NewEncoder(&l.b)
	enc.SetEscapeHTML(false) // people read the tags of answers
	return enc.Encode(v)
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
