//go:build gpu

package cuda

import (
	"errors"
	"fmt"
	"sync"

	"tempera/training/device"
	"tempera/training/device/cuda/blas"
	"tempera/training/device/cuda/driver"
)

// products is what matrix products need beside their operands.
type products struct {
	b    *Backend
	blas *blas.Handle

	mu      sync.Mutex // held until the last launch that reads spare memory has been asked for
	spares  [5]workspace
	tickets driver.Pointer // of gemv: zeros

	copying sync.Mutex
	copies  map[*buffer]*narrow // all there are
}

// The spares: narrow operands that are not kept, by their place in a product, and what methods work in.
const (
	spareA = iota
	spareB
	spareBias
	spareWork
	spareClip
)

func newProducts(b *Backend) (*products, error) {
	h, err := blas.Open(b.device)
	if err != nil {
		return nil, err
	}
	p := &products{b: b, blas: h, copies: map[*buffer]*narrow{}}
	if p.tickets, err = b.device.Alloc(4 * mostStrips); err == nil {
		err = b.compute.Clear(p.tickets, 4*mostStrips)
	}
	return p, err
}

func (p *products) close() error {
	errs := []error{p.blas.Close(), p.b.device.Free(p.tickets)}
	for i := range p.spares {
		errs = append(errs, p.spares[i].close(p.b.device))
	}
	return errors.Join(errs...)
}

// spare is at least so many bytes, which nobody else uses while mu is held.
func (p *products) spare(which, bytes int) (driver.Pointer, error) {
	return p.spares[which].grown(p.b.device, bytes)
}

// operands is the type in which products read their operands.
func (b *Backend) operands() device.DType { return b.Activations() }

// copyOf is the narrow copy of a parameter in bfloat16, or nil if it has none. It is made at the first product, for values that fill their buffer, as
// parameters do: other values of float32 are scarce in products, and live too briefly.
func copyOf(v *device.Value) *narrow {
	if !filling(v) {
		return nil
	}
	return v.Buffer().(*buffer).copy.Load()
}

func filling(v *device.Value) bool { return v.Offset() == 0 && v.Size() == v.Buffer().Words() }

// operand is the address of an operand in the type of products.
func (p *products) operand(v *device.Value, which int) (driver.Pointer, error) {
	return p.in(p.b.operands(), v, which)
}

// in is the address of a value that is only read, in a type: its own, or narrowed.
func (p *products) in(t device.DType, v *device.Value, which int) (driver.Pointer, error) {
	switch {
	case v.Desc().DType == t:
		return reading(v, t), nil
	case v.Desc().DType != device.Float32 || t != device.BFloat16:
		panic(fmt.Sprintf("cuda: %v where %v is multiplied", v, t))
	}
	n := v.Size()
	if !filling(v) {
		to, err := p.spare(which, 2*n)
		if err == nil {
			p.narrow(to, v)
		}
		return to, err
	}
	c, err := p.keep(v)
	if err != nil {
		return 0, err
	}
	if !c.fresh.Load() {
		p.narrow(c.p, v)
		c.fresh.Store(true)
	}
	return c.p, nil
}

// keep is the narrow copy of a value that fills its buffer.
func (p *products) keep(v *device.Value) (*narrow, error) {
	if c := copyOf(v); c != nil {
		return c, nil
	}
	at, err := p.b.device.Alloc(2 * v.Size())
	if err != nil {
		return nil, fmt.Errorf("bfloat16 copy of a parameter %v: %w", v, err)
	}
	c, b := &narrow{p: at}, v.Buffer().(*buffer)
	b.copy.Store(c)
	p.copying.Lock()
	defer p.copying.Unlock()
	p.copies[b] = c
	p.b.copied.Add(int64(v.Size()))
	return c, nil
}

// drop forgets the copy of a buffer, if it has one, and returns it.
func (p *products) drop(b *buffer) *narrow {
	p.copying.Lock()
	defer p.copying.Unlock()
	delete(p.copies, b)
	return b.copy.Swap(nil)
}

// refresh makes all copies anew whose buffers have been written.
func (p *products) refresh() {
	p.copying.Lock()
	defer p.copying.Unlock()
	for b, c := range p.copies {
		if !c.fresh.Load() {
			p.narrowWords(c.p, b.p, b.words)
			c.fresh.Store(true)
		}
	}
}

// stale are the copies whose buffers have been written since.
func (p *products) stale() []*narrow {
	p.copying.Lock()
	defer p.copying.Unlock()
	var all []*narrow
	for _, c := range p.copies {
		if !c.fresh.Load() {
			all = append(all, c)
		}
	}
	return all
}

func (p *products) narrow(to driver.Pointer, v *device.Value) {
	p.narrowWords(to, reading(v, device.Float32), v.Size())
}

func (p *products) narrowWords(to, from driver.Pointer, n int) {
	p.b.kernel("memory", "narrow", single).pointer(to).pointer(from).i64(n).each(n)
}

// typeOf is the library's name of a type.
func typeOf(t device.DType) blas.Type {
	if t == device.BFloat16 {
		return blas.BFloat16
	}
	return blas.Float32
}

// arithmetic is how the library multiplies.
func (b *Backend) arithmetic() blas.Compute {
	if b.precision == TF32 {
		return blas.TF32
	}
	return blas.Exact
}

// multiply asks for a product that has no epilogue: of cuBLASLt or, for odd sizes that it has no algorithm for, of an own kernel.
func (p *products) multiply(m blas.Product, o blas.Operands) error {
	if m.K > 0 {
		err := p.blas.Multiply(m, o)
		if !errors.Is(err, blas.ErrUnsupported) {
			return err
		}
		if m.M%8 == 0 && m.N%8 == 0 && m.K%8 == 0 {
			return fmt.Errorf("%w for %+v", err, m)
		}
	}
	if o.C == 0 {
		o.C = o.D
	}
	t := device.Float32
	if m.Operands == blas.BFloat16 {
		t = device.BFloat16
	}
	tiles := ((m.M + tileSide - 1) / tileSide) * ((m.N + tileSide - 1) / tileSide)
	p.b.kernel("linear", "product", t).pointer(o.A).pointer(o.B).pointer(o.C).pointer(o.D).i64(m.M).i64(m.N).i64(m.K).f32(o.Alpha).f32(o.Beta).
		flag(m.TransA).flag(m.TransB).flag(m.Result == blas.Float32).launch(tiled(tiles, t, driver.Grid{Z: m.Batch}))
	return nil
}

// tileSide is the size of a tile of tile.cuh.
const tileSide = 128

// tiled is a grid with a block for each tile, with the threads and the shared memory that tile.cuh says.
func tiled(blocks int, t device.DType, g driver.Grid) driver.Grid {
	g.X, g.ThreadsX, g.Shared = blocks, 256, 33792
	if t == device.BFloat16 {
		g.Shared = 61440
	}
	return g
}
