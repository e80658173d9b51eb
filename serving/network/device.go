package network

import (
	"errors"
	"fmt"

	"tempera/serving/page"
	"tempera/training/device"
	"tempera/training/model"
)

// deviceNetwork is the weights of a decoder in a device's memory: matrices in the type of activations, norms and biases in float32.
type deviceNetwork struct {
	config  model.Config
	backend device.Paged

	token, position *device.Value
	rope            device.RoPETable // nil where positions are learned
	layers          []deviceLayer
	final           deviceNorm
	head            deviceLinear

	made []madeWeight
}

// madeWeight is a weight of the network and the parameter that it is a copy of.
type madeWeight struct {
	*device.Value
	param   string
	changed string // the layer whose low-rank change is merged into it; "": none
}

type deviceNorm struct{ weight, bias *device.Value }

type deviceLinear struct {
	weight, bias *device.Value
	in, out      int
	transposed   bool // the weight is (out, in)
}

type deviceLayer struct {
	causal   deviceNorm
	qkv, out deviceLinear
	cross    *deviceCross // nil: no images
	mlp      deviceNorm
	up, down deviceLinear
	experts  *deviceExperts // nil: dense
}

type deviceCross struct {
	norm       deviceNorm
	q, kv, out deviceLinear
}

type deviceExperts struct {
	router, balance *device.Value
	up, down        *device.Value // (E, C, 2F) and (E, F, C)
}

// deviceLoader copies parameters to a device and collects what is missing.
type deviceLoader struct {
	*loader
	net *deviceNetwork
}

func newDeviceNetwork(b device.Paged, c model.Config, get func(name string) ([]float32, error)) (_ *deviceNetwork, err error) {
	if err := decodes(c); err != nil {
		return nil, err
	}
	n := &deviceNetwork{config: c, backend: b}
	l := deviceLoader{newLoader(nil, c, get), n}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("load decoder: %w", err), n.close())
		}
	}()
	t := c.Text
	n.token = l.matrix("text.token", t.Vocab, t.Width)
	if t.Position == model.Rotary {
		if n.rope, err = b.NewRoPETable(rotation(t)); err != nil {
			return nil, err
		}
	} else {
		n.position = l.matrix("text.position", t.Context, t.Width)
	}
	for i := range t.Layers {
		n.layers = append(n.layers, l.layer(fmt.Sprintf("text.blocks.%d", i), i))
	}
	n.final = l.norm("text.norm")
	if t.TieHead {
		n.head = deviceLinear{weight: n.token, bias: l.vector("text.head.bias", t.Vocab), in: t.Width, out: t.Vocab, transposed: true}
	} else {
		n.head = l.linear("text.head", t.Width, t.Vocab)
	}
	if _, ok := activations[t.Activation]; !ok {
		l.faults = append(l.faults, fmt.Errorf("decoding does not know the activation %s", t.Activation))
	}
	return n, errors.Join(l.faults...)
}

// close frees the weights.
func (n *deviceNetwork) close() error {
	var errs []error
	for _, w := range n.made {
		errs = append(errs, n.backend.Free(w.Buffer()))
	}
	n.made = nil
	return errors.Join(errs...)
}

// put copies values to the device, for a weight that has no value yet; it returns nil if a fault was found.
func (l deviceLoader) put(w madeWeight, d device.Desc, values []float32) *device.Value {
	if len(l.faults) > 0 {
		return nil
	}
	var err error
	if w.Value, err = device.New(l.net.backend, d); err == nil {
		l.net.made = append(l.net.made, w)
		err = l.net.backend.UploadFloats(w.Value, values)
	}
	if err != nil {
		l.faults = append(l.faults, err)
	}
	return w.Value
}

// activated describes a weight in the type of activations.
func (l deviceLoader) activated(shape ...int) device.Desc {
	return device.Desc{DType: device.ActivationsOf(l.net.backend), Shape: shape}
}

// matrix is a parameter in the type of activations.
func (l deviceLoader) matrix(name string, shape ...int) *device.Value {
	d := l.activated(shape...)
	return l.put(madeWeight{param: name}, d, l.values(name, d.Size()))
}

// exact is a parameter in float32.
func (l deviceLoader) exact(name string, shape ...int) *device.Value {
	d := device.Floats(shape...)
	return l.put(madeWeight{param: name}, d, l.values(name, d.Size()))
}

