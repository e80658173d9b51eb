package hf

import (
	"fmt"

	"tempera/training/model"
)

// towerDefaults are what transformers takes for what a tower's part of
// config.json leaves out.
type towerDefaults struct {
	width, hidden, layers, heads int
	vocab, context               int // of texts
	image, patch                 int // of images
	activation                   string
	eps                          float64
}

// readTowers reads text_config and vision_config.
func readTowers(s *settings, text, vision towerDefaults) model.Config {
	t, v := s.sub("text_config"), s.sub("vision_config")
	for _, tower := range []*settings{t, v} {
		tower.checkNeutral()
	}
	v.only("num_channels", 3)
	c := model.Config{Kind: model.CLIP, Text: model.Text{
		Form: model.GPT2, Vocab: t.count("vocab_size", text.vocab), Context: t.count("max_position_embeddings", text.context),
		Width: t.count("hidden_size", text.width), Hidden: t.count("intermediate_size", text.hidden),
		Layers: t.layers("num_hidden_layers", text.layers), Heads: t.count("num_attention_heads", text.heads),
		NormEps: t.number("layer_norm_eps", text.eps), Activation: t.activation("hidden_act", text.activation),
	}, Vision: model.Vision{
		Image: v.count("image_size", vision.image), Patch: v.count("patch_size", vision.patch),
		Width: v.count("hidden_size", vision.width), Hidden: v.count("intermediate_size", vision.hidden),
		Layers: v.layers("num_hidden_layers", vision.layers), Heads: v.count("num_attention_heads", vision.heads),
		NormEps: v.number("layer_norm_eps", vision.eps), Activation: v.activation("hidden_act", vision.activation),
	}}
	c.Width = c.Vision.Width
	return c
}

// writeTowers writes text_config and vision_config.
func writeTowers(c model.Config, modelType string) (text, vision object) {
	t, v := c.Text, c.Vision
	text = object{
		"model_type": modelType + "_text_model", "vocab_size": t.Vocab, "max_position_embeddings": t.Context, "hidden_size": t.Width,
		"intermediate_size": t.Hidden, "num_hidden_layers": t.Layers, "num_attention_heads": t.Heads, "layer_norm_eps": t.NormEps,
		"hidden_act": activationName(t.Activation), "bos_token_id": t.Special.BOS, "eos_token_id": t.Special.EOS, "pad_token_id": t.Special.Pad,
	}
	vision = object{
		"model_type": modelType + "_vision_model", "image_size": v.Image, "patch_size": v.Patch, "num_channels": 3, "hidden_size": v.Width,
		"intermediate_size": v.Hidden, "num_hidden_layers": v.Layers, "num_attention_heads": v.Heads, "layer_norm_eps": v.NormEps,
		"hidden_act": activationName(v.Activation),
	}
	return text, vision
}

// encoder maps the layers of a tower.
func encoder(m *mapping, tensor, param string, layers int) {
	for i := range layers {
		layer, block := fmt.Sprintf("%s.encoder.layers.%d.", tensor, i), fmt.Sprintf("%s.blocks.%d.", param, i)
		width := m.spec(block + "self.out.weight").Shape[1]
		m.norm(layer+"layer_norm1", block+"self.norm")
		m.fused(block+"self.qkv", rowsOf{layer + "self_attn.q_proj", width}, rowsOf{layer + "self_attn.k_proj", width}, rowsOf{layer + "self_attn.v_proj", width})
		m.linear(layer+"self_attn.out_proj", block+"self.out")
		m.norm(layer+"layer_norm2", block+"mlp.norm")
		m.linear(layer+"mlp.fc1", block+"mlp.up")
		m.linear(layer+"mlp.fc2", block+"mlp.down")
	}
}

// textTower maps a text tower but for its projection.
func textTower(m *mapping) {
	m.same("text_model.embeddings.token_embedding.weight", "text.token")
	m.same("text_model.embeddings.position_embedding.weight", "text.position")
	encoder(m, "text_model", "text", m.config.Text.Layers)
	m.norm("text_model.final_layer_norm", "text.norm")
}

// visionTower maps a vision tower but for what pools it. A convolution's kernel
// (out, 3, patch, patch) is a linear layer of our patches, which run channel by
// channel and row by row.
func visionTower(m *mapping) {
	v := m.config.Vision
	m.parts = append(m.parts, part{
		tensor: "vision_model.embeddings.patch_embedding.weight", param: "vision.patch.weight",
		shape: []int{v.Width, 3, v.Patch, v.Patch}, rows: v.Width, turned: true,
	})
	if !v.NoPatchBias {
		m.same("vision_model.embeddings.patch_embedding.bias", "vision.patch.bias")
	}
	m.same("vision_model.embeddings.position_embedding.weight", "vision.position")
	encoder(m, "vision_model", "vision", v.Layers)
	m.norm("vision_model.post_layernorm", "vision.norm")
}
