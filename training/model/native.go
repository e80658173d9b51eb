package model

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// Packed are images of any sizes in a graph, their patches one after the other
// (moonvit). PackImages makes what is fed.
type Packed struct {
	Patches       *graph.Node // (N, 3 patch patch)
	Down, Across  *graph.Node // int32 (N): row and column of a patch
	Height, Width *graph.Node // int32 (N): of its image, in patches
	Ends          *graph.Node // int32: 0, then where each image ends, then N as often as there is place
	// Squares, int32 (N), are the patches square by square, as the projector joins them;
	// nil where there is no projector.
	Squares *graph.Node
}

// PackedStates runs the vision transformer over packed images, which do not see each
// other: (N, C). Learned positions are resized to each image, rotary ones turn by row
// and column (Kimi-VL, Moonshot 2025).
func (m *Model) PackedStates(g *graph.Graph, p Packed) *graph.Node {
	v := m.Config.Vision
	x := m.linear(g, "vision.patch", p.Patches, op.LinearOptions{}) // (N, C)
	n := x.Dim(0)
	x = op.Add(g, x, m.gridPosition(g, op.GridArgs{Down: p.Down, Across: p.Across, Heights: p.Height, Widths: p.Width}))
	half := v.Width / v.Heads / 2
	rope := &op.RoPEOptions{
		HeadWidth: 2 * half, Heads: 2 * v.Heads, Index: p.Down, ColIndex: p.Across,
		Table: m.table(device.RoPESpec{Width: half, Theta: v.Rope.Theta, Rows: counting(v.Side)}),
	}
	a := attend{rope: rope, AttentionOptions: op.AttentionOptions{Heads: v.Heads, Packed: p.Ends}}
	return g.Reshape(m.visionBlocks(g, g.Reshape(x, 1, n, v.Width), a), n, v.Width)
}

func (m *Model) gridPosition(g *graph.Graph, a op.GridArgs) *graph.Node {
	return op.GridPosition(g, m.p(g, "vision.position"), a)
}

// evenGrid are the positions (P, C) and rotations of the patches of an image of the
// usual size.
func (m *Model) evenGrid(g *graph.Graph) (*graph.Node, *op.RoPEOptions) {
	v := m.Config.Vision
	side := v.GridSide()
	rows, cols := op.Grid(side, side)
	sides := make([]int32, len(rows))
	for i := range sides {
		sides[i] = int32(side)
	}
	size := g.Ints(sides)
	position := m.gridPosition(g, op.GridArgs{Down: g.Ints(rows), Across: g.Ints(cols), Heights: size, Widths: size})
	width := v.Width / v.Heads
	table := m.table(device.RoPESpec{Width: width, Theta: v.Rope.Theta, Rows: rows, Cols: cols})
	return position, &op.RoPEOptions{HeadWidth: width, Heads: 2 * v.Heads, Table: table}
}

// table makes the rotations that the layers of a tower share.
func (m *Model) table(s device.RoPESpec) device.RoPETable {
	t, err := m.backend.NewRoPETable(s)
	if err != nil {
		panic(&graph.Fault{Op: "rope", Reason: err.Error()})
	}
	return t
}

// PackedInput declares the inputs of packed images: N patches, a multiple of the
// projector's square, of at most so many images. PackedImages.Feed feeds them.
func (m *Model) PackedInput(g *graph.Graph, s PackedShape) Packed {
	v, n := m.Config.Vision, s.Patches
	p := Packed{
		Patches: g.Input(patchesInput, device.Float32, n, 3*v.Patch*v.Patch),
		Down:    g.Input(downInput, device.Int32, n), Across: g.Input(acrossInput, device.Int32, n),
		Height: g.Input(heightInput, device.Int32, n), Width: g.Input(widthInput, device.Int32, n),
		Ends: g.Input(imageEndsInput, device.Int32, s.Images+2),
	}
	if m.Config.Kind == VLM {
		p.Squares = g.Input(squaresInput, device.Int32, n)
	}
	return p
}

