//go:build gpu

package cuda

import (
	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// head is a language head at work on blocks of rows, as many as its logits hold.
type head struct {
	b     *Backend
	a     device.HeadInput
	t     device.DType // of the states, and of gradients
	most  int          // rows of a block
	split int          // columns of a part of a row (head.cu)

	// in memory of the heads
	counted, sums, logSums driver.Pointer // the number of rows that count, what is known of parts, and two numbers per row
	dlogits                *device.Value  // nil where the gradient takes the logits' place
}

// direction says what memory a head needs.
type direction int

const (
	forwards direction = iota
	backwards
)

const (
	mostParts    = 32           // of a row
	leastSplit   = 2048         // columns of a part, unless there are fewer
	sumsBytes    = 5 * 4        // Sums of head.cu
	partWaves    = 4            // parts for each of the device's processors
	evenSplit    = 16 / 4       // logits of an access
	rowsPerBlock = threads / 32 // of threads, with a warp for each row
)

// head counts the rows that count and calls f.
func (b *Backend) head(a device.HeadInput, d direction, f func(h *head)) {
	h := &head{b: b, a: a, t: activations(a.X)}
	if a.Rows > 0 {
		h.most = min(a.Rows, a.Logits.Size()/a.Classes)
		parts := min(mostParts, (partWaves*b.device.Processors+h.most-1)/h.most)
		h.split = max(leastSplit, (a.Classes+parts-1)/parts)
		h.split = (h.split + evenSplit - 1) / evenSplit * evenSplit
	}
	var l layout
	h.counted, h.sums, h.logSums = l.floats(1), l.part(h.most*mostParts*sumsBytes), l.floats(2*h.most)
	narrow := d == backwards && h.t != device.Float32
	var dlogits driver.Pointer
	if narrow {
		dlogits = l.part(h.most * a.Classes * h.t.Bytes())
	}
	b.heads.with(b, l.bytes, func(p driver.Pointer) {
		h.counted, h.sums, h.logSums = h.counted+p, h.sums+p, h.logSums+p
		if narrow {
			n := device.Desc{DType: h.t, Shape: device.Shape{h.most, a.Classes}}
			h.dlogits = device.NewValue(n, &buffer{p: p + dlogits, words: n.Words()}, 0)
		}
		b.count(h.counted, a.Targets)
		f(h)
	})
}

// span is n rows, from the first on, of all that there are.
type span struct{ first, n, rows int }

// blocks visits all rows.
func (h *head) blocks(f func(r span)) {
	for first := 0; first < h.a.Rows; first += h.most {
		f(span{first, min(h.most, h.a.Rows-first), h.a.Rows})
	}
}

// of is where the span begins among numbers that belong to rows, equally many to each.
func (r span) of(v *device.Value) driver.Pointer {
	if v == nil {
		return 0
	}
	t := v.Desc().DType
	return address(v, t) + driver.Pointer(v.Size()/r.rows*r.first*t.Bytes())
}

// among is the span of a matrix.
func (r span) among(v *device.Value, cols int) *device.Value {
	d := device.Desc{DType: v.Desc().DType, Shape: device.Shape{r.n, cols}}
	at := r.first * cols * d.DType.Bytes()
	if at%device.WordBytes != 0 { // bfloat16 rows of an odd width, which begin within a word
		return device.NewValue(d, &buffer{p: address(v, d.DType) + driver.Pointer(at), words: d.Words()}, 0)
	}
	return device.NewValue(d, v.Buffer(), v.Offset()+at/device.WordBytes)
}

// logits makes those of a span.
func (h *head) logits(a device.HeadInput, r span) *device.Value {
	z := span{n: r.n}.among(a.Logits, a.Classes)
	h.b.Gemm(device.GemmArgs{M: r.n, N: a.Classes, K: a.Width, A: r.among(a.X, a.Width), B: a.W, TransB: a.TransW, C: z, Bias: a.Bias})
	return z
}

// gradient is where that of logits goes: half their size is less to write and to multiply with.
func (h *head) gradient(logits *device.Value) *device.Value {
	if h.dlogits == nil {
		return logits
	}
	return span{n: logits.Rows()}.among(h.dlogits, h.a.Classes)
}

// add turns the gradient of a span's logits into those of the head.
func (h *head) add(g device.HeadGradients, r span, d *device.Value) {
	a, b := h.a, h.b
	if g.DX != nil {
		b.Gemm(device.GemmArgs{M: r.n, N: a.Width, K: a.Classes, A: d, B: a.W, TransB: !a.TransW, C: r.among(g.DX, a.Width), Accumulate: g.Accumulate})
	}
	if g.DW != nil {
		x := r.among(a.X, a.Width)
		w := device.GemmArgs{M: a.Width, N: a.Classes, K: r.n, A: x, TransA: true, B: d, C: g.DW, Accumulate: true}
		if a.TransW {
			w.M, w.N, w.A, w.B = a.Classes, a.Width, d, x
		}
		b.Gemm(w)
	}
	if g.DBias != nil {
		b.SumRows(device.SumRowsArgs{Rows: r.n, Cols: a.Classes, Period: 1, X: d, DP: g.DBias})
	}
}

// kernel begins a launch with the logits' shape.
func (h *head) kernel(kernel string, t device.DType, r span) *call {
	even := h.a.Classes%evenSplit == 0 && address(h.a.Logits, device.Float32)%16 == 0
	return h.b.kernel("head", kernel, t).i32(r.n).i32(h.a.Classes).i32(h.split).flag(even)
}

// parts begins one that leaves or reads what is known of parts.
func (h *head) parts(kernel string, r span) *call { return h.kernel(kernel, single, r).pointer(h.sums) }

// wide is a grid with a block of threads for each part, or for each few.
func (h *head) wide(r span) driver.Grid {
	parts := r.n * ((h.a.Classes + h.split - 1) / h.split)
	return driver.Grid{X: min(parts, 16*h.b.device.Processors), ThreadsX: threads}
}

// narrow is a grid with a warp for each row, or for each few.
func (h *head) narrow(r span) driver.Grid {
	return driver.Grid{X: min((r.n+rowsPerBlock-1)/rowsPerBlock, 16*h.b.device.Processors), ThreadsX: threads}
}
