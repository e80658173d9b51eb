package network

import (
	"fmt"

	"tempera/training/kernel"
	"tempera/training/model"
)

// loader fetches and packs parameters and collects what is missing.
type loader struct {
	engine *kernel.Engine
	config model.Config
	get    func(name string) ([]float32, error)
	has    map[string]bool
	faults []error
	bytes  int64 // that are packed
}

func newLoader(e *kernel.Engine, c model.Config, get func(name string) ([]float32, error)) *loader {
	l := &loader{engine: e, config: c, get: get, has: map[string]bool{}}
	for _, s := range c.Params() {
		l.has[s.Name] = true
	}
	return l
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

// optional is nil where the configuration has no such parameter.
func (l *loader) optional(name string, size int) []float32 {
	if !l.has[name] {
		return nil
	}
	return l.values(name, size)
}

// pack packs a matrix unless a fault was found: its values may be missing.
func (l *loader) pack(a kernel.PackBArgs) *kernel.PackedB {
	if len(l.faults) > 0 {
		return nil
	}
	p := l.engine.PackB(a)
	l.bytes += p.Bytes()
	return p
}

func (l *loader) norm(name string) norm {
	w := l.config.Text.Width
	return norm{weight: l.values(name+".weight", w), bias: l.optional(name+".bias", w)}
}

func (l *loader) linear(name string, in, out int) linear {
	return l.packed(name, kernel.PackBArgs{K: in, N: out})
}

// gated is the layer of a gated MLP that makes gates and what they gate.
func (l *loader) gated(name string, in, out int) linear {
	return l.packed(name, kernel.PackBArgs{K: in, N: out, Gated: true})
}

func (l *loader) packed(name string, p kernel.PackBArgs) linear {
	p.B = l.merged(name, l.values(name+".weight", p.K*p.N), p.K, p.N)
	return linear{weight: l.pack(p), bias: l.optional(name+".bias", p.N), in: p.K, out: p.N}
}

// changes tells whether a linear layer has a low-rank change.
func (l *loader) changes(name string) bool { return l.config.LoRA != nil && l.has[name+".lora_a"] }

// merged is the weight with its low-rank change, or w where it has none.
func (l *loader) merged(name string, w []float32, in, out int) []float32 {
	if !l.changes(name) {
		return w
	}
	lora := l.config.LoRA
	a, b := l.values(name+".lora_a", in*lora.Rank), l.values(name+".lora_b", lora.Rank*out)
	if len(l.faults) > 0 {
		return w
	}
	return lora.Merged(w, a, b)
}

func (l *loader) layer(name string, index int) layer {
	t := l.config.Text
	q, k := t.Heads*t.HeadWidth, t.KVHeads*t.HeadWidth
	out := layer{
		causal: l.norm(name + ".causal.norm"),
		qkv:    l.linear(name+".causal.qkv", t.Width, q+2*k),
		out:    l.linear(name+".causal.out", q, t.Width),
		mlp:    l.norm(name + ".mlp.norm"),
	}
	if l.config.Kind == model.BLIP {
		out.cross = &cross{
			norm: l.norm(name + ".cross.norm"),
			q:    l.linear(name+".cross.q", t.Width, q),
			kv:   l.linear(name+".cross.kv", l.config.Vision.Width, 2*k),
			out:  l.linear(name+".cross.out", q, t.Width),
		}
	}
	switch {
	case t.Sparse(index):
		l.sparse(name+".mlp", &out)
	case t.MLP == model.Gated:
		out.up, out.down = l.gated(name+".mlp.gate_up", t.Width, 2*t.Hidden), l.linear(name+".mlp.down", t.Hidden, t.Width)
	default:
		out.up, out.down = l.linear(name+".mlp.up", t.Width, t.Hidden), l.linear(name+".mlp.down", t.Hidden, t.Width)
	}
	return out
}
