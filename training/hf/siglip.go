package hf

import "tempera/training/model"

// siglip is SigLIP (models/siglip/modeling_siglip.py). Its texts are padded to the
// context, padding counts like any token, and the feature is that of the last
// token; its images are pooled by attention, and not projected.
func siglip() architecture {
	return architecture{
		class: "SiglipModel", modelType: "siglip", task: "zero-shot-image-classification",
		owns:    func(c model.Config) bool { return c.Kind == model.CLIP && c.Loss == model.Sigmoid },
		read:    readSigLIP,
		write:   writeSigLIP,
		tensors: siglipTensors,
		strays:  isPositionIDs,
	}
}

func readSigLIP(s *settings) model.Config {
	c := readTowers(s,
		towerDefaults{width: 768, hidden: 3072, layers: 12, heads: 12, vocab: 32000, context: 64, activation: "gelu_pytorch_tanh", eps: 1e-6},
		towerDefaults{width: 768, hidden: 3072, layers: 12, heads: 12, image: 224, patch: 16, activation: "gelu_pytorch_tanh", eps: 1e-6})
	t, v := s.sub("text_config"), s.sub("vision_config")
	v.only("vision_use_head", true)
	c.Embed = t.count("projection_size", c.Text.Width)
	if c.Embed != c.Vision.Width {
		t.fault("projection_size", "is %d and vision_config.hidden_size is %d: texts and images need one space", c.Embed, c.Vision.Width)
	}
	c.Loss, c.Text.Pool = model.Sigmoid, model.End
	c.Vision.Form, c.Vision.Pool = model.SigLIPVision, model.Attention
	return c
}

func writeSigLIP(c model.Config, f *faults) object {
	must(f, "vision.form", c.Vision.Form, model.SigLIPVision)
	must(f, "vision.pool", c.Vision.Pool, model.Attention)
	must(f, "text.causal", c.Text.Causal, false)
	must(f, "text.pool", c.Text.Pool, model.End)
	text, vision := writeTowers(c, "siglip")
	text["projection_size"] = c.Embed
	return object{"text_config": text, "vision_config": vision}
}

func siglipTensors(m *mapping) {
	textTower(m)
	visionTower(m)
	m.linear("text_model.head", "text_projection")
	width := m.config.Vision.Width
	const head = "vision_model.head."
	m.same(head+"probe", "vision.pool.probe", 1, 1, width)
	// One matrix holds queries, keys and values; we keep queries apart.
	for _, p := range []part{
		{param: "vision.pool.q", rows: width},
		{param: "vision.pool.kv", from: width, rows: 2 * width},
	} {
		weight, bias := p, p
		weight.tensor, weight.shape, weight.turned = head+"attention.in_proj_weight", []int{3 * width, width}, true
		weight.param += ".weight"
		bias.tensor, bias.shape = head+"attention.in_proj_bias", []int{3 * width}
		bias.param += ".bias"
		m.parts = append(m.parts, weight, bias)
	}
	m.linear(head+"attention.out_proj", "vision.pool.out")
	m.norm(head+"layernorm", "vision.pool.mlp.norm")
	m.linear(head+"mlp.fc1", "vision.pool.mlp.up")
	m.linear(head+"mlp.fc2", "vision.pool.mlp.down")
	m.same("logit_scale", "log_scale")
	m.same("logit_bias", "logit_bias")
}
