package hf

import (
	"fmt"
	"strings"

	"tempera/training/model"
)

// gpt2 is GPT-2 as transformers keeps it (models/gpt2/modeling_gpt2.py). Its
// layers are Conv1D, whose weight is (in, out) as ours is.
func gpt2() architecture {
	return architecture{
		class: "GPT2LMHeadModel", modelType: "gpt2", task: "text-generation",
		owns: func(c model.Config) bool {
			return c.Kind == model.LM && c.Score == nil && c.Text.Norm == model.LayerNorm
		},
		read:    readGPT2,
		write:   writeGPT2,
		tensors: gpt2Tensors,
		strays: func(name string) bool {
			return strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias")
		},
		prefix: "transformer.",
	}
}

func readGPT2(s *settings) model.Config {
	s.only("scale_attn_weights", true)
	t := model.Text{
		Form: model.GPT2, Vocab: s.count("vocab_size", 50257), Context: s.count("n_positions", 1024),
		Width: s.count("n_embd", 768), Layers: s.layers("n_layer", 12), Heads: s.count("n_head", 12),
		NormEps: s.number("layer_norm_epsilon", 1e-5), Activation: s.activation("activation_function", "gelu_new"),
		TieHead: s.truth("tie_word_embeddings", true),
	}
	t.Hidden = s.count("n_inner", 4*t.Width)
	return model.Config{Kind: model.LM, Width: t.Width, Text: t}
}

func writeGPT2(c model.Config, f *faults) object {
	t := c.Text
	must(f, "text.position", t.Position, model.Learned)
	must(f, "text.mlp", t.MLP, model.Plain)
	must(f, "text.bias", t.Bias, model.AllBias)
	must(f, "text.kv_heads", t.KVHeads, t.Heads)
	fullHeads(f, t)
	denseOnly(f, t)
	activation := activationName(t.Activation)
	if t.Activation == model.GELUTanh {
		activation = "gelu_new" // what GPT-2 calls it
	}
	return object{
		"vocab_size": t.Vocab, "n_positions": t.Context, "n_embd": t.Width, "n_layer": t.Layers, "n_head": t.Heads, "n_inner": t.Hidden,
		"layer_norm_epsilon": t.NormEps, "activation_function": activation, "tie_word_embeddings": t.TieHead,
	}
}

// fullHeads notes heads that are narrower or wider than the layout has them.
func fullHeads(f *faults, t model.Text) {
	if t.HeadWidth*t.Heads != t.Width {
		f.add("text.head_width is %d, it must be text.width over text.heads, %d over %d", t.HeadWidth, t.Width, t.Heads)
	}
}

func denseOnly(f *faults, t model.Text) {
	if t.Experts != nil {
		f.add("text.experts has no place in it: leave it out")
	}
}

func gpt2Tensors(m *mapping) {
	m.same("transformer.wte.weight", "text.token")
	m.same("transformer.wpe.weight", "text.position")
	conv := func(tensor, param string) {
		m.same(tensor+".weight", param+".weight")
		m.same(tensor+".bias", param+".bias")
	}
	for i := range m.config.Text.Layers {
		h, block := fmt.Sprintf("transformer.h.%d.", i), fmt.Sprintf("text.blocks.%d.", i)
		m.norm(h+"ln_1", block+"causal.norm")
		conv(h+"attn.c_attn", block+"causal.qkv")
		conv(h+"attn.c_proj", block+"causal.out")
		m.norm(h+"ln_2", block+"mlp.norm")
		conv(h+"mlp.c_fc", block+"mlp.up")
		conv(h+"mlp.c_proj", block+"mlp.down")
	}
	m.norm("transformer.ln_f", "text.norm")
	if !m.config.Text.TieHead {
		m.linear("lm_head", "text.head")
	}
}
