package reference

import (
	"cmp"

	"tempera/training/device"
)

// Gather is part of device.Rows.
func (b *Backend) Gather(a device.GatherArgs) {
	table, y, ld := b.of(a.Table), b.of(a.Y), cmp.Or(a.LDY, a.Cols)
	for i, t := range b.ints(a.Index) {
		for c := range a.Cols {
			y[i*ld+c] = 0
			if t >= 0 {
				y[i*ld+c] = table[t*a.Cols+c]
			}
		}
	}
}

// GatherBackward is part of device.Rows.
func (b *Backend) GatherBackward(a device.GatherBackwardArgs) {
	table, dy, ld := b.of(a.DTable), b.of(a.DY), cmp.Or(a.LDDY, a.Cols)
	for i, t := range b.ints(a.Index) {
		if t < 0 {
			continue
		}
		for c := range a.Cols {
			table[t*a.Cols+c] += dy[i*ld+c]
		}
	}
}

// CopyBlock is part of device.Rows.
func (b *Backend) CopyBlock(a device.CopyBlockArgs) {
	x, y := b.of(a.X), b.of(a.Y)
	ldx, ldy := cmp.Or(a.LDX, a.Cols), cmp.Or(a.LDY, a.Cols)
	for r := range a.Rows {
		for c := range a.Cols {
			put(&y[a.OffsetY+r*ldy+c], x[a.OffsetX+r*ldx+c], a.Accumulate)
		}
	}
}

// Patchify is part of device.Rows.
func (b *Backend) Patchify(a device.PatchifyArgs) {
	images, patches := b.of(a.Images), b.of(a.Patches)
	eachPixel(a, func(image, patch int) { patches[patch] = images[image] })
}

// Unpatchify is part of device.Rows.
func (b *Backend) Unpatchify(a device.PatchifyArgs) {
	images, patches := b.of(a.Images), b.of(a.Patches)
	eachPixel(a, func(image, patch int) { images[image] = patches[patch] })
}

// eachPixel visits every element by its place in the images and in the patches.
func eachPixel(a device.PatchifyArgs, visit func(image, patch int)) {
	n := a.Patch
	down, across := a.Height/n, a.Width/n
	for i := range a.B * a.Channels * a.Height * a.Width {
		x, y := i%a.Width, i/a.Width%a.Height
		channel, row := i/a.Width/a.Height%a.Channels, i/a.Width/a.Height/a.Channels
		patch := (row*down+y/n)*across + x/n
		visit(i, ((patch*a.Channels+channel)*n+y%n)*n+x%n)
	}
}

// lengthOf is the number of tokens of row r that count.
func lengthOf(lengths []int, r, all int) int {
	if lengths == nil {
		return all
	}
	return lengths[r]
}

// MeanPool is part of device.Rows.
func (b *Backend) MeanPool(a device.MeanPoolArgs) {
	x, y, lengths := b.of(a.X), b.of(a.Y), b.ints(a.Lengths)
	for r := range a.B {
		n := lengthOf(lengths, r, a.T)
		for c := range a.C {
			var sum float64
			for t := range n {
				sum += x[(r*a.T+t)*a.C+c]
			}
			y[r*a.C+c] = sum / float64(max(1, n))
		}
	}
}

// MeanPoolBackward is part of device.Rows.
func (b *Backend) MeanPoolBackward(a device.MeanPoolBackwardArgs) {
	dx, dy, lengths := b.of(a.DX), b.of(a.DY), b.ints(a.Lengths)
	for r := range a.B {
		n := lengthOf(lengths, r, a.T)
		for t := range a.T {
			for c := range a.C {
				d := 0.0
				if t < n {
					d = dy[r*a.C+c] / float64(n)
				}
				put(&dx[(r*a.T+t)*a.C+c], d, a.Accumulate)
			}
		}
	}
}
