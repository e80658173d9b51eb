package picture

import "image"

// Resize returns m at w by h pixels: the mean over the area of each pixel where
// an axis shrinks, linear interpolation where it grows.
func (m *RGB) Resize(w, h int) *RGB {
	if w == m.W && h == m.H {
		return m
	}
	return &RGB{W: w, H: h, Pix: resample(m.Pix, plane{m.W, m.H, 3}, w, h)}
}

// ResizeRGBA does the same for an image with premultiplied alpha.
func ResizeRGBA(m *image.RGBA, w, h int) *image.RGBA {
	b := m.Bounds()
	pix := make([]byte, 0, b.Dx()*b.Dy()*4)
	for y := range b.Dy() {
		pix = append(pix, m.Pix[y*m.Stride:y*m.Stride+4*b.Dx()]...)
	}
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	out.Pix = resample(pix, plane{b.Dx(), b.Dy(), 4}, w, h)
	return out
}

type plane struct{ w, h, ch int }

// tap is one source position of an output position with its weight; the
// weights of an output position add up to one16.
type tap struct {
	at     int
	weight uint32
}

const one16 = 1 << 16

// resample filters rows, then columns, with one rounding at the end: the
// intermediate keeps 8 fractional bits in a uint16.
func resample(src []byte, p plane, w, h int) []byte {
	mid := make([]uint16, p.h*w*p.ch) // (H, w, ch), in 1/256
	cols := taps(p.w, w)
	for y := range p.h {
		row := src[y*p.w*p.ch:]
		for x, ts := range cols {
			for c := range p.ch {
				var sum uint32 // at most 255 * 2^16
				for _, t := range ts {
					sum += t.weight * uint32(row[t.at*p.ch+c])
				}
				mid[(y*w+x)*p.ch+c] = uint16(sum >> 8)
			}
		}
	}
	out := make([]byte, h*w*p.ch)
	for y, ts := range taps(p.h, h) {
		dst := out[y*w*p.ch : (y+1)*w*p.ch]
		for i := range dst {
			var sum uint64
			for _, t := range ts {
				sum += uint64(t.weight) * uint64(mid[t.at*w*p.ch+i])
			}
			dst[i] = byte((sum + 1<<23) >> 24)
		}
	}
	return out
}

// taps returns the source positions and weights of every output position when
// n positions become m.
func taps(n, m int) [][]tap {
	out := make([][]tap, m)
	for i := range m {
		if m >= n {
			out[i] = linearTaps(i, n, m)
		} else {
			out[i] = areaTaps(i, n, m)
		}
	}
	return out
}

// linearTaps interpolates between the two source centres around output i.
func linearTaps(i, n, m int) []tap {
	// The centre of output i in units of a source position over 2m, from the
	// centre of source 0.
	pos := (2*i+1)*n - m
	if pos <= 0 {
		return []tap{{0, one16}}
	}
	at, rest := pos/(2*m), pos%(2*m)
	if at >= n-1 {
		return []tap{{n - 1, one16}}
	}
	right := uint32(uint64(rest) * one16 / uint64(2*m))
	return []tap{{at, one16 - right}, {at + 1, right}}
}

// areaTaps weighs the source positions by how much of output i they cover: with
// both axes scaled by n*m, output i covers [i*n, (i+1)*n) and source j covers
// [j*m, (j+1)*m). The rounding error of the weights goes to the last one.
func areaTaps(i, n, m int) []tap {
	lo, hi := i*n, (i+1)*n
	var ts []tap
	left := uint32(one16)
	for j := lo / m; j*m < hi; j++ {
		cover := min(hi, (j+1)*m) - max(lo, j*m)
		weight := uint32(uint64(cover) * one16 / uint64(n))
		if (j+1)*m >= hi {
			weight = left
		}
		left -= weight
		ts = append(ts, tap{j, weight})
	}
	return ts
}
