package op_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// gradientCase is an operation under test: y of float inputs of the given shapes.
type gradientCase struct {
	name   string
	shapes [][]int
	define func(g *graph.Graph, x []*graph.Node) *graph.Node
}

func gradientCases() []gradientCase {
	const act = device.GELUTanh
	return []gradientCase{
		{"a linear layer with bias, activation and residual", [][]int{{2, 3, 4}, {4, 5}, {5}, {2, 3, 5}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.Linear(g, x[0], x[1], x[2], op.LinearOptions{Activation: act, Residual: x[3]})
		}},
		{"a linear layer with transposed weight and activation", [][]int{{3, 4}, {5, 4}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.Linear(g, x[0], x[1], nil, op.LinearOptions{Activation: device.SiLU, Transposed: true})
		}},
		{"a low-rank change", [][]int{{3, 4}, {4, 2}, {2, 5}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			w := &graph.Param{Name: "w", Frozen: true, Value: must(device.FromFloats(g.Backend(), noise(2, 20), 4, 5))}
			return op.Linear(g, x[0], g.Param(w), nil, op.LinearOptions{LoRA: &op.LoRA{A: x[1], B: x[2], Scale: 0.5}})
		}},
		{"a low-rank change before an activation and a residual", [][]int{{3, 4}, {4, 2}, {2, 5}, {3, 5}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			w := &graph.Param{Name: "w", Frozen: true, Value: must(device.FromFloats(g.Backend(), noise(2, 20), 4, 5))}
			b := &graph.Param{Name: "b", Frozen: true, Value: must(device.FromFloats(g.Backend(), noise(3, 5), 5))}
			return op.Linear(g, x[0], g.Param(w), g.Param(b), op.LinearOptions{Activation: act, Residual: x[3], LoRA: &op.LoRA{A: x[1], B: x[2], Scale: 0.5}})
		}},
		{"SiLU", [][]int{{3, 5}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.Activate(g, x[0], device.SiLU) }},
		{"quick GELU", [][]int{{3, 5}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.Activate(g, x[0], device.QuickGELU) }},
		{"rotary positions by index, some heads turned", [][]int{{2, 3, 12}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.RoPE(g, x[0], op.RoPEOptions{HeadWidth: 4, Theta: 10, Heads: 2, Range: 7, Index: g.Ints([]int32{0, 1, 2, 0, 6, 1})})
		}},
		{"layer norm without beta", [][]int{{3, 6}, {6}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.LayerNorm(g, x[0], x[1], nil, 0)
		}},
		{"an addition", [][]int{{3, 2}, {3, 2}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.Add(g, x[0], x[1]) }},
		{"positions of which some are not used", [][]int{{2, 3, 4}, {5, 4}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.AddPosition(g, x[0], x[1])
		}},
		{"a bias of one element", [][]int{{3, 4}, {1}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.AddBias(g, x[0], x[1]) }},
		{"a token before each sequence", [][]int{{2, 3, 4}, {4}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.PrependToken(g, x[0], x[1])
		}},
		{"the last token", [][]int{{2, 3, 4}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.SelectToken(g, x[0], -1) }},
		{"a slice of tokens", [][]int{{2, 5, 3}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.SliceTokens(g, x[0], 1, 2) }},
		{"overlapping slices of one tensor", [][]int{{2, 5, 3}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			y := op.Scale(g, x[0], 2)
			return op.Concat(g, 1, op.SliceTokens(g, y, 1, 3), op.SliceTokens(g, y, 2, 3))
		}},
		{"rows joined", [][]int{{2, 3}, {4, 3}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.ConcatRows(g, x...) }},
		{"tokens joined", [][]int{{2, 3, 2}, {2, 1, 2}, {2, 2, 2}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.Concat(g, 1, x...)
		}},
		{"items selected, one twice", [][]int{{4, 2, 3}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.GatherRows(g, x[0], g.Ints([]int32{3, 1, 3}))
		}},
		{"rows looked up, one by a negative id", [][]int{{4, 3}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.Embedding(g, g.Ints([]int32{2, -1, 0, 2}), x[0])
		}},
		{"the mean of all tokens", [][]int{{2, 3, 4}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.MeanPool(g, x[0], nil) }},
		{"the mean of leading tokens", [][]int{{3, 3, 4}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.MeanPool(g, x[0], g.Ints([]int32{1, 3, 0}))
		}},
		{"a weighted sum", [][]int{{2, 3}, {2, 3}, {2, 3}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.WeightedSum(g, []float32{0.5, -2, 3}, x...)
		}},
		{"a product with a scalar", [][]int{{2, 3}, {1}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.ScaleBy(g, x[0], x[1], device.Times)
		}},
		{"a product with the exponential of a scalar", [][]int{{2, 3}, {}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.ScaleBy(g, x[0], x[1], device.TimesExp)
		}},
		{"a quotient by a scalar", [][]int{{2, 3}, {1}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.ScaleBy(g, x[0], op.AddBias(g, x[1], op.Scale(g, x[1], 2)), device.DividedBy)
		}},
		{"cross-entropy against distributions, weighted", [][]int{{3, 4}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			targets := &graph.Param{Name: "targets", Frozen: true, Value: must(device.FromFloats(g.Backend(),
				[]float32{0.5, 0.5, 0, 0, 0.1, 0.2, 0.3, 0.4, 0, 0, 1, 0}, 3, 4))}
			return op.Scale(g, op.CrossEntropy(g, x[0], g.Param(targets), op.CrossEntropyOptions{}), 3)
		}},
	}
}

