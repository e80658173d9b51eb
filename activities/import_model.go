package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"tempera/infra/artifact"
	"tempera/training/hf"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

type importParams struct {
	Folder string `json:"folder" doc:"Folder on the worker's machine with config.json, model.safetensors and tokenizer.json; a relative one is below the worker's data folder."`
	Prefix string `json:"prefix" doc:"The same as a folder of the bucket, e.g. imports/smollm, or models/<name>/<version>."`
}

// Validate reports what no tag can say.
func (p importParams) Validate() error {
	if p.Folder != "" && p.Prefix != "" {
		return errors.New("folder and prefix are both given: the model is in one of them")
	}
	if p.Prefix == "" {
		return nil
	}
	if err := artifact.CheckName(strings.Trim(p.Prefix, "/")); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	return nil
}

// importModel makes a model artifact of a folder in the layout of Hugging Face's
// transformers. The folder may change between runs, so every run reads it; the
// artifact is a function of its bytes.
func importModel() Kind {
	return define(stage.Descriptor{
		Name: "import_model", Version: 1, Queue: stage.CPU, Effects: true,
		Summary: "Read a model folder of Hugging Face's layout (" + strings.Join(hf.Names(), ", ") + ")",
		Inputs:  []stage.Port{{Name: "files", Type: artifact.TypeModel, Optional: true, Doc: "An artifact whose files are such a folder, in place of folder and prefix."}},
		Outputs: []stage.Port{{Name: "model", Type: artifact.TypeModel, Doc: "The model with its tokenizer."}},
	}, importParams{}, runImport)
}

func runImport(ctx context.Context, t *Task, p importParams) error {
	folder, err := importedFolder(ctx, t, p)
	if err != nil {
		return err
	}
	out, err := storeImported(ctx, t, folder)
	if err != nil {
		return err
	}
	t.Output("model", out)
	return nil
}

// importedFolder is where the model is.
func importedFolder(ctx context.Context, t *Task, p importParams) (hf.Folder, error) {
	files, given := t.Input("files")
	switch {
	case given && p.Folder+p.Prefix != "":
		return nil, Invalid(errors.New("input files is given besides folder or prefix: the model is in one of them"))
	case given:
		m, err := artifact.LoadManifest(ctx, t.Store, files)
		if err != nil {
			return nil, err
		}
		return hf.Fetched(t.Scratch, func(name string) (io.ReadCloser, error) {
			f, err := m.Find(name)
			if err != nil {
				return nil, errors.Join(fs.ErrNotExist, err)
			}
			return t.Store.Open(ctx, f.Digest)
		}), nil
	case p.Prefix != "":
		return hf.Fetched(t.Scratch, func(name string) (io.ReadCloser, error) {
			r, _, err := t.Store.Read(ctx, strings.Trim(p.Prefix, "/")+"/"+name)
			if errors.Is(err, artifact.ErrNotFound) {
				return nil, errors.Join(fs.ErrNotExist, err)
			}
			return r, err
		}), nil
	case p.Folder == "":
		return nil, Invalid(errors.New("nothing to import: give folder, prefix or input files"))
	case filepath.IsAbs(p.Folder):
		return hf.Dir(p.Folder), nil
	}
	return hf.Dir(filepath.Join(t.Data, p.Folder)), nil
}

// ImportModel makes a model artifact of a folder, as the kind import_model does,
// outside a run.
func ImportModel(ctx context.Context, s artifact.Store, folder hf.Folder) (artifact.Artifact, error) {
	t := &Task{Request: stage.Request{Kind: importModel().Describe().Name}, Store: s, Log: slog.New(slog.DiscardHandler), Result: &stage.Result{}}
	return storeImported(ctx, t, folder)
}

// storeImported makes the artifact. The folder is read twice at most: what is
// fetched stays in the scratch folder.
func storeImported(ctx context.Context, t *Task, folder hf.Folder) (_ artifact.Artifact, err error) {
	var none artifact.Artifact
	src, err := hf.Open(folder)
	if err != nil {
		return none, importError(err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	raw, ok := src.Files[hf.TokenizerFile]
	if !ok {
		return none, Invalid(fmt.Errorf("the folder has no %s: save the tokenizer in its fast form (AutoTokenizer.from_pretrained(...).save_pretrained(...))", hf.TokenizerFile))
	}
	if _, err := tokenizer.Parse(raw); err != nil {
		return none, Invalid(fmt.Errorf("%s: %w", hf.TokenizerFile, err))
	}
	t.Log.Info("import", "architecture", src.Architecture, "kind", src.Config.Kind, "width", src.Config.Width, "vocabulary", src.Config.Text.Vocab)
	t.Metric("parameters", parameterCount(src.Config))
	files := modelFiles{Config: src.Config, Weights: src.Get, Card: importedCard(t, src)}
	for _, name := range sortedKeys(src.Files) {
		if name == hf.CardFile {
			continue
		}
		ref, err := artifact.PutBytes(ctx, t.Store, src.Files[name])
		if err != nil {
			return none, err
		}
		files.Beside = append(files.Beside, artifact.File{Path: name, Ref: ref})
	}
	return files.store(ctx, t)
}

// importError classes what Open returns: what is wrong with a folder stays wrong,
// a store that is away comes back.
func importError(err error) error { return folderError(fmt.Errorf("import: %w", err)) }

// folderError classes what reading the files of a model returns.
func folderError(err error) error {
	if errors.Is(err, artifact.ErrTransient) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return Invalid(err)
}

// importedCard is a card of our own that has the folder's card in it.
func importedCard(t *Task, src *hf.Source) string {
	card := modelCard(t, src.Config)
	if own := withoutHead(string(src.Files[hf.CardFile])); own != "" {
		card += "\n## The card of the folder\n\n" + own + "\n"
	}
	return card
}
