package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"tempera/training/checkpoint"
)

// Weights are a model's parameters on the host, for files and for decoding.
type Weights struct {
	Config Config
	values map[string][]float32
}

// Get returns a parameter's values, not copied, in the order of Config.Params' shape.
func (w *Weights) Get(name string) ([]float32, error) {
	v, ok := w.values[name]
	if !ok {
		return nil, fmt.Errorf("the weights have no parameter %q", name)
	}
	return v, nil
}

// Metadata keys of a weights file.
const (
	metaConfig = "tempera.config"
	metaFormat = "format" // Hugging Face tools want it
)

// Write writes a safetensors file that carries the configuration. Equal weights
// give equal bytes.
func (w *Weights) Write(out io.Writer) error {
	config, err := w.Config.JSON()
	if err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	var ts []checkpoint.Tensor
	for _, s := range w.Config.Params() {
		v, err := w.Get(s.Name)
		if err != nil {
			return fmt.Errorf("write weights: %w", err)
		}
		ts = append(ts, checkpoint.Float32(s.Name, s.Shape, v))
	}
	return checkpoint.Write(out, map[string]string{metaConfig: string(config), metaFormat: "pt"}, ts)
}

// ReadWeights reads a file that Write wrote. A missing parameter, one of another
// shape and one too many are all reported at once; a damaged file's error wraps
// checkpoint.ErrCorrupt.
func ReadWeights(r io.ReaderAt, size int64) (*Weights, error) {
	f, err := checkpoint.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	raw, ok := f.Metadata()[metaConfig]
	if !ok {
		return nil, fmt.Errorf("read weights: the file's metadata has no %s: it is not a model of this program", metaConfig)
	}
	c, err := ParseConfig([]byte(raw))
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	w := &Weights{Config: c, values: map[string][]float32{}}
	var faults []error
	for _, s := range c.Params() {
		v, err := readParam(f, s)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		w.values[s.Name] = v
	}
	for _, info := range f.Tensors() {
		if w.values[info.Name] == nil && len(faults) == 0 {
			faults = append(faults, fmt.Errorf("tensor %q is not a parameter of a %s model", info.Name, c.Kind))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("read weights: %w", errors.Join(faults...))
	}
	return w, nil
}

// readParam reads one parameter. Its error names what is wrong with it.
func readParam(f *checkpoint.File, s Spec) ([]float32, error) {
	info, ok := f.Info(s.Name)
	if !ok {
		return nil, fmt.Errorf("parameter %q is missing", s.Name)
	}
	if !slices.Equal(info.Shape, s.Shape) {
		return nil, fmt.Errorf("parameter %q is %v, want %v", s.Name, info.Shape, s.Shape)
	}
	v := make([]float32, s.size())
	return v, f.ReadFloat32(s.Name, v)
}

// Digest is the SHA-256 of the file that Write writes, in hexadecimal.
func (w *Weights) Digest() (string, error) {
	h := sha256.New()
	if err := w.Write(h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
