//go:build gpu

package cuda

import (
	"cmp"
	"fmt"
	"math"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// attentionTiles are the sizes of a kernel's tiles: those of Tiles in attention.cuh.
type attentionTiles struct {
	kernel     string
	parts      int // of 16 rows: the rows of a warp
	owned      int // tiles that stay in shared memory
	streamed   int // rows of a tile that streams
	statistics int // bytes that stream with each of its rows
	columns    int // blocks that share a tile's columns
}

// attentionWidths are the widths of heads that there are kernels for. Others are padded.
var attentionWidths = []int{32, 64, 96, 128, 256}

func attentionWidth(d int) int {
	for _, w := range attentionWidths {
		if d <= w {
			return w
		}
	}
	panic(fmt.Sprintf("cuda: attention with heads of width %d; at most 256", d))
}

func forwardTiles(t device.DType, width int) attentionTiles {
	s := attentionTiles{kernel: "attention_forward", parts: 1, owned: 1, streamed: 32, columns: 1}
	switch wide := width > 128; {
	case t == device.BFloat16 && wide:
		s.streamed = 64
	case t == device.BFloat16:
		s.parts, s.streamed = 2, 64
	case wide:
		s.streamed = 16
	}
	return s
}

func backwardQueriesTiles(t device.DType, width int) attentionTiles {
	s := forwardTiles(t, width)
	s.kernel, s.owned = "attention_backward_queries", 2
	if t == device.BFloat16 && width > 64 {
		s.streamed = 32
	}
	return s
}

func backwardKeysTiles(t device.DType, width int) attentionTiles {
	s := attentionTiles{kernel: "attention_backward_keys", parts: 1, owned: 2, streamed: 16, statistics: 8, columns: 1}
	switch {
	case t == device.BFloat16 && width <= 64:
		s.parts, s.streamed = 2, 32
	case t == device.BFloat16 && width <= 128:
		s.streamed = 64
	case t == device.BFloat16:
		s.streamed = 32
	}
	if width > 128 {
		s.columns = 2
	}
	return s
}

const (
	attentionWarps = 4        // of a block, at most
	cachedBytes    = 16 << 20 // of what streams past the blocks of one time: a third of an H200's second-level cache
)

// attentionPlan is how the tiles of one kernel are dealt out to blocks.
type attentionPlan struct {
	attentionTiles
	width                  int // of the kernel's heads
	tiles, section, stages int // as in struct Attention
	blocks, warps, shared  int // blocks, warps of a block, bytes of shared memory of a block
}

// attentionRows are the rows that a kernel's blocks own: n in each of heads, in each of batches; each head's blocks read `other` rows.
type attentionRows struct{ n, heads, batches, other int }

func (b *Backend) planAttention(s attentionTiles, t device.DType, d int, r attentionRows) (attentionPlan, error) {
	p := attentionPlan{attentionTiles: s, width: attentionWidth(d)}
	p.tiles = ceil(r.n, 16*s.parts*attentionWarps)
	p.warps = ceil(ceil(r.n, max(1, p.tiles)), 16*s.parts)
	p.blocks = p.tiles * r.heads * r.batches
	p.section = min(max(1, cachedBytes/max(1, 2*r.other*d*t.Bytes())), r.heads*r.batches)
	for p.stages = 2; p.stages > 0; p.stages-- {
		rows := 16 * s.parts * p.warps
		p.shared = (s.owned*rows+p.stages*2*s.streamed)*(p.width*t.Bytes()+16) + rows*8 + p.stages*s.streamed*s.statistics
		if p.shared <= b.device.SharedPerBlock {
			return p, nil
		}
	}
	return p, fmt.Errorf("attention with heads of width %d needs %d KiB of shared memory for a block, the device has %d", d, p.shared>>10, b.device.SharedPerBlock>>10)
}

func ceil(n, size int) int { return (n + size - 1) / size }

// window is the shape of a device.Heads.
type window struct{ b, t, h, d int }

// heads adds a struct Window.
func (c *call) heads(h device.Heads, s window, t device.DType) *call {
	if n := s.b * s.t * s.h * s.d; n > 0 {
		if last := h.Offset + (s.b-1)*h.Batch + (s.t-1)*h.Token + (s.h-1)*h.Head + s.d; last > h.Value.Size() {
			panic(fmt.Sprintf("cuda: heads %v of %v end at element %d", s, h.Value, last))
		}
	}
	return c.pointer(address(h.Value, t) + driver.Pointer(h.Offset*t.Bytes())).i64(h.Batch).i64(h.Token).i64(h.Head)
}

// attentionCall is the arguments with their defaults.
type attentionCall struct {
	device.AttentionArgs
	t device.DType
}

func newAttentionCall(a device.AttentionArgs) attentionCall {
	a.KVHeads = cmp.Or(a.KVHeads, a.H)
	a.Scale = cmp.Or(a.Scale, float32(1/math.Sqrt(float64(max(1, a.D)))))
	if a.KVHeads <= 0 || a.H%a.KVHeads != 0 || !(a.Scale > 0) {
		panic(fmt.Sprintf("cuda: attention of %d heads with %d key heads, scale %v", a.H, a.KVHeads, a.Scale))
	}
	need("attention: log-sums", a.LogSumExp, a.B*a.H*a.T)
	need("attention: key lengths", a.KeyLengths, a.B)
	if a.Packed != nil && (a.B != 1 || a.S != a.T || a.KeyLengths != nil) {
		panic("cuda: packed sequences need a batch of 1, as many keys as queries and no key lengths")
	}
	return attentionCall{a, activations(a.Q.Value, a.K.Value, a.V.Value, a.O.Value)}
}

// need panics where a value that is not nil is too short.
func need(what string, v *device.Value, n int) {
	if v != nil && v.Size() < n {
		panic(fmt.Sprintf("cuda: %s are %v, must have %d elements", what, v, n))
	}
}

func (a *attentionCall) queries() window { return window{a.B, a.T, a.H, a.D} }
func (a *attentionCall) keys() window    { return window{a.B, a.S, a.KVHeads, a.D} }

// queryRows and keyRows are what the blocks own that have tiles of queries or of keys.
func (a *attentionCall) queryRows() attentionRows { return attentionRows{a.T, a.H, a.B, a.S} }

func (a *attentionCall) keyRows() attentionRows {
	return attentionRows{a.S, a.KVHeads, a.B, a.T * a.H / a.KVHeads}
}

// attention begins the launch of a kernel with a struct Attention. A kernel that has no plan takes the zero plan.
func (b *Backend) attention(module, kernel string, a *attentionCall, p attentionPlan) *call {
	sequences := 0
	if a.Packed != nil {
		sequences = a.Packed.Size() - 1
	}
	return b.kernel(module, kernel, a.t).
		heads(a.Q, a.queries(), a.t).heads(a.K, a.keys(), a.t).heads(a.V, a.keys(), a.t).heads(a.O, a.queries(), a.t).
		floats(a.LogSumExp).ints(a.KeyLengths).ints(a.Packed).
		i32(a.B).i32(a.T).i32(a.S).i32(a.H).i32(a.KVHeads).i32(a.D).i32(sequences).flag(a.Causal).f32(a.Scale).
		i32(p.tiles).i32(p.section).i32(p.stages)
}

func (p attentionPlan) grid() driver.Grid {
	return driver.Grid{X: p.blocks, Y: p.columns, ThreadsX: 32 * p.warps, Shared: p.shared}
}

func (p attentionPlan) name() string { return fmt.Sprintf("%s_%d", p.kernel, p.width) }

// Attention is part of the family of that name.
func (b *Backend) Attention(args device.AttentionArgs) {
	a := newAttentionCall(args)
	if a.B*a.T*a.H*a.D == 0 {
		return
	}
	p, err := b.planAttention(forwardTiles(a.t, attentionWidth(a.D)), a.t, a.D, a.queryRows())
	if err != nil {
		b.fail(err)
		return
	}
	b.attention("attention", p.name(), &a, p).launch(p.grid())
}

// AttentionBackward is part of Attention.
func (b *Backend) AttentionBackward(args device.AttentionBackwardArgs) {
	a := newAttentionCall(args.Forward)
	if a.LogSumExp == nil {
		panic("cuda: AttentionBackward without the forward's log-sums")
	}
	if a.B*a.H*a.D == 0 {
		return
	}
	width := attentionWidth(a.D)
	ofQueries, err := b.planAttention(backwardQueriesTiles(a.t, width), a.t, a.D, a.queryRows())
	if err != nil {
		b.fail(err)
		return
	}
	ofKeys, err := b.planAttention(backwardKeysTiles(a.t, width), a.t, a.D, a.keyRows())
	if err != nil {
		b.fail(err)
		return
	}
	stride := a.T + a.T&1 // statistics are copied by pairs of queries
	b.withWorkspace(2*4*a.B*a.H*stride, func(statistics driver.Pointer) {
		call := func(kernel string, p attentionPlan) *call {
			return b.attention("attention_backward", kernel, &a, p).
				heads(args.DO, a.queries(), a.t).heads(args.DQ, a.queries(), a.t).heads(args.DK, a.keys(), a.t).heads(args.DV, a.keys(), a.t).
				pointer(statistics).i32(stride).flag(args.Accumulate)
		}
		if ofQueries.blocks > 0 {
			call("attention_statistics", attentionPlan{}).each(8 * a.B * a.T * a.H)
			call(ofQueries.name(), ofQueries).launch(ofQueries.grid())
		}
		if ofKeys.blocks > 0 {
			call(ofKeys.name(), ofKeys).launch(ofKeys.grid())
		}
	})
}
