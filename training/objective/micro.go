package objective

import "tempera/training/device"

// share names the input that holds a micro-batch's part in the loss of the batch.
const share = "share"

// shares are the parts of the counted targets that each of n micro-batches holds: with them, the means of the parts add up to the mean of the
// whole. One part has the whole share, also where nothing counts.
func shares(targets []int32, n int) []float64 {
	out := make([]float64, n)
	if n == 1 {
		out[0] = 1
		return out
	}
	all := 0
	size := len(targets) / n
	for i, t := range targets {
		if t != device.IgnoreIndex {
			out[i/size]++
			all++
		}
	}
	for i := range out {
		out[i] /= float64(max(1, all))
	}
	return out
}

// longest is the number of columns that hold all counted targets of rows that are width wide; 1 at least.
func longest(targets []int32, width int) int {
	n := 1
	for i, t := range targets {
		if t != device.IgnoreIndex {
			n = max(n, i%width+1)
		}
	}
	return n
}

// cut keeps the first n columns of rows that are width wide.
func cut(rows []int32, width, n int) []int32 {
	if n == width {
		return rows
	}
	out := make([]int32, 0, len(rows)/width*n)
	for at := 0; at < len(rows); at += width {
		out = append(out, rows[at:at+n]...)
	}
	return out
}
