package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

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

// Write writes a safetensors file that carries the configuration. Equal weights
// give equal bytes.
func (w *Weights) Write(out io.Writer) error { return WriteFrom(out, w.Config, w.Get) }

// ReadWeights reads a file that Write wrote. A missing parameter, one of another
// shape and one too many are all reported at once; a damaged file's error wraps
// checkpoint.ErrCorrupt.
func ReadWeights(r io.ReaderAt, size int64) (*Weights, error) {
	f, err := checkpoint.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	c, err := check(f)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	w := &Weights{Config: c, values: map[string][]float32{}}
	for _, s := range c.Params() {
		if w.values[s.Name], err = f.Floats(s.Name); err != nil {
			return nil, fmt.Errorf("read weights: %w", err)
		}
	}
	return w, nil
}

// Digest is the SHA-256 of the file that Write writes, in hexadecimal.
func (w *Weights) Digest() (string, error) {
	h := sha256.New()
	if err := w.Write(h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
