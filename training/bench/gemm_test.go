package bench

import (
	"context"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"tempera/training/kernel"
)

func TestProductsAreMeasuredInEveryVariantBesideThePeak(t *testing.T) {
	for _, level := range []string{"portable", kernel.Detect().String()} {
		o := GemmDefaults()
		f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
		o.Bind(f)
		require.NoError(t, f.Parse([]string{"--sizes=16,40", "--variant=nn,nt,tn", "--packed", "--threads=2", "--repeats=3", "--cpu-level=" + level}))
		r, err := Gemm(context.Background(), o)
		require.NoError(t, err)
		require.Contains(t, r.Device, level)
		require.Positive(t, r.PeakGFLOPS)
		require.Len(t, r.Products, 6)
		require.Equal(t, "tn", r.Products[2].Variant)
		require.Equal(t, 40, r.Products[5].K)
		for _, p := range r.Products {
			require.Positive(t, p.MS)
			require.Positive(t, p.GFLOPS)
		}
	}
}

func TestOneShapeReplacesTheSizes(t *testing.T) {
	o := GemmDefaults()
	o.M, o.N, o.K, o.Repeats = 1, 64, 32, 1
	r, err := Gemm(context.Background(), o)
	require.NoError(t, err)
	require.Len(t, r.Products, 1)
	require.Equal(t, 64, r.Products[0].N)
}

func TestWrongShapesAreNamed(t *testing.T) {
	o := GemmOptions{M: 4, Sizes: []int{-3}, Variants: []string{"tt"}, Cores: Cores{Threads: -1, Level: 17}}
	_, err := Gemm(context.Background(), o)
	for _, part := range []string{"4, 0 and 0", "size -3", `"tt"`, "repeats is 0", "threads is -1", "level(17)"} {
		require.ErrorContains(t, err, part)
	}
}
