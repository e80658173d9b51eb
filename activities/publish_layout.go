package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"tempera/infra/artifact"
	"tempera/training/hf"
	"tempera/training/model"
)

// ownLayout tells why a model artifact is published as it is, and not as
// transformers reads it; nil where it has such a form.
func ownLayout(ctx context.Context, s artifact.Blobs, m *artifact.Manifest) (why, err error) {
	f, err := m.Find(configFile)
	if err != nil {
		return err, nil
	}
	raw, err := artifact.ReadAll(ctx, s, f.Digest, artifact.MaxJSON)
	if err != nil {
		return nil, err
	}
	c, err := model.ParseConfig(raw)
	if err != nil {
		return err, nil
	}
	return hf.Exportable(c), nil
}

// ModelExport says how ExportModel writes a model artifact.
type ModelExport struct {
	To      hf.Output
	Texts   map[string][]byte // take the place of the artifact's files of those names
	Options hf.Options        // but for its files
	Scratch string            // folder for a copy of the weights, where the store is elsewhere
}

// ExportModel writes a model artifact in the layout of Hugging Face's
// transformers, with the files that lie beside its weights. A model that has no
// such form is an error that says why and what to set.
func ExportModel(ctx context.Context, s artifact.Store, m *artifact.Manifest, e ModelExport) (err error) {
	f, err := m.Find(weightsFile)
	if err != nil {
		return Invalid(err)
	}
	path, release, err := artifact.LocalPath(ctx, s, f.Digest, e.Scratch)
	if err != nil {
		return err
	}
	defer release()
	weights, err := model.OpenFile(path)
	if err != nil {
		return Invalid(fmt.Errorf("model %s: %w", f.Digest, err))
	}
	defer func() { err = errors.Join(err, weights.Close()) }()
	if err := hf.Exportable(weights.Config); err != nil {
		return Invalid(err)
	}
	files := map[string][]byte{}
	for _, file := range m.Files {
		if file.Path == weightsFile || file.Path == configFile {
			continue
		}
		if files[file.Path], err = artifact.ReadAll(ctx, s, file.Digest, 256<<20); err != nil {
			return err
		}
	}
	maps.Copy(files, e.Texts)
	e.Options.Files = files
	return hf.Write(e.To, weights.Config, weights, e.Options)
}

// writeTransformers fills a version's folder with the model in the layout of
// transformers. Names that are there already are left alone. It returns how many
// files it wrote.
func writeTransformers(ctx context.Context, t *Task, v artifact.Version, m *artifact.Manifest, given publishedFiles) (n int, err error) {
	texts := map[string][]byte{}
	for _, text := range given.texts {
		texts[text.path] = text.data
	}
	to := func(name string, write func(io.Writer) error) error {
		name = v.File(name)
		if _, ok := given.there[name]; ok {
			return nil
		}
		n++
		t.Progress(Progress{Done: int64(n), Unit: "files"})
		return writeStream(ctx, t.Store, name, write)
	}
	err = ExportModel(ctx, t.Store, m, ModelExport{To: to, Texts: texts, Scratch: t.Scratch})
	return n, err
}

// writeStream writes what write produces under a name, without holding it in memory.
func writeStream(ctx context.Context, s artifact.Names, name string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	err := s.Write(ctx, name, r, -1)
	r.CloseWithError(err) // lets the writer end where Write has given up
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
