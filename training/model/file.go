package model

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"tempera/training/checkpoint"
	"tempera/training/device"
)

// Metadata keys of a weights file.
const (
	metaConfig = "tempera.config"
	metaFormat = "format" // Hugging Face tools want it
)

// File is an open file of weights, mapped where the system can: a parameter is
// read when it is asked for.
type File struct {
	Config  Config
	tensors *checkpoint.File
}

// OpenFile opens a file that Write wrote. Its errors are those of ReadWeights.
func OpenFile(path string) (*File, error) {
	f, err := checkpoint.OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	c, err := check(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read weights: %w", err), f.Close())
	}
	return &File{Config: c, tensors: f}, nil
}

// Get returns a parameter's values, not copied: they must not be written to, nor
// used after Close.
func (f *File) Get(name string) ([]float32, error) { return f.tensors.Floats(name) }

// Load makes a model with the file's values.
func (f *File) Load(b device.Backend) (*Model, error) { return LoadFrom(b, f.Config, f.Get) }

// Close releases the file.
func (f *File) Close() error { return f.tensors.Close() }

// check reads the configuration of a file and holds its tensors to it. A missing
// parameter, one of another shape or type and one too many are all reported at once.
func check(f *checkpoint.File) (Config, error) {
	raw, ok := f.Metadata()[metaConfig]
	if !ok {
		return Config{}, fmt.Errorf("the file's metadata has no %s: it is not a model of this program", metaConfig)
	}
	c, err := ParseConfig([]byte(raw))
	if err != nil {
		return Config{}, err
	}
	return c, checkTensors(f, c.Kind, c.Params())
}

// checkTensors holds the tensors of a file to what it should hold.
func checkTensors(f *checkpoint.File, kind Kind, specs []Spec) error {
	var faults []error
	known := map[string]bool{}
	for _, s := range specs {
		known[s.Name] = true
		info, ok := f.Info(s.Name)
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("parameter %q is missing", s.Name))
		case !slices.Equal(info.Shape, s.Shape):
			faults = append(faults, fmt.Errorf("parameter %q is %v, want %v", s.Name, info.Shape, s.Shape))
		case info.DType != checkpoint.F32:
			faults = append(faults, fmt.Errorf("parameter %q is of type %s, want %s", s.Name, info.DType, checkpoint.F32))
		}
	}
	for _, info := range f.Tensors() {
		if !known[info.Name] {
			faults = append(faults, fmt.Errorf("tensor %q is not a parameter of a %s model", info.Name, kind))
		}
	}
	return errors.Join(faults...)
}

// WriteFrom writes a file of weights that ReadWeights and OpenFile read, with
// values from get, which is asked for one parameter at a time. Equal values give
// equal bytes.
func WriteFrom(out io.Writer, c Config, get func(name string) ([]float32, error)) error {
	config, err := c.JSON()
	if err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	var ts []checkpoint.Tensor
	for _, s := range c.Params() {
		ts = append(ts, checkpoint.Deferred(s.Name, checkpoint.F32, s.Shape, func() ([]float32, error) { return get(s.Name) }))
	}
	return checkpoint.Write(out, map[string]string{metaConfig: string(config), metaFormat: "pt"}, ts)
}
