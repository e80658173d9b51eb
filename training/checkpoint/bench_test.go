package checkpoint

import (
	"bytes"
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkState writes and reads 100 MB of float32 state in a hundred tensors, as
// a training run does when it saves and when it resumes.
func BenchmarkState(b *testing.B) {
	var ts []Tensor
	for i := range 100 {
		ts = append(ts, Float32("t"+strconv.Itoa(i), []int{500, 500}, make([]float32, 250_000)))
	}
	var file bytes.Buffer
	require.NoError(b, Write(&file, nil, ts))
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(file.Len()))
		for b.Loop() {
			require.NoError(b, Write(io.Discard, nil, ts))
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(file.Len()))
		for b.Loop() {
			s, err := NewStream(bytes.NewReader(file.Bytes()))
			require.NoError(b, err)
			require.NoError(b, s.Fill(ts))
		}
	})
}