// Names of the inputs of packed images, and of how many tokens they become, which is
// no input.
const (
	patchesInput   = "patches"
	downInput      = "patch_down"
	acrossInput    = "patch_across"
	heightInput    = "patch_height"
	widthInput     = "patch_width"
	imageEndsInput = "image_ends"
	squaresInput   = "patch_squares"
	imageTokens    = "image_tokens"
)

// PackedShape is the room for packed images in a graph.
type PackedShape struct {
	Patches int `json:"patches"` // of all images together
	Images  int `json:"images"`
}

// Image is a picture: three channels, one after the other, each row by row.
type Image struct {
	Pixels        []float32
	Height, Width int // in pixels
}

// PackedImages is what the inputs of packed images are fed.
type PackedImages struct {
	Tokens []int // of each image, after the projector has joined its squares
	floats []float32
	ints   map[string][]int32
}

// Arrays is where named arrays are kept, to be filled: a batch of training.
type Arrays interface {
	Float32s(name string, n int) []float32
	Int32s(name string, n int) []int32
}

// Put copies what is packed to arrays, from which ReadPacked takes it.
func (p *PackedImages) Put(a Arrays) {
	copy(a.Float32s(patchesInput, len(p.floats)), p.floats)
	for name, v := range p.ints {
		copy(a.Int32s(name, len(v)), v)
	}
	total := 0
	for _, n := range p.Tokens {
		total += n
	}
	a.Int32s(imageTokens, 1)[0] = int32(total)
}

// FilledArrays is where named arrays are read.
type FilledArrays interface {
	ReadFloat32s(name string, n int) ([]float32, error)
	ReadInt32s(name string, n int) ([]int32, error)
}

// ReadPacked takes packed images from arrays and checks them: kernels would not.
// The second result is the number of tokens of all images.
func (c Config) ReadPacked(s PackedShape, a FilledArrays) (*PackedImages, int, error) {
	n, side := s.Patches, int32(c.Vision.Side)
	var errs []error
	ints := func(name string, n int, from, to int32) []int32 {
		v, err := a.ReadInt32s(name, n)
		for i, x := range v {
			if x < from || x > to {
				err = fmt.Errorf("element %d of the batch's %s is %d, want %d to %d", i, name, x, from, to)
				break
			}
		}
		errs = append(errs, err)
		return v
	}
	last := int32(n)
	p := &PackedImages{ints: map[string][]int32{
		downInput: ints(downInput, n, 0, side-1), acrossInput: ints(acrossInput, n, 0, side-1),
		heightInput: ints(heightInput, n, 1, side), widthInput: ints(widthInput, n, 1, side),
		squaresInput: ints(squaresInput, n, 0, last-1), imageEndsInput: ints(imageEndsInput, s.Images+2, 0, last),
	}}
	var err error
	p.floats, err = a.ReadFloat32s(patchesInput, n*3*c.Vision.Patch*c.Vision.Patch)
	total := ints(imageTokens, 1, 0, last)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, 0, err
	}
	if ends := p.ints[imageEndsInput]; !slices.IsSorted(ends) || ends[0] != 0 || ends[len(ends)-1] != last {
		return nil, 0, fmt.Errorf("the batch's %s are %v, want rising numbers from 0 to %d", imageEndsInput, ends, n)
	}
	return p, int(total[0]), nil
}

// Feed feeds a graph that has PackedInput.
func (p *PackedImages) Feed(g *graph.Graph) error {
	errs := []error{g.Feed(patchesInput, p.floats)}
	for name, v := range p.ints {
		if name == squaresInput && !g.HasInput(name) { // of models without a projector
			continue
		}
		errs = append(errs, g.Feed(name, v))
	}
	return errors.Join(errs...)
}

