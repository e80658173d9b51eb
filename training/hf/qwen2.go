package hf

import "tempera/training/model"

// qwen2 is Qwen 2 and 2.5 (models/qwen2/modeling_qwen2.py): Llama with biases on
// queries, keys and values.
func qwen2() architecture {
	return architecture{
		class: "Qwen2ForCausalLM", modelType: "qwen2", task: "text-generation",
		owns: func(c model.Config) bool {
			return c.Kind == model.LM && c.Score == nil && c.Text.Norm == model.RMSNorm && c.Text.Bias == model.QKVBias
		},
		read:    readQwen2,
		write:   writeQwen2,
		tensors: llamaTensors,
		strays:  isFrequencies,
		prefix:  "model.",
	}
}

func readQwen2(s *settings) model.Config {
	c := readDecoder(s, decoderDefaults{vocab: 151936, hidden: 22016, context: 32768, eps: 1e-6})
	c.Text.Form, c.Text.Bias = model.Qwen2, model.QKVBias
	if s.truth("use_sliding_window", false) && s.count("max_window_layers", 28) < c.Text.Layers {
		s.fault("use_sliding_window", "is true: only attention to all earlier tokens is supported")
	}
	return c
}

func writeQwen2(c model.Config, f *faults) object {
	o := writeDecoder(c, f)
	o["use_sliding_window"] = false
	fullHeads(f, c.Text)
	return o
}
