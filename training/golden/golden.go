// Package golden reads the golden vectors: values of layers and objectives, with gradients, computed in float64 by an independent
// implementation. Tests compare their results with them.
//
// One JSON file holds one case: inputs, parameters, outputs, and the gradients of sum(w y) for the output y that the parameter "grad_of" names,
// where w is the input "grad_seed" (absent for a scalar output: w = 1).
package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// EnvDir names the environment variable that replaces the stored vectors by those of another folder, made with another seed.
const EnvDir = "GOLDEN_DIR"

// Tensor is a dense row-major array.
type Tensor struct {
	Shape []int     `json:"shape"`
	Data  []float64 `json:"data"`
	DType string    `json:"dtype"` // "int", or empty for floats
}

// Case is one file.
type Case struct {
	Name    string                     `json:"case"`
	Doc     string                     `json:"doc"`
	Params  map[string]json.RawMessage `json:"params"`
	Inputs  map[string]Tensor          `json:"inputs"`
	Outputs map[string]Tensor          `json:"outputs"`
	Grads   map[string]Tensor          `json:"grads"`
}

// Dir is the folder of the vectors: $GOLDEN_DIR, or training/testdata/golden of the module around the working directory.
func Dir() (string, error) {
	if d := os.Getenv(EnvDir); d != "" {
		return d, nil
	}
	at, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find golden vectors: %w", err)
	}
	for {
		d := filepath.Join(at, "training", "testdata", "golden")
		if _, err := os.Stat(d); err == nil {
			return d, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", fmt.Errorf("find golden vectors: no training/testdata/golden above the working directory; set %s", EnvDir)
		}
		at = up
	}
}

// Names lists all cases, sorted.
func Names() ([]string, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list golden vectors: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("list golden vectors: %s holds none", dir)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	slices.Sort(names)
	return names, nil
}

// Load reads a case.
func Load(name string) (*Case, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return nil, fmt.Errorf("golden case %s: %w", name, err)
	}
	c := &Case{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("golden case %s: %w", name, err)
	}
	if c.Name != name {
		return nil, fmt.Errorf("golden case %s: the file names case %q", name, c.Name)
	}
	return c, nil
}

// Param decodes a parameter.
func Param[T any](c *Case, name string) (T, error) {
	var v T
	raw, ok := c.Params[name]
	if !ok {
		return v, fmt.Errorf("golden case %s: no parameter %q", c.Name, name)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("golden case %s: parameter %s: %w", c.Name, name, err)
	}
	return v, nil
}

// Floats is the data in float32.
func (t Tensor) Floats() []float32 {
	out := make([]float32, len(t.Data))
	for i, v := range t.Data {
		out[i] = float32(v)
	}
	return out
}

// Ints is the data in int32.
func (t Tensor) Ints() []int32 {
	out := make([]int32, len(t.Data))
	for i, v := range t.Data {
		out[i] = int32(v)
	}
	return out
}

// Compare checks got against a tensor: every element within tolerance relative to the larger of the element and the tensor's root mean
// square, so that a near-zero element of a large tensor is held to the tensor's scale.
func Compare(got []float32, want Tensor, tolerance float64) error {
	if len(got) != len(want.Data) {
		return fmt.Errorf("has %d elements, want %d", len(got), len(want.Data))
	}
	if len(got) == 0 {
		return errors.New("is empty: nothing is compared")
	}
	var squares float64
	for _, v := range want.Data {
		squares += v * v
	}
	rms := math.Sqrt(squares / float64(len(want.Data)))
	for i, w := range want.Data {
		if d := math.Abs(float64(got[i]) - w); !(d <= tolerance*math.Max(math.Abs(w), rms)) {
			return fmt.Errorf("element %d is %g, want %g (error %.2g of scale %.2g)", i, got[i], w, d, math.Max(math.Abs(w), rms))
		}
	}
	return nil
}
