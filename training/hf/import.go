package hf

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"

	"tempera/training/checkpoint"
	"tempera/training/device"
	"tempera/training/model"
)

// The names of the files that are read here.
const (
	ConfigFile     = "config.json"
	GenerationFile = "generation_config.json"
	CardFile       = "README.md"
	TokenizerFile  = "tokenizer.json"
)

// Most bytes of the files that are held in memory.
const (
	maxConfig    = 16 << 20
	maxTokenizer = 256 << 20
	maxIndex     = 100 << 20
)

// Companions are the files beside the weights that a copy of the model needs.
// They go where the model goes.
func Companions() []string {
	return []string{
		GenerationFile, TokenizerFile, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
		"chat_template.jinja", imagesFile, "vocab.json", "merges.txt",
	}
}

// Source is an open model folder whose configuration and weights agree.
type Source struct {
	Config       model.Config      // resolved and valid
	Architecture string            // as config.json names it
	Files        map[string][]byte // what lies beside the weights, by name: tokenizer.json and the like

	tensors *checkpoint.Set
	names   map[string]string // of the tensor in the files, by its name in the mapping
	params  map[string][]part
	specs   map[string]model.Spec
}

// Open reads config.json, the headers of the weights and the small files of a
// folder, and checks that they fit each other. The error has every fault: settings
// that are not supported, by their keys; tensors that are missing, too many, or of
// a shape that the configuration contradicts; a tokenizer with more tokens than
// the embedding has rows. Weights are read when they are asked for; those of a
// folder on disk are mapped.
func Open(f Folder) (_ *Source, err error) {
	raw, found, err := readFile(f, ConfigFile, maxConfig)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("the folder has no %s: it is not a model in the layout of Hugging Face", ConfigFile)
	}
	s, err := parseSettings(ConfigFile, raw)
	if err != nil {
		return nil, err
	}
	a, err := find(s)
	if err != nil {
		return nil, err
	}
	src := &Source{Architecture: a.class, Files: map[string][]byte{}}
	if src.Config, err = src.configure(f, a, s); err != nil {
		return nil, err
	}
	if src.tensors, err = openSet(f); err != nil {
		return nil, err
	}
	if err := src.bind(a); err != nil {
		return nil, errors.Join(err, src.Close())
	}
	return src, nil
}

// configure reads the configuration and the small files.
func (src *Source) configure(f Folder, a architecture, s *settings) (model.Config, error) {
	s.checkNeutral()
	c := a.read(s)
	for _, name := range append(Companions(), CardFile) {
		limit := int64(maxConfig)
		if name == TokenizerFile || name == "vocab.json" || name == "merges.txt" {
			limit = maxTokenizer
		}
		data, found, err := readFile(f, name, limit)
		if err != nil {
			return c, err
		}
		if found {
			src.Files[name] = data
		}
	}
	if err := s.err(); err != nil {
		return c, err
	}
	ids, err := src.special(s, c)
	if err != nil {
		return c, err
	}
	c.Text.Special = ids
	if c.Kind == model.CLIP {
		if err := src.readImages(&c.Vision); err != nil {
			return c, err
		}
	}
	c = c.Resolve()
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("config.json describes a model that cannot be: %w", err)
	}
	return c, nil
}

