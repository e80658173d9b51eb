package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
)

// Spec is one parameter: its name, shape and initial values.
type Spec struct {
	Name   string
	Shape  []int
	init   initial
	linear bool // the weight of a linear layer, which LoRA may change
	state  bool // no gradient moves it
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
		c.Vision.list(l, c.Kind)
	}
	if c.Kind == VLM {
		c.Projector.list(l, c)
	}
	c.Text.list(l, c)
	switch c.Kind {
	case CLIP:
		c.listContrast(l)
	case BLIP:
		l.linear("match", c.Text.Width, 2, 1)
		l.constant("temperature", 0.07, 1)
	case LM, VLM: // have neither
	}
	if c.projectsImages() {
		l.product("image_projection", c.Vision.Width, c.Embed, 1)
	}
	if !c.decoder() {
		l.product("text_projection", c.Text.Width, c.Embed, 1)
		if c.Vision.Form == SigLIPVision {
			l.constant("text_projection.bias", 0, c.Embed)
		}
	}
	if c.Score != nil {
		c.Score.list(l, c.Text.Width)
	}
	if c.LoRA != nil {
		return c.LoRA.extend(l.specs)
	}
	return l.specs
}

func (c Config) listContrast(l *lister) {
	if c.Loss == Sigmoid {
		l.constant("log_scale", math.Log(10), 1)
		l.constant("logit_bias", c.LogitBias, 1)
		return
	}
	l.constant("log_scale", math.Log(1/0.07), 1)
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
	l.specs = append(l.specs, Spec{Name: name, Shape: shape, init: initial{std: std}})
}

func (l *lister) constant(name string, v float64, shape ...int) {
	l.specs = append(l.specs, Spec{Name: name, Shape: shape, init: initial{constant: v}})
}

// product lists a weight (in, out), whose standard deviation is gain times the
// usual one.
func (l *lister) product(name string, in, out int, gain float64) {
	l.normal(name+weightSuffix, gain*fanIn(in), in, out)
	l.specs[len(l.specs)-1].linear = true
}

// linear lists a weight and a bias.
func (l *lister) linear(name string, in, out int, gain float64) {
	l.product(name, in, out, gain)
	l.constant(name+biasSuffix, 0, out)
}

func (l *lister) norm(name string, width int) {
	l.constant(name+weightSuffix, 1, width)
	l.constant(name+biasSuffix, 0, width)
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
