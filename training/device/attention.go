package device

import "tempera/training/kernel"

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

// AttentionBackwardArgs takes the forward's arguments, with its O and LogSumExp. The three gradients do not overlap.
type AttentionBackwardArgs struct {
	Forward    AttentionArgs
	DO         Heads
	DQ, DK, DV Heads
	Accumulate bool
}

// RoPESpec is a rotary embedding: kernel.RoPESpec.
type RoPESpec = kernel.RoPESpec

// RoPETable is a backend's precomputed rotations.
type RoPETable interface{ Tokens() int }

// RoPEArgs turns the heads of X (B,T,H,D) into Y, which may be X. Token t of row b takes entry t of the table, or entry Index[b T + t] if Index,
// int32 (B T), is not nil. Inverse turns backwards: the gradient.
type RoPEArgs struct {
	B, T, H, D int
	X, Y       Heads
	Table      RoPETable
	Index      *Value
	Inverse    bool
}
