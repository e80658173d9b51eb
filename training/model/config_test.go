package model

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func shapes(c Config) map[string][]int {
	out := map[string][]int{}
	for _, s := range c.Params() {
		out[s.Name] = s.Shape
	}
	return out
}

func resolved(t *testing.T, c Config) Config {
	t.Helper()
	c = c.Resolve()
	require.NoError(t, c.Validate())
	require.Equal(t, c, c.Resolve(), "resolving again changes nothing")
	raw, err := c.JSON()
	require.NoError(t, err)
	back, err := ParseConfig(raw)
	require.NoError(t, err)
	require.Equal(t, c, back)
	return c
}

func TestTheFormSetsTheStructureOfADecoder(t *testing.T) {
	text := Text{Vocab: 100, Context: 32, Layers: 2, Heads: 4, KVHeads: 2}
	for form, want := range map[Form]string{
		GPT2:  "layer_norm learned plain gelu all 1e-05 256",
		Llama: "rms_norm rope gated silu none 1e-05 176",
		Qwen2: "rms_norm rope gated silu qkv 1e-06 176",
	} {
		text.Form = form
		c := resolved(t, Config{Kind: LM, Width: 64, Text: text}).Text
		require.Equal(t, want, fmt.Sprint(c.Norm, " ", c.Position, " ", c.MLP, " ", c.Activation, " ", c.Bias, " ", c.NormEps, " ", c.Hidden))
	}
	text.Form, text.Norm, text.Bias, text.Hidden = Llama, LayerNorm, AllBias, 100
	c := resolved(t, Config{Kind: LM, Width: 64, Text: text})
	got := shapes(c)
	require.Equal(t, []int{64, (4 + 2*2) * 16}, got["text.blocks.1.causal.qkv.weight"])
	require.Equal(t, []int{64, 200}, got["text.blocks.0.mlp.gate_up.weight"])
	require.Equal(t, []int{200}, got["text.blocks.0.mlp.gate_up.bias"])
	require.Contains(t, got, "text.norm.bias")
	require.NotContains(t, got, "text.position")
	require.NotContains(t, got, "text.head.bias")
}

func TestASizeFillsInAVisionTransformer(t *testing.T) {
	c := resolved(t, Config{Kind: CLIP, Width: 32, Vision: Vision{Form: CLIPVision, Size: "L/14", Image: 224}, Text: Text{Vocab: 10, Context: 4}})
	require.Equal(t, []int{1024, 24, 16, 4096, 14}, []int{c.Vision.Width, c.Vision.Layers, c.Vision.Heads, c.Vision.Hidden, c.Vision.Patch})
	require.Equal(t, 257, c.Vision.Tokens())
	got := shapes(c)
	require.Equal(t, []int{257, 1024}, got["vision.position"])
	require.Contains(t, got, "vision.pre_norm.weight")
	require.NotContains(t, got, "vision.patch.bias")
	c = resolved(t, Config{Kind: CLIP, Width: 32, Vision: Vision{Size: "S/16", Layers: 3, Image: 32}, Text: Text{Vocab: 10, Context: 4}})
	require.Equal(t, []int{384, 3, 6}, []int{c.Vision.Width, c.Vision.Layers, c.Vision.Heads})
	for _, name := range []string{"X/16", "B", "B/0", "B/x"} {
		c.Vision.Size = name
		require.ErrorContains(t, c.Validate(), "vision.size", name)
	}
}

func TestEveryFormHasItsParameters(t *testing.T) {
	siglip := shapes(resolved(t, Config{Kind: CLIP, Width: 32, Loss: Sigmoid, Vision: Vision{Form: SigLIPVision, Image: 8}, Text: Text{Vocab: 10, Context: 4}}))
	require.Contains(t, siglip, "vision.pool.mlp.up.weight")
	require.Equal(t, []int{32}, siglip["vision.pool.probe"])
	require.Equal(t, []int{1}, siglip["logit_bias"])
	require.NotContains(t, siglip, "image_projection.weight")
	require.Contains(t, siglip, "text_projection.bias")

	c := Config{Kind: VLM, Width: 32, Vision: Vision{Form: MoonViT, Image: 16}, Text: Text{
		Form: Llama, Vocab: 20, Context: 16, Layers: 3, Special: Special{Image: 4},
		Experts: &Experts{Count: 6, Dense: 1, Shared: 2, Hidden: 8},
	}}
	given := *c.Text.Experts
	vlm := resolved(t, c)
	require.Equal(t, given, *c.Text.Experts, "resolving leaves what was given alone")
	require.Equal(t, 4, vlm.ImageTokens())
	got := shapes(vlm)
	require.Equal(t, []int{4 * 32, 128}, got["projector.up.weight"])
	require.Equal(t, []int{6, 32, 16}, got["text.blocks.1.mlp.experts.gate_up"])
	require.Equal(t, []int{32, 32}, got["text.blocks.2.mlp.shared.gate_up.weight"])
	require.Contains(t, got, "text.blocks.0.mlp.gate_up.weight")
	require.NotContains(t, got, "image_projection.weight")
	for name := range got {
		require.False(t, strings.HasPrefix(name, "vision.pool") || strings.Contains(name, ".self.") && strings.HasPrefix(name, "text."), name)
	}
}