// openSet opens the weights, in one file or several.
func openSet(f Folder) (*checkpoint.Set, error) {
	index, sharded, err := readFile(f, checkpoint.IndexFile, maxIndex)
	if err != nil {
		return nil, err
	}
	if sharded {
		set, err := checkpoint.OpenShards(index, func(name string) (*checkpoint.File, error) { return openTensors(f, name) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", checkpoint.IndexFile, err)
		}
		return set, nil
	}
	file, err := openTensors(f, checkpoint.SingleFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder has neither %s nor %s: weights of another format must be saved as safetensors first", checkpoint.SingleFile, checkpoint.IndexFile)
	}
	if err != nil {
		return nil, err
	}
	return checkpoint.NewSet(file), nil
}

// bind finds every tensor of the mapping in the files and compares their shapes.
func (src *Source) bind(a architecture) error {
	m := newMapping(src.Config)
	a.tensors(m)
	src.params, src.specs, src.names = m.params(), m.specs, map[string]string{}
	var faults []error
	wanted := m.tensors()
	taken := map[string]bool{}
	for _, name := range sorted(wanted) {
		shape := wanted[name][0].shape
		there := name
		info, ok := src.tensors.Info(name)
		if bare, cut := strings.CutPrefix(name, a.prefix); !ok && cut {
			there = bare
			info, ok = src.tensors.Info(bare)
		}
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("tensor %s is missing: config.json describes one of %v", name, shape))
		case !slices.Equal(info.Shape, shape):
			faults = append(faults, fmt.Errorf("tensor %s is %v, config.json describes one of %v", there, info.Shape, shape))
		}
		src.names[name] = there
		taken[there] = true
	}
	for _, name := range src.tensors.Names() {
		if !taken[name] && !a.strays(name) {
			if err := src.stray(name); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return joinSome(faults)
}

// stray judges a tensor that no parameter is made of. A head that is tied to the
// embedding is one that some folders hold twice.
func (src *Source) stray(name string) error {
	if name != "lm_head.weight" || !src.Config.Text.TieHead {
		return fmt.Errorf("tensor %s is not one of a %s: it is not supported", name, src.Architecture)
	}
	head, err := src.tensors.Floats(name)
	if err != nil {
		return err
	}
	token, err := src.Get("text.token")
	if err != nil {
		return nil //nolint:nilerror // the missing table is a fault of its own
	}
	if !slices.Equal(head, token) {
		return fmt.Errorf("tensor %s differs from the embedding, and config.json ties them: set tie_word_embeddings to false, or remove the tensor", name)
	}
	return nil
}

// joinSome joins faults, but no more than a person reads.
func joinSome(faults []error) error {
	const most = 20
	if n := len(faults); n > most {
		faults = append(faults[:most:most], fmt.Errorf("and %d more", n-most))
	}
	return errors.Join(faults...)
}

// Close releases the files. What Get returned must not be used after it.
func (src *Source) Close() error { return src.tensors.Close() }

// Get returns the values of a parameter of ours, by name. Where the folder is
// mapped and the tensor lies as the parameter does, they are the file's: they must
// not be written to, nor used after Close. Get may be called concurrently.
func (src *Source) Get(name string) ([]float32, error) {
	s, ok := src.specs[name]
	if !ok {
		return nil, fmt.Errorf("a %s has no parameter %q", src.Architecture, name)
	}
	parts := src.params[name]
	if len(parts) == 1 && parts[0].whole(product(s.Shape)) {
		return src.tensors.Floats(src.names[parts[0].tensor])
	}
	v := make([]float32, product(s.Shape))
	return v, src.fill(v, s, parts)
}

// fill puts a parameter together.
func (src *Source) fill(v []float32, s model.Spec, parts []part) error {
	for _, p := range parts {
		values, err := src.tensors.Floats(src.names[p.tensor])
		if err != nil {
			return err
		}
		p.load(v, values, s.Shape[len(s.Shape)-1])
	}
	return nil
}

// Load makes a model on a device. Parameters are uploaded one after the other, so
// that little more than one of them is in memory beside the model.
func (src *Source) Load(b device.Backend) (*model.Model, error) {
	var scratch []float32 // of one parameter after the other
	return model.LoadFrom(b, src.Config, func(name string) ([]float32, error) {
		s, parts := src.specs[name], src.params[name]
		n := product(s.Shape)
		if len(parts) == 1 && parts[0].whole(n) {
			return src.Get(name)
		}
		if cap(scratch) < n {
			scratch = make([]float32, n)
		}
		return scratch[:n], src.fill(scratch[:n], s, parts)
	})
}

// Weights copies all parameters to the host, on all cores. They do not need the
// source any more.
func (src *Source) Weights() (*model.Weights, error) {
	specs := src.Config.Params()
	values := make([][]float32, len(specs))
	faults := make([]error, len(specs))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				values[i] = make([]float32, product(specs[i].Shape))
				faults[i] = src.fill(values[i], specs[i], src.params[specs[i].Name])
			}
		})
	}
	for i := range specs {
		next <- i
	}
	close(next)
	workers.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	byName := map[string][]float32{}
	for i, s := range specs {
		byName[s.Name] = values[i]
	}
	return model.NewWeights(src.Config, byName)
}
