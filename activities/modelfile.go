package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"tempera/infra/artifact"
	"tempera/training/device"
	"tempera/training/hf"
	"tempera/training/kernel"
	"tempera/training/model"
	"tempera/training/tokenizer"
)

// The files of a model artifact, as Hugging Face tools name them.
const (
	weightsFile = "model.safetensors"
	configFile  = "config.json"
	cardFile    = "README.md"
)

// loadedModel is a model artifact in memory.
type loadedModel struct {
	weights   *model.Weights
	tokenizer *tokenizer.Tokenizer
	files     *artifact.Manifest
}

// loadModel reads a model artifact, verified.
func loadModel(ctx context.Context, t *Task, a artifact.Artifact) (_ *loadedModel, err error) {
	m, err := artifact.LoadManifest(ctx, t.Store, a)
	if err != nil {
		return nil, err
	}
	f, err := m.Find(weightsFile)
	if err != nil {
		return nil, Invalid(err)
	}
	path, release, err := artifact.LocalPath(ctx, t.Store, f.Digest, t.Scratch)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", a.Digest.Short(), err)
	}
	defer release()
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w, err := model.ReadWeights(file, f.Size)
	if err != nil {
		return nil, Invalid(fmt.Errorf("model %s: %w", f.Digest, err))
	}
	tok, err := readTokenizer(ctx, t.Store, m)
	if err != nil {
		return nil, err
	}
	return &loadedModel{w, tok, m}, nil
}

// inputModel reads the model of the input of that name.
func inputModel(ctx context.Context, t *Task) (*loadedModel, error) {
	source, _ := t.Input("model")
	return loadModel(ctx, t, source)
}

// tokenizerFile is the model's tokenizer.json.
func (l *loadedModel) tokenizerFile() (artifact.File, error) {
	f, err := l.files.Find(tokenizerFile)
	return f, Invalid(err)
}

// deployed is a model on a device of its own.
type deployed struct {
	*loadedModel
	model *model.Model
	dev   *compute
}

func (l *loadedModel) deploy(t *Task) (*deployed, error) {
	dev, err := newCompute(t)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(dev.backend, l.weights)
	if err != nil {
		dev.close()
		return nil, err
	}
	return &deployed{l, m, dev}, nil
}

func (d *deployed) close() { d.dev.close() }

// saveModel publishes a model with its tokenizer (a file of another artifact)
// and a card that says how it came about. What lies beside the weights of the
// model that it was trained from, or beside a new model's tokenizer, such as a chat
// template, goes with it.
func saveModel(ctx context.Context, t *Task, w *model.Weights, tok artifact.File) (artifact.Artifact, error) {
	files := modelFiles{Config: w.Config, Weights: w.Get, Card: modelCard(t, w.Config)}
	files.Beside = append(files.Beside, artifact.File{Path: tokenizerFile, Ref: tok.Ref})
	for _, port := range []string{"model", "tokenizer"} {
		from, ok := t.Input(port)
		if !ok {
			continue
		}
		m, err := artifact.LoadManifest(ctx, t.Store, from)
		if err != nil {
			return artifact.Artifact{}, err
		}
		files.Beside = append(files.Beside, companionsOf(m)...)
		break
	}
	return files.store(ctx, t)
}

// companionsOf are the files beside weights and tokenizer that go with a model.
func companionsOf(m *artifact.Manifest) []artifact.File {
	var found []artifact.File
	for _, f := range m.Files {
		if f.Path != tokenizerFile && slices.Contains(hf.Companions(), f.Path) {
			found = append(found, f)
		}
	}
	return found
}

// modelFiles are the files of a model artifact.
type modelFiles struct {
	Config  model.Config
	Weights func(name string) ([]float32, error)
	Card    string
	Beside  []artifact.File // the tokenizer, and what else goes with the model
}

func (f modelFiles) store(ctx context.Context, t *Task) (artifact.Artifact, error) {
	weights, err := putStream(ctx, t.Store, func(w io.Writer) error { return model.WriteFrom(w, f.Config, f.Weights) })
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("store the weights: %w", err)
	}
	config, err := f.Config.JSON()
	if err != nil {
		return artifact.Artifact{}, err
	}
	files := append([]artifact.File{{Path: weightsFile, Ref: weights}}, f.Beside...)
	for _, f := range []text{{configFile, config}, {cardFile, []byte(f.Card)}} {
		ref, err := artifact.PutBytes(ctx, t.Store, f.data)
		if err != nil {
			return artifact.Artifact{}, err
		}
		files = append(files, artifact.File{Path: f.path, Ref: ref})
	}
	return artifact.PutManifest(ctx, t.Store, &artifact.Manifest{Type: artifact.TypeModel, Files: files})
}

// modelCard is a function of the stage's key alone, as all bytes of a model are.
func modelCard(t *Task, c model.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\nlibrary_name: tempera\ntags: [vision-language, %s]\n---\n\n# %s\n\n", c.Kind, t.Kind)
	fmt.Fprintf(&b, "A %s model of width %d, trained by the Tempera stage kind `%s`.\n\n", c.Kind, c.Width, t.Kind)
	fmt.Fprintf(&b, "Stage key: `%s`\n\nParameters:\n\n```json\n%s\n```\n\nInputs:\n\n", t.Key, t.Params)
	for _, port := range sortedKeys(t.Inputs) {
		for _, a := range t.Inputs[port] {
			fmt.Fprintf(&b, "- %s: `%s`\n", port, a.Digest)
		}
	}
	return b.String()
}

// compute is a device for one execution, and an engine for what the CPU does beside it.
type compute struct {
	engine  *kernel.Engine
	backend device.Backend
}

func newCompute(t *Task) (*compute, error) {
	e, err := kernel.New(kernel.Options{Threads: t.Threads, Level: t.Level})
	if err != nil {
		return nil, fmt.Errorf("compute device: %w", err)
	}
	if t.GPU != nil {
		return &compute{e, t.GPU}, nil
	}
	t.Log.Info("device", "backend", "cpu", "level", e.Level(), "threads", e.Threads())
	return &compute{e, device.NewCPU(e)}, nil
}

// paged is the device that writes texts; nil: the CPU's engine does.
func (c *compute) paged() device.Paged {
	if p, ok := c.backend.(device.Paged); ok {
		return p
	}
	return nil
}

func (c *compute) close() { c.engine.Close() }
