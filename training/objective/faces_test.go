package objective

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/golden"
	"tempera/training/graph"
)

func goldenCase(t *testing.T, name string) *golden.Case {
	t.Helper()
	c, err := golden.Load(name)
	require.NoError(t, err)
	return c
}

func setting[T any](t *testing.T, c *golden.Case, name string) T {
	t.Helper()
	v, err := golden.Param[T](c, name)
	require.NoError(t, err)
	return v
}

func TestGoldenCatLIP(t *testing.T) {
	c := goldenCase(t, "catlip")
	grad := make([]float64, len(c.Inputs["logits"].Data))
	require.InDelta(t, c.Outputs["loss"].Data[0], CatLIP(c.Inputs["logits"].Data, c.Inputs["targets"].Data, grad), 1e-12)
	require.InDeltaSlice(t, c.Grads["logits"].Data, grad, 1e-12)
	far := make([]float64, 2)
	require.InDelta(t, 1000, CatLIP([]float64{1000, -1000}, []float64{0, 1}, far), 1e-9, "no overflow")
}

// TestGoldenMargins takes embeddings and classes through the graph, and the loss of
// their cosines, and its gradient, through the host.
func TestGoldenMargins(t *testing.T) {
	papers := map[string]AngularMargin{"normface": NormFace(), "sphereface": SphereFace(), "cosface": CosFace(), "arcface": ArcFace()}
	for name, paper := range papers {
		t.Run(name, func(t *testing.T) {
			c := goldenCase(t, "margin_"+name)
			m := AngularMargin{
				Scale: setting[float64](t, c, "s"), Times: setting[int](t, c, "m1"), Plus: setting[float64](t, c, "m2"),
				Minus: setting[float64](t, c, "m3"), Easy: setting[bool](t, c, "easy_margin"),
			}
			require.NoError(t, m.Validate())
			if m.Times == 1 {
				m.Times = 0
			}
			require.Equal(t, paper, m)
			x, w, labels := c.Inputs["x"], c.Inputs["w"], c.Inputs["labels"].Ints()
			g, err := graph.Build(onCPU(t, tinyOf("lm")).Backend(), graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
				in := []*graph.Node{g.Input("x", device.Float32, x.Shape...), g.Input("w", device.Float32, w.Shape...)}
				g.Gradient("d x", in[0])
				g.Gradient("d w", in[1])
				cosines := MarginCosines(g, in[0], in[1])
				g.Output("cosines", cosines)
				g.Seed("d cosines", cosines)
				return nil
			})
			require.NoError(t, err)
			defer func() { require.NoError(t, g.Close()) }()
			require.NoError(t, g.Feed("x", x.Floats()))
			require.NoError(t, g.Feed("w", w.Floats()))
			require.NoError(t, g.Run()) // for the cosines
			found, err := g.Read("cosines")
			require.NoError(t, err)
			cosines, logits, grad := make([]float64, len(found)), make([]float64, len(found)), make([]float64, len(found))
			for i, v := range found {
				cosines[i] = float64(v)
			}
			require.NoError(t, golden.Compare([]float32{float32(m.Loss(cosines, labels, grad))}, c.Outputs["loss"], 1e-4))
			m.Logits(cosines, labels, logits)
			require.NoError(t, golden.Compare(rounded(logits), c.Outputs["logits"], 1e-4))
			require.NoError(t, g.Feed("d cosines", rounded(grad)))
			require.NoError(t, g.Run())
			for _, name := range []string{"x", "w"} {
				got, err := g.Read("d " + name)
				require.NoError(t, err)
				require.NoError(t, golden.Compare(got, c.Grads[name], 1e-4), name)
			}
		})
	}
}

func rounded(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// TestAMarginFallsWithTheAngle: over the whole half turn the right class's logit falls,
// with Plus alone by a jump, and its slope is the difference's.
func TestAMarginFallsWithTheAngle(t *testing.T) {
	for name, m := range map[string]AngularMargin{"sphereface": SphereFace(), "cosface": CosFace(), "arcface": ArcFace(), "both": {Scale: 1, Plus: 0.3, Minus: 0.2}} {
		last := math.Inf(1)
		for theta := 0.001; theta < math.Pi; theta += 0.001 {
			v, slope := m.target(math.Cos(theta))
			require.Less(t, v, last, "%s at %.3f", name, theta)
			if last < 10 && m.Plus == 0 {
				require.Less(t, last-v, 0.02, "%s jumps at %.3f", name, theta)
			}
			last = v
			const eps = 1e-7
			up, _ := m.target(math.Cos(theta) + eps)
			down, _ := m.target(math.Cos(theta) - eps)
			if theta > 0.05 && theta < 3.09 && math.Abs(theta+m.Plus-math.Pi) > 1e-5 {
				require.InDelta(t, (up-down)/(2*eps), slope, 0.05*math.Max(1, math.Abs(slope)), "%s at %.3f", name, theta)
			}
		}
	}
}

func TestGradientsOfMarginsAgreeWithFiniteDifferences(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	labels := []int32{2, 0, 1}
	for _, m := range []AngularMargin{SphereFace(), CosFace(), ArcFace(), {Scale: 20, Plus: 0.4, Easy: true}} {
		cosines := make([]float64, 12)
		for i := range cosines {
			cosines[i] = 1.9*r.Float64() - 0.95
		}
		grad, spare := make([]float64, 12), make([]float64, 12)
		m.Loss(cosines, labels, grad)
		for i := range cosines {
			const eps = 1e-6
			at := cosines[i]
			cosines[i] = at + eps
			up := m.Loss(cosines, labels, spare)
			cosines[i] = at - eps
			down := m.Loss(cosines, labels, spare)
			cosines[i] = at
			require.InDelta(t, (up-down)/(2*eps), grad[i], 1e-4*math.Max(1, math.Abs(grad[i])), "%+v, cosine %d", m, i)
		}
	}
	require.ErrorContains(t, AngularMargin{Times: 2, Plus: 1, Minus: -1}.Validate(), "scale is 0")
	require.ErrorContains(t, AngularMargin{Times: 2, Plus: 1, Minus: -1}.Validate(), "give one margin of the angle")
}