func TestGradientsOfOperations(t *testing.T) {
	for _, c := range gradientCases() {
		t.Run(c.name, func(t *testing.T) {
			onBackends(t, func(t *testing.T, b device.Backend) {
				t.Run("as parameters", func(t *testing.T) { runGradient(t, b, c, parameters) })
				t.Run("as inputs", func(t *testing.T) { runGradient(t, b, c, inputs) })
			})
		})
	}
}

func noise(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// runGradient compares the gradient of dot(y, seed) with central differences.
func runGradient(t *testing.T, b device.Backend, c gradientCase, how leaves) {
	names := []string{"x0", "x1", "x2", "x3"}[:len(c.shapes)]
	params := make([]*graph.Param, len(c.shapes))
	data := make([][]float32, len(c.shapes))
	define := func(train bool) func(g *graph.Graph) *graph.Node {
		return func(g *graph.Graph) *graph.Node {
			var in []*graph.Node
			for i, s := range c.shapes {
				if how == parameters {
					in = append(in, g.Param(params[i]))
					continue
				}
				in = append(in, g.Input(names[i], device.Float32, s...))
				if train {
					g.Gradient("d "+names[i], in[i])
				}
			}
			y := c.define(g, in)
			n := y.Desc().Size()
			seed := &graph.Param{Name: "seed", Value: must(device.FromFloats(b, noise(77, n), n)), Frozen: true}
			loss := g.Apply(&dot{}, y, g.Param(seed))
			g.Output("loss", loss)
			return loss
		}
	}
	for i, s := range c.shapes {
		data[i] = noise(uint64(i+5), device.Floats(s...).Size())
		params[i] = &graph.Param{Name: names[i], Value: must(device.FromFloats(b, data[i], s...))}
	}
	train := must(graph.Build(b, graph.Options{Train: true}, define(true)))
	eval := must(graph.Build(b, graph.Options{}, define(false)))
	defer func() { check(t, train.Close()); check(t, eval.Close()) }()
	set := func(g *graph.Graph, i int, v []float32) {
		if how == parameters {
			check(t, b.UploadFloats(params[i].Value, v))
		} else {
			check(t, g.Feed(names[i], v))
		}
	}
	for i, v := range data {
		set(train, i, v)
		set(eval, i, v)
	}
	check(t, train.Run())
	const eps = 1.0 / 64
	for i := range data {
		var grad []float32
		if how == parameters {
			grad = must(device.ReadFloats(b, params[i].Grad))
		} else {
			grad = must(train.Read("d " + names[i]))
		}
		for j := range data[i] {
			slope := 0.0
			for _, side := range []float32{1, -1} {
				moved := slices.Clone(data[i])
				moved[j] += side * eps
				set(eval, i, moved)
				check(t, eval.Run())
				slope += float64(side*must(eval.Read("loss"))[0]) / (2 * eps)
			}
			if d := math.Abs(float64(grad[j]) - slope); d > 3e-3*math.Max(1, math.Abs(slope)) {
				t.Fatalf("%s[%d]: gradient %g, difference %g", names[i], j, grad[j], slope)
			}
		}
		set(eval, i, data[i])
	}
}

func TestHardNegativesAreNeverOfTheRowsOwnGroup(t *testing.T) {
	const n = 5
	groups := []int32{1, 2, 1, 3, 3}
	onBackends(t, func(t *testing.T, b device.Backend) {
		g := must(graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
			g.Output("index", op.HardNegatives(g, g.Input("sim", device.Float32, n, n), g.Input("uniform", device.Float32, n), g.Input("groups", device.Int32, n)))
			return nil
		}))
		check(t, g.Feed("sim", noise(1, n*n)))
		for _, c := range []struct {
			groups []int32
			allows func(row, col int) bool
		}{
			{groups, func(r, c int) bool { return groups[r] != groups[c] }},
			{[]int32{7, 7, 7, 7, 7}, func(r, c int) bool { return r != c }}, // no caption differs: any other one
		} {
			check(t, g.Feed("groups", c.groups))
			seen := map[[2]int]bool{}
			for i := range 400 {
				r := rand.New(rand.NewPCG(uint64(i), 3))
				uniform := make([]float32, n)
				for j := range uniform {
					uniform[j] = r.Float32()
				}
				check(t, g.Feed("uniform", uniform))
				check(t, g.Run())
				for row, col := range must(g.ReadInts("index")) {
					if !c.allows(row, int(col)) {
						t.Fatalf("row %d drew %d of groups %v", row, col, c.groups)
					}
					seen[[2]int{row, int(col)}] = true
				}
			}
			for row := range n {
				for col := range n {
					if c.allows(row, col) && !seen[[2]int{row, col}] {
						t.Errorf("row %d never drew %d of groups %v", row, col, c.groups)
					}
				}
			}
		}
	})
}
