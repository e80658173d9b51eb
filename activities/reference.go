package activities

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tempera/datagen/chat"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/workflows/stage"
)

type referenceParams struct {
	deviceParams
	Batch      int  `json:"batch" doc:"Pairs that are read at a time." min:"1"`
	Mismatched bool `json:"mismatched" doc:"Also of completions of other prompts, which the loss kto compares with."`
}

// reference computes the log-probabilities of preferences under a model, once for
// all trainings that compare with it.
func reference() Kind {
	return define(stage.Descriptor{
		Name: "reference", Version: 1, Queue: stage.CPU,
		Summary: "Log-probabilities of preferences under a model, for dpo",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Doc: "The reference: the model that dpo starts from."},
			{Name: "data", Type: artifact.TypeExamples, Many: true, Doc: "Preferences: prompt, chosen, rejected."},
		},
		Outputs: []stage.Port{{Name: "scores", Type: artifact.TypeReference, Doc: "A line for each row: id, and log-probability and tokens of each completion."}},
	}, referenceParams{Batch: 32}, runReference)
}

const referenceFile = "reference.jsonl"

// referenceMeta is the Meta of a reference's manifest.
type referenceMeta struct {
	Model      artifact.Digest   `json:"model"`
	Data       []artifact.Digest `json:"data"`
	Rows       int               `json:"rows"`
	Mismatched bool              `json:"mismatched,omitempty"`
}

// referenceLine is a row of a reference. Log-probabilities are sums over tokens.
type referenceLine struct {
	ID         string        `json:"id"`
	Chosen     *referenceOne `json:"chosen,omitempty"`
	Rejected   *referenceOne `json:"rejected,omitempty"`
	Mismatched *referenceOne `json:"mismatched,omitempty"`
}

type referenceOne struct {
	LogProb float64 `json:"log_prob"`
	Tokens  int     `json:"tokens"`
}

func runReference(ctx context.Context, t *Task, p referenceParams) error {
	source, _ := t.Input("model")
	from, err := loadModel(ctx, t, source)
	if err != nil {
		return err
	}
	if err := textModel(from.weights.Config); err != nil {
		return err
	}
	sight, err := newRetina(from.weights.Config)
	if err != nil {
		return Invalid(err)
	}
	dev, err := newCompute(t)
	if err != nil {
		return err
	}
	defer dev.close()
	m, err := model.Load(dev.backend, from.weights)
	if err != nil {
		return err
	}
	e, err := ChatEncoder(ctx, t.Store, from.files, m.Config, chat.Options{Longest: m.Config.Text.Context})
	if err != nil {
		return err
	}
	rows, _, err := (preferenceReader{encoder: e, retina: sight, mismatched: p.Mismatched, labelled: true}).read(ctx, t, "data")
	if err != nil {
		return err
	}
	s := &spanRows{rows: rows, config: m.Config, retina: sight, batch: p.Batch, parts: 1}
	if err := s.refer(ctx, m, func(done int) { t.Progress(Progress{Done: int64(done), Total: int64(len(rows)), Unit: "pairs"}) }); err != nil {
		return err
	}
	return s.storeReference(ctx, t, referenceMeta{Model: source.Digest, Rows: len(rows), Mismatched: p.Mismatched})
}

// refer gives every span its log-probability under a model.
func (s *spanRows) refer(ctx context.Context, m *model.Model, progress func(done int)) (err error) {
	r, err := s.reading(func(shapes ...objective.SpanShape) (*objective.SpanScorer, error) {
		return objective.NewSpanScorer(m, objective.LogProbs, shapes...)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.scorer.Close()) }()
	values, _, err := r.values(ctx, len(s.rows), progress)
	if err != nil {
		return err
	}
	for i := range s.rows {
		n := s.rows[i].spans()
		numbers := make([]float32, n)
		for k := range numbers {
			numbers[k] = float32(values[k])
		}
		values = values[n:]
		s.rows[i].extra = map[string][]float32{objective.Reference: numbers}
	}
	return nil
}

