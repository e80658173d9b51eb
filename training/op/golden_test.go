package op_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/golden"
	"tempera/training/graph"
	"tempera/training/op"
)

// tolerance of values and gradients in float32 against float64.
const tolerance = 1e-4

type nodes = map[string]*graph.Node

// goldenBuild makes the graph of a case from its inputs and returns the outputs.
type goldenBuild func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes

// operationBuilds are the cases of operations; a case that several compute has several builds.
func operationBuilds() map[string]map[string]goldenBuild {
	return map[string]map[string]goldenBuild{
		"linear": {
			"Linear": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
				return nodes{"y": op.Linear(g, in["x"], in["w"], in["b"], op.LinearOptions{})}
			},
			"Linear without bias, then AddBias": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
				return nodes{"y": op.AddBias(g, op.Linear(g, in["x"], in["w"], nil, op.LinearOptions{}), in["b"])}
			},
		},
		"layer_norm": {"LayerNorm": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
			return nodes{"y": op.LayerNorm(g, in["x"], in["gamma"], in["beta"], param[float32](t, c, "eps"))}
		}},
		"rms_norm": {"RMSNorm": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
			return nodes{"y": op.RMSNorm(g, in["x"], in["gamma"], param[float32](t, c, "eps"))}
		}},
		"gelu_tanh": {"Activate": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
			return nodes{"y": op.Activate(g, in["x"], device.GELUTanh)}
		}},
		"gelu_erf": {"GELU": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
			return nodes{"y": op.GELU(g, in["x"])}
		}},
		"swiglu": {
			"SwiGLU of two tensors": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
				return nodes{"y": op.SwiGLU(g, in["gate"], in["up"])}
			},
			"SwiGLU of one tensor": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
				return nodes{"y": op.SwiGLU(g, op.Concat(g, 1, in["gate"], in["up"]), nil)}
			},
		},
		"rope_half": {
			"RoPE": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
				x := in["x"]
				o := op.RoPEOptions{HeadWidth: x.Dim(3), Theta: param[float64](t, c, "theta")}
				return nodes{"y": op.RoPE(g, flatHeads(g, x), o)}
			},
			"RoPE of the leading heads": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
				x := in["x"]
				o := op.RoPEOptions{HeadWidth: x.Dim(3), Theta: param[float64](t, c, "theta"), Heads: x.Dim(2)}
				turned := op.RoPE(g, op.Concat(g, 2, flatHeads(g, x), flatHeads(g, x)), o)
				return nodes{"y": firstHalf(g, turned)}
			},
		},
		"rope_2d": {
			"RoPE on a grid": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
				o := op.RoPEOptions{HeadWidth: in["x"].Dim(3), Theta: param[float64](t, c, "theta")}
				o.Positions, o.Cols = op.Grid(param[int](t, c, "gh"), param[int](t, c, "gw"))
				return nodes{"y": op.RoPE(g, flatHeads(g, in["x"]), o)}
			},
			"RoPE by rows and columns": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
				h, w := param[int](t, c, "gh"), param[int](t, c, "gw")
				rows, cols := op.Grid(h, w)
				o := op.RoPEOptions{HeadWidth: in["x"].Dim(3), Theta: param[float64](t, c, "theta"), Range: max(h, w)}
				o.Index, o.ColIndex = g.Ints(slices.Repeat(rows, in["x"].Dim(0))), g.Ints(slices.Repeat(cols, in["x"].Dim(0)))
				return nodes{"y": op.RoPE(g, flatHeads(g, in["x"]), o)}
			},
		},
		"embedding": {
			"Embedding": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
				return nodes{"y": op.Embedding(g, in["ids"], in["table"])}
			},
			"GatherRows": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
				return nodes{"y": op.GatherRows(g, in["table"], g.Reshape(in["ids"], in["ids"].Desc().Size()))}
			},
		},
		"conv_patch": {"PatchEmbed": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
			return nodes{"y": op.PatchEmbed(g, in["x"], in["w"], in["b"], param[int](t, c, "patch"))}
		}},
		"attention_bidirectional": attentionBuilds(func(*testing.T, *graph.Graph, *golden.Case, nodes) op.AttentionOptions {
			return op.AttentionOptions{}
		}),
		"attention_causal_gqa": attentionBuilds(func(*testing.T, *graph.Graph, *golden.Case, nodes) op.AttentionOptions {
			return op.AttentionOptions{Causal: true}
		}),
		"attention_cross_masked": crossAttentionBuilds(keyLengths),
		"attention_packed":       attentionBuilds(packedEnds),
		"cross_entropy":          crossEntropyBuilds(),
		"cross_entropy_smoothed": crossEntropyBuilds(),
		"clip": {"ContrastiveLoss": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
			loss, logits := op.ContrastiveLoss(g, op.ContrastiveArgs{Image: in["image"], Text: in["text"], LogScale: in["log_scale"]})
			return nodes{"loss": loss, "logits": logits}
		}},
		"siglip": {"SigLIPLoss": func(_ *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
			loss, logits := op.SigLIPLoss(g, op.ContrastiveArgs{
				Image: in["image"], Text: in["text"], LogScale: in["log_scale"], Bias: in["bias"],
			})
			return nodes{"loss": loss, "logits": logits}
		}},
		"moe_sigmoid_topk": {"Mixture": mixture},
		"blip_itc": {"ITCLoss": func(t *testing.T, g *graph.Graph, _ *golden.Case, in nodes) nodes {
			r := op.ITCLoss(g, op.ITCArgs{
				Image: in["image"], Text: in["text"], ImageM: in["image_m"], TextM: in["text_m"],
				QueueImage: in["queue_image"], QueueText: in["queue_text"], Temperature: in["temp"], Alpha: g.Input("alpha", device.Float32),
			})
			return nodes{"loss": r.Loss}
		}},
	}
}

