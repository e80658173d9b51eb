//go:build gpu

package cuda

import (
	"encoding/binary"
	"math"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
)

// clipBytes is the size of a Clip of optimiser.cu: the sum of squares, then what follows from it.
const clipBytes = 16

// Update is part of device.Optimiser. One kernel adds up the squares of all gradients, one moves all of AdamW's parameters, and Muon's go shape by shape. The clip
// stays on the device; the host waits for the norm only when all has been asked for. Copies of parameters that products read are written too.
func (b *Backend) Update(a device.UpdateArgs) (float64, error) {
	p := b.products
	p.mu.Lock()
	defer p.mu.Unlock()
	clip, err := b.clip(a.Grads, a.Clip)
	if err != nil {
		return 0, err
	}
	if err := b.adamw(a.AdamW, clip); err != nil {
		return 0, err
	}
	if err := b.muon(a.Muon, clip); err != nil {
		return 0, err
	}
	squares, err := b.squares(clip)
	return math.Sqrt(squares), err
}

// SumSquares is part of device.Optimiser.
func (b *Backend) SumSquares(vs []*device.Value) (float64, error) {
	p := b.products
	p.mu.Lock()
	defer p.mu.Unlock()
	clip, err := b.clip(vs, 0)
	if err != nil {
		return 0, err
	}
	return b.squares(clip)
}

// squares waits for the sum of a clip.
func (b *Backend) squares(clip driver.Pointer) (float64, error) {
	var sum [8]byte
	err := b.staging.download(sum[:], clip)
	return math.Float64frombits(binary.LittleEndian.Uint64(sum[:])), err
}

// clip asks for the clip of gradients. The caller holds products.mu as long as it is in use.
func (b *Backend) clip(vs []*device.Value, most float64) (driver.Pointer, error) {
	type summed struct {
		x driver.Pointer
		place
		bytes int64
	}
	var list []summed
	blocks := 0
	for _, v := range vs {
		if t := v.Desc().DType; v.Size() > 0 {
			list = append(list, summed{reading(v, t), deal(v, &blocks), int64(t.Bytes())})
		}
	}
	var l layout
	clip, partial, at := l.part(clipBytes), l.part(8*blocks), l.part(listBytes(list))
	w, err := b.products.spare(spareClip, l.bytes)
	if err != nil {
		return 0, err
	}
	if blocks > 0 {
		if err := send(b, w+at, list); err != nil {
			return 0, err
		}
		b.kernel("optimiser", "sum_squares", single).pointer(w + at).i32(len(list)).pointer(w + partial).launch(driver.Grid{X: blocks, ThreadsX: threads})
	}
	b.kernel("optimiser", "clip", single).pointer(w + clip).pointer(w + partial).i64(blocks).f32(float32(most)).launch(driver.Grid{ThreadsX: threads})
	return w + clip, nil
}

// adamw moves all parameters of a list.
func (b *Backend) adamw(as []device.AdamWArgs, clip driver.Pointer) error {
	type adam struct {
		p, g, m, v, narrow driver.Pointer
		place
		b1, c1, b2, c2, rate, root, eps, keep float32
	}
	var list []adam
	blocks := 0
	for _, a := range as {
		if a.Step < 1 {
			panic("cuda: the first step of AdamW is 1")
		}
		if same("AdamW", a.P, a.G, a.M, a.V) == 0 {
			continue
		}
		const t = device.Float32
		list = append(list, adam{
			address(a.P, t), reading(a.G, t), address(a.M, t), address(a.V, t), copyOf(a.P).address(), deal(a.P, &blocks),
			float32(a.Beta1), float32(1 - a.Beta1), float32(a.Beta2), float32(1 - a.Beta2),
			float32(a.LR / (1 - math.Pow(a.Beta1, float64(a.Step)))), float32(1 / math.Sqrt(1-math.Pow(a.Beta2, float64(a.Step)))),
			float32(a.Eps), float32(1 - a.LR*a.Decay),
		})
	}
	if blocks == 0 {
		return nil
	}
	at, err := b.products.spare(spareWork, listBytes(list))
	if err == nil {
		err = send(b, at, list)
	}
	if err != nil {
		return err
	}
	b.kernel("optimiser", "adamw", single).pointer(at).i32(len(list)).pointer(clip).launch(driver.Grid{X: blocks, ThreadsX: threads})
	for _, a := range as {
		copyOf(a.P).renewed()
	}
	return nil
}

// EMA is part of device.Optimiser.
func (b *Backend) EMA(dst, x *device.Value, decay float32) {
	n := same("EMA", dst, x)
	b.kernel("optimiser", "ema", single).floats(dst).pointer(reading(x, device.Float32)).f32(decay).f32(float32(1 - float64(decay))).i64(n).each(n)
}

// Clamp is part of device.Optimiser.
func (b *Backend) Clamp(v *device.Value, lo, hi float32) {
	n := v.Size()
	b.kernel("optimiser", "clamp", single).floats(v).f32(lo).f32(hi).i64(n).each(n)
}
