package device

import "fmt"

// Attention mixes tokens.
type Attention interface {
	Attention(a AttentionArgs)
	AttentionBackward(a AttentionBackwardArgs)
	// NewRoPETable computes the rotations of a list of positions. The table is read-only and belongs to the backend.
	NewRoPETable(s RoPESpec) (RoPETable, error)
	RoPE(a RoPEArgs)
}

// Heads is a (batch, token, head, width) window of a value: element (b,t,h,i) is at Offset + b Batch + t Token + h Head + i.
type Heads struct {
	Value              *Value
	Offset             int
	Batch, Token, Head int
}

// HeadsShape says how part Part of Parts lies in a (B, T, Parts, H, D) tensor.
type HeadsShape struct {
	T, H, D     int
	Parts, Part int
}

// HeadsOf is the window of one part. A tensor that holds only one has Parts 1.
func HeadsOf(v *Value, s HeadsShape) Heads {
	c := s.H * s.D
	return Heads{Value: v, Offset: s.Part * c, Batch: s.T * s.Parts * c, Token: s.Parts * c, Head: s.D}
}

// AttentionArgs is o = softmax(Scale q kᵀ + mask) v per batch row and head (Vaswani et al. 2017). Q and O are (B,T,H,D), K and V
// (B,S,KVHeads,D); query head h uses key head h / (H/KVHeads); KVHeads 0 means H, Scale 0 means 1/sqrt(D).
//
// Causal lets query t see the keys up to t + S - T. KeyLengths, int32 (B), hides the keys of a row from its length on. Packed, int32
// cumulative ends [0, n1, n1+n2, ...], separates sequences in one row (B = 1, S = T). A query that sees no key gets zeros.
type AttentionArgs struct {
	B, T, S, H, KVHeads, D int
	Q, K, V, O             Heads
	Scale                  float32
	Causal                 bool
	KeyLengths, Packed     *Value
	LogSumExp              *Value // (B, H, T): for the backward; nil: not kept
}

// AttentionBackwardArgs takes the forward's arguments; its O is not read. The three gradients do not overlap.
type AttentionBackwardArgs struct {
	Forward    AttentionArgs
	DO         Heads
	DQ, DK, DV Heads
	Accumulate bool
}

// RoPESpec is a rotary embedding (Su et al. 2021, half-split layout). Cols set makes it two-dimensional: the first half of a head turns by
// Rows, the second by Cols.
type RoPESpec struct {
	Width int // of a head
	Theta float64
	Rows  []int32 // position of each token
	Cols  []int32
}

// RoPETable is a backend's precomputed rotations.
type RoPETable interface{ Tokens() int }

// RoPEArgs turns the heads of X (B,T,H,D) into Y, which may be X. Token t takes entry t of the table. Inverse turns backwards: the gradient.
type RoPEArgs struct {
	B, T, H, D int
	X, Y       Heads
	Table      RoPETable
	Inverse    bool
}

func (s RoPESpec) validate() error {
	parts := 1
	if s.Cols != nil {
		parts = 2
	}
	if s.Width <= 0 || s.Width%(2*parts) != 0 {
		return fmt.Errorf("rotary embedding: head width %d must be a positive multiple of %d", s.Width, 2*parts)
	}
	if parts == 2 && len(s.Cols) != len(s.Rows) {
		return fmt.Errorf("rotary embedding: %d rows and %d columns", len(s.Rows), len(s.Cols))
	}
	return nil
}
