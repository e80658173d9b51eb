package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// littleEndian tells whether memory has the order of files, so that values need
// no decoding.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// bytesOf is the memory of v, seen as bytes.
func bytesOf[T float32 | int32](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// floatsIn is b seen as float32 values; nil where its address or the order of
// bytes does not allow it.
func floatsIn(b []byte) []float32 {
	p := unsafe.Pointer(unsafe.SliceData(b))
	if !littleEndian || uintptr(p)%4 != 0 {
		return nil
	}
	return unsafe.Slice((*float32)(p), len(b)/4)
}

// decoder turns the bytes of elements into float32, len(dst) of them.
type decoder func(dst []float32, b []byte)

// decoders are the conversions to float32. Types of eight bits with an exponent
// are not among them: they mean something only with scales that stand elsewhere.
var decoders = map[DType]decoder{
	F64: func(dst []float32, b []byte) {
		decode8(dst, b, func(v uint64) float32 { return float32(math.Float64frombits(v)) })
	},
	I64:  func(dst []float32, b []byte) { decode8(dst, b, func(v uint64) float32 { return float32(int64(v)) }) },
	F32:  func(dst []float32, b []byte) { decode4(dst, b, math.Float32frombits) },
	I32:  func(dst []float32, b []byte) { decode4(dst, b, func(v uint32) float32 { return float32(int32(v)) }) },
	F16:  fromHalves,
	BF16: fromBrains,
	I16:  func(dst []float32, b []byte) { decode2(dst, b, func(v uint16) float32 { return float32(int16(v)) }) },
	I8:   func(dst []float32, b []byte) { decode1(dst, b, func(v byte) float32 { return float32(int8(v)) }) },
	U8:   func(dst []float32, b []byte) { decode1(dst, b, func(v byte) float32 { return float32(v) }) },
	Bool: func(dst []float32, b []byte) { decode1(dst, b, func(v byte) float32 { return float32(min(v, 1)) }) },
}

func decode8(dst []float32, b []byte, f func(uint64) float32) {
	for i := range dst {
		dst[i] = f(binary.LittleEndian.Uint64(b[8*i:]))
	}
}

func decode4(dst []float32, b []byte, f func(uint32) float32) {
	for i := range dst {
		dst[i] = f(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

func decode2(dst []float32, b []byte, f func(uint16) float32) {
	for i := range dst {
		dst[i] = f(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

func decode1(dst []float32, b []byte, f func(byte) float32) {
	for i := range dst {
		dst[i] = f(b[i])
	}
}

// fromBrains and fromHalves have loops of their own: models are mostly of these.
func fromBrains(dst []float32, b []byte) {
	b = b[:2*len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(b[2*i])<<16 | uint32(b[2*i+1])<<24)
	}
}

func fromHalves(dst []float32, b []byte) {
	b = b[:2*len(dst)]
	for i := range dst {
		dst[i] = fromHalf(uint16(b[2*i]) | uint16(b[2*i+1])<<8)
	}
}

func decoderOf(i Info) (decoder, error) {
	d, ok := decoders[i.DType]
	if !ok {
		return nil, fmt.Errorf("tensor %q is of type %s, which cannot become float32: convert the file to F32 or BF16 with the tool that made it", i.Name, i.DType)
	}
	return d, nil
}

// fromHalf widens an IEEE 754 half, exactly.
func fromHalf(h uint16) float32 {
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10)&31, uint32(h&0x3ff)
	switch exponent {
	case 0: // fraction * 2^-24, in which float32 has no subnormals
		v := float32(fraction) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// toHalf rounds to the nearest half, ties to even; what is too large becomes infinite.
func toHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	abs := b & 0x7fffffff
	switch {
	case abs > 0x7f800000:
		return sign | 0x7e00 // not a number
	case abs >= 0x477ff000: // 65520, the middle between the greatest half and the next power of two
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^-14: the unit is 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(abs))*(1<<24)))
	}
	abs -= (127 - 15) << 23
	return sign | uint16((abs+0xfff+abs>>13&1)>>13)
}

// toBrain rounds to the nearest bfloat16, ties to even.
func toBrain(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40 // not a number, whatever the bits that are cut off
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
