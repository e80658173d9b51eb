package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
)

// Spec is one parameter: its name, shape and initial values.
type Spec struct {
	Name  string
	Shape []int
	init  initial
}

// initial is the distribution of a parameter's first values.
type initial struct {
	constant float64
	std      float64 // of a normal distribution; 0: all values are constant
}

func (s Spec) size() int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// Values computes the initial values. They depend on the seed and the name only,
// so neither the order of construction nor other parameters matter.
func (s Spec) Values(seed uint64) []float32 {
	v := make([]float32, s.size())
	if s.init.std == 0 {
		for i := range v {
			v[i] = float32(s.init.constant)
		}
		return v
	}
	h := fnv.New64a()
	io.WriteString(h, s.Name) //nolint:errcheck // a hash does not fail
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	for i := range v {
		v[i] = float32(s.init.std * r.NormFloat64())
	}
	return v
}

// Params lists every parameter of a resolved configuration in a fixed order.
func (c Config) Params() []Spec {
	l := &lister{}
	if c.images() {
		c.Vision.list(l)
	}
	c.Text.list(l, c)
	switch c.Kind {
	case CLIP:
		l.constant("log_scale", math.Log(1/0.07), 1)
	case BLIP:
		l.linear("match", c.Text.Width, 2, 1)
		l.constant("temperature", 0.07, 1)
	case LM: // has neither
	}
	if c.images() {
		l.normal("image_projection.weight", fanIn(c.Vision.Width), c.Vision.Width, c.Embed)
		l.normal("text_projection.weight", fanIn(c.Text.Width), c.Text.Width, c.Embed)
	}
	return l.specs
}

func (c Config) parameters() int64 {
	var n int64
	for _, s := range c.Params() {
		n += int64(s.size())
	}
	return n
}

// fanIn is the standard deviation of a uniform distribution over +-1/sqrt(in).
func fanIn(in int) float64 { return 1 / math.Sqrt(3*float64(in)) }

// lister collects specs.
type lister struct{ specs []Spec }

func (l *lister) normal(name string, std float64, shape ...int) {
	l.specs = append(l.specs, Spec{name, shape, initial{std: std}})
}

func (l *lister) constant(name string, v float64, shape ...int) {
	l.specs = append(l.specs, Spec{name, shape, initial{constant: v}})
}

// linear lists a weight (in, out), whose standard deviation is gain times the
// usual one, and a bias.
func (l *lister) linear(name string, in, out int, gain float64) {
	l.normal(name+".weight", gain*fanIn(in), in, out)
	l.constant(name+".bias", 0, out)
}

func (l *lister) norm(name string, width int) {
	l.constant(name+".weight", 1, width)
	l.constant(name+".bias", 0, width)
}

// attentionGain makes the residual branches of attention start small.
const attentionGain = 0.5

func (l *lister) self(name string, width int) {
	l.norm(name+".norm", width)
	l.linear(name+".qkv", width, 3*width, 1)
	l.linear(name+".out", width, width, attentionGain)
}

func (l *lister) cross(name string, width, memory int) {
	l.norm(name+".norm", width)
	l.linear(name+".q", width, width, 1)
	l.linear(name+".kv", memory, 2*width, 1)
	l.linear(name+".out", width, width, attentionGain)
}

func (l *lister) mlp(name string, width, hidden int) {
	l.norm(name+".norm", width)
	l.linear(name+".up", width, hidden, 1)
	l.linear(name+".down", hidden, width, 1)
}

func (v Vision) list(l *lister) {
	l.linear("vision.patch", 3*v.Patch*v.Patch, v.Width, 1)
	if v.Pool == First {
		l.normal("vision.class", v.PositionStd, v.Width)
	}
	l.normal("vision.position", v.PositionStd, v.Tokens(), v.Width)
	for i := range v.Layers {
		block := fmt.Sprintf("vision.blocks.%d", i)
		l.self(block+".self", v.Width)
		l.mlp(block+".mlp", v.Width, v.Hidden)
	}
	l.norm("vision.norm", v.Width)
}

func (t Text) list(l *lister, c Config) {
	l.normal("text.token", t.TokenStd, t.Vocab, t.Width)
	l.normal("text.position", t.PositionStd, t.Context, t.Width)
	for i := range t.Layers {
		block := fmt.Sprintf("text.blocks.%d", i)
		if c.Kind != LM {
			l.self(block+".self", t.Width)
		}
		if c.Kind != CLIP {
			l.self(block+".causal", t.Width)
		}
		if c.Kind == BLIP {
			l.cross(block+".cross", t.Width, c.Vision.Width)
		}
		l.mlp(block+".mlp", t.Width, t.Hidden)
	}
	l.norm("text.norm", t.Width)
	if c.Kind == CLIP {
		return
	}
	if !t.TieHead {
		l.normal("text.head.weight", fanIn(t.Width), t.Width, t.Vocab)
	}
	l.constant("text.head.bias", 0, t.Vocab)
}

// decodeStrict reads one JSON value and refuses unknown keys and trailing data.
func decodeStrict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}
