package diloco

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTwoRoundsByHand: start 1, replicas 0.5 and 0.25, then start of the first
// round's result and replicas -1 and 0.5, with rate 0.7 and momentum 0.9.
//
//	g1 = 1 - 0.375 = 0.625, v1 = 0.625, w1 = 1 - 0.7 (0.625 + 0.5625) = 0.16875
//	g2 = 0.16875 + 0.25 = 0.41875, v2 = 0.5625 + 0.41875 = 0.98125,
//	w2 = 0.16875 - 0.7 (0.41875 + 0.883125) = -0.7425625
func TestTwoRoundsByHand(t *testing.T) {
	w, v := []float32{1}, []float32{0}
	d, err := Default().Move(Tensor{"w", w, [][]float32{{0.5}, {0.25}}, v, w})
	require.NoError(t, err)
	require.Equal(t, []float32{0.16875}, w)
	require.Equal(t, []float32{0.625}, v)
	require.InDelta(t, 0.625, d.Norm(), 1e-15)
	require.InDelta(t, 0.625*0.625/((0.25+0.5625)/2), d.Agreement(), 1e-15)

	_, err = Default().Move(Tensor{"w", w, [][]float32{{-1}, {0.5}}, v, w})
	require.NoError(t, err)
	require.InDelta(t, -0.7425625, float64(w[0]), 1e-7)
	require.InDelta(t, 0.98125, float64(v[0]), 1e-7)
}

// TestManyRoundsAreThoseOfFloat64: the reference is PyTorch's rule,
// buf = momentum buf + g, p -= rate (g + momentum buf), in float64 throughout.
func TestManyRoundsAreThoseOfFloat64(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n, replicas, rounds = 64, 3, 12
	o := Outer{Rate: 0.4, Momentum: 0.8}
	w, v := make([]float32, n), make([]float32, n)
	p, buf := make([]float64, n), make([]float64, n)
	for k := range w {
		w[k] = float32(random.NormFloat64())
		p[k] = float64(w[k])
	}
	for range rounds {
		ends := make([][]float32, replicas)
		for i := range ends {
			ends[i] = make([]float32, n)
			for k := range n {
				ends[i][k] = w[k] + float32(0.1*random.NormFloat64())
			}
		}
		for k := range n {
			g := 0.0
			for i := range ends {
				g += (float64(w[k]) - float64(ends[i][k])) / replicas
			}
			buf[k] = o.Momentum*buf[k] + g
			p[k] -= o.Rate * (g + o.Momentum*buf[k])
		}
		_, err := o.Move(Tensor{"w", w, ends, v, w})
		require.NoError(t, err)
	}
	for k := range n {
		require.InDelta(t, p[k], float64(w[k]), 1e-5)
		require.InDelta(t, buf[k], float64(v[k]), 1e-6)
	}
}

// TestOneReplicaAtRateOneIsItself holds for values of any size and sign, zero
// included.
func TestOneReplicaAtRateOneIsItself(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const n = 1 << 14
	start, end := make([]float32, n), make([]float32, n)
	for k := range n {
		start[k] = float32(random.NormFloat64() * math.Pow(10, float64(random.IntN(9)-6)))
		end[k] = start[k] + float32(random.NormFloat64()*math.Pow(10, float64(random.IntN(9)-8)))
		if k%100 == 0 {
			end[k] = 0
		}
	}
	moved := make([]float32, n)
	_, err := Outer{Rate: 1}.Move(Tensor{"w", start, [][]float32{end}, make([]float32, n), moved})
	require.NoError(t, err)
	require.Equal(t, end, moved)
}

func TestAgreementIsOneOfEqualMovesAndAShareOfOrthogonalOnes(t *testing.T) {
	for name, c := range map[string]struct {
		ends [][]float32
		want float64
	}{
		"equal":      {[][]float32{{1, 0}, {1, 0}}, 1},
		"orthogonal": {[][]float32{{1, 0}, {0, 1}}, 0.5},
		"opposite":   {[][]float32{{1, 0}, {-1, 0}}, 0},
		"still":      {[][]float32{{0, 0}, {0, 0}}, 1},
	} {
		d, err := Default().Move(Tensor{"w", []float32{0, 0}, c.ends, []float32{0, 0}, []float32{0, 0}})
		require.NoError(t, err, name)
		require.InDelta(t, c.want, d.Agreement(), 1e-15, name)
	}
}

func TestWrongTensorsAreTold(t *testing.T) {
	for want, c := range map[string]Tensor{
		"there is no replica":          {"w", []float32{1}, nil, []float32{0}, []float32{0}},
		"1 values, and 2 in replica 1": {"w", []float32{1}, [][]float32{{1}, {1, 2}}, []float32{0}, []float32{0}},
		"its velocity 2":               {"w", []float32{1}, [][]float32{{1}}, []float32{0, 0}, []float32{0}},
		"a replica's is no number":     {"w", []float32{1}, [][]float32{{1}, {float32(math.NaN())}}, []float32{0}, []float32{0}},
	} {
		_, err := Default().Move(c)
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, Outer{Rate: 0, Momentum: 1}.Validate(), "the outer learning rate is 0: give a positive number, such as 0.7\nthe outer momentum is 1")
	require.NoError(t, Default().Validate())
}
