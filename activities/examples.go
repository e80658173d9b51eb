package activities

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"tempera/datagen/example"
	"tempera/datagen/quarantine"
	"tempera/datagen/source/rows"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type examplesParams struct {
	Source string            `json:"source" doc:"A task that makes problems (docs/data.md), or files."`
	Params map[string]any    `json:"params,omitempty" doc:"Parameters of the task."`
	Rows   string            `json:"rows" doc:"demonstrations: problems with a worked completion, and rows of files as they are; problems: without completions." enum:"demonstrations,problems"`
	From   []string          `json:"from,omitempty" doc:"files: .jsonl, .json, .parquet and .yaml files, folders of them, or store:<prefix> for names in the bucket."`
	Format string            `json:"format,omitempty" doc:"files: trl, sharegpt, alpaca, gsm8k, solutions, solution_pairs, pandalm, nlvr, chatterbot, or fields; left out, the first rows of each file decide."`
	Fields map[string]string `json:"fields,omitempty" doc:"files: which key of a row is which field, for rows in no known format, e.g. {prompt: question, completion: meta.reply}."`
	Style  string            `json:"style" doc:"files: texts as_is, as plain strings, or as messages (chat) for models with a chat template." enum:"as_is,plain,chat"`
	System string            `json:"system,omitempty" doc:"files, style chat: what the system says first."`
	Count  int               `json:"count" doc:"Rows to learn from; of files 0 takes all." min:"0"`
	Seed   uint64            `json:"seed" doc:"Seed of the task's problems."`

	HeldOut     float64 `json:"held_out" doc:"Share of the rows that is kept for measuring, chosen by a hash of each prompt." min:"0" below:"1"`
	HeldOutRows int     `json:"held_out_rows" doc:"Prompts that are kept for measuring, in place of a share: those with the least hashes." min:"0"`
	Duplicates  string  `json:"duplicates" doc:"What is left out: nothing (keep), rows that equal an earlier one (exact), or nearly do (near); auto: exact for files, keep for tasks." enum:"auto,keep,exact,near"`
	Similarity  float64 `json:"similarity" doc:"near: share of runs of five words that two rows have in common." above:"0" max:"1"`
	Words       int     `json:"overlap_words" doc:"Words in a row that a row may not share with a prompt of against." min:"3"`
	MaxBad      string  `json:"max_bad" doc:"Unusable rows that are left out before the stage fails: a share such as 1%, or a number."`
	MaxFile     int64   `json:"max_file_mib" doc:"Larger files, and lines, are left out." min:"1"`
}

// Validate reports what no tag can say.
func (p examplesParams) Validate() error {
	var faults []error
	if _, err := quarantine.ParseBudget(p.MaxBad); err != nil {
		faults = append(faults, fmt.Errorf("max_bad: %w", err))
	}
	if p.HeldOut > 0 && p.HeldOutRows > 0 {
		faults = append(faults, errors.New("held_out and held_out_rows are both given: leave one out"))
	}
	s, err := findExampleSource(p.Source)
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	return errors.Join(append(faults, s.check(p))...)
}

// examples makes rows for post-training, some held out, without what evaluations ask.
func examples() Kind {
	return define(stage.Descriptor{
		Name: "examples", Version: 1, Queue: stage.CPU,
		Headline: []string{"rows", "held_out"},
		Summary:  "Read rows for post-training of files, or make problems",
		Inputs: []stage.Port{
			{Name: "against", Type: artifact.TypeExamples, Many: true, Optional: true, Doc: "Rows that models are measured on: what says the same is left out."},
		},
		Outputs: []stage.Port{
			{Name: "examples", Type: artifact.TypeExamples, Doc: "Rows to learn from, JSON Lines."},
			{Name: "held_out", Type: artifact.TypeExamples, Optional: true, Doc: "Rows to measure on, which share no prompt with those; absent where none is held out."},
		},
	}, examplesParams{
		Source: "arithmetic", Rows: "demonstrations", Style: string(rows.AsIs), Count: 1000, Seed: 1, Duplicates: "auto", Similarity: 0.8, Words: 13, MaxBad: "1%", MaxFile: 256,
	}, runExamples)
}

