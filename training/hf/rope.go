package hf

import (
	"slices"

	"tempera/training/model"
)

// readRope reads rotary positions: rope_theta and rope_scaling, or rope_parameters,
// which holds both in folders that transformers 5 wrote.
func readRope(s *settings, context int) model.Rope {
	in, theta := s.sub("rope_scaling"), s.number("rope_theta", 1e4)
	if s.has("rope_parameters") {
		in = s.sub("rope_parameters")
		theta = in.number("rope_theta", theta)
	}
	r := model.Rope{Theta: theta}
	in.only("partial_rotary_factor", 1.0)
	name := in.text("rope_type", in.text("type", "default"))
	if name == "default" {
		return r
	}
	kind := model.ScalingType(name)
	known := []model.ScalingType{model.LinearScaling, model.DynamicNTK, model.Llama3Scaling, model.YaRN}
	if !slices.Contains(known, kind) {
		in.fault("rope_type", "is %.60q: supported are default, linear, dynamic, llama3 and yarn", name)
		return r
	}
	if !in.has("factor") {
		in.fault("factor", "is missing: %s needs it", name)
	}
	c := model.Scaling{Type: kind, Factor: in.number("factor", 1)}
	if kind != model.LinearScaling {
		c.OriginalContext = in.count("original_max_position_embeddings", context)
	}
	switch kind {
	case model.Llama3Scaling:
		for _, key := range []string{"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"} {
			if !in.has(key) {
				in.fault(key, "is missing: llama3 needs it")
			}
		}
		c.LowFreqFactor, c.HighFreqFactor = in.number("low_freq_factor", 1), in.number("high_freq_factor", 4)
	case model.YaRN:
		for _, key := range []string{"mscale", "mscale_all_dim"} {
			if in.has(key) {
				in.fault(key, "is not supported")
			}
		}
		in.only("truncate", true)
		c.BetaFast, c.BetaSlow = in.number("beta_fast", 32), in.number("beta_slow", 1)
		c.AttentionFactor = in.number("attention_factor", 0)
	case model.NoScaling, model.LinearScaling, model.DynamicNTK: // have no constants of their own
	}
	r.Scaling = c
	return r
}

// writeRope writes rotary positions as every version of transformers reads them.
func writeRope(r model.Rope, o object) {
	o["rope_theta"] = r.Theta
	c := r.Scaling
	if c.Type == model.NoScaling {
		return
	}
	s := object{"rope_type": string(c.Type), "factor": c.Factor}
	switch c.Type {
	case model.DynamicNTK:
		s["original_max_position_embeddings"] = c.OriginalContext
	case model.Llama3Scaling:
		s["original_max_position_embeddings"] = c.OriginalContext
		s["low_freq_factor"], s["high_freq_factor"] = c.LowFreqFactor, c.HighFreqFactor
	case model.YaRN:
		s["original_max_position_embeddings"] = c.OriginalContext
		s["beta_fast"], s["beta_slow"], s["attention_factor"] = c.BetaFast, c.BetaSlow, c.AttentionFactor
	case model.NoScaling, model.LinearScaling: // have no constants of their own
	}
	o["rope_scaling"] = s
}
