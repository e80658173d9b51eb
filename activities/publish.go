package activities

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

type publishParams struct {
	Name    string  `json:"name" doc:"Name of the folder below models/ or datasets/; left out, it is the pipeline's."`
	Version string  `json:"version" doc:"Name of the version's folder; left out, it is the first 12 digits of the artifact's digest, so that the same artifact is published once."`
	Alias   string  `json:"alias" doc:"Alias that is moved to the model's version." enum:"none,candidate,champion"`
	Metric  string  `json:"metric" doc:"Moves the alias only where this metric of the evaluation is at least as good as that of the version the alias stands for, measured on the same data; left out, it is always moved. Losses, perplexity and bits_per_byte are better when lower, all others when higher."`
	Margin  float64 `json:"margin" doc:"By how much the metric must be ahead." min:"0"`
	License string  `json:"license" doc:"Licence of the model, as Hugging Face writes it, e.g. apache-2.0; a data set has that of its sources."`
}

// Validate reports what no tag can say.
func (p publishParams) Validate() error {
	var faults []error
	for _, f := range []struct{ what, word string }{{"name", p.Name}, {"version", p.Version}} {
		if f.word == "" {
			continue
		}
		if err := artifact.CheckPublished(f.word); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.what, err))
		}
	}
	if p.Version == artifact.Champion || p.Version == artifact.Candidate {
		faults = append(faults, fmt.Errorf("version is %q, which is an alias: give alias: %[1]s instead", p.Version))
	}
	if p.Alias == noAlias && p.Metric != "" {
		faults = append(faults, fmt.Errorf("metric is %q, but no alias is moved: give alias: champion, or leave metric out", p.Metric))
	}
	return errors.Join(faults...)
}

const noAlias = "none"

// publishKind puts a model or a data set where people look for it: a folder
// models/<name>/<version>/ or datasets/<name>/<version>/ with the artifact's
// files, a card, and version.json, which says what it is and where it is from.
//
// version.json comes first, incomplete, and claims the folder (see
// artifact.Version); the files follow, then the card, then version.json is
// completed. All files are functions of that record, so an attempt that goes on
// after a crash, or another run that publishes the same artifact, writes the
// same bytes. A complete version never changes; what is missing of it is
// restored. The alias is moved last.
//
// The kind has effects beside its outputs, so every run runs it: a folder that
// somebody deleted comes back, and an alias is decided on anew.
func publishKind() Kind {
	return define(stage.Descriptor{
		Name: "publish", Version: 1, Queue: stage.CPU, Effects: true,
		Summary: "Publish a model or a data set under a readable name, with its card and alias",
		Inputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Optional: true, Doc: "Goes to models/<name>/<version>/."},
			{Name: "dataset", Type: artifact.TypeDataset, Optional: true, Doc: "Goes to datasets/<name>/<version>/."},
			{Name: "evaluation", Type: artifact.TypeEvaluation, Optional: true, Doc: "Evaluation of the model, for its card and its alias."},
			{Name: "comparison", Type: artifact.TypeEvaluation, Optional: true, Doc: "Comparison of arms, for the card."},
		},
		Outputs: []stage.Port{
			{Name: "model", Type: artifact.TypeModel, Optional: true, Doc: "The model as it went in."},
			{Name: "dataset", Type: artifact.TypeDataset, Optional: true, Doc: "The data set as it went in."},
		},
	}, publishParams{Alias: artifact.Candidate}, runPublish)
}

func runPublish(ctx context.Context, t *Task, p publishParams) error {
	p.Name = cmp.Or(p.Name, t.Pipeline)
	_, model := t.Input("model")
	_, data := t.Input("dataset")
	_, evaluated := t.Input("evaluation")
	switch {
	case !model && !data:
		return Invalid(errors.New("nothing to publish: give input model, dataset or both"))
	case evaluated && !model:
		return Invalid(errors.New("an evaluation without its model: give input model, or leave evaluation out"))
	case p.Metric != "" && !evaluated:
		return Invalid(fmt.Errorf("metric is %q, but there is no evaluation that has it: give input evaluation", p.Metric))
	}
	for _, port := range []string{"model", "dataset"} {
		a, ok := t.Input(port)
		if !ok {
			continue
		}
		if err := publishArtifact(ctx, t, p, a); err != nil {
			return err
		}
		t.Output(port, a)
	}
	if !model || p.Alias == noAlias {
		return nil
	}
	return moveAlias(ctx, t, p)
}