// goldenElsewhere lists the cases that no operation of this package computes, with the reason. TestEveryGoldenCaseIsAccountedFor holds it to that.
func goldenElsewhere() map[string]string {
	reasons := map[string]string{
		"adamw":              "an update, not an operation: TestGoldenAdamW",
		"blip_itm_negatives": "random, without a gradient: TestGoldenHardNegatives",
		"catlip":             "arithmetic on the host: objective.CatLIP",
		"ppo":                "arithmetic on the host: package policy",
	}
	for _, kind := range []string{"constant", "sequence", "token"} {
		reasons["grpo_"+kind] = "arithmetic on the host: package policy"
	}
	for _, kind := range []string{"arcface", "cosface", "normface", "sphereface"} {
		reasons["margin_"+kind] = "arithmetic on the host: objective.AngularMargin"
	}
	return reasons
}

// mixture has no output "experts": TestMixtureSharesTokensAsTheGoldenVectorDoes looks at what Mixture tells of the choice.
func mixture(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
	y, _ := op.Mixture(g, in["x"], op.MixtureArgs{
		Router: in["router"], Balance: in["bias"], GateUp: op.Concat(g, 2, in["w_gate"], in["w_up"]), Down: in["w_down"],
		Active: param[int](t, c, "top_k"), Scale: param[float32](t, c, "scale"),
	})
	return nodes{"y": y}
}

func crossEntropy(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
	if i := param[int](t, c, "ignore_index"); i != device.IgnoreIndex {
		t.Fatalf("ignore index %d, the operation's is %d", i, device.IgnoreIndex)
	}
	o := op.CrossEntropyOptions{Smoothing: param[float32](t, c, "label_smoothing")}
	return nodes{"loss": op.CrossEntropy(g, in["logits"], in["labels"], o)}
}

// crossEntropyBuilds also takes the logits as the input of a head whose weight is the identity.
func crossEntropyBuilds() map[string]goldenBuild {
	builds := map[string]goldenBuild{"CrossEntropy": crossEntropy}
	for name, rows := range map[string]int{"HeadCrossEntropy": 1 << 10, "HeadCrossEntropy, two rows at a time": 2} {
		builds[name] = func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
			v := in["logits"].Desc().Cols()
			identity := make([]float32, v*v)
			for i := range v {
				identity[i*(v+1)] = 1
			}
			w := &graph.Param{Name: "identity", Value: must(device.FromFloats(g.Backend(), identity, v, v)), Frozen: true}
			o := op.HeadOptions{Smoothing: param[float32](t, c, "label_smoothing")}
			return nodes{"loss": op.HeadCrossEntropyOf(g, in["logits"], g.Param(w), in["labels"], op.HeadTestOptions{HeadOptions: o, Most: rows * v})}
		}
	}
	return builds
}

func flatHeads(g *graph.Graph, x *graph.Node) *graph.Node {
	return g.Reshape(x, x.Dim(0), x.Dim(1), x.Dim(2)*x.Dim(3))
}