// PackImages cuts images into patches and lays them one after the other. Sides must
// be multiples of the patch times the projector's Merge, and within Vision.Side.
// Room that is left is filled with images of one square, that nobody looks at.
func (c Config) PackImages(s PackedShape, images []Image) (*PackedImages, error) {
	v, merge := c.Vision, max(c.Projector.Merge, 1)
	if len(images) > s.Images {
		return nil, fmt.Errorf("pack images: %d images, there is room for %d", len(images), s.Images)
	}
	if s.Patches%(merge*merge) != 0 {
		return nil, fmt.Errorf("pack images: room for %d patches, not a multiple of %d: change it", s.Patches, merge*merge)
	}
	k := packing{vision: v, merge: merge, out: &PackedImages{ints: map[string][]int32{imageEndsInput: {0}}}}
	unit := v.Patch * merge
	for i, im := range images {
		h, w := im.Height/v.Patch, im.Width/v.Patch
		switch {
		case len(im.Pixels) != 3*im.Height*im.Width:
			return nil, fmt.Errorf("pack images: image %d has %d values, %d x %d pixels need %d", i, len(im.Pixels), im.Height, im.Width, 3*im.Height*im.Width)
		case im.Height < 1 || im.Width < 1 || im.Height%unit != 0 || im.Width%unit != 0:
			return nil, fmt.Errorf("pack images: image %d is %d x %d pixels, sides must be multiples of %d: resize or pad it", i, im.Height, im.Width, unit)
		case h > v.Side || w > v.Side:
			return nil, fmt.Errorf("pack images: image %d has %d x %d patches, sides are limited to %d: resize it, or raise vision.side", i, h, w, v.Side)
		case k.placed+h*w > s.Patches:
			return nil, fmt.Errorf("pack images: %d images have more than the %d patches that there is room for: take fewer, or raise it", i+1, s.Patches)
		}
		k.add(h, w)
		k.cut(im)
		k.out.Tokens = append(k.out.Tokens, h*w/(merge*merge))
	}
	k.fill(s)
	return k.out, nil
}

// packing lays images one after the other.
type packing struct {
	vision Vision
	merge  int
	placed int
	out    *PackedImages
}

// add places the patches of an image of h x w.
func (k *packing) add(h, w int) {
	ints := k.out.ints
	for i := range h * w {
		ints[downInput] = append(ints[downInput], int32(i/w))
		ints[acrossInput] = append(ints[acrossInput], int32(i%w))
		ints[heightInput] = append(ints[heightInput], int32(h))
		ints[widthInput] = append(ints[widthInput], int32(w))
	}
	for _, i := range squares(h, w, k.merge) {
		ints[squaresInput] = append(ints[squaresInput], int32(k.placed)+i)
	}
	k.placed += h * w
	ints[imageEndsInput] = append(ints[imageEndsInput], int32(k.placed))
}

// cut appends the patches of an image, as op.Patchify orders their values.
func (k *packing) cut(im Image) {
	p := k.vision.Patch
	for top := 0; top < im.Height; top += p {
		for left := 0; left < im.Width; left += p {
			for channel := range 3 {
				for y := range p {
					at := (channel*im.Height+top+y)*im.Width + left
					k.out.floats = append(k.out.floats, im.Pixels[at:at+p]...)
				}
			}
		}
	}
}

// fill uses up the room.
func (k *packing) fill(s PackedShape) {
	ints := k.out.ints
	for k.placed < s.Patches {
		ends := ints[imageEndsInput]
		k.add(k.merge, k.merge)
		ints[imageEndsInput] = ends // all of it is one piece
	}
	for len(ints[imageEndsInput]) < s.Images+2 {
		ints[imageEndsInput] = append(ints[imageEndsInput], int32(s.Patches))
	}
	k.out.floats = append(k.out.floats, make([]float32, s.Patches*3*k.vision.Patch*k.vision.Patch-len(k.out.floats))...)
}

// squares are the patches of an image of h x w, row by row of squares of side n, each
// square row by row.
func squares(h, w, n int) []int32 {
	out := make([]int32, 0, h*w)
	for top := 0; top < h; top += n {
		for left := 0; left < w; left += n {
			for i := range n * n {
				out = append(out, int32((top+i/n)*w+left+i%n))
			}
		}
	}
	return out
}
