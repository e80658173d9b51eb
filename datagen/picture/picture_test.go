package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/sample"
)

func encoded(t *testing.T, format string) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 8, 6))
	for i := range m.Pix {
		m.Pix[i] = 200
	}
	var buf bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&buf, m)
	case "jpg":
		err = jpeg.Encode(&buf, m, nil)
	case "gif":
		err = gif.Encode(&buf, m, nil)
	}
	require.NoError(t, err)
	return buf.Bytes()
}

// bomb is a PNG header that promises a huge image.
func bomb(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n")
	chunk := []byte("IHDR")
	chunk = binary.BigEndian.AppendUint32(chunk, w)
	chunk = binary.BigEndian.AppendUint32(chunk, h)
	chunk = append(chunk, 8, 2, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 13)
	b = append(b, chunk...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(chunk))
}

func TestDecodeRefuses(t *testing.T) {
	good := encoded(t, "png")
	for _, c := range []struct {
		name   string
		data   []byte
		limits Limits
		want   string
	}{
		{"no bytes", nil, Limits{}, sample.ReasonFormat},
		{"text", []byte("<html>not found</html>"), Limits{}, sample.ReasonFormat},
		{"a cut image", good[:len(good)/2], Limits{}, sample.ReasonBroken},
		{"a wrong checksum", append(append([]byte{}, good[:40]...), bytes.Repeat([]byte{1}, 40)...), Limits{}, sample.ReasonBroken},
		{"a decompression bomb", bomb(60000, 60000), Limits{}, sample.ReasonBomb},
		{"a long thin bomb", bomb(1<<30, 1), Limits{}, sample.ReasonBomb},
		{"more pixels than allowed", good, Limits{MaxPixels: 40}, sample.ReasonBomb},
		{"a longer side than allowed", good, Limits{MaxSide: 7}, sample.ReasonBomb},
		{"more bytes than allowed", good, Limits{MaxBytes: 10}, sample.ReasonSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode(c.data, c.limits)
			var fault *sample.Fault
			require.True(t, errors.As(err, &fault), "%v", err)
			require.Equal(t, c.want, fault.Reason, "%v", err)
		})
	}
}

func TestDecodeReadsEveryFormat(t *testing.T) {
	for _, format := range []string{"png", "jpg", "gif"} {
		data := encoded(t, format)
		got, err := Inspect(data, Limits{})
		require.NoError(t, err)
		require.Equal(t, format, got)
		m, err := Decode(data, Limits{})
		require.NoError(t, err)
		require.Equal(t, [2]int{8, 6}, [2]int{m.W, m.H})
		if format == "png" { // alpha 200 of 200-grey over white
			require.InDelta(t, 212, int(m.Pix[0]), 1)
		}
	}
}

func TestPNGComesBack(t *testing.T) {
	m := New(5, 3)
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7)
	}
	data, err := m.PNG()
	require.NoError(t, err)
	back, err := Decode(data, Limits{})
	require.NoError(t, err)
	require.Equal(t, m, back)
	require.Equal(t, color.RGBA{m.Pix[3], m.Pix[4], m.Pix[5], 255}, m.At(1, 0))
}

func TestResize(t *testing.T) {
	step := New(4, 2) // left half black, right half white
	for y := range 2 {
		for x := 2; x < 4; x++ {
			copy(step.Pix[3*(y*4+x):], []byte{255, 255, 255})
		}
	}
	row := func(m *RGB) (out []int) {
		for x := range m.W {
			out = append(out, int(m.Pix[3*x]))
		}
		return out
	}
	require.Equal(t, []int{0, 255}, row(step.Resize(2, 1)))
	require.Equal(t, []int{0, 128, 255}, row(step.Resize(3, 1)))
	require.Equal(t, []int{128}, row(step.Resize(1, 1)))
	require.Equal(t, []int{0, 0, 0, 64, 191, 255, 255, 255}, row(step.Resize(8, 2)))
	require.Equal(t, step.Pix, step.Resize(4, 2).Pix)
}

func TestResizeKeepsAFlatColour(t *testing.T) {
	flat := New(13, 7)
	for i := range flat.Pix {
		flat.Pix[i] = []byte{255, 128, 1}[i%3]
	}
	for _, size := range [][2]int{{1, 1}, {5, 3}, {12, 6}, {13, 7}, {40, 29}, {3, 20}} {
		for i, v := range flat.Resize(size[0], size[1]).Pix {
			require.Equal(t, []byte{255, 128, 1}[i%3], v, "%v", size)
		}
	}
}

func TestSquareIsTheMiddle(t *testing.T) {
	m := New(6, 2)
	copy(m.Pix[3*2:], []byte{9, 9, 9})
	require.Equal(t, byte(9), m.Square().Pix[0])
	require.Equal(t, 2, m.Square().W)
}

func FuzzDecode(f *testing.F) {
	f.Add(bomb(70000, 2))
	f.Add([]byte("GIF89a\x01\x00\x01\x00"))
	f.Add([]byte("RIFF\x10\x00\x00\x00WEBPVP8 "))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data, Limits{MaxPixels: 1 << 16})
		var fault *sample.Fault
		if err != nil && !errors.As(err, &fault) || err == nil && len(m.Pix) != 3*m.W*m.H {
			t.Fatal(err)
		}
	})
}
