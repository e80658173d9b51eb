package reference

import (
	"cmp"
	"math"

	"tempera/training/device"
)

// heads addresses the elements of a window.
type heads struct {
	data []float64
	at   device.Heads
}

func (b *Backend) heads(h device.Heads) heads { return heads{b.of(h.Value), h} }

// head is the vector of one token's head.
func (h heads) head(batch, token, head, width int) []float64 {
	i := h.at.Offset + batch*h.at.Batch + token*h.at.Token + head*h.at.Head
	return h.data[i : i+width]
}

// attention is the arguments with defaults and masks resolved.
type attention struct {
	device.AttentionArgs
	scale           float64
	q, k, v         heads
	lengths, packed []int
}

func (b *Backend) attention(a device.AttentionArgs) attention {
	a.KVHeads = cmp.Or(a.KVHeads, a.H)
	scale := cmp.Or(float64(a.Scale), 1/math.Sqrt(float64(a.D)))
	return attention{a, scale, b.heads(a.Q), b.heads(a.K), b.heads(a.V), b.ints(a.KeyLengths), b.ints(a.Packed)}
}

// sees tells whether query t of a batch row sees key s.
func (a *attention) sees(batch, t, s int) bool {
	switch {
	case a.Causal && s > t+a.S-a.T:
		return false
	case a.lengths != nil && s >= a.lengths[batch]:
		return false
	}
	return a.sequence(t) == a.sequence(s)
}

// sequence is the number of the packed sequence that holds a token.
func (a *attention) sequence(t int) int {
	n := 0
	for _, end := range a.packed {
		if t >= end {
			n++
		}
	}
	return n
}

// probabilities are the weights of all keys for one query of one head, with the logarithm of their sum before division. All are 0 where no key is seen.
func (a *attention) probabilities(batch, t, h int) (p []float64, logSum float64) {
	q := a.q.head(batch, t, h, a.D)
	scores := make([]float64, a.S)
	seen := false
	for s := range scores {
		scores[s] = math.Inf(-1)
		if a.sees(batch, t, s) {
			seen = true
			scores[s] = a.scale * dot(q, a.k.head(batch, s, a.group(h), a.D))
		}
	}
	if !seen {
		return make([]float64, a.S), math.Inf(-1)
	}
	return softmax(scores)
}

// group is the key head that a query head uses.
func (a *attention) group(h int) int { return h / (a.H / a.KVHeads) }

func dot(x, y []float64) float64 {
	var sum float64
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

func axpy(y, x []float64, alpha float64) {
	for i := range x {
		y[i] += alpha * x[i]
	}
}

// each visits every query of every head.
func (a *attention) each(visit func(batch, t, h int)) {
	for batch := range a.B {
		for t := range a.T {
			for h := range a.H {
				visit(batch, t, h)
			}
		}
	}
}

// Attention is part of device.Attention.
func (b *Backend) Attention(args device.AttentionArgs) {
	a, o, logSums := b.attention(args), b.heads(args.O), b.of(args.LogSumExp)
	a.each(func(batch, t, h int) {
		p, logSum := a.probabilities(batch, t, h)
		out := o.head(batch, t, h, a.D)
		clear(out)
		for s, w := range p {
			axpy(out, a.v.head(batch, s, a.group(h), a.D), w)
		}
		if logSums != nil {
			logSums[(batch*a.H+h)*a.T+t] = logSum
		}
	})
}

// AttentionBackward is part of device.Attention.
func (b *Backend) AttentionBackward(args device.AttentionBackwardArgs) {
	a, do := b.attention(args.Forward), b.heads(args.DO)
	dq, dk, dv := b.heads(args.DQ), b.heads(args.DK), b.heads(args.DV)
	if !args.Accumulate {
		a.clear(dq, dk, dv)
	}
	a.each(func(batch, t, h int) {
		p, _ := a.probabilities(batch, t, h)
		d, g := do.head(batch, t, h, a.D), a.group(h)
		along := 0.0 // sum of p dp
		dp := make([]float64, a.S)
		for s := range p {
			dp[s] = dot(d, a.v.head(batch, s, g, a.D))
			along += p[s] * dp[s]
		}
		for s := range p {
			ds := a.scale * p[s] * (dp[s] - along)
			axpy(dq.head(batch, t, h, a.D), a.k.head(batch, s, g, a.D), ds)
			axpy(dk.head(batch, s, g, a.D), a.q.head(batch, t, h, a.D), ds)
			axpy(dv.head(batch, s, g, a.D), d, p[s])
		}
	})
}

func (a *attention) clear(dq, dk, dv heads) {
	a.each(func(batch, t, h int) { clear(dq.head(batch, t, h, a.D)) })
	for batch := range a.B {
		for s := range a.S {
			for g := range a.KVHeads {
				clear(dk.head(batch, s, g, a.D))
				clear(dv.head(batch, s, g, a.D))
			}
		}
	}
}

// rotations is a table of angles: those of each token's pairs.
type rotations struct {
	parts     int // 1: a head turns as one; 2: its halves apart
	magnitude float64
	angles    [][]float64
}

func (r *rotations) Tokens() int { return len(r.angles) }

// NewRoPETable is part of device.Attention.
func (*Backend) NewRoPETable(s device.RoPESpec) (device.RoPETable, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	r := &rotations{parts: 1, magnitude: cmp.Or(s.Magnitude, 1), angles: make([][]float64, len(s.Rows))}
	positions := [][]int32{s.Rows}
	if s.Cols != nil {
		r.parts, positions = 2, append(positions, s.Cols)
	}
	part := s.Width / r.parts
	for t := range r.angles {
		for _, p := range positions {
			for i := range part / 2 {
				f := math.Pow(s.Theta, -2*float64(i)/float64(part))
				if s.Frequencies != nil {
					f = s.Frequencies[i]
				}
				r.angles[t] = append(r.angles[t], float64(p[t])*f)
			}
		}
	}
	return r, nil
}

// RoPE is part of device.Attention: element i of a part is paired with the one half a part further.
func (b *Backend) RoPE(a device.RoPEArgs) {
	x, y, table, index := b.heads(a.X), b.heads(a.Y), a.Table.(*rotations), b.ints(a.Index)
	for batch := range a.B {
		for t := range a.T {
			at := t
			if index != nil {
				at = index[batch*a.T+t]
			}
			for h := range a.H {
				table.turn(y.head(batch, t, h, a.D), x.head(batch, t, h, a.D), at, a.Inverse)
			}
		}
	}
}

func (r *rotations) turn(out, in []float64, at int, inverse bool) {
	part := len(in) / r.parts
	for i, angle := range r.angles[at] {
		first := i/(part/2)*part + i%(part/2)
		second := first + part/2
		sin, cos := math.Sincos(angle)
		sin, cos = sin*r.magnitude, cos*r.magnitude
		if inverse {
			sin = -sin
		}
		u, v := in[first], in[second]
		out[first], out[second] = u*cos-v*sin, v*cos+u*sin
	}
}
