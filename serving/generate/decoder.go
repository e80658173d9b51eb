package generate

import (
	"fmt"

	"tempera/serving/network"
	"tempera/serving/page"
	"tempera/training/device"
	"tempera/training/kernel"
	"tempera/training/model"
)

// decoder passes tokens through a network and keeps their keys and values.
type decoder interface {
	// Reserve makes room for n more tokens of a table; it reports false if too few pages are free.
	Reserve(t *page.Table, n int) bool
	// Picks tells whether Forward chooses tokens for runs that ask.
	Picks() bool
	// Forward, Logits and See are methods of network.Cache. Their errors are faults of the device.
	Forward(runs []network.Run) (network.Output, error)
	Logits(states []float32, n int) ([]float32, error)
	See(states []float32, t *page.Table) error
	// Load prepares weights of the same configuration; use makes the decoder work with them, once no table has tokens.
	Load(get func(name string) ([]float32, error)) (use func() error, err error)
	// Memory is what it takes at most, in bytes, with steps of so many rows of which some are asked for logits; Held what it has taken already.
	Memory(rows, asked int) int64
	Held() int64
	Close() error
}

// newDecoder makes the decoder of a generator's options.
func newDecoder(e *kernel.Engine, c model.Config, get func(name string) ([]float32, error), o Options) (decoder, *page.Pool, error) {
	if o.Device != nil {
		d, err := network.NewDeviceCache(o.Device, c, get, network.CacheOptions{Bytes: cmpOr(o.Memory, func() int64 {
			return defaultMemory(c, o, 2*c.Text.KVHeads*c.Text.HeadWidth*o.Page*device.ActivationsOf(o.Device).Bytes())
		}), Page: o.Page})
		if err != nil {
			return nil, nil, err
		}
		return d, d.Pool(), nil
	}
	n, err := network.New(e, c, get)
	if err != nil {
		return nil, nil, err
	}
	cache, err := n.NewCache(network.CacheOptions{Bytes: cmpOr(o.Memory, func() int64 {
		return defaultMemory(c, o, 4*kernel.PagedShape{Page: o.Page, KVHeads: c.Text.KVHeads, D: c.Text.HeadWidth}.Floats())
	}), Page: o.Page})
	if err != nil {
		return nil, nil, err
	}
	return &onCPU{cache, e, n}, cache.Pool, nil
}

func cmpOr(given int64, otherwise func() int64) int64 {
	if given != 0 {
		return given
	}
	return otherwise()
}

// defaultMemory is what the options' texts take where a page of a layer has so many bytes.
func defaultMemory(c model.Config, o Options, layerPage int) int64 {
	each := int64(c.Text.Layers) * int64(layerPage)
	pages := func(tokens int) int64 { return int64((tokens + o.Page - 1) / o.Page) }
	// A text's own pages, the prompt's last one, which texts copy, and the image's.
	one := each * (pages(c.Text.Context) + 1 + pages(network.ImageTokens(c)))
	return max(one, min(one*int64(o.Rows), 1<<30))
}

// onCPU is a network.Cache with the network that it works with.
type onCPU struct {
	cache  *network.Cache
	engine *kernel.Engine
	net    *network.Network
}

func (d *onCPU) Reserve(t *page.Table, n int) bool { return d.cache.Reserve(t, n) }

// Picks is false: the CPU chooses from logits, which are at hand.
func (d *onCPU) Picks() bool { return false }

func (d *onCPU) Forward(runs []network.Run) (network.Output, error) {
	return network.Output{States: d.cache.Forward(runs)}, nil
}

func (d *onCPU) Logits(states []float32, n int) ([]float32, error) {
	return d.cache.Logits(states, n), nil
}

func (d *onCPU) See(states []float32, t *page.Table) error {
	d.cache.See(states, t)
	return nil
}

func (d *onCPU) Load(get func(name string) ([]float32, error)) (use func() error, err error) {
	n, err := network.New(d.engine, d.net.Config, get)
	if err != nil {
		return nil, fmt.Errorf("load weights: %w", err)
	}
	return func() error {
		d.cache.Use(n)
		d.net = n
		return nil
	}, nil
}

// Memory counts the packed weights twice, as Load has them for a moment.
func (d *onCPU) Memory(rows, asked int) int64 {
	return d.cache.Bytes() + 2*d.net.Bytes() + d.net.StepBytes(rows, asked)
}

func (d *onCPU) Held() int64 { return d.cache.Bytes() + d.net.Bytes() }

func (d *onCPU) Close() error { return nil }
