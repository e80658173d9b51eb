package kernel

import (
	"cmp"
	"fmt"
	"math"
)

// RoPETable holds the rotations of T token positions for one head width. It is read-only and may be shared.
type RoPETable struct {
	tokens, width int
	parts         int       // 1: the head is rotated as one; 2: its halves apart
	cos, sin      []float32 // (tokens, width/2): pairs in order, part after part
}

// RoPESpec is a rotary embedding (Su et al. 2021) in the half-split layout of Llama: element i of a part of a head is paired with the one half
// a part further, and turned by position times Frequencies[i].
type RoPESpec struct {
	Width int // of a head; even, with Cols a multiple of 4
	// Theta makes frequencies Theta^(-2i/part) where Frequencies is nil. Otherwise these are radians per position, Width/2 of them, or Width/4 with
	// Cols. Magnitude multiplies all sines and cosines; 0 means 1.
	Theta       float64
	Frequencies []float64
	Magnitude   float64
	Rows        []int32 // the position of each token
	Cols        []int32 // not nil: the first half of a head turns by Rows, the second by Cols (images)
}

// Validate returns the first fault of a specification.
func (s RoPESpec) Validate() error {
	parts := s.parts()
	pairs := s.Width / (2 * parts)
	switch {
	case s.Width <= 0 || s.Width%(2*parts) != 0:
		return fmt.Errorf("rotary embedding: head width %d must be a positive multiple of %d", s.Width, 2*parts)
	case s.Cols != nil && len(s.Cols) != len(s.Rows):
		return fmt.Errorf("rotary embedding: %d rows and %d columns", len(s.Rows), len(s.Cols))
	case s.Frequencies != nil && len(s.Frequencies) != pairs:
		return fmt.Errorf("rotary embedding: %d frequencies for %d pairs", len(s.Frequencies), pairs)
	case s.Frequencies == nil && !(s.Theta > 0):
		return fmt.Errorf("rotary embedding: theta is %v, must be positive", s.Theta)
	}
	return nil
}

func (s RoPESpec) parts() int {
	if s.Cols != nil {
		return 2
	}
	return 1
}

// NewRoPETable computes the rotations of a list of positions. A specification that Validate rejects panics.
func NewRoPETable(s RoPESpec) *RoPETable {
	if err := s.Validate(); err != nil {
		panic(err.Error())
	}
	t := &RoPETable{tokens: len(s.Rows), width: s.Width, parts: s.parts()}
	part := s.Width / t.parts
	frequencies, magnitude := s.Frequencies, cmp.Or(s.Magnitude, 1)
	if frequencies == nil {
		for j := range part / 2 {
			frequencies = append(frequencies, math.Pow(s.Theta, -2*float64(j)/float64(part)))
		}
	}
	n := len(s.Rows) * s.Width / 2
	t.cos, t.sin = make([]float32, 0, n), make([]float32, 0, n)
	for i := range s.Rows {
		for _, positions := range [][]int32{s.Rows, s.Cols}[:t.parts] {
			for _, f := range frequencies {
				sin, cos := math.Sincos(float64(positions[i]) * f)
				t.cos, t.sin = append(t.cos, float32(magnitude*cos)), append(t.sin, float32(magnitude*sin))
			}
		}
	}
	return t
}

// Rotations are the cosines and sines of a table, (tokens, width / 2): pairs in order, part after part. They must not be changed.
func (t *RoPETable) Rotations() (cos, sin []float32) { return t.cos, t.sin }

// RoPEArgs turns the heads of X (B,T,H,D) into Y; Y may be X. Token t of every batch row takes entry t of the table, which has at least T
// entries, or entry Index[b T + t] (packed sequences, decoding). Inverse turns backwards: it is the gradient.
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
		checkPositions(a.Index[:a.B*a.T], a.Table.tokens)
	}
	if a.B*a.T*a.H*a.D == 0 {
		return
	}
	turn := float32(1)
	if a.Inverse {
		turn = -1
	}
	pairs := a.D / a.Table.parts / 2
	e.rows(a.B*a.T, a.H*a.D, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			at := r % a.T
			if a.Index != nil {
				at = int(a.Index[r])
			}
			x, y := a.X.token(r/a.T, r%a.T, a.H, a.D), a.Y.token(r/a.T, r%a.T, a.H, a.D)
			for p := range a.Table.parts {
				o := at*a.D/2 + p*pairs
				e.isa.rotate(y[2*p*pairs:], x[2*p*pairs:], a.Table.cos[o:o+pairs], a.Table.sin[o:o+pairs], a.H, a.Y.Head, a.X.Head, turn)
			}
		}
	})
}

func checkPositions(index []int32, n int) {
	for i, at := range index {
		require(at >= 0 && int(at) < n, "RoPE.Index[%d] is %d, the table has %d positions", i, at, n)
	}
}