// storeReference publishes what refer found.
func (s *spanRows) storeReference(ctx context.Context, t *Task, meta referenceMeta) error {
	for _, a := range t.Inputs["data"] {
		meta.Data = append(meta.Data, a.Digest)
	}
	var lines bytes.Buffer
	for _, row := range s.rows {
		line := referenceLine{ID: row.id}
		for k, to := range []**referenceOne{&line.Chosen, &line.Rejected, &line.Mismatched}[:len(row.texts)] {
			if text := row.texts[k]; len(text.Tokens) > 0 {
				*to = &referenceOne{float64(row.extra[objective.Reference][k]), text.Spans[0].To - text.Spans[0].From}
			}
		}
		raw, err := json.Marshal(line)
		if err != nil {
			return err
		}
		lines.Write(append(raw, '\n'))
	}
	raw, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	ref, err := artifact.PutBytes(ctx, t.Store, lines.Bytes())
	if err != nil {
		return err
	}
	a, err := artifact.PutManifest(ctx, t.Store, &artifact.Manifest{
		Type: artifact.TypeReference, Meta: raw, Files: []artifact.File{{Path: referenceFile, Ref: ref, Records: len(s.rows)}},
	})
	if err != nil {
		return err
	}
	t.Output("scores", a)
	t.Metric("rows", float64(len(s.rows)))
	return nil
}

// takeReference reads the log-probabilities of the rows from an artifact, which must
// be of this model and these rows.
func (s *spanRows) takeReference(ctx context.Context, t *Task, a artifact.Artifact, want referenceMeta) error {
	m, err := artifact.LoadManifest(ctx, t.Store, a)
	if err != nil {
		return err
	}
	var meta referenceMeta
	if err := json.Unmarshal(m.Meta, &meta); err != nil {
		return Invalid(fmt.Errorf("reference %s: %w", a.Digest.Short(), err))
	}
	switch {
	case meta.Model != want.Model:
		return Invalid(fmt.Errorf("reference %s is of model %s, training starts from %s: make it of that model", a.Digest.Short(), meta.Model.Short(), want.Model.Short()))
	case want.Mismatched && !meta.Mismatched:
		return Invalid(fmt.Errorf("reference %s has no mismatched completions: make it with mismatched, or leave the input out", a.Digest.Short()))
	}
	f, err := m.Find(referenceFile)
	if err != nil {
		return Invalid(err)
	}
	raw, err := artifact.ReadAll(ctx, t.Store, f.Digest, 1<<32)
	if err != nil {
		return err
	}
	scan := bufio.NewScanner(bytes.NewReader(raw))
	scan.Buffer(nil, 1<<20)
	for i := range s.rows {
		var line referenceLine
		if !scan.Scan() {
			return Invalid(fmt.Errorf("reference %s has %d rows, the data has %d: make it of the same data", a.Digest.Short(), i, len(s.rows)))
		}
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			return Invalid(fmt.Errorf("reference %s, line %d: %w", a.Digest.Short(), i+1, err))
		}
		if err := s.rows[i].take(line); err != nil {
			return Invalid(fmt.Errorf("reference %s, line %d: %w", a.Digest.Short(), i+1, err))
		}
	}
	if scan.Scan() {
		return Invalid(fmt.Errorf("reference %s has more than the %d rows of the data: make it of the same data", a.Digest.Short(), len(s.rows)))
	}
	return nil
}

// take sets a row's log-probabilities.
func (r *spanRow) take(line referenceLine) error {
	if line.ID != r.id {
		return fmt.Errorf("it is of row %s, the data has row %s there: make it of the same data", line.ID, r.id)
	}
	numbers := make([]float32, len(r.texts))
	for k, one := range []*referenceOne{line.Chosen, line.Rejected, line.Mismatched}[:len(r.texts)] {
		tokens := r.texts[k].Spans[0].To - r.texts[k].Spans[0].From
		if one == nil && tokens == 0 {
			continue
		}
		if one == nil || one.Tokens != tokens {
			return fmt.Errorf("row %s has other completions there: make it of the same data", r.id)
		}
		numbers[k] = float32(one.LogProb)
	}
	r.extra = map[string][]float32{objective.Reference: numbers}
	return nil
}
