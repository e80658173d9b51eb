package hf

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/checkpoint"
	"tempera/training/model"
)

// gigabyte is a Llama of 251 million parameters: 1.0 GB of float32.
func gigabyte() model.Config {
	return model.Config{Kind: model.LM, Width: 1024, Text: model.Text{
		Form: model.Llama, Vocab: 32000, Context: 2048, Layers: 15, Heads: 16, KVHeads: 4, Hidden: 2816,
	}}.Resolve()
}

// ramp gives every parameter other values.
type ramp struct{ config model.Config }

func (r ramp) Get(name string) ([]float32, error) {
	for _, s := range r.config.Params() {
		if s.Name == name {
			v := make([]float32, product(s.Shape))
			for i := range v {
				v[i] = float32(i%251) * 1e-3
			}
			return v, nil
		}
	}
	return nil, nil
}

// BenchmarkLoad loads a folder of 1 GB whose pages are in memory: bytes of the
// folder over the time from opening it to a model on the device.
func BenchmarkLoad(b *testing.B) {
	c := gigabyte()
	for _, dtype := range []checkpoint.DType{checkpoint.F32, checkpoint.BF16} {
		dir := Dir(filepath.Join(b.TempDir(), string(dtype)))
		require.NoError(b, Write(ToDir(string(dir)), c, ramp{c}, Options{DType: dtype}))
		f, err := dir.Open(checkpoint.SingleFile)
		require.NoError(b, err)
		size := f.Size()
		require.NoError(b, f.Close())
		b.Run("device/"+string(dtype), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				src, err := Open(dir)
				require.NoError(b, err)
				_, err = src.Load(newCPU(b))
				require.NoError(b, err)
				require.NoError(b, src.Close())
			}
		})
		b.Run("host/"+string(dtype), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				src, err := Open(dir)
				require.NoError(b, err)
				_, err = src.Weights()
				require.NoError(b, err)
				require.NoError(b, src.Close())
			}
		})
		b.Run("open/"+string(dtype), func(b *testing.B) {
			for b.Loop() {
				src, err := Open(dir)
				require.NoError(b, err)
				require.NoError(b, src.Close())
			}
		})
	}
}
