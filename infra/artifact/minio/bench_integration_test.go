//go:build integration

package minio_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/minio"
	"tempera/infra/artifact/storetest"
	"tempera/infra/devstack/stacktest"
)

func BenchmarkStore(b *testing.B) {
	server := stacktest.MinIO(b)
	s, err := minio.New(options(server, "bench"))
	require.NoError(b, err)
	require.NoError(b, s.EnsureBucket(b.Context()))
	n := uint64(0)
	for _, size := range []int{4 << 10, 1 << 20, 64 << 20} {
		data := storetest.Bytes(1, size)
		fresh := func() { // bytes that are not there yet
			n++
			copy(data, fmt.Sprintf("%020d", n))
		}
		b.Run(fmt.Sprintf("put %d KiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				fresh()
				_, err := artifact.PutBytes(b.Context(), s, data)
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprintf("put spooled %d KiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				fresh()
				_, err := s.Put(b.Context(), io.MultiReader(bytes.NewReader(data)))
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprintf("put again %d KiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				_, err := artifact.PutBytes(b.Context(), s, data)
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprintf("get %d KiB", size>>10), func(b *testing.B) {
			ref, err := artifact.PutBytes(b.Context(), s, data)
			require.NoError(b, err)
			b.SetBytes(int64(size))
			for b.Loop() {
				r, err := s.Open(b.Context(), ref.Digest)
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, r)
				require.NoError(b, err)
				require.NoError(b, r.Close())
			}
		})
	}
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			n++
			require.NoError(b, s.Create(b.Context(), fmt.Sprintf("stages/%d.json", n), []byte("{}")))
		}
	})
}
