package kernel

import "math"

// RoPETable holds the rotations of T token positions for one head width. It is read-only and may be shared.
type RoPETable struct {
	tokens, width int
	parts         int       // 1: the head is rotated as one; 2: its halves apart
	cos, sin      []float32 // (tokens, width/2): pairs in order, part after part
}

// NewRoPETable is the rotary embedding of Su et al. 2021 in the half-split layout of Llama: element i of a head is paired with i + width/2 and
// turned by position theta^(-2i/width). Positions are one per token; width is even.
func NewRoPETable(width int, theta float64, positions []int32) *RoPETable {
	require(width%2 == 0, "RoPE width is %d, it must be even", width)
	t := &RoPETable{tokens: len(positions), width: width, parts: 1}
	t.append(positions, nil, theta)
	return t
}

// NewRoPETable2D is the rotary embedding of an image encoder: the first half of a head turns by the token's row, the second by its column,
// each half in the half-split layout. Width is a multiple of 4.
func NewRoPETable2D(width int, theta float64, rows, cols []int32) *RoPETable {
	require(width%4 == 0, "2-D RoPE width is %d, it must be a multiple of 4", width)
	require(len(rows) == len(cols), "2-D RoPE has %d rows and %d columns", len(rows), len(cols))
	t := &RoPETable{tokens: len(rows), width: width, parts: 2}
	t.append(rows, cols, theta)
	return t
}

func (t *RoPETable) append(first, second []int32, theta float64) {
	part := t.width / t.parts
	for i := range t.tokens {
		for p := range t.parts {
			pos := first[i]
			if p == 1 {
				pos = second[i]
			}
			for j := range part / 2 {
				s, c := math.Sincos(float64(pos) * math.Pow(theta, -2*float64(j)/float64(part)))
				t.cos, t.sin = append(t.cos, float32(c)), append(t.sin, float32(s))
			}
		}
	}
}

// RoPEArgs turns the heads of X (B,T,H,D) into Y; Y may be X. Token t of every batch row takes entry t of the table, which has at least T
// entries, or entry Index[b T + t]. Inverse turns backwards: it is the gradient.
type RoPEArgs struct {
	B, T, H, D int
	X, Y       View
	Table      *RoPETable
	Index      []int32
	Inverse    bool
}

// RoPE applies a rotary position embedding.
func (e *Engine) RoPE(a RoPEArgs) {
	a.X.need("RoPE", "X", a.B, a.T, a.H, a.D)
	a.Y.need("RoPE", "Y", a.B, a.T, a.H, a.D)
	require(a.Table.width == a.D, "RoPE table has width %d, heads have %d", a.Table.width, a.D)
	if a.Index == nil {
		require(a.Table.tokens >= a.T, "RoPE table has %d positions, T is %d", a.Table.tokens, a.T)
	} else {
		need("RoPE", "Index", a.Index, a.B*a.T)
	}
	e.rows(a.B*a.T, a.H*a.D, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			b, t := r/a.T, r%a.T
			at := t
			if a.Index != nil {
				at = int(a.Index[r])
			}
			for h := range a.H {
				a.Table.rotate(a.Y.head(b, t, h, a.D), a.X.head(b, t, h, a.D), at, a.Inverse)
			}
		}
	})
}

func (t *RoPETable) rotate(y, x []float32, at int, inverse bool) {
	pairs := t.width / t.parts / 2
	cos, sin := t.cos[at*t.width/2:], t.sin[at*t.width/2:]
	for p := range t.parts {
		o := p * 2 * pairs
		x1, x2 := x[o:o+pairs], x[o+pairs:o+2*pairs]
		y1, y2 := y[o:o+pairs], y[o+pairs:o+2*pairs]
		for i := range x1 {
			c, s := cos[p*pairs+i], sin[p*pairs+i]
			if inverse {
				s = -s
			}
			u, v := x1[i], x2[i]
			y1[i], y2[i] = u*c-v*s, v*c+u*s
		}
	}
}
