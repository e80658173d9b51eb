package kernel

import "unsafe"

// portableTiler has tiles of 2 x 8 on vectors of 4: what fits 16 registers.
func portableTiler() tiler {
	t := tiler{
		mr: 2, nr: 8, stores: never, packHalf: packHalfGo, packWhole: packWholeGo, packColumns: packColumnsGo, packTiles: packGroupsGo, packPanels: packGroupsGo,
		block: blocking{k: 512, tiles: 32, panels: 16, columns: 2048, direct: 16},
	}
	t.tiles[halfPanel] = [maxTileRows + 1]func(t *byte){1: func(t *byte) { tileGo(t, 1, 1) }, 2: func(t *byte) { tileGo(t, 2, 1) }}
	t.tiles[onePanel] = [maxTileRows + 1]func(t *byte){1: func(t *byte) { tileGo(t, 1, 2) }, 2: func(t *byte) { tileGo(t, 2, 2) }}
	return t
}

const portableLanes = 4

func tileGo(raw *byte, rows, vecs int) {
	t := (*tileArgs)(unsafe.Pointer(raw))
	wide := vecs * portableLanes
	a := unsafe.Slice(t.a, (rows-1)*t.rs+(t.k-1)*t.cs+1)
	b := unsafe.Slice(t.b, (t.count-1)*t.bStep+t.k*wide)
	c := unsafe.Slice(t.c, (rows-1)*t.ldc+t.count*wide)
	var acc [2 * portableLanes]float32
	for i := range t.count {
		for j := 0; j < wide; j += portableLanes {
			panel := b[i*t.bStep+j:]
			if rows == 2 {
				dot2x4(&acc, t, a, panel, wide)
			} else {
				dot1x4(&acc, t, a, panel, wide)
			}
			for r := range rows {
				copy(c[r*t.ldc+i*wide+j:], acc[r*portableLanes:(r+1)*portableLanes])
			}
		}
	}
}

func dot2x4(acc *[2 * portableLanes]float32, t *tileArgs, a, b []float32, wide int) {
	var s0, s1, s2, s3, u0, u1, u2, u3 float32
	for k := range t.k {
		x, y := a[k*t.cs], a[k*t.cs+t.rs]
		q := b[k*wide : k*wide+4]
		s0 += x * q[0]
		s1 += x * q[1]
		s2 += x * q[2]
		s3 += x * q[3]
		u0 += y * q[0]
		u1 += y * q[1]
		u2 += y * q[2]
		u3 += y * q[3]
	}
	*acc = [2 * portableLanes]float32{s0, s1, s2, s3, u0, u1, u2, u3}
}

func dot1x4(acc *[2 * portableLanes]float32, t *tileArgs, a, b []float32, wide int) {
	var s0, s1, s2, s3 float32
	for k := range t.k {
		x := a[k*t.cs]
		q := b[k*wide : k*wide+4]
		s0 += x * q[0]
		s1 += x * q[1]
		s2 += x * q[2]
		s3 += x * q[3]
	}
	*acc = [2 * portableLanes]float32{s0, s1, s2, s3}
}

func packHalfGo(dst []float32, stride int, src []float32, ld, width, k int) {
	packRowsGo(dst, stride, src, ld, [3]int{width, k, portableLanes})
}

func packWholeGo(dst []float32, stride int, src []float32, ld, width, k int) {
	packRowsGo(dst, stride, src, ld, [3]int{width, k, 2 * portableLanes})
}

// packRowsGo takes the sizes width, k and wide.
func packRowsGo(dst []float32, stride int, src []float32, ld int, size [3]int) {
	for k := range size[1] {
		d := dst[k*stride : k*stride+size[2]]
		n := copy(d, src[k*ld:k*ld+size[0]])
		clear(d[n:])
	}
}

func packColumnsGo(dst []float32, stride int, src []float32, ld, rows, k int) {
	for c := range k {
		for i := range portableLanes {
			dst[c*stride+i] = src[min(i, rows-1)*ld+c]
		}
	}
}

func packGroupsGo(raw *byte) {
	t := (*groupPack)(unsafe.Pointer(raw))
	dst := unsafe.Slice(t.dst, (t.count-1)*t.step+t.k*t.width)
	src := unsafe.Slice(t.src, (t.k-1)*t.ld+t.count*t.width)
	for g := range t.count {
		for k := range t.k {
			copy(dst[g*t.step+k*t.width:][:t.width], src[k*t.ld+g*t.width:])
		}
	}
}
