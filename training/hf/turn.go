package hf

import (
	"runtime"
	"sync"
)

// turning is a matrix (rows, columns) that becomes (columns, rows); strides are
// the lengths of the rows in memory.
type turning struct{ rows, columns, toStride, fromStride int }

// turn transposes a matrix, a large one on all cores.
func turn(to, from []float32, t turning) {
	const small = 1 << 18
	workers := runtime.GOMAXPROCS(0)
	if workers == 1 || t.rows*t.columns < small {
		turnRows(to, from, t)
		return
	}
	share := (t.rows/workers + 8) / 8 * 8
	var running sync.WaitGroup
	for at := 0; at < t.rows; at += share {
		part := t
		part.rows = min(share, t.rows-at)
		running.Go(func() { turnRows(to[at:], from[at*t.fromStride:], part) })
	}
	running.Wait()
}

// turnRows turns eight rows at a time, so that what it writes of a row lies
// together and what it reads runs along eight rows.
func turnRows(to, from []float32, t turning) {
	r := 0
	for ; r+8 <= t.rows; r += 8 {
		turnEight(to[r:], from[r*t.fromStride:], t)
	}
	for ; r < t.rows; r++ {
		row := from[r*t.fromStride : r*t.fromStride+t.columns]
		for c, v := range row {
			to[c*t.toStride+r] = v
		}
	}
}

func turnEight(to, from []float32, t turning) {
	var rows [8][]float32
	for i := range rows {
		rows[i] = from[i*t.fromStride : i*t.fromStride+t.columns]
	}
	a, b, c, d, e, f, g, h := rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
	for i := range a {
		o := (*[8]float32)(to[i*t.toStride:])
		o[0], o[1], o[2], o[3] = a[i], b[i], c[i], d[i]
		o[4], o[5], o[6], o[7] = e[i], f[i], g[i], h[i]
	}
}
