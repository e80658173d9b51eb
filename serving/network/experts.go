package network

import (
	"cmp"
	"math"
	"slices"

	"tempera/training/kernel"
)

// experts are the parts of a mixture; see model.Experts for the formula.
type experts struct {
	router   []float32 // (C, E)
	balance  []float32 // (E)
	up, down []linear
}

func (l *loader) sparse(name string, out *layer) {
	t := l.config.Text
	x := t.Experts
	e := &experts{router: l.values(name+".router.weight", t.Width*x.Count), balance: l.values(name+".router.balance", x.Count)}
	up, down := l.values(name+".experts.gate_up", x.Count*t.Width*2*x.Hidden), l.values(name+".experts.down", x.Count*x.Hidden*t.Width)
	for i := range x.Count {
		u, d := linear{in: t.Width, out: 2 * x.Hidden}, linear{in: x.Hidden, out: t.Width}
		if len(l.faults) == 0 {
			u.weight = l.pack(kernel.PackBArgs{K: u.in, N: u.out, B: up[i*u.in*u.out:], Gated: true})
			d.weight = l.pack(kernel.PackBArgs{K: d.in, N: d.out, B: down[i*d.in*d.out:]})
		}
		e.up, e.down = append(e.up, u), append(e.down, d)
	}
	out.experts = e
	if x.Shared > 0 {
		f := x.Shared * x.Hidden
		out.up, out.down = l.gated(name+".shared.gate_up", t.Width, 2*f), l.linear(name+".shared.down", f, t.Width)
	}
}

// share is an expert's part of a row's answer.
type share struct {
	expert int
	weight float32
}

// choose returns the experts that answer a row, in the order of their numbers.
func (e *experts) choose(c *Cache, scores []float32) []share {
	x := c.net.Config.Text.Experts
	order := make([]int, len(scores))
	for i, v := range scores {
		order[i] = i
		scores[i] = float32(1 / (1 + math.Exp(-float64(v))))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b]+e.balance[b], scores[a]+e.balance[a]) })
	order = order[:x.Active]
	var sum float32
	for _, i := range order {
		sum += scores[i]
	}
	slices.Sort(order)
	out := make([]share, len(order))
	for k, i := range order {
		out[k] = share{i, scores[i] / sum * float32(x.Scale)}
	}
	return out
}

// mix adds the answers of the experts to x. A row adds its experts in the order of their numbers, whatever else is in the batch.
func (c *Cache) mix(l *layer, rows int) {
	e, x := l.experts, c.net.Config.Text.Experts
	w := c.net.Config.Text.Width
	scores := c.buf(&c.scores, rows*x.Count)
	c.net.engine.Gemm(kernel.GemmArgs{M: rows, N: x.Count, K: w, A: c.h, B: e.router, C: scores})
	asked := make([][]int, x.Count) // the rows that each expert answers
	weights := make([][]float32, x.Count)
	for r := range rows {
		for _, s := range e.choose(c, scores[r*x.Count:(r+1)*x.Count]) {
			asked[s.expert], weights[s.expert] = append(asked[s.expert], r), append(weights[s.expert], s.weight)
		}
	}
	for i, who := range asked {
		if len(who) == 0 {
			continue
		}
		in, out := c.buf(&c.picked, len(who)*w), c.buf(&c.answers, len(who)*w)
		for k, r := range who {
			copy(in[k*w:(k+1)*w], c.h[r*w:])
		}
		c.gated(e.up[i], in, len(who))
		c.apply(e.down[i], out, c.hidden, len(who))
		for k, r := range who {
			c.net.engine.Axpy(c.x[r*w:(r+1)*w], out[k*w:(k+1)*w], weights[i][k])
		}
	}
}
