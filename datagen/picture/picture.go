// Package picture decodes images that come from strangers, and changes their
// size. All arithmetic on pixels is in integers, so that the results have the
// same bits on every processor.
//
// Start reading at Decode and RGB.Resize.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/gif"  // decoder
	_ "image/jpeg" // decoder
	_ "image/png"  // decoder

	_ "golang.org/x/image/webp" // decoder

	"tempera/datagen/sample"
)

// RGB is an image without alpha: Pix holds H rows of W pixels of three bytes.
type RGB struct {
	W, H int
	Pix  []byte // (H, W, 3)
}

// New returns a black image.
func New(w, h int) *RGB { return &RGB{W: w, H: h, Pix: make([]byte, w*h*3)} }

// Limits bound what Decode accepts. Zero fields mean the defaults.
type Limits struct {
	MaxBytes  int64 `json:"max_bytes,omitempty"`  // of the encoded image; default 32 MiB
	MaxPixels int   `json:"max_pixels,omitempty"` // width times height; default 64 Mi
	MaxSide   int   `json:"max_side,omitempty"`   // width, and height; default 16384
}

// WithDefaults fills the zero fields in.
func (l Limits) WithDefaults() Limits {
	if l.MaxBytes == 0 {
		l.MaxBytes = 32 << 20
	}
	if l.MaxPixels == 0 {
		l.MaxPixels = 64 << 20
	}
	if l.MaxSide == 0 {
		l.MaxSide = 16384
	}
	return l
}

// formats maps the names that package image registers to sample formats.
var formats = map[string]string{"png": "png", "jpeg": "jpg", "gif": "gif", "webp": "webp"}

// Inspect reads the header of an image and checks it against the limits,
// without decoding pixels. Its error is a *sample.Fault without Item.
func Inspect(data []byte, lim Limits) (format string, err error) {
	lim = lim.WithDefaults()
	if int64(len(data)) > lim.MaxBytes {
		return "", sample.Faulty("", sample.ReasonSize, fmt.Errorf("%d bytes, the limit is %d", len(data), lim.MaxBytes))
	}
	cfg, name, err := decodeConfig(data)
	if err != nil {
		return "", err
	}
	if cfg.Width <= 0 || cfg.Height <= 0 {
		return "", sample.Faulty("", sample.ReasonBroken, fmt.Errorf("%dx%d pixels", cfg.Width, cfg.Height))
	}
	if cfg.Width > lim.MaxSide || cfg.Height > lim.MaxSide || cfg.Width > lim.MaxPixels/cfg.Height {
		return "", sample.Faulty("", sample.ReasonBomb,
			fmt.Errorf("%dx%d pixels, the limits are %d a side and %d in all", cfg.Width, cfg.Height, lim.MaxSide, lim.MaxPixels))
	}
	return formats[name], nil
}

// decodeConfig turns a decoder's panic into a fault: the input is hostile.
func decodeConfig(data []byte) (cfg image.Config, name string, err error) {
	defer recoverBroken(&err)
	cfg, name, err = image.DecodeConfig(bytes.NewReader(data))
	switch {
	case errors.Is(err, image.ErrFormat):
		return cfg, "", sample.Faulty("", sample.ReasonFormat, nil)
	case err != nil:
		return cfg, "", sample.Faulty("", sample.ReasonBroken, err)
	case formats[name] == "":
		return cfg, "", sample.Faulty("", sample.ReasonFormat, fmt.Errorf("%s", name))
	}
	return cfg, name, nil
}

// Decode decodes an image, after its header has passed Inspect. Transparent
// parts become white. Of an animation the first frame is taken. Its error is a
// *sample.Fault without Item.
func Decode(data []byte, lim Limits) (*RGB, error) {
	if _, err := Inspect(data, lim); err != nil {
		return nil, err
	}
	m, err := decode(data)
	if err != nil {
		return nil, err
	}
	b := m.Bounds()
	out := New(b.Dx(), b.Dy())
	if onto, ok := m.(*image.NRGBA); ok && onto.Opaque() {
		out.fromOpaque(onto.Pix, onto.Stride)
		return out, nil
	}
	if onto, ok := m.(*image.RGBA); ok && onto.Opaque() {
		out.fromOpaque(onto.Pix, onto.Stride)
		return out, nil
	}
	canvas := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(canvas, canvas.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(canvas, canvas.Rect, m, b.Min, draw.Over)
	out.fromOpaque(canvas.Pix, canvas.Stride)
	return out, nil
}

// DecodeRGBA decodes an image with its alpha, premultiplied, under the same
// rules as Decode.
func DecodeRGBA(data []byte, lim Limits) (*image.RGBA, error) {
	if _, err := Inspect(data, lim); err != nil {
		return nil, err
	}
	m, err := decode(data)
	if err != nil {
		return nil, err
	}
	b := m.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(out, out.Rect, m, b.Min, draw.Src)
	return out, nil
}

func decode(data []byte) (m image.Image, err error) {
	defer recoverBroken(&err)
	m, _, err = image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, sample.Faulty("", sample.ReasonBroken, err)
	}
	return m, nil
}

func recoverBroken(err *error) {
	if p := recover(); p != nil {
		*err = sample.Faulty("", sample.ReasonBroken, fmt.Errorf("decoder: %v", p))
	}
}

func (m *RGB) fromOpaque(pix []byte, stride int) {
	for y := range m.H {
		src, dst := pix[y*stride:y*stride+4*m.W], m.Pix[y*m.W*3:(y+1)*m.W*3]
		for x := range m.W {
			dst[3*x], dst[3*x+1], dst[3*x+2] = src[4*x], src[4*x+1], src[4*x+2]
		}
	}
}

// Crop copies the w by h pixels at (x, y), which must lie inside m.
func (m *RGB) Crop(x, y, w, h int) *RGB {
	out := New(w, h)
	for r := range h {
		copy(out.Pix[r*w*3:(r+1)*w*3], m.Pix[((y+r)*m.W+x)*3:])
	}
	return out
}

// Square returns the largest square in the middle of m.
func (m *RGB) Square() *RGB {
	s := min(m.W, m.H)
	if m.W == m.H {
		return m
	}
	return m.Crop((m.W-s)/2, (m.H-s)/2, s, s)
}