// vector is a parameter in float32; nil where the configuration has none.
func (l deviceLoader) vector(name string, size int) *device.Value {
	if !l.has[name] {
		return nil
	}
	return l.exact(name, size)
}

func (l deviceLoader) norm(name string) deviceNorm {
	w := l.config.Text.Width
	return deviceNorm{weight: l.exact(name+".weight", w), bias: l.vector(name+".bias", w)}
}

func (l deviceLoader) linear(name string, in, out int) deviceLinear {
	w := madeWeight{param: name + ".weight"}
	if l.changes(name) {
		w.changed = name
	}
	values := l.merged(name, l.values(w.param, in*out), in, out)
	return deviceLinear{weight: l.put(w, l.activated(in, out), values), bias: l.vector(name+".bias", out), in: in, out: out}
}

func (l deviceLoader) layer(name string, index int) deviceLayer {
	t := l.config.Text
	q, k := t.Heads*t.HeadWidth, t.KVHeads*t.HeadWidth
	out := deviceLayer{
		causal: l.norm(name + ".causal.norm"),
		qkv:    l.linear(name+".causal.qkv", t.Width, q+2*k),
		out:    l.linear(name+".causal.out", q, t.Width),
		mlp:    l.norm(name + ".mlp.norm"),
	}
	if l.config.Kind == model.BLIP {
		out.cross = &deviceCross{
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
		out.up, out.down = l.linear(name+".mlp.gate_up", t.Width, 2*t.Hidden), l.linear(name+".mlp.down", t.Hidden, t.Width)
	default:
		out.up, out.down = l.linear(name+".mlp.up", t.Width, t.Hidden), l.linear(name+".mlp.down", t.Hidden, t.Width)
	}
	return out
}

func (l deviceLoader) sparse(name string, out *deviceLayer) {
	t := l.config.Text
	x := t.Experts
	out.experts = &deviceExperts{
		router: l.exact(name+".router.weight", t.Width, x.Count), balance: l.exact(name+".router.balance", x.Count),
		up: l.matrix(name+".experts.gate_up", x.Count, t.Width, 2*x.Hidden), down: l.matrix(name+".experts.down", x.Count, x.Hidden, t.Width),
	}
	if x.Shared > 0 {
		f := x.Shared * x.Hidden
		out.up, out.down = l.linear(name+".shared.gate_up", t.Width, 2*f), l.linear(name+".shared.down", f, t.Width)
	}
}

// DeviceCache is what Cache is, on a device such as a GPU: weights, keys and values stay there, tokens go there, and states and logits come back. It computes in
// the precision of the device, whose products may round differently for different numbers of rows: what a text becomes can depend, in the last bits of
// its logits, on what is written beside it.
type DeviceCache struct {
	pool  *page.Pool
	net   *deviceNetwork
	pages []device.Pages // by layer

	scratch map[string]*device.Value
	ints    []int32
	steps   map[step]device.Recording // that came before; nil where it came once
}

// NewDeviceCache copies the weights of a resolved configuration to a device, and allocates the pages that Bytes hold there.
func NewDeviceCache(b device.Paged, c model.Config, get func(name string) ([]float32, error), o CacheOptions) (_ *DeviceCache, err error) {
	if o.Page < 1 {
		return nil, fmt.Errorf("new cache: a page has %d tokens: give a positive number", o.Page)
	}
	n, err := newDeviceNetwork(b, c, get)
	if err != nil {
		return nil, err
	}
	d := &DeviceCache{net: n, scratch: map[string]*device.Value{}, steps: map[step]device.Recording{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	t, dtype := c.Text, device.ActivationsOf(b)
	each := t.KVHeads * o.Page * t.HeadWidth // elements of a page's keys
	pages := int(o.Bytes / int64(2*t.Layers*each*dtype.Bytes()))
	if pages < 1 {
		return nil, fmt.Errorf("new cache: %d bytes hold no page of %d tokens, which takes %d: raise the memory", o.Bytes, o.Page, 2*t.Layers*each*dtype.Bytes())
	}
	d.pool = page.NewPool(pages, o.Page)
	for range t.Layers {
		p := device.Pages{Page: o.Page, KVHeads: t.KVHeads, D: t.HeadWidth}
		for _, to := range []**device.Value{&p.Keys, &p.Values} {
			if *to, err = device.New(b, device.Desc{DType: dtype, Shape: device.Shape{pages, each}}); err != nil {
				d.pages = append(d.pages, p)
				return nil, fmt.Errorf("new cache: %w", err)
			}
		}
		d.pages = append(d.pages, p)
	}
	return d, nil
}

// Close frees what the cache holds on the device.
func (c *DeviceCache) Close() error {
	errs := []error{c.forget()}
	for _, v := range c.scratch {
		errs = append(errs, c.net.backend.Free(v.Buffer()))
	}
	for _, p := range c.pages {
		for _, v := range []*device.Value{p.Keys, p.Values} {
			if v != nil {
				errs = append(errs, c.net.backend.Free(v.Buffer()))
			}
		}
	}
	c.scratch, c.pages = nil, nil
	return errors.Join(append(errs, c.net.close())...)
}

// Pool keeps account of the pages.
func (c *DeviceCache) Pool() *page.Pool { return c.pool }

// Reserve is Cache.Reserve.
func (c *DeviceCache) Reserve(t *page.Table, n int) bool {
	copies, copied, ok := c.pool.Reserve(t, n)
	if copied {
		for _, p := range c.pages {
			for _, v := range []*device.Value{p.Keys, p.Values} {
				words := v.Size() / c.pool.Total()
				c.net.backend.CopyBlock(device.CopyBlockArgs{Rows: 1, Cols: words, X: v, Y: v, OffsetX: int(copies.From) * words, OffsetY: int(copies.To) * words})
			}
		}
	}
	return ok
}

// buf is scratch of a shape that keeps no contents. It grows; what it was is freed after the work that uses it.
func (c *DeviceCache) buf(name string, d device.Desc) (*device.Value, error) {
	v := c.scratch[name]
	if v == nil || v.Buffer().Words() < d.Words() {
		b, err := c.net.backend.Alloc(2 * d.Words())
		if err != nil {
			return nil, fmt.Errorf("scratch of a decoder: %w", err)
		}
		if v != nil {
			if err := errors.Join(c.forget(), c.net.backend.Sync(), c.net.backend.Free(v.Buffer())); err != nil {
				return nil, err
			}
		}
		v = device.NewValue(d, b, 0)
	} else {
		v = device.NewValue(d, v.Buffer(), 0)
	}
	c.scratch[name] = v
	return v, nil
}

// Load prepares other weights of the same configuration; use replaces the present ones by them.
func (c *DeviceCache) Load(get func(name string) ([]float32, error)) (use func() error, err error) {
	n, err := newDeviceNetwork(c.net.backend, c.net.config, get)
	if err != nil {
		return nil, err
	}
	return func() error {
		old := c.net
		c.net = n
		return errors.Join(c.forget(), n.backend.Sync(), old.close())
	}, nil
}

// Held is what weights and pages take of the device, in bytes.
func (c *DeviceCache) Held() int64 {
	var bytes int64
	for _, w := range c.net.made {
		bytes += int64(w.MemSize())
	}
	for _, p := range c.pages {
		bytes += int64(p.Keys.MemSize() + p.Values.MemSize())
	}
	return bytes
}

// Memory is what the cache takes of the device at most, in bytes, with steps of so many rows of which some are asked for logits. The second copy of the
// weights that Load makes for a moment is not part of it.
func (c *DeviceCache) Memory(rows, asked int) int64 {
	merged := 0 // the largest weight that has a low-rank change
	for _, w := range c.net.made {
		if w.changed != "" {
			merged = max(merged, w.Size())
		}
	}
	t := c.net.config.Text
	q, k := t.Heads*t.HeadWidth, t.KVHeads*t.HeadWidth
	hidden := 0
	for _, l := range c.net.layers {
		hidden = max(hidden, 2*l.up.out)
	}
	each := int64(device.ActivationsOf(c.net.backend).Bytes())
	// Scratch grows to twice what is asked for.
	return c.Held() + 2*device.WordBytes*int64(merged) + 2*each*int64(rows)*int64(t.Width+max(t.Width, q)+q+2*k+hidden) + 8*int64(asked)*int64(t.Width+t.Vocab)
}
