package checkpoint

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// half is the value of a half by its definition.
func half(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	e, f := int(h>>10&31), float64(h&0x3ff)
	switch {
	case e == 31 && f != 0:
		return math.NaN()
	case e == 31:
		return math.Inf(int(sign))
	case e == 0:
		return sign * math.Ldexp(f, -24)
	}
	return sign * math.Ldexp(1024+f, e-25)
}

func TestHalvesAreConvertedExactlyBothWays(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		want, got := half(h), fromHalf(h)
		if math.IsNaN(want) {
			require.True(t, math.IsNaN(float64(got)), "%04x", h)
			require.True(t, math.IsNaN(half(toHalf(got))), "%04x", h)
			continue
		}
		require.Equal(t, want, float64(got), "%04x", h)
		require.Equal(t, h, toHalf(got), "%04x", h)
		require.Equal(t, math.Signbit(want), math.Signbit(float64(got)), "%04x", h)
		if h&0x7fff >= 0x7bff {
			continue // no finite half is above
		}
		above := half(h + 1)
		middle := float32((want + above) / 2)
		even := h + h&1
		require.Equal(t, even, toHalf(middle), "a tie goes to the even one: %04x", h)
		require.Equal(t, h+1, toHalf(math.Nextafter32(middle, float32(above))), "%04x", h)
		require.Equal(t, h, toHalf(math.Nextafter32(middle, float32(want))), "%04x", h)
	}
	require.Equal(t, uint16(0x7c00), toHalf(65520))
	require.Equal(t, uint16(0x7bff), toHalf(65519))
}

func TestBfloat16IsRoundedToTheNearestAndTiesToEven(t *testing.T) {
	for in, want := range map[uint32]uint16{
		0x3f800000: 0x3f80, 0x3f808000: 0x3f80, 0x3f808001: 0x3f81, 0x3f818000: 0x3f82, 0x3f817fff: 0x3f81,
		0x7f7fffff: 0x7f80, 0xff800000: 0xff80, 0x00000001: 0, 0x80000000: 0x8000, 0x7f800001: 0x7fc0,
	} {
		require.Equal(t, want, toBrain(math.Float32frombits(in)), "%08x", in)
	}
}

func TestEveryTypeWithValuesIsReadAsFloat32(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		dtype DType
		data  []any
		want  []float32
	}{
		{F64, []any{1.5, -2.0, 1e300, 0.1}, []float32{1.5, -2, inf, 0.1}},
		{F32, []any{float32(1.5), float32(-2)}, []float32{1.5, -2}},
		{F16, []any{uint16(0x3e00), uint16(0xfc00)}, []float32{1.5, -inf}},
		{BF16, []any{uint16(0x3fc0), uint16(0xc000)}, []float32{1.5, -2}},
		{I64, []any{int64(-3), int64(1 << 40)}, []float32{-3, 1 << 40}},
		{I32, []any{int32(-3), int32(7)}, []float32{-3, 7}},
		{I16, []any{int16(-3), int16(7)}, []float32{-3, 7}},
		{I8, []any{int8(-3), int8(7)}, []float32{-3, 7}},
		{U8, []any{byte(200)}, []float32{200}},
		{Bool, []any{byte(0), byte(1)}, []float32{0, 1}},
	} {
		t.Run(string(c.dtype), func(t *testing.T) {
			var b bytes.Buffer
			for _, v := range c.data {
				require.NoError(t, binary.Write(&b, binary.LittleEndian, v))
			}
			head := `{"a":{"dtype":"` + string(c.dtype) + `","shape":[` + string('0'+rune(len(c.data))) + `],"data_offsets":[0,` + itoa(b.Len()) + `]}}`
			raw := append(withHeader(head, 0), b.Bytes()...)
			f, err := Open(bytes.NewReader(raw), int64(len(raw)))
			require.NoError(t, err)
			got, err := f.Floats("a")
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	raw := withHeader(`{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}`, 2)
	f, err := Open(bytes.NewReader(raw), int64(len(raw)))
	require.NoError(t, err)
	_, err = f.Floats("a")
	require.ErrorContains(t, err, "convert the file to F32 or BF16")
}
