package optim

import (
	"cmp"
	"fmt"
	"strings"

	"tempera/training/device"
	"tempera/training/graph"
)

// Muon orthogonalises the momentum of matrices (Jordan et al. 2024), with the
// scale and the decoupled decay of Liu et al. 2025 (Moonlight), under which it
// takes AdamW's rate and decay. Parameters that are not Hidden are AdamW's.
//
// A weight that holds several projections side by side, such as qkv, is one matrix.
type Muon struct {
	group            // all parameters
	momentum float64 // of matrices
	hidden   []hidden
	rest     *AdamW // nil: there is no other parameter
}

// hidden is a parameter that Muon updates, and its momentum.
type hidden struct {
	at int // among the group's parameters
	m  *device.Value
}

var _ Optimizer = (*Muon)(nil)

// Hidden tells whether Muon updates a parameter: one of rank 2 or more, such as the weights of experts, in a block of layers. Embeddings, heads and
// the projections into and out of a tower are not in a block.
func Hidden(p *graph.Param) bool {
	return p.Value.Desc().Rank() >= 2 && strings.Contains(p.Name, ".blocks.")
}

const defaultMomentum = 0.95

// ScratchBytes estimates what a device needs for a while to update the parameters, one after the other: Muon orthogonalises in two copies of the
// matrix and two squares of its smaller side, a quarter more of each as scratch grows; a device with memory of its own takes the matrices of a shape
// together.
func (o Options) ScratchBytes(b device.Memory, params []*graph.Param) int64 {
	var copies, squares int64
	together := map[[2]int64]int64{} // elements of the matrices and the squares, by shape
	for _, p := range params {
		if o.Method != UseMuon || !p.Trained() || !Hidden(p) {
			continue
		}
		s := p.Value.Shape()
		rows, cols := int64(s[len(s)-2]), int64(s[len(s)-1])
		copies, squares = max(copies, rows*cols), max(squares, min(rows, cols)*min(rows, cols))
		n := int64(p.Value.Size())
		together[[2]int64{rows, cols}] += n + n/(rows*cols)*min(rows, cols)*min(rows, cols)
	}
	const each = 2 * device.WordBytes
	if _, ok := b.(device.Separate); ok {
		var bytes int64
		for shape, n := range together {
			one := shape[0]*shape[1] + min(shape[0], shape[1])*min(shape[0], shape[1])
			bytes += min(n*each, max(one*each, device.MuonRound))
		}
		return bytes
	}
	return (copies + squares) * each * 5 / 4
}

// NewMuon allocates gradients, where no graph has done so yet, and state.
func NewMuon(b device.Backend, params []*graph.Param, o Options) (*Muon, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("muon: %w", err)
	}
	g, err := newGroup(b, params, o)
	if err != nil {
		return nil, fmt.Errorf("muon: %w", err)
	}
	u := &Muon{group: g, momentum: cmp.Or(o.Momentum, defaultMomentum)}
	var others []*graph.Param
	for i, p := range g.params {
		if !Hidden(p) {
			others = append(others, p)
			continue
		}
		m, err := device.New(b, p.Value.Desc())
		if err != nil {
			return nil, fmt.Errorf("muon: momentum of %s: %w", p.Name, err)
		}
		u.hidden = append(u.hidden, hidden{i, m})
	}
	if len(others) > 0 {
		if u.rest, err = NewAdamW(b, others, o); err != nil {
			return nil, fmt.Errorf("muon: %w", err)
		}
	}
	return u, nil
}

// ScaleRates is part of Optimizer.
func (u *Muon) ScaleRates(share func(*graph.Param) float64) {
	u.group.ScaleRates(share)
	if u.rest != nil {
		u.rest.ScaleRates(share)
	}
}

// Step is part of Optimizer.
func (u *Muon) Step(step int64, lr float64) (float64, error) {
	a := device.UpdateArgs{Grads: u.grads, Clip: u.options.Clip}
	for _, h := range u.hidden {
		p := u.params[h.at]
		a.Muon = append(a.Muon, device.MuonArgs{P: p.Value, G: p.Grad, M: h.m, LR: lr * u.rates[h.at], Momentum: u.momentum, Decay: u.decay(p)})
	}
	if u.rest != nil {
		a.AdamW = u.rest.steps(step, lr)
	}
	return u.backend.Update(a)
}

// State is part of Optimizer.
func (u *Muon) State() []Tensor {
	var ts []Tensor
	for _, h := range u.hidden {
		ts = append(ts, Tensor{"muon.m." + u.params[h.at].Name, h.m})
	}
	if u.rest != nil {
		ts = append(ts, u.rest.State()...)
	}
	return ts
}