// firstHalf takes the leading half of each token's channels.
func firstHalf(g *graph.Graph, x *graph.Node) *graph.Node {
	rows, c := x.Dim(0)*x.Dim(1), x.Dim(2)
	return op.SliceTokens(g, g.Reshape(x, rows, 2, c/2), 0, 1)
}

type maskOf func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) op.AttentionOptions

func keyLengths(_ *testing.T, g *graph.Graph, c *golden.Case, _ nodes) op.AttentionOptions {
	mask := c.Inputs["mask"]
	lengths := make([]int32, mask.Shape[0])
	for i, v := range mask.Ints() {
		lengths[i/mask.Shape[1]] += v
	}
	return op.AttentionOptions{KeyLengths: g.Ints(lengths)}
}

func packedEnds(t *testing.T, g *graph.Graph, c *golden.Case, _ nodes) op.AttentionOptions {
	ends := []int32{0}
	for _, n := range param[[]int32](t, c, "lens") {
		ends = append(ends, ends[len(ends)-1]+n)
	}
	return op.AttentionOptions{Packed: g.Ints(ends), Causal: param[bool](t, c, "causal")}
}

// crossAttentionBuilds computes a case from separate tensors and from packed keys and values.
func crossAttentionBuilds(mask maskOf) map[string]goldenBuild {
	return map[string]goldenBuild{
		"Attention": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
			q, k, v := flatHeads(g, in["q"]), flatHeads(g, in["k"]), flatHeads(g, in["v"])
			return nodes{"y": op.Attention(g, q, k, v, attentionOptions(mask(t, g, c, in), in))}
		},
		"CrossAttention": func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
			kv := op.Concat(g, 2, flatHeads(g, in["k"]), flatHeads(g, in["v"]))
			return nodes{"y": op.CrossAttention(g, flatHeads(g, in["q"]), kv, attentionOptions(mask(t, g, c, in), in))}
		},
	}
}

// attentionBuilds adds attention of one packed tensor, for cases with as many keys as queries.
func attentionBuilds(mask maskOf) map[string]goldenBuild {
	builds := crossAttentionBuilds(mask)
	builds["SelfAttention"] = func(t *testing.T, g *graph.Graph, c *golden.Case, in nodes) nodes {
		qkv := op.Concat(g, 2, flatHeads(g, in["q"]), flatHeads(g, in["k"]), flatHeads(g, in["v"]))
		return nodes{"y": op.SelfAttention(g, qkv, attentionOptions(mask(t, g, c, in), in))}
	}
	return builds
}

func attentionOptions(o op.AttentionOptions, in nodes) op.AttentionOptions {
	o.Heads, o.KVHeads = in["q"].Dim(2), in["k"].Dim(2)
	return o
}

func TestGoldenVectors(t *testing.T) {
	builds := goldenBuilds()
	for _, name := range slices.Sorted(maps.Keys(builds)) {
		for _, how := range slices.Sorted(maps.Keys(builds[name])) {
			t.Run(name+" by "+how, func(t *testing.T) {
				c := must(golden.Load(name))
				onBackends(t, func(t *testing.T, b device.Backend) {
					t.Run("with trained parameters", func(t *testing.T) { runGolden(t, b, c, builds[name][how], parameters) })
					t.Run("with inputs whose gradients are read", func(t *testing.T) { runGolden(t, b, c, builds[name][how], inputs) })
				})
			})
		}
	}
}

func TestEveryGoldenCaseIsAccountedFor(t *testing.T) {
	tested, elsewhere := goldenBuilds(), goldenElsewhere()
	names := must(golden.Names())
	for _, name := range names {
		if _, ok := tested[name]; ok == (elsewhere[name] != "") {
			t.Errorf("case %s must have either a build or a reason", name)
		}
	}
	if len(names) != len(tested)+len(elsewhere) {
		t.Errorf("%d cases, %d builds and %d reasons", len(names), len(tested), len(elsewhere))
	}
}

// leaves says how the differentiable inputs of a case enter the graph.
type leaves int

const (
	parameters leaves = iota // gradients are added to Param.Grad
	inputs                   // gradients are written and read
)