func TestLoRAAddsTwoMatricesToWhatItsPatternsName(t *testing.T) {
	c := resolved(t, Config{Kind: LM, Width: 32, Text: Text{Form: Llama, Vocab: 20, Context: 8, Layers: 2}, LoRA: &LoRA{Rank: 4, Targets: []string{"text.blocks.*.causal.*", "text.head"}}})
	got := shapes(c)
	require.Equal(t, []int{32, 4}, got["text.blocks.1.causal.qkv.lora_a"])
	require.Equal(t, []int{4, 20}, got["text.head.lora_b"])
	require.NotContains(t, got, "text.blocks.0.mlp.down.lora_a")
	require.InDelta(t, 2, c.LoRA.Scale(), 0)
}

func TestFaultsOfFormsAreNamed(t *testing.T) {
	base := Config{Kind: VLM, Width: 32, Vision: Vision{Form: MoonViT, Image: 12, Rope: Rope{Scaling: Scaling{Type: LinearScaling}}}, Text: Text{
		Form: Llama, Vocab: 20, Context: 8, Heads: 4, KVHeads: 3, Activation: GELU, NormEps: 2,
		Rope:    Rope{Theta: 0.5, Scaling: Scaling{Type: YaRN, Factor: 0.5}},
		Experts: &Experts{Count: 2, Active: 3, Scale: -1},
	}}
	err := base.Resolve().Validate()
	for _, part := range []string{
		"not a multiple of projector.merge, 2", "text.special.image is 0", "text.kv_heads, 3", "text.activation", "text.norm_eps", "text.rope.theta",
		"scaling.factor is 0.5", "active is 3 of", "scale -1", "vision.rope.scaling",
	} {
		require.ErrorContains(t, err, part)
	}
	clip := Config{Kind: CLIP, Embed: 16, Loss: "hinge", LogitBias: 3, Projector: Projector{Merge: 1}, Vision: Vision{Form: SigLIPVision, Image: 8}, Text: Text{Form: Qwen2, Vocab: 20, Context: 8}}
	err = clip.Resolve().Validate()
	for _, part := range []string{"loss", "logit_bias", "projector is for vlm", "does not project", "has the form gpt2"} {
		require.ErrorContains(t, err, part)
	}
	lm := Config{Kind: LM, Text: Text{Vocab: 20, Context: 8}, LoRA: &LoRA{Rank: -1, Targets: []string{"vision.*", "["}}}
	err = lm.Resolve().Validate()
	for _, part := range []string{"lora.rank", `"vision.*", which matches none`, `"["`} {
		require.ErrorContains(t, err, part)
	}
}

func TestFLOPsAreTwiceTheWeightsAndAttention(t *testing.T) {
	const n = 8
	for _, c := range []Config{
		{Kind: LM, Width: 32, Text: Text{Vocab: 50, Context: n}},
		{Kind: LM, Width: 64, Text: Text{Form: Llama, Vocab: 50, Context: n, Heads: 4, KVHeads: 1}},
	} {
		c = resolved(t, c)
		weights := 0.0
		for _, s := range c.Params() {
			if s.linear {
				weights += float64(s.size())
			}
		}
		attention := float64(c.Text.Layers) * 4 * n * n * float64(c.Text.Width)
		require.InDelta(t, 2*n*weights+attention, c.FLOPs().Decode, 1)
	}
	dense := resolved(t, Config{Kind: LM, Width: 64, Text: Text{Form: Llama, Vocab: 50, Context: n, Hidden: 96}})
	sparse := dense
	sparse.Text.Experts = &Experts{Count: 8, Active: 2, Hidden: 48}
	router := float64(dense.Text.Layers) * 2 * n * 64 * 8
	require.InDelta(t, dense.FLOPs().Decode+router, sparse.FLOPs().Decode, 1, "two experts of half the width cost what the dense layer costs")
}

func TestScaledFrequencies(t *testing.T) {
	const width, context = 8, 64
	plain := Rope{Theta: 1e4}.rotation(width, context)
	require.Equal(t, 1.0, plain.Magnitude)
	require.InDelta(t, 0.1, plain.Frequencies[1], 1e-12)
	linear := Rope{Theta: 1e4, Scaling: Scaling{Type: LinearScaling, Factor: 4}}.rotation(width, context)
	require.InDelta(t, 0.025, linear.Frequencies[1], 1e-12)
	dynamic := Rope{Theta: 1e4, Scaling: Scaling{Type: DynamicNTK, Factor: 2, OriginalContext: 32}}
	require.InDelta(t, math.Pow(1e4*math.Pow(3, 8.0/6), -0.25), dynamic.rotation(width, context).Frequencies[1], 1e-12)
	require.Equal(t, plain, dynamic.rotation(width, 32))
}
