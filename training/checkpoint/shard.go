package checkpoint

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// The names that Hugging Face tools give to a model's files.
const (
	SingleFile = "model.safetensors"
	IndexFile  = "model.safetensors.index.json"
)

// Shard is one file of a model's tensors.
type Shard struct {
	Name    string
	Tensors []Tensor
}

// Write writes the shard's file.
func (s Shard) Write(w io.Writer, meta map[string]string) error { return Write(w, meta, s.Tensors) }

// Split spreads tensors, in their order, over files of at most limit bytes of
// data (one that is larger has a file of its own), and names them as transformers
// does. What fits into one file has no index.
func Split(tensors []Tensor, limit int64) []Shard {
	var shards []Shard
	var size int64
	for _, t := range tensors {
		if len(shards) == 0 || size > 0 && size+t.Size() > limit {
			shards, size = append(shards, Shard{}), 0
		}
		last := &shards[len(shards)-1]
		last.Tensors = append(last.Tensors, t)
		size += t.Size()
	}
	if len(shards) == 1 {
		shards[0].Name = SingleFile
		return shards
	}
	for i := range shards {
		shards[i].Name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
	}
	return shards
}

// index is the content of an index file.
type index struct {
	Metadata struct {
		TotalSize int64 `json:"total_size"`
	} `json:"metadata"`
	WeightMap map[string]string `json:"weight_map"`
}

// Index returns the content of the file that says which shard holds a tensor.
// Equal shards give equal bytes.
func Index(shards []Shard) ([]byte, error) {
	x := index{WeightMap: map[string]string{}}
	for _, s := range shards {
		for _, t := range s.Tensors {
			x.Metadata.TotalSize += t.Size()
			x.WeightMap[t.Name] = s.Name
		}
	}
	return json.MarshalIndent(x, "", "  ")
}

// Set is the tensors of a model, in one file or in several.
type Set struct {
	files map[string]*File // by tensor
	open  []*File
}

// NewSet is the set of one file. Closing the set closes the file.
func NewSet(f *File) *Set {
	s := &Set{files: map[string]*File{}, open: []*File{f}}
	for _, t := range f.Tensors() {
		s.files[t.Name] = f
	}
	return s
}

// maxShards keeps a hostile index from opening files without end.
const maxShards = 10_000

// OpenShards opens the files that an index names. Every tensor must be in the
// file that the index says, and in no other; an error of an index that does not
// hold wraps ErrCorrupt.
func OpenShards(raw []byte, open func(name string) (*File, error)) (_ *Set, err error) {
	var x index
	if err := json.Unmarshal(raw, &x); err != nil {
		return nil, corrupt("index: %v", err)
	}
	names := slices.Sorted(maps.Values(x.WeightMap))
	names = slices.Compact(names)
	if len(names) == 0 || len(names) > maxShards {
		return nil, corrupt("the index names %d files", len(names))
	}
	s := &Set{files: map[string]*File{}}
	defer func() {
		if err != nil {
			s.Close() //nolint:errcheck // the first error tells more
		}
	}()
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
			return nil, corrupt("the index names the file %.200q, which is not beside it", name)
		}
		f, err := open(name)
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", name, err)
		}
		s.open = append(s.open, f)
		for _, t := range f.Tensors() {
			if at := x.WeightMap[t.Name]; at != name {
				return nil, corrupt("tensor %q is in %s, the index has it in %q", t.Name, name, at)
			}
			s.files[t.Name] = f
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.WeightMap)) {
		if s.files[name] == nil {
			return nil, corrupt("tensor %q is not in %s, where the index has it", name, x.WeightMap[name])
		}
	}
	return s, nil
}

// Close closes all files. What Floats returned must not be used after it.
func (s *Set) Close() error {
	var first error
	for _, f := range s.open {
		if err := f.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Names are the names of all tensors, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.files)) }

// Info finds a tensor by name.
func (s *Set) Info(name string) (Info, bool) {
	f, ok := s.files[name]
	if !ok {
		return Info{}, false
	}
	return f.Info(name)
}

// Floats is File.Floats of the file that has the tensor.
func (s *Set) Floats(name string) ([]float32, error) {
	f, ok := s.files[name]
	if !ok {
		return nil, missing(name)
	}
	return f.Floats(name)
}

// Metadata is that of the first file.
func (s *Set) Metadata() map[string]string { return s.open[0].Metadata() }