func runGolden(t *testing.T, b device.Backend, c *golden.Case, define goldenBuild, how leaves) {
	params := map[string]*graph.Param{}
	g, err := graph.Build(b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		in := nodes{}
		for _, name := range slices.Sorted(maps.Keys(c.Inputs)) {
			x := c.Inputs[name]
			switch _, differentiable := c.Grads[name]; {
			case x.DType == "int":
				in[name] = g.Input(name, device.Int32, x.Shape...)
			case differentiable && how == parameters:
				params[name] = &graph.Param{Name: name, Value: must(device.FromFloats(b, x.Floats(), x.Shape...))}
				in[name] = g.Param(params[name])
			default:
				in[name] = g.Input(name, device.Float32, x.Shape...)
				if differentiable {
					g.Gradient("d "+name, in[name])
				}
			}
		}
		out := define(t, g, c, in)
		for _, name := range slices.Sorted(maps.Keys(out)) {
			g.Output(name, out[name])
		}
		loss := out[must(golden.Param[string](c, "grad_of"))]
		if seed := in["grad_seed"]; seed != nil {
			loss = g.Apply(&dot{}, loss, seed)
		}
		return loss
	})
	check(t, err)
	defer func() { check(t, g.Close()) }()
	for name, x := range c.Inputs {
		switch {
		case params[name] != nil:
		case x.DType == "int":
			check(t, g.Feed(name, x.Ints()))
		default:
			check(t, g.Feed(name, x.Floats()))
		}
	}
	if alpha, err := golden.Param[float32](c, "alpha"); err == nil {
		check(t, g.Feed("alpha", []float32{alpha}))
	}
	check(t, g.Run())
	for name, want := range c.Outputs {
		if want.DType == "int" {
			continue
		}
		if err := golden.Compare(must(g.Read(name)), want, tolerance); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range c.Grads {
		var got []float32
		if p := params[name]; p != nil {
			got = must(device.ReadFloats(b, p.Grad))
		} else {
			got = must(g.Read("d " + name))
		}
		if err := golden.Compare(got, want, tolerance); err != nil {
			t.Errorf("gradient of %s: %v", name, err)
		}
	}
}

// TestGoldenHardNegatives draws just below and just above each border of the cumulative distribution.
func TestGoldenHardNegatives(t *testing.T) {
	c := must(golden.Load("blip_itm_negatives"))
	sim, p := c.Inputs["sim_i2t"], c.Outputs["p"]
	n := sim.Shape[0]
	onBackends(t, func(t *testing.T, b device.Backend) {
		g := must(graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
			g.Output("index", op.HardNegatives(g, g.Input("sim", device.Float32, n, n), g.Input("uniform", device.Float32, n), nil))
			return nil
		}))
		check(t, g.Feed("sim", sim.Floats()))
		const margin = 2e-5 // below the smallest probability, 1e-4 of about 1
		tried := 0
		for col := range n {
			for _, side := range []float64{-margin, margin} {
				uniform, want := make([]float32, n), make([]int32, n)
				for row := range n {
					at := side
					for j := range col {
						at += p.Data[row*n+j]
					}
					uniform[row] = float32(min(max(at, 0), 1-margin))
					want[row] = int32(drawn(p.Data[row*n:(row+1)*n], float64(uniform[row])))
				}
				check(t, g.Feed("uniform", uniform))
				check(t, g.Run())
				if got := must(g.ReadInts("index")); !slices.Equal(got, want) {
					t.Fatalf("draws %v give %v, want %v", uniform, got, want)
				}
				tried += n
			}
		}
		if tried != 2*n*n {
			t.Fatalf("%d draws tried", tried)
		}
	})
}

func drawn(p []float64, at float64) int {
	for i, v := range p {
		if at -= v; at < 0 {
			return i
		}
	}
	return len(p) - 1
}

func TestGoldenAdamW(t *testing.T) {
	c := must(golden.Load("adamw"))
	onBackends(t, func(t *testing.T, b device.Backend) {
		p := must(device.FromFloats(b, c.Inputs["p0"].Floats(), c.Inputs["p0"].Shape...))
		m, v := must(device.New(b, p.Desc())), must(device.New(b, p.Desc()))
		for step := 1; step <= 3; step++ {
			grad := c.Inputs[fmt.Sprintf("g%d", step)]
			_, err := b.Update(device.UpdateArgs{AdamW: []device.AdamWArgs{{
				P: p, G: must(device.FromFloats(b, grad.Floats(), grad.Shape...)), M: m, V: v, Step: step,
				LR: param[float64](t, c, "lr"), Beta1: param[float64](t, c, "beta1"), Beta2: param[float64](t, c, "beta2"),
				Eps: param[float64](t, c, "eps"), Decay: param[float64](t, c, "weight_decay"),
			}}})
			check(t, err)
			check(t, golden.Compare(must(device.ReadFloats(b, p)), c.Outputs[fmt.Sprintf("p%d", step)], tolerance))
		}
	})
}
