package generate

import (
	"errors"
	"fmt"

	"tempera/training/kernel"
	"tempera/training/model"
)

// Options size a decoder.
type Options struct {
	// Rows is the number of texts (beams count each) that run together; 0 means 64. Memory grows with it: Rows x layers x context x 2 width
	// floats, and for images Rows x layers x tokens x 2 width.
	Rows int
}

// Decoder generates texts. It is read-only after New: Generate may be called from several goroutines, each call having its own caches.
type Decoder struct {
	engine *kernel.Engine
	config model.Config
	rows   int
	memory int // tokens of an image; 0: no cross-attention

	token, position []float32
	blocks          []block
	final           norm
	head            linear
}

// norm, linear and block are the parameters of package model's layers of the same shape.
type norm struct{ weight, bias []float32 }

type linear struct {
	weight  *kernel.PackedB
	bias    []float32
	in, out int
}

type block struct {
	causal, cross, mlp norm
	qkv, out           linear
	q, kv, crossOut    linear
	up, down           linear
}

// New packs the weights of a resolved configuration, whose kind is BLIP or LM. get returns a parameter by name: (*model.Weights).Get. Parameters of
// packed matrices may be changed or freed afterwards; the others are kept.
func New(e *kernel.Engine, c model.Config, get func(name string) ([]float32, error), o Options) (*Decoder, error) {
	if c.Kind != model.BLIP && c.Kind != model.LM {
		return nil, fmt.Errorf("new decoder: a %s model has no decoder: use blip or lm", c.Kind)
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("new decoder: %w", err)
	}
	d := &Decoder{engine: e, config: c, rows: o.Rows}
	if d.rows == 0 {
		d.rows = 64
	}
	if d.rows < 0 {
		return nil, fmt.Errorf("new decoder: rows is %d: give a positive number", d.rows)
	}
	if c.Kind == model.BLIP {
		d.memory = c.Vision.Tokens()
	}
	l := loader{engine: e, get: get}
	t := c.Text
	d.token = l.values("text.token", t.Vocab*t.Width)
	d.position = l.values("text.position", t.Context*t.Width)
	for i := range t.Layers {
		d.blocks = append(d.blocks, l.block(fmt.Sprintf("text.blocks.%d", i), c))
	}
	d.final = l.norm("text.norm", t.Width)
	d.head = linear{in: t.Width, out: t.Vocab}
	if c.Kind == model.BLIP {
		d.head.bias = l.values("text.head.bias", t.Vocab)
	}
	if t.TieHead {
		d.head.weight = l.pack(kernel.PackBArgs{K: t.Width, N: t.Vocab, B: d.token, TransB: true})
	} else {
		d.head.weight = l.pack(kernel.PackBArgs{K: t.Width, N: t.Vocab, B: l.values("text.head.weight", t.Width*t.Vocab)})
	}
	if err := errors.Join(l.faults...); err != nil {
		return nil, fmt.Errorf("new decoder: %w", err)
	}
	return d, nil
}

// loader collects what is missing.
type loader struct {
	engine *kernel.Engine
	get    func(name string) ([]float32, error)
	faults []error
}

func (l *loader) values(name string, size int) []float32 {
	v, err := l.get(name)
	if err == nil && len(v) != size {
		err = fmt.Errorf("parameter %s has %d values, the configuration needs %d", name, len(v), size)
	}
	if err != nil {
		l.faults = append(l.faults, err)
		return nil
	}
	return v
}

// pack packs a matrix unless a fault was found: its values may be missing.
func (l *loader) pack(a kernel.PackBArgs) *kernel.PackedB {
	if len(l.faults) > 0 {
		return nil
	}
	return l.engine.PackB(a)
}

func (l *loader) norm(name string, width int) norm {
	return norm{weight: l.values(name+".weight", width), bias: l.values(name+".bias", width)}
}

func (l *loader) linear(name string, in, out int) linear {
	w := l.values(name+".weight", in*out)
	return linear{weight: l.pack(kernel.PackBArgs{K: in, N: out, B: w}), bias: l.values(name+".bias", out), in: in, out: out}
}

func (l *loader) block(name string, c model.Config) block {
	w, f := c.Text.Width, c.Text.Hidden
	b := block{
		causal: l.norm(name+".causal.norm", w),
		qkv:    l.linear(name+".causal.qkv", w, 3*w),
		out:    l.linear(name+".causal.out", w, w),
		mlp:    l.norm(name+".mlp.norm", w),
		up:     l.linear(name+".mlp.up", w, f),
		down:   l.linear(name+".mlp.down", f, w),
	}
	if c.Kind == model.BLIP {
		b.cross = l.norm(name+".cross.norm", w)
		b.q = l.linear(name+".cross.q", w, w)
		b.kv = l.linear(name+".cross.kv", c.Vision.Width, 2*w)
		b.crossOut = l.linear(name+".cross.out", w, w)
	}
	return b
}
