package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// config is what Hugging Face's libraries want beside tokenizer.json.
type config struct {
	Class         string `json:"tokenizer_class"`
	ModelMax      int    `json:"model_max_length"`
	Pad           string `json:"pad_token"`
	BOS           string `json:"bos_token"`
	EOS           string `json:"eos_token"`
	CleanUpSpaces bool   `json:"clean_up_tokenization_spaces"`
}

// ConfigJSON returns the tokenizer_config.json of t, with which AutoTokenizer
// loads a model's folder. maxLength is the tokens that the model takes.
func (t *Tokenizer) ConfigJSON(names SpecialNames, maxLength int) ([]byte, error) {
	if _, err := t.Special(names); err != nil {
		return nil, err
	}
	names = names.withDefaults()
	compact, err := plain(config{
		Class: "PreTrainedTokenizerFast", ModelMax: maxLength, Pad: names.Pad, BOS: names.BOS, EOS: names.EOS,
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	return b.Bytes(), nil
}
