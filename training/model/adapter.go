package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tempera/training/checkpoint"
)

// metaBase, in a file that holds what LoRA trains and nothing else, is the digest of
// the weights that it belongs to.
const metaBase = "tempera.lora_base"

// frozenDigest is the SHA-256 of the parameters that LoRA does not train.
func (w *Weights) frozenDigest(c Config) (string, error) {
	h := sha256.New()
	for _, s := range c.Params() {
		if !s.state && c.LoRA.trains(s.Name) {
			continue
		}
		v, err := w.Get(s.Name)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, s.Name)
		if err := binary.Write(h, binary.LittleEndian, v); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Merge is the weights without LoRA: W + (alpha/r) A B takes the place of W. The sum
// is made in float64. The weights themselves do not change.
func (w *Weights) Merge() (*Weights, error) {
	l := w.Config.LoRA
	if l == nil {
		return nil, errors.New("merge: the model has no lora")
	}
	out := &Weights{Config: w.Config, values: map[string][]float32{}}
	out.Config.LoRA = nil
	for _, s := range out.Config.Params() {
		v, err := w.Get(s.Name)
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		out.values[s.Name] = v
		layer := strings.TrimSuffix(s.Name, weightSuffix)
		if !s.linear || !l.targets(layer) {
			continue
		}
		a, errA := w.Get(layer + loraA)
		b, errB := w.Get(layer + loraB)
		if err := errors.Join(errA, errB); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		out.values[s.Name] = l.Merged(v, a, b)
	}
	return out, nil
}

// Merged is w + Scale a b for w (in, out), a (in, Rank), b (Rank, out), summed in float64.
func (l LoRA) Merged(w, a, b []float32) []float32 {
	in, out := len(a)/l.Rank, len(b)/l.Rank
	sum, row := slices.Clone(w), make([]float64, out)
	for i := range in {
		clear(row)
		for r := range l.Rank {
			x := l.Scale() * float64(a[i*l.Rank+r])
			for o := range row {
				row[o] += x * float64(b[r*out+o])
			}
		}
		for o, d := range row {
			sum[i*out+o] = float32(float64(w[i*out+o]) + d)
		}
	}
	return sum
}

// WriteLoRA writes what LoRA trains, without the weights that it changes: a small
// safetensors file. ReadLoRA puts it onto the same base.
func (w *Weights) WriteLoRA(out io.Writer) error {
	l := w.Config.LoRA
	if l == nil {
		return errors.New("write lora: the model has none")
	}
	config, err := w.Config.JSON()
	if err != nil {
		return fmt.Errorf("write lora: %w", err)
	}
	base, err := w.frozenDigest(w.Config)
	if err != nil {
		return fmt.Errorf("write lora: %w", err)
	}
	var ts []checkpoint.Tensor
	for _, s := range w.Config.Params() {
		if s.state || !l.trains(s.Name) {
			continue
		}
		v, err := w.Get(s.Name)
		if err != nil {
			return fmt.Errorf("write lora: %w", err)
		}
		ts = append(ts, checkpoint.Float32(s.Name, s.Shape, v))
	}
	return checkpoint.Write(out, map[string]string{metaConfig: string(config), metaBase: base, metaFormat: "pt"}, ts)
}

// ReadLoRA reads a file that WriteLoRA wrote and returns base with it. A base other
// than the one that it was trained on is refused.
func ReadLoRA(r io.ReaderAt, size int64, base *Weights) (*Weights, error) {
	f, err := checkpoint.Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("read lora: %w", err)
	}
	trainedOn := f.Metadata()[metaBase]
	if trainedOn == "" {
		return nil, fmt.Errorf("read lora: the file's metadata has no %s: it does not hold what lora trains", metaBase)
	}
	c, err := ParseConfig([]byte(f.Metadata()[metaConfig]))
	if err != nil {
		return nil, fmt.Errorf("read lora: %w", err)
	}
	if c.LoRA == nil {
		return nil, errors.New("read lora: the configuration in the file has no lora")
	}
	if digest, err := base.frozenDigest(c); err != nil || digest != trainedOn {
		return nil, errors.Join(errors.New("read lora: it was trained on another model: give the weights that it began with"), err)
	}
	w := &Weights{Config: c, values: map[string][]float32{}}
	var trained []Spec
	for _, s := range c.Params() {
		if s.state || !c.LoRA.trains(s.Name) {
			w.values[s.Name] = base.values[s.Name]
		} else {
			trained = append(trained, s)
		}
	}
	if err := checkTensors(f, c.Kind, trained); err != nil {
		return nil, fmt.Errorf("read lora: %w", err)
	}
	for _, s := range trained {
		if w.values[s.Name], err = f.Floats(s.Name); err != nil {
			return nil, fmt.Errorf("read lora: %w", err)
		}
	}
	return w, nil
}
