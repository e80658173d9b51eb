package checkpoint

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func tensors() []Tensor {
	return []Tensor{
		Float32("w", []int{2, 3}, []float32{1, -2, 3.5, float32(math.Inf(1)), 0, 1e-40}),
		Bytes("note", []byte("abc")),
		Int32("step", []int{}, []int32{-7}),
		Float32("empty", []int{0, 4}, nil),
	}
}

func encode(t *testing.T, meta map[string]string, ts []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, meta, ts))
	return b.Bytes()
}

func TestAFileReadsBackAsItWasWritten(t *testing.T) {
	meta := map[string]string{"b": "2", "a": "1 <&>"}
	raw := encode(t, meta, tensors())
	f, err := Open(bytes.NewReader(raw), int64(len(raw)))
	require.NoError(t, err)
	require.Equal(t, meta, f.Metadata())

	w := make([]float32, 6)
	require.NoError(t, f.ReadFloat32("w", w))
	require.Equal(t, tensors()[0].Float32s(), w)
	step := make([]int32, 1)
	require.NoError(t, f.ReadInt32("step", step))
	require.Equal(t, []int32{-7}, step)
	note, err := f.ReadBytes("note")
	require.NoError(t, err)
	require.Equal(t, "abc", string(note))
	info, ok := f.Info("empty")
	require.True(t, ok)
	require.Equal(t, []int{0, 4}, info.Shape)

	require.ErrorContains(t, f.ReadFloat32("v", w), `no tensor "v"`)
	require.ErrorContains(t, f.ReadFloat32("w", w[:5]), "want F32 with 5")
}

func TestEqualContentsGiveEqualBytesWhateverTheOrder(t *testing.T) {
	ts := tensors()
	a := encode(t, map[string]string{"x": "1", "y": "2"}, ts)
	b := encode(t, map[string]string{"y": "2", "x": "1"}, []Tensor{ts[3], ts[2], ts[1], ts[0]})
	require.Equal(t, a, b)
	require.Zero(t, (binary.LittleEndian.Uint64(a)+8)%8, "the data section is aligned")
}

func TestLargeTensorsAreReadInChunks(t *testing.T) {
	data := make([]float32, 2*chunk+5)
	for i := range data {
		data[i] = float32(i)
	}
	raw := encode(t, nil, []Tensor{Float32("w", []int{len(data)}, data)})
	got := make([]float32, len(data))
	s, err := NewStream(bytes.NewReader(raw))
	require.NoError(t, err)
	require.NoError(t, s.Fill([]Tensor{Float32("w", []int{len(data)}, got)}))
	require.Equal(t, data, got)
}

func TestWriteRefusesWhatItCouldNotReadBack(t *testing.T) {
	for name, ts := range map[string][]Tensor{
		"two tensors have the same name":      {Bytes("a", nil), Bytes("a", nil)},
		"the data is shorter than the shape":  {Float32("a", []int{3}, make([]float32, 2))},
		"a size is negative":                  {Float32("a", []int{-1, -2}, make([]float32, 2))},
		"a tensor is named like the metadata": {Bytes(metadataKey, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, Write(&bytes.Buffer{}, nil, ts))
		})
	}
}

func TestAStreamFillsExactlyTheTensorsOfTheFile(t *testing.T) {
	raw := encode(t, map[string]string{"k": "v"}, tensors())
	fresh := func() []Tensor {
		return []Tensor{
			Float32("w", []int{2, 3}, make([]float32, 6)), Bytes("note", make([]byte, 3)),
			Int32("step", []int{}, make([]int32, 1)), Float32("empty", []int{0, 4}, nil),
		}
	}
	open := func(b []byte) *Stream {
		s, err := NewStream(bytes.NewReader(b))
		require.NoError(t, err)
		return s
	}
	dst := fresh()
	require.NoError(t, open(raw).Fill(dst))
	require.Equal(t, tensors()[0].Float32s(), dst[0].Float32s())
	require.Equal(t, []int32{-7}, dst[2].Int32s())

	require.ErrorContains(t, open(raw).Fill(dst[1:]), `"w" is not expected`)
	require.ErrorContains(t, open(raw).Fill(append(fresh(), Bytes("more", nil))), `"more" is missing`)
	dst[0] = Float32("w", []int{3, 2}, make([]float32, 6))
	require.ErrorContains(t, open(raw).Fill(dst), `"w" is F32 [2 3], want F32 [3 2]`)
	require.ErrorIs(t, open(raw[:len(raw)-1]).Fill(fresh()), ErrCorrupt)
	require.ErrorIs(t, open(append(bytes.Clone(raw), 0)).Fill(fresh()), ErrCorrupt)
}

func withHeader(head string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return append(append(b, head...), make([]byte, data)...)
}

