package hf

import (
	"fmt"
	"maps"
	"slices"

	"tempera/training/model"
)

// part says which rows of a tensor of the folder are where in a parameter.
type part struct {
	tensor, param string
	shape         []int // of the tensor, all rows
	from, rows    int   // of the tensor's first dimension
	column        int   // of the parameter, where the first of the rows begins
	// turned: a row of the tensor (out, in) is a column of the parameter (in, out).
	// Otherwise rows follow each other in both.
	turned bool
}

// inner is the number of values of a row of the tensor.
func (p part) inner() int { return product(p.shape) / max(p.shape0(), 1) }

// shape0 is the tensor's number of rows; one that is a single number has one.
func (p part) shape0() int {
	if len(p.shape) == 0 {
		return 1
	}
	return p.shape[0]
}

// whole tells whether the parameter is the tensor, value by value.
func (p part) whole(size int) bool {
	return !p.turned && p.column == 0 && p.from == 0 && p.rows == p.shape0() && p.rows*p.inner() == size
}

// load copies the part from the tensor's values to those of the parameter, whose
// last dimension is width.
func (p part) load(param, tensor []float32, width int) {
	n := p.inner()
	src := tensor[p.from*n : (p.from+p.rows)*n]
	if !p.turned {
		copy(param[p.column:], src)
		return
	}
	turn(param[p.column:], src, turning{rows: p.rows, columns: n, toStride: width, fromStride: n})
}

// save copies the part back.
func (p part) save(tensor, param []float32, width int) {
	n := p.inner()
	dst := tensor[p.from*n : (p.from+p.rows)*n]
	if !p.turned {
		copy(dst, param[p.column:p.column+len(dst)])
		return
	}
	turn(dst, param[p.column:], turning{rows: n, columns: p.rows, toStride: n, fromStride: width})
}

// mapping collects the parts of a configuration.
type mapping struct {
	config model.Config
	specs  map[string]model.Spec
	parts  []part
}

func newMapping(c model.Config) *mapping {
	m := &mapping{config: c, specs: map[string]model.Spec{}}
	for _, s := range c.Params() {
		m.specs[s.Name] = s
	}
	return m
}

// spec finds a parameter that the architecture says there is.
func (m *mapping) spec(param string) model.Spec {
	s, ok := m.specs[param]
	if !ok {
		panic(fmt.Sprintf("architecture: a model of kind %s has no parameter %s", m.config.Kind, param))
	}
	return s
}

// same maps a tensor whose values are those of the parameter in the same order;
// its shape is the parameter's unless another is given.
func (m *mapping) same(tensor, param string, shape ...int) {
	if shape == nil {
		shape = m.spec(param).Shape
	}
	m.as(tensor, param, shape)
}

// scalar maps a tensor of no dimensions.
func (m *mapping) scalar(tensor, param string) { m.as(tensor, param, []int{}) }

func (m *mapping) as(tensor, param string, shape []int) {
	p := part{tensor: tensor, param: param, shape: shape}
	p.rows = p.shape0()
	m.parts = append(m.parts, p)
}

// linear maps a layer as torch.nn.Linear keeps it, (out, in), with the bias that
// the model has.
func (m *mapping) linear(tensor, param string) {
	m.fused(param, rowsOf{tensor, m.spec(param + ".weight").Shape[1]})
}

// norm maps a norm's weight, and its bias where the model has one.
func (m *mapping) norm(tensor, param string) {
	m.same(tensor+".weight", param+".weight")
	if _, ok := m.specs[param+".bias"]; ok {
		m.same(tensor+".bias", param+".bias")
	}
}

// rowsOf is one of the layers that are fused into one of ours.
type rowsOf struct {
	tensor string
	out    int
}

// fused maps layers whose outputs stand side by side in one of ours.
func (m *mapping) fused(param string, layers ...rowsOf) {
	in := m.spec(param + ".weight").Shape[0]
	_, bias := m.specs[param+".bias"]
	column := 0
	for _, l := range layers {
		m.parts = append(m.parts, part{tensor: l.tensor + ".weight", param: param + ".weight", shape: []int{l.out, in}, rows: l.out, column: column, turned: true})
		if bias {
			m.parts = append(m.parts, part{tensor: l.tensor + ".bias", param: param + ".bias", shape: []int{l.out}, rows: l.out, column: column})
		}
		column += l.out
	}
}

// tensors groups the parts by the tensor they are of.
func (m *mapping) tensors() map[string][]part {
	return group(m.parts, func(p part) string { return p.tensor })
}

// params groups the parts by parameter.
func (m *mapping) params() map[string][]part {
	return group(m.parts, func(p part) string { return p.param })
}

func group(parts []part, key func(part) string) map[string][]part {
	g := map[string][]part{}
	for _, p := range parts {
		g[key(p)] = append(g[key(p)], p)
	}
	return g
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
