package hf

import "tempera/training/model"

// llamaScore is a Llama that judges texts: a reward model with one label (LlamaForSequenceClassification, models/llama/modeling_llama.py). It
// reads the score of the last token that is not padding, and has no language head, so a model that is read has a tied one.
func llamaScore() architecture {
	a := llama()
	a.class, a.task = "LlamaForSequenceClassification", "text-classification"
	a.owns = func(c model.Config) bool {
		return c.Kind == model.LM && c.Score != nil && c.Text.Norm == model.RMSNorm && c.Text.Bias != model.QKVBias
	}
	a.read = func(s *settings) model.Config {
		c := readLlama(s)
		c.Text.TieHead = true
		c.Score = &model.Score{Readout: model.LastScore}
		return c
	}
	a.write = func(c model.Config, f *faults) object {
		must(f, "score.readout", c.Score.Readout, model.LastScore)
		must(f, "score.unit", c.Score.Unit, model.CompletionUnit)
		o := writeLlama(c, f)
		o["id2label"], o["label2id"] = object{"0": "LABEL_0"}, object{"LABEL_0": 0}
		return o
	}
	a.tensors = func(m *mapping) {
		m.config.Text.TieHead = true
		llamaTensors(m)
		m.linear("score", "score")
	}
	return a
}