func hostile() map[string][]byte {
	t8 := `{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	return map[string][]byte{
		"the file is empty":                         {},
		"the length is above the format's cap":      binary.LittleEndian.AppendUint64(nil, 1<<40),
		"the length is beyond the file":             binary.LittleEndian.AppendUint64(nil, 64),
		"the header is an array":                    withHeader(`[]`, 0),
		"the header is cut off":                     withHeader(`{"a":`+t8, 8),
		"the header has bytes after its object":     withHeader(`{"a":`+t8+`} x`, 8),
		"a name comes twice":                        withHeader(`{"a":`+t8+`,"a":`+t8+`}`, 8),
		"a type is unknown":                         withHeader(`{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}`, 8),
		"a shape overflows":                         withHeader(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0),
		"a shape is negative":                       withHeader(`{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}`, 8),
		"a shape disagrees with its offsets":        withHeader(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8),
		"offsets run backwards":                     withHeader(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}}`, 8),
		"offsets are negative":                      withHeader(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}`, 8),
		"offsets are beyond the file":               withHeader(`{"a":`+t8+`}`, 4),
		"there is one offset":                       withHeader(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, 8),
		"two tensors overlap":                       withHeader(`{"a":`+t8+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12),
		"two tensors share all their bytes":         withHeader(`{"a":`+t8+`,"b":`+t8+`}`, 8),
		"there is a gap between tensors":            withHeader(`{"a":`+t8+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16),
		"the file goes on after the last tensor":    withHeader(`{"a":`+t8+`}`, 12),
		"metadata holds something else than text":   withHeader(`{"__metadata__":{"a":1}}`, 0),
		"a tensor has an absurd number of sizes":    withHeader(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("1,", 40)+`2],"data_offsets":[0,8]}}`, 8),
		"a tensor has a thousand sizes":             withHeader(`{"a":{"dtype":"F32","shape":[`+strings.Repeat("1,", 1000)+`2],"data_offsets":[0,8]}}`, 8),
		"a tensor's description is null":            withHeader(`{"a":null}`, 0),
		"a key is spelt otherwise":                  withHeader(`{"a":{"dType":"F32","shape":[2],"data_offsets":[0,8]}}`, 8),
		"a description lacks its shape":             withHeader(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4),
		"a description has another key":             withHeader(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8),
		"a tensor's description is a number":        withHeader(`{"a":1}`, 0),
		"a size is a fraction":                      withHeader(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}}`, 6),
		"a type is not text":                        withHeader(`{"a":{"dtype":1,"shape":[2],"data_offsets":[0,8]}}`, 8),
		"metadata holds null":                       withHeader(`{"__metadata__":{"a":null}}`, 0),
		"metadata is a list":                        withHeader(`{"__metadata__":["a"]}`, 0),
		"metadata comes twice":                      withHeader(`{"__metadata__":{},"__metadata__":{}}`, 0),
		"a name is not valid UTF-8":                 withHeader("{\"a\xff\":"+t8+"}", 8),
		"a name is half a surrogate":                withHeader(`{"\ud800":`+t8+`}`, 8),
		"a name is very long":                       withHeader(`{"`+strings.Repeat("a", 5000)+`":`+t8+`}`, 8),
		"a type has half bytes":                     withHeader(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, 1),
		"a tensor's offsets are larger than an int": withHeader(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999]}}`, 8),
	}
}

func TestHostileHeadersAreRefused(t *testing.T) {
	for name, raw := range hostile() {
		t.Run(name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(raw), int64(len(raw)))
			require.ErrorIs(t, err, ErrCorrupt)
			require.Less(t, len(err.Error()), 600, "the error can be read")
		})
	}
}

func FuzzOpen(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, map[string]string{"k": "v"}, tensors()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	for _, raw := range hostile() {
		f.Add(raw)
	}
	f.Add(withHeader(`{"a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]}}`, 4))
	f.Add(withHeader(`{"__metadata__":null}`, 0))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := Open(bytes.NewReader(raw), int64(len(raw)))
		s, streamErr := NewStream(bytes.NewReader(raw))
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			if s != nil { // only the data's length can have been wrong
				require.Error(t, s.Fill(same(s.Tensors())))
			}
			return
		}
		require.NoError(t, streamErr)
		var total int64
		for _, info := range file.Tensors() {
			data, err := file.ReadBytes(info.Name)
			require.NoError(t, err)
			total += int64(len(data))
			if _, err := decoderOf(info); err == nil {
				values, err := file.Floats(info.Name)
				require.NoError(t, err)
				require.Len(t, values, info.Len())
			}
		}
		require.LessOrEqual(t, total, int64(len(raw)), "tensors do not overlap")
	})
}

// same makes empty tensors like those of a small fuzzed file.
func same(infos []Info) []Tensor {
	var ts []Tensor
	for _, i := range infos {
		if i.Bytes() > 1<<16 || i.DType != F32 && i.DType != I32 && i.DType != U8 {
			continue // Fill then says that it is not expected
		}
		ts = append(ts, Tensor{Name: i.Name, DType: i.DType, Shape: i.Shape, f32: singles(i), i32: ints(i), u8: octets(i)})
	}
	return ts
}

func singles(i Info) []float32 {
	if i.DType != F32 {
		return nil
	}
	return make([]float32, i.Len())
}

func ints(i Info) []int32 {
	if i.DType != I32 {
		return nil
	}
	return make([]int32, i.Len())
}

func octets(i Info) []byte {
	if i.DType != U8 {
		return nil
	}
	return make([]byte, i.Len())
}

// TestMemoryNeedNotHaveTheOrderOfFiles takes the way of machines whose memory
// does not, which is right on any.
func TestMemoryNeedNotHaveTheOrderOfFiles(t *testing.T) {
	want := encode(t, nil, tensors())
	littleEndian = false
	t.Cleanup(func() { littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1 })
	require.Equal(t, want, encode(t, nil, tensors()))
	f, err := Open(bytes.NewReader(want), int64(len(want)))
	require.NoError(t, err)
	w, step := make([]float32, 6), make([]int32, 1)
	require.NoError(t, f.ReadFloat32("w", w))
	require.NoError(t, f.ReadInt32("step", step))
	require.Equal(t, tensors()[0].Float32s(), w)
	require.Equal(t, []int32{-7}, step)
}
