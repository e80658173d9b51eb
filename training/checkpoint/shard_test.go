package checkpoint

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestAMappedFileGivesItsValuesWithoutCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	data := []float32{1, 2, 3, float32(math.Inf(-1))}
	raw := encode(t, nil, []Tensor{Float32("w", []int{4}, data), Bytes("b", []byte("xyz"))})
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	f, err := OpenFile(path)
	require.NoError(t, err)
	got, err := f.Floats("w")
	require.NoError(t, err)
	require.Equal(t, data, got)
	if f.mapped != nil && littleEndian {
		again, err := f.Floats("w")
		require.NoError(t, err)
		require.Same(t, &got[0], &again[0])
	}
	require.NoError(t, f.Close())

	for name, content := range map[string][]byte{"empty": {}, "cut": raw[:len(raw)-1], "short": raw[:20]} {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := OpenFile(path)
		require.ErrorIs(t, err, ErrCorrupt, name)
		require.ErrorContains(t, err, path)
	}
	_, err = OpenFile(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")
	_, err = OpenFile(path + ".none")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestValuesThatLieUnevenlyAreCopied(t *testing.T) {
	// A header whose length is not a multiple of four is allowed.
	raw := append(withHeader(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`+" ", 0), 0, 0, 128, 63, 0, 0, 0, 64)
	for len(raw)%4 == 0 {
		raw = append(withHeader(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  `, 0), 0, 0, 128, 63, 0, 0, 0, 64)
	}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	f, err := OpenFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	got, err := f.Floats("a")
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2}, got)
}

func TestADeferredTensorIsAskedForWhenItIsWritten(t *testing.T) {
	var order []string
	later := func(name string, to DType, v ...float32) Tensor {
		return Deferred(name, to, []int{len(v)}, func() ([]float32, error) {
			order = append(order, name)
			return v, nil
		})
	}
	raw := encode(t, nil, []Tensor{later("c", BF16, 1, -2), later("b", F32, 3), later("a", F16, 65504, 0.5, 1e-8), later("d", F32, 4)})
	require.Equal(t, []string{"b", "d", "a", "c"}, order)
	f, err := Open(bytes.NewReader(raw), int64(len(raw)))
	require.NoError(t, err)
	for name, want := range map[string][]float32{"a": {65504, 0.5, 0}, "b": {3}, "c": {1, -2}, "d": {4}} {
		got, err := f.Floats(name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}

	broken := errors.New("broken")
	for want, bad := range map[string]Tensor{
		"has 1 values, want 2": Deferred("a", F32, []int{2}, func() ([]float32, error) { return make([]float32, 1), nil }),
		"broken":               Deferred("a", F32, []int{2}, func() ([]float32, error) { return nil, broken }),
		"use F32, F16 or BF16": Deferred("a", I32, []int{2}, twoZeros),
	} {
		require.ErrorContains(t, Write(&bytes.Buffer{}, nil, []Tensor{bad}), want)
	}
}

func twoZeros() ([]float32, error) { return make([]float32, 2), nil }

func many(n int) []Tensor {
	var ts []Tensor
	for i := range n {
		ts = append(ts, Float32("t"+itoa(i), []int{i}, make([]float32, i)))
	}
	return ts
}

func TestTensorsAreSplitInTheirOrder(t *testing.T) {
	require.Equal(t, SingleFile, Split(many(5), 40)[0].Name)
	shards := Split(many(6), 24) // 0 4 8 12, then 16, then 20 bytes
	require.Len(t, shards, 3)
	require.Equal(t, "model-00002-of-00003.safetensors", shards[1].Name)
	require.Len(t, shards[0].Tensors, 4)
	require.Len(t, Split(many(6), 1), 5, "one that is too large is alone")
}

func TestASetIsReadFromItsShards(t *testing.T) {
	shards := Split(many(6), 24)
	files := map[string][]byte{}
	for _, s := range shards {
		var b bytes.Buffer
		require.NoError(t, s.Write(&b, nil))
		files[s.Name] = b.Bytes()
	}
	x, err := Index(shards)
	require.NoError(t, err)
	open := func(name string) (*File, error) {
		raw, ok := files[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		return Open(bytes.NewReader(raw), int64(len(raw)))
	}
	s, err := OpenShards(x, open)
	require.NoError(t, err)
	require.Len(t, s.Names(), 6)
	v, err := s.Floats("t5")
	require.NoError(t, err)
	require.Len(t, v, 5)
	require.NoError(t, s.Close())

	for name, c := range map[string]struct{ index, want string }{
		"it is not JSON":                     {`{`, "index"},
		"it is empty":                        {`{}`, "names 0 files"},
		"a file is elsewhere":                {`{"weight_map":{"t1":"../x"}}`, "not beside it"},
		"a file is hidden":                   {`{"weight_map":{"t1":".x"}}`, "not beside it"},
		"a file has no name":                 {`{"weight_map":{"t1":""}}`, "not beside it"},
		"a file is missing":                  {`{"weight_map":{"t1":"x"}}`, "shard x"},
		"a tensor is not where it should be": {`{"weight_map":{"t0":"model-00001-of-00003.safetensors","t1":"model-00001-of-00003.safetensors","t2":"model-00001-of-00003.safetensors","t3":"model-00001-of-00003.safetensors","t9":"model-00001-of-00003.safetensors"}}`, `"t9" is not in`},
		"a tensor is not in the index":       {`{"weight_map":{"t4":"model-00003-of-00003.safetensors"}}`, `tensor "t5" is in`},
		"a file is not text":                 {`{"weight_map":{"t4":1}}`, "index"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := OpenShards([]byte(c.index), open)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func FuzzOpenShards(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, nil, many(3)); err != nil {
		f.Fatal(err)
	}
	file := b.Bytes()
	f.Add([]byte(`{"metadata":{"total_size":12},"weight_map":{"t0":"a","t1":"a","t2":"a"}}`))
	f.Add([]byte(`{"weight_map":{"t0":"../a"}}`))
	f.Add([]byte(`{"weight_map":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := OpenShards(raw, func(name string) (*File, error) {
			require.Equal(t, filepath.Base(name), name)
			return Open(bytes.NewReader(file), int64(len(file)))
		})
		if err != nil {
			return
		}
		for _, name := range s.Names() {
			_, err := s.Floats(name)
			require.NoError(t, err)
		}
	})
}

func TestAFailedWriteIsReported(t *testing.T) {
	raw := encode(t, nil, many(4))
	for n := range len(raw) {
		require.ErrorIs(t, Write(&short{left: n}, nil, many(4)), errShort, "%d bytes", n)
	}
}

var errShort = errors.New("disk full")

type short struct{ left int }

func (s *short) Write(b []byte) (int, error) {
	if len(b) > s.left {
		return 0, errShort
	}
	s.left -= len(b)
	return len(b), nil
}