// version is the record with which this stage would claim a folder for a.
func (p publishParams) version(ctx context.Context, t *Task, a artifact.Artifact) (artifact.Version, error) {
	v := artifact.Version{
		Name: p.Name, Version: p.versionOf(a), Artifact: a,
		Published: time.Now().UTC().Truncate(time.Second),
		By:        artifact.Origin{Pipeline: t.Pipeline, Run: t.Run, Stage: t.Stage, Key: t.Key},
	}
	if a.Type != artifact.TypeModel {
		return v, nil
	}
	v.License = p.License
	if e, ok := t.Input("evaluation"); ok {
		v.Evaluation = &e
	}
	if c, ok := t.Input("comparison"); ok {
		v.Comparison = &c
	}
	made, err := modelOrigin(ctx, t.Store, a)
	if made != nil {
		v.Made = &made.Origin
	}
	return v, err
}

func (p publishParams) versionOf(a artifact.Artifact) string {
	return cmp.Or(p.Version, a.Digest.Short())
}

// publishArtifact fills the folder of one artifact.
func publishArtifact(ctx context.Context, t *Task, p publishParams, a artifact.Artifact) error {
	v, err := p.version(ctx, t, a)
	if err != nil {
		return err
	}
	if v.Evaluation != nil {
		e, err := loadEvaluation(ctx, t.Store, *v.Evaluation)
		if err != nil {
			return err
		}
		if e.Model != a.Digest {
			return Invalid(fmt.Errorf("the evaluation is of model %s, not of %s: evaluate the model that is published", e.Model.Short(), a.Digest.Short()))
		}
	}
	if v, err = artifact.Claim(ctx, t.Store, v); errors.Is(err, artifact.ErrExists) {
		return Invalid(err)
	} else if err != nil {
		return err
	}
	m, err := artifact.LoadManifest(ctx, t.Store, a)
	if err != nil {
		return err
	}
	texts, err := describeVersion(ctx, t, v, m)
	if err != nil {
		return err
	}
	there := map[string]int64{} // of a complete version, size by name: other bytes of that name there are none
	if v.Complete {
		for n, err := range t.Store.List(ctx, v.File("")+"/") {
			if err != nil {
				return err
			}
			there[n.Name] = n.Size
		}
	}
	written, err := fillFolder(ctx, t, v, m, publishedFiles{m.Files, texts, there})
	if err != nil {
		return err
	}
	t.Log.Info("published", "folder", v.File(""), "files", written, "already there", len(there))
	return artifact.Complete(ctx, t.Store, v)
}

// fillFolder writes the files of a folder that are not there: a model that
// transformers has a form for in that form, anything else as it is.
func fillFolder(ctx context.Context, t *Task, v artifact.Version, m *artifact.Manifest, f publishedFiles) (written int, err error) {
	if m.Type == artifact.TypeModel {
		why, err := ownLayout(ctx, t.Store, m)
		if err != nil {
			return 0, err
		}
		if why == nil {
			return writeTransformers(ctx, t, v, m, f)
		}
		t.Log.Info("published in a layout of our own", "because", why)
	}
	if written, err = linkFiles(ctx, t, v, f); err != nil {
		return written, err
	}
	for _, text := range f.texts {
		name := v.File(text.path)
		if _, ok := f.there[name]; ok {
			continue
		}
		if err := t.Store.Write(ctx, name, bytes.NewReader(text.data), int64(len(text.data))); err != nil {
			return written, fmt.Errorf("write %s: %w", name, err)
		}
		written++
	}
	return written, nil
}

// publishedFiles are the files of a folder.
type publishedFiles struct {
	linked []artifact.File
	texts  []text // take the place of linked files of the same path
	there  map[string]int64
}

func (f publishedFiles) wants(v artifact.Version, file artifact.File) bool {
	for _, t := range f.texts {
		if t.path == file.Path {
			return false
		}
	}
	size, ok := f.there[v.File(file.Path)]
	return !ok || size != file.Size
}

// linkFiles gives the artifact's files their readable names, some at a time, and
// returns how many there were to do.
func linkFiles(ctx context.Context, t *Task, v artifact.Version, f publishedFiles) (int, error) {
	const atOnce = 8
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	n := 0
	for _, file := range f.linked {
		if !f.wants(v, file) {
			continue
		}
		n++
		t.Progress(Progress{Done: int64(n), Total: int64(len(f.linked)), Unit: "files"})
		g.Go(func() error {
			if err := artifact.Link(ctx, t.Store, v.File(file.Path), file.Digest); err != nil {
				return fmt.Errorf("publish %s: %w", v.File(file.Path), err)
			}
			return nil
		})
	}
	return n, g.Wait()
}
