//go:build gpu

package cuda

import (
	"fmt"
	"sync"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
	kernels "tempera/training/kernel/cuda"
)

// modules are the kernels that have been asked for.
type modules struct {
	device *driver.Device

	mu        sync.RWMutex
	loaded    map[string]driver.Module
	functions map[name]driver.Function
}

// name is a kernel of a module, with the type of its activations where it has several.
type name struct {
	module, kernel string
	dtype          device.DType
}

func (n name) symbol() string {
	switch n.dtype {
	case device.Float32:
		return n.kernel + "_f32"
	case device.BFloat16:
		return n.kernel + "_bf16"
	default:
		return n.kernel
	}
}

// single is the dtype in the name of a kernel that has no variants.
const single = device.Int32

func (m *modules) function(n name) (driver.Function, error) {
	m.mu.RLock()
	f, ok := m.functions[n]
	m.mu.RUnlock()
	if ok {
		return f, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.functions[n]; ok {
		return f, nil
	}
	if m.loaded == nil {
		m.loaded, m.functions = map[string]driver.Module{}, map[name]driver.Function{}
	}
	mod, ok := m.loaded[n.module]
	if !ok {
		image, err := kernels.Image(n.module, m.device.Major, m.device.Minor)
		if err != nil {
			return driver.Function{}, err
		}
		if mod, err = m.device.Load(image); err != nil {
			return driver.Function{}, fmt.Errorf("kernels %s: %w", n.module, err)
		}
		m.loaded[n.module] = mod
	}
	f, err := mod.Function(n.symbol())
	if err == nil {
		err = m.allow(f)
	}
	if err != nil {
		return f, err
	}
	m.functions[n] = f
	return f, nil
}

// allow lets a kernel have all the shared memory that its own arrays leave; it takes what its launch says.
func (m *modules) allow(f driver.Function) error {
	own, err := m.device.SharedBytes(f)
	if err != nil {
		return err
	}
	return m.device.AllowShared(f, m.device.SharedPerBlock-own)
}

// threads is the size of a block where nothing else decides.
const threads = 256

// call is a launch that is being put together. Its arguments are memory of their own: what C sees must hold no pointers of Go.
type call struct {
	b    *Backend
	f    driver.Function
	err  error
	args *driver.Args
}

var calls = sync.Pool{New: func() any { return &call{args: new(driver.Args)} }}

// kernel begins a launch. Arguments follow in the order of the kernel's parameters, then at last a launch.
func (b *Backend) kernel(module, kernel string, t device.DType) *call {
	c := calls.Get().(*call)
	c.b = b
	c.args.Reset()
	c.f, c.err = b.modules.function(name{module, kernel, t})
	return c
}

// value is the address of a value; of nil it is 0. It panics where the value is not of the type.
func (c *call) value(v *device.Value, t device.DType) *call {
	c.args.Pointer(address(v, t))
	return c
}

// floats adds the address of a float32 value or 0.
func (c *call) floats(v *device.Value) *call { return c.value(v, device.Float32) }

// ints adds the address of an int32 value or 0.
func (c *call) ints(v *device.Value) *call { return c.value(v, device.Int32) }

func (c *call) pointer(p driver.Pointer) *call { c.args.Pointer(p); return c }
func (c *call) i64(n int) *call                { c.args.Int64(n); return c }
func (c *call) i32(n int) *call                { c.args.Int(n); return c }
func (c *call) f32(x float32) *call            { c.args.Float(x); return c }
func (c *call) flag(on bool) *call             { c.args.Bool(on); return c }

// launch asks for the kernel on a grid.
func (c *call) launch(g driver.Grid) {
	b := c.b
	if c.err == nil {
		c.err = b.compute.Launch(c.f, g, c.args)
	}
	b.fail(c.err)
	calls.Put(c)
}

// each asks for the kernel with a thread for every element, or for every few in a loop.
func (c *call) each(elements int) {
	if elements == 0 {
		calls.Put(c)
		return
	}
	most := 32 * c.b.device.Processors
	c.launch(driver.Grid{X: min((elements+threads-1)/threads, most), ThreadsX: threads})
}

// address is where a value lies, for whoever may write it: a narrow copy of its buffer is stale from now on.
func address(v *device.Value, t device.DType) driver.Pointer {
	if v == nil {
		return 0
	}
	if c := v.Buffer().(*buffer).copy.Load(); c != nil {
		c.fresh.Store(false)
	}
	return reading(v, t)
}

// reading is where a value lies that will only be read.
func reading(v *device.Value, t device.DType) driver.Pointer {
	if v.Desc().DType != t {
		panic(fmt.Sprintf("cuda: %v where %v is needed", v, t))
	}
	return driver.Pointer(v.Buffer().Address()) + driver.Pointer(v.Offset()*device.WordBytes)
}

// activations is the type of values which must all be of one float type. Nil ones do not count.
func activations(vs ...*device.Value) device.DType {
	t := single
	for _, v := range vs {
		switch {
		case v == nil:
		case t == single:
			t = v.Desc().DType
		case v.Desc().DType != t:
			panic(fmt.Sprintf("cuda: %v beside %v values", v, t))
		}
	}
	if t == single {
		panic("cuda: no activations, or integers, where floats are needed")
	}
	return t
}

// same is the size of values that must be of one.
func same(method string, vs ...*device.Value) int {
	for _, v := range vs {
		if v.Size() != vs[0].Size() {
			panic(fmt.Sprintf("cuda: %s of %v and %v", method, vs[0], v))
		}
	}
	return vs[0].Size()
}
