package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"sync"
)

// At returns a pixel; with Bounds and ColorModel it makes an RGB an image.Image.
func (m *RGB) At(x, y int) color.Color {
	i := (y*m.W + x) * 3
	return color.RGBA{m.Pix[i], m.Pix[i+1], m.Pix[i+2], 255}
}

// Bounds returns the rectangle from (0, 0) to (W, H).
func (m *RGB) Bounds() image.Rectangle { return image.Rect(0, 0, m.W, m.H) }

// ColorModel returns color.RGBAModel.
func (m *RGB) ColorModel() color.Model { return color.RGBAModel }

type encoderPool struct{ p sync.Pool }

func (e *encoderPool) Get() *png.EncoderBuffer {
	b, _ := e.p.Get().(*png.EncoderBuffer)
	return b
}

func (e *encoderPool) Put(b *png.EncoderBuffer) { e.p.Put(b) }

var encoders encoderPool

// Blank is an encoded picture with nothing on it: grey.
func Blank() ([]byte, error) {
	m := New(8, 8)
	for i := range m.Pix {
		m.Pix[i] = 128
	}
	return m.PNG()
}

// PNG encodes m without compressing it. Small noisy images hardly compress, and
// so the bytes do not depend on any compressor's version.
func (m *RGB) PNG() ([]byte, error) {
	enc := png.Encoder{CompressionLevel: png.NoCompression, BufferPool: &encoders}
	nrgba := image.NewNRGBA(image.Rect(0, 0, m.W, m.H)) // the encoder's fast path
	for i := range m.W * m.H {
		p := nrgba.Pix[4*i : 4*i+4]
		p[0], p[1], p[2], p[3] = m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2], 255
	}
	var buf bytes.Buffer
	buf.Grow(len(m.Pix) + m.H + 256)
	if err := enc.Encode(&buf, nrgba); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
