package hf

import (
	"slices"
	"strings"

	"tempera/training/model"
)

// clip is CLIP (models/clip/modeling_clip.py). The text's feature is that of its
// first end token, where our texts end.
func clip() architecture {
	return architecture{
		class: "CLIPModel", modelType: "clip", task: "zero-shot-image-classification",
		owns:    func(c model.Config) bool { return c.Kind == model.CLIP && c.Loss == model.Softmax },
		read:    readCLIP,
		write:   writeCLIP,
		tensors: clipTensors,
		strays:  isPositionIDs,
	}
}

// isPositionIDs tells of the numbers 0, 1, 2 ... that old folders keep.
func isPositionIDs(name string) bool { return strings.HasSuffix(name, ".position_ids") }

func readCLIP(s *settings) model.Config {
	c := readTowers(s,
		towerDefaults{width: 512, hidden: 2048, layers: 12, heads: 8, vocab: 49408, context: 77, activation: "quick_gelu", eps: 1e-5},
		towerDefaults{width: 768, hidden: 3072, layers: 12, heads: 12, image: 224, patch: 32, activation: "quick_gelu", eps: 1e-5})
	c.Embed = s.count("projection_dim", 512)
	c.Loss = model.Softmax
	c.Text.Causal, c.Text.Pool = true, model.Last
	if t := s.sub("text_config"); slices.Equal(t.ids("eos_token_id"), []int32{2}) {
		// The first configurations have wrong ids. Since then transformers takes 2 to
		// mean the greatest id (modeling_clip.py), where CLIP's end token is.
		last := int32(c.Text.Vocab - 1)
		c.Text.Special = model.Special{Pad: last, BOS: max(last-1, 0), EOS: last}
	}
	c.Vision.Form, c.Vision.Pool = model.CLIPVision, model.First
	return c
}

func writeCLIP(c model.Config, f *faults) object {
	must(f, "vision.form", c.Vision.Form, model.CLIPVision)
	must(f, "vision.pool", c.Vision.Pool, model.First)
	must(f, "text.causal", c.Text.Causal, true)
	must(f, "text.pool", c.Text.Pool, model.Last)
	text, vision := writeTowers(c, "clip")
	text["projection_dim"], vision["projection_dim"] = c.Embed, c.Embed
	return object{
		"text_config": text, "vision_config": vision, "projection_dim": c.Embed,
		"logit_scale_init_value": 2.6592, // ln(1/0.07), as transformers has it
	}
}

func clipTensors(m *mapping) {
	textTower(m)
	visionTower(m)
	m.same("vision_model.embeddings.class_embedding", "vision.class")
	m.norm("vision_model.pre_layrnorm", "vision.pre_norm")
	m.linear("visual_projection", "image_projection")
	m.linear("text_projection", "text_projection")
	m.scalar("logit_scale", "log_scale")
}
