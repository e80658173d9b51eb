package hf

import (
	"fmt"
	"strings"

	"tempera/training/model"
)

// llama is the Llama family (models/llama/modeling_llama.py): Llama 1 to 3.3,
// SmolLM, and whatever else says LlamaForCausalLM.
func llama() architecture {
	return architecture{
		class: "LlamaForCausalLM", modelType: "llama", task: "text-generation",
		owns: func(c model.Config) bool {
			return c.Kind == model.LM && c.Score == nil && c.Text.Norm == model.RMSNorm && c.Text.Bias != model.QKVBias
		},
		read:    readLlama,
		write:   writeLlama,
		tensors: llamaTensors,
		strays:  isFrequencies,
		prefix:  "model.",
	}
}

// isFrequencies tells of what old folders keep and everybody computes.
func isFrequencies(name string) bool { return strings.HasSuffix(name, ".rotary_emb.inv_freq") }

func readLlama(s *settings) model.Config {
	c := readDecoder(s, decoderDefaults{vocab: 32000, hidden: 11008, context: 2048, eps: 1e-6})
	c.Text.Form, c.Text.Bias = model.Llama, model.NoBias
	attention, mlp := s.truth("attention_bias", false), s.truth("mlp_bias", false)
	switch {
	case attention && mlp:
		c.Text.Bias = model.AllBias
	case attention:
		s.fault("attention_bias", "is true and mlp_bias is not: biases on all layers or on none are supported")
	case mlp:
		s.fault("mlp_bias", "is true and attention_bias is not: biases on all layers or on none are supported")
	}
	return c
}

// decoderDefaults are what transformers takes for what config.json leaves out.
type decoderDefaults struct {
	vocab, hidden, context int
	eps                    float64
}

// readDecoder reads what Llama and Qwen2 have in common.
func readDecoder(s *settings, d decoderDefaults) model.Config {
	s.only("hidden_act", "silu")
	t := model.Text{
		Vocab: s.count("vocab_size", d.vocab), Context: s.count("max_position_embeddings", d.context),
		Width: s.count("hidden_size", 4096), Layers: s.layers("num_hidden_layers", 32), Heads: s.count("num_attention_heads", 32),
		Hidden: s.count("intermediate_size", d.hidden), NormEps: s.number("rms_norm_eps", d.eps),
		TieHead: s.truth("tie_word_embeddings", false),
	}
	t.KVHeads = s.count("num_key_value_heads", t.Heads)
	if t.Width%t.Heads != 0 && !s.has("head_dim") {
		s.fault("hidden_size", "is %d, not a multiple of num_attention_heads, %d", t.Width, t.Heads)
	}
	t.HeadWidth = s.count("head_dim", max(t.Width/t.Heads, 1))
	t.Rope = readRope(s, t.Context)
	return model.Config{Kind: model.LM, Width: t.Width, Text: t}
}

func writeLlama(c model.Config, f *faults) object {
	o := writeDecoder(c, f)
	biases := c.Text.Bias == model.AllBias
	o["attention_bias"], o["mlp_bias"] = biases, biases
	o["head_dim"] = c.Text.HeadWidth
	return o
}

func writeDecoder(c model.Config, f *faults) object {
	t := c.Text
	must(f, "text.position", t.Position, model.Rotary)
	must(f, "text.mlp", t.MLP, model.Gated)
	must(f, "text.activation", t.Activation, model.SiLU)
	denseOnly(f, t)
	o := object{
		"vocab_size": t.Vocab, "max_position_embeddings": t.Context, "hidden_size": t.Width, "num_hidden_layers": t.Layers,
		"num_attention_heads": t.Heads, "num_key_value_heads": t.KVHeads, "intermediate_size": t.Hidden, "rms_norm_eps": t.NormEps,
		"tie_word_embeddings": t.TieHead, "hidden_act": "silu",
	}
	writeRope(t.Rope, o)
	return o
}

func llamaTensors(m *mapping) {
	t := m.config.Text
	m.same("model.embed_tokens.weight", "text.token")
	queries, keys := t.Heads*t.HeadWidth, t.KVHeads*t.HeadWidth
	for i := range t.Layers {
		layer, block := fmt.Sprintf("model.layers.%d.", i), fmt.Sprintf("text.blocks.%d.", i)
		m.norm(layer+"input_layernorm", block+"causal.norm")
		m.fused(block+"causal.qkv", rowsOf{layer + "self_attn.q_proj", queries}, rowsOf{layer + "self_attn.k_proj", keys}, rowsOf{layer + "self_attn.v_proj", keys})
		m.linear(layer+"self_attn.o_proj", block+"causal.out")
		m.norm(layer+"post_attention_layernorm", block+"mlp.norm")
		m.fused(block+"mlp.gate_up", rowsOf{layer + "mlp.gate_proj", t.Hidden}, rowsOf{layer + "mlp.up_proj", t.Hidden})
		m.linear(layer+"mlp.down_proj", block+"mlp.down")
	}
	m.norm("model.norm", "text.norm")
	if !t.TieHead {
		m.linear("lm_head", "text.head")
	}
}
