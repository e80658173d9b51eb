package hf

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"tempera/training/checkpoint"
	"tempera/training/model"
)

// Options say how a model is written. Zero means the default.
type Options struct {
	DType      checkpoint.DType // F32, the default, F16 or BF16
	ShardBytes int64            // most bytes of a file's tensors; default 5e9, as transformers has it
	// Files are put beside the weights as they are: README.md, tokenizer.json,
	// tokenizer_config.json, chat_template.jinja and the like. What transformers
	// needs and is not among them is written: generation_config.json, a tokenizer's
	// configuration, how images are prepared, and a short card.
	Files map[string][]byte
}

// Output takes a file: write produces its bytes, once.
type Output func(name string, write func(io.Writer) error) error

// ToDir writes to a folder on disk, which is made. A file appears under its name
// when it is whole.
func ToDir(path string) Output {
	return func(name string, write func(io.Writer) error) (err error) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		f, err := os.CreateTemp(path, "."+name+".*")
		if err != nil {
			return err
		}
		err = write(f)
		if err == nil {
			err = f.Chmod(0o644)
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err == nil {
			err = os.Rename(f.Name(), filepath.Join(path, name))
		}
		if err != nil {
			os.Remove(f.Name()) //nolint:errcheck // the first error tells more
			return fmt.Errorf("write %s: %w", name, err)
		}
		return nil
	}
}

// Parameters are the values of a model of ours: *model.Weights or a Source.
type Parameters interface {
	Get(name string) ([]float32, error)
}

// Write writes a model folder that transformers loads. A configuration that has no
// such form is an error that says why and what to set; nothing is written then.
// Equal models and options give equal bytes. Tensors are put together one at a
// time.
func Write(to Output, c model.Config, p Parameters, o Options) error {
	c = c.Resolve()
	a, config, err := layoutOf(c)
	if err != nil {
		return err
	}
	files := maps.Clone(o.Files)
	if files == nil {
		files = map[string][]byte{}
	}
	delete(files, ConfigFile)
	dtype := cmp.Or(o.DType, checkpoint.F32)
	if err := complete(config, c, dtype); err != nil {
		return err
	}
	if files[ConfigFile], err = config.encode(); err != nil {
		return err
	}
	if err := addMissing(files, a, c); err != nil {
		return err
	}
	m := newMapping(c)
	a.tensors(m)
	shards := checkpoint.Split(deferred(m, p, dtype), cmp.Or(o.ShardBytes, 5e9))
	if len(shards) > 1 {
		if files[checkpoint.IndexFile], err = checkpoint.Index(shards); err != nil {
			return err
		}
	}
	for _, s := range shards {
		err := to(s.Name, func(w io.Writer) error { return s.Write(w, map[string]string{"format": "pt"}) })
		if err != nil {
			return err
		}
	}
	for _, name := range sorted(files) {
		err := to(name, func(w io.Writer) error { _, err := w.Write(files[name]); return err })
		if err != nil {
			return err
		}
	}
	return nil
}

// deferred makes the tensors of the layout, each put together when it is written.
func deferred(m *mapping, p Parameters, dtype checkpoint.DType) []checkpoint.Tensor {
	byTensor := m.tensors()
	var tensors []checkpoint.Tensor
	for _, name := range sorted(byTensor) {
		parts := byTensor[name]
		tensors = append(tensors, checkpoint.Deferred(name, dtype, parts[0].shape, func() ([]float32, error) {
			if len(parts) == 1 && parts[0].whole(product(m.specs[parts[0].param].Shape)) {
				return p.Get(parts[0].param)
			}
			values := make([]float32, product(parts[0].shape))
			for _, part := range parts {
				v, err := p.Get(part.param)
				if err != nil {
					return nil, err
				}
				shape := m.specs[part.param].Shape
				if len(v) != product(shape) {
					return nil, fmt.Errorf("parameter %s has %d values, want %v", part.param, len(v), shape)
				}
				part.save(values, v, shape[len(shape)-1])
			}
			return values, nil
		}))
	}
	return tensors
}

// dtypes are the names that config.json has for types.
func dtypes() map[checkpoint.DType]string {
	return map[checkpoint.DType]string{checkpoint.F32: "float32", checkpoint.F16: "float16", checkpoint.BF16: "bfloat16"}
}

// complete adds what every config.json has.
func complete(o object, c model.Config, dtype checkpoint.DType) error {
	name, ok := dtypes()[dtype]
	if !ok {
		return fmt.Errorf("type %q: weights are written as F32, F16 or BF16", dtype)
	}
	o["torch_dtype"] = name
	if c.Kind == model.LM {
		o["bos_token_id"], o["eos_token_id"] = c.Text.Special.BOS, c.Text.Special.EOS
		o["pad_token_id"] = c.Text.Special.Pad
		o["use_cache"] = true
	}
	return nil
}

// addMissing writes the small files that are not given.
func addMissing(files map[string][]byte, a architecture, c model.Config) error {
	add := func(name string, o object) error {
		if _, given := files[name]; given {
			return nil
		}
		raw, err := o.encode()
		files[name] = raw
		return err
	}
	ids := c.Text.Special
	if c.Kind == model.LM {
		if err := add(GenerationFile, object{"bos_token_id": ids.BOS, "eos_token_id": ids.EOS, "pad_token_id": ids.Pad}); err != nil {
			return err
		}
	}
	if c.Kind == model.CLIP {
		if err := add(imagesFile, imageProcessor(a, c.Vision)); err != nil {
			return err
		}
	}
	if raw, ok := files[TokenizerFile]; ok {
		config, err := tokenizerConfig(raw, c)
		if err != nil {
			return err
		}
		if err := add("tokenizer_config.json", config); err != nil {
			return err
		}
	}
	if _, given := files[CardFile]; !given {
		files[CardFile] = []byte(card(a, c))
	}
	return nil
}

// tokenizerConfig tells transformers the roles of special tokens.
func tokenizerConfig(tokenizer []byte, c model.Config) (object, error) {
	v, err := readVocabulary(map[string][]byte{TokenizerFile: tokenizer})
	if err != nil {
		return nil, err
	}
	if v.size > c.Text.Vocab {
		return nil, fmt.Errorf("%s has %d tokens, the embedding %d rows: they are of different models", TokenizerFile, v.size, c.Text.Vocab)
	}
	o := object{"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": c.Text.Context, "clean_up_tokenization_spaces": false}
	texts := slices.Sorted(maps.Keys(v.ids))
	for role, id := range map[string]int32{"bos_token": c.Text.Special.BOS, "eos_token": c.Text.Special.EOS, "pad_token": c.Text.Special.Pad} {
		if i := slices.IndexFunc(texts, func(t string) bool { return v.ids[t] == id }); i >= 0 {
			o[role] = texts[i]
		}
	}
	return o, nil
}

// card is the shortest card that tools can read.
func card(a architecture, c model.Config) string {
	var n int64
	for _, s := range c.Params() {
		n += int64(product(s.Shape))
	}
	return fmt.Sprintf("---\nlibrary_name: transformers\npipeline_tag: %s\n---\n\n# %s\n\nA %s with %d parameters, written by Tempera.\n", a.task, a.modelType, a.class, n)
}