// exampleSource is where rows come from.
type exampleSource struct {
	name  string
	files bool
	check func(examplesParams) error
	open  func(context.Context, *Task, examplesParams, func(skipped string)) (example.Stream, example.Meta, error)
}

// exampleSources lists them: files, and every task that makes problems.
func exampleSources() []exampleSource {
	return append([]exampleSource{fileRows()}, taskRows()...)
}

func findExampleSource(name string) (exampleSource, error) {
	var names []string
	for _, s := range exampleSources() {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return exampleSource{}, fmt.Errorf("source is %q: use %s", name, strings.Join(names, ", "))
}

// fileRows reads the user's own rows.
func fileRows() exampleSource {
	params := func(p examplesParams) rows.Params {
		return rows.Params{From: p.From, Format: p.Format, Fields: p.Fields, Style: rows.Style(p.Style), System: p.System, MaxFile: p.MaxFile << 20}
	}
	return exampleSource{
		name: "files", files: true,
		check: func(p examplesParams) error {
			err := params(p).Validate()
			if len(p.Params) > 0 {
				err = errors.Join(err, errors.New("params are given and source is files: they are a task's"))
			}
			return err
		},
		open: func(ctx context.Context, t *Task, p examplesParams, skipped func(string)) (example.Stream, example.Meta, error) {
			stream, meta, err := rows.Open(ctx, rows.Env{Names: t.Store, Scratch: t.Scratch, Skipped: skipped}, params(p))
			if p.Rows == "problems" {
				stream = withoutCompletions(stream)
			}
			return stream, meta, err
		},
	}
}

// withoutCompletions leaves of rows what is asked, of those that can be checked.
func withoutCompletions(in example.Stream) example.Stream {
	return func(yield func(*example.Example, error) bool) {
		for e, err := range in {
			if err == nil && e.Problem != nil {
				e.Completion, e.Label = nil, nil
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func runExamples(ctx context.Context, t *Task, p examplesParams) error {
	budget, err := quarantine.ParseBudget(cmp.Or(p.MaxBad, "0"))
	if err != nil {
		return Invalid(err)
	}
	source, err := findExampleSource(p.Source)
	if err != nil {
		return Invalid(err)
	}
	s := &sifting{task: t, params: p, source: source}
	if s.against, err = readAgainst(ctx, t, p.Words); err != nil {
		return err
	}
	if p.HeldOutRows > 0 {
		if err := s.chooseHeldOut(ctx); err != nil {
			return err
		}
	}
	if err := s.run(ctx, s.store); err != nil {
		return err
	}
	for _, item := range s.tray.Items {
		t.Result.Quarantined = append(t.Result.Quarantined, stage.Quarantine{Item: item.Name, Reason: item.Reason})
	}
	t.Result.Quarantined = append(t.Result.Quarantined, s.left...)
	if err := s.tray.Check(budget); err != nil {
		return Invalid(err)
	}
	return s.finish(ctx)
}

// rowsError marks what only the user can mend.
func rowsError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, rows.ErrNothing) {
		return Invalid(err)
	}
	return err
}

// promptOf is what identifies the prompt of a row: its text, all before the answer of
// a conversation, and its pictures.
func promptOf(e *example.Example) string {
	text := ""
	if e.Prompt != nil {
		text = e.Prompt.String()
	} else {
		for i, m := range e.Messages {
			if m.Role == "assistant" && i > 0 {
				break
			}
			text += m.Text() + "\n"
		}
	}
	for _, p := range e.Pictures {
		sum := sha256.Sum256(p)
		text += "\x00" + string(sum[:])
	}
	return text
}
