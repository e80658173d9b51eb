package hf

import (
	"bytes"
	"encoding/json"
	"fmt"

	"tempera/training/model"
)

// vocabulary is what is needed of a tokenizer's files: how many tokens there are,
// and the ids of those with a meaning. It does not depend on whether this program
// can run the tokenizer.
type vocabulary struct {
	size  int
	ids   map[string]int32  // of added tokens, by text
	roles map[string]string // text of eos_token and the like
}

// readVocabulary reads tokenizer.json and tokenizer_config.json among the files;
// either may be missing.
func readVocabulary(files map[string][]byte) (*vocabulary, error) {
	v := &vocabulary{ids: map[string]int32{}, roles: map[string]string{}}
	if raw, ok := files[TokenizerFile]; ok {
		if err := v.readTokens(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", TokenizerFile, err)
		}
	}
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		raw, ok := files[name]
		if !ok {
			continue
		}
		if err := v.readRoles(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return v, nil
}

func (v *vocabulary) readTokens(raw []byte) error {
	var file struct {
		Model struct {
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
		Added []struct {
			ID      int32  `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return err
	}
	if list := bytes.HasPrefix(file.Model.Vocab, []byte("[")); list {
		var tokens []json.RawMessage
		if err := json.Unmarshal(file.Model.Vocab, &tokens); err != nil {
			return err
		}
		v.size = len(tokens)
	} else if len(file.Model.Vocab) > 0 {
		var tokens map[string]int32
		if err := json.Unmarshal(file.Model.Vocab, &tokens); err != nil {
			return fmt.Errorf("vocab: %w", err)
		}
		for _, id := range tokens {
			v.size = max(v.size, int(id)+1)
		}
	}
	for _, a := range file.Added {
		v.ids[a.Content] = a.ID
		v.size = max(v.size, int(a.ID)+1)
	}
	return nil
}

func (v *vocabulary) readRoles(raw []byte) error {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(raw, &file); err != nil {
		return err
	}
	for _, role := range []string{"bos_token", "eos_token", "pad_token"} {
		var text string
		var token struct {
			Content string `json:"content"`
		}
		switch raw := file[role]; {
		case json.Unmarshal(raw, &text) == nil && text != "":
			v.roles[role] = text
		case json.Unmarshal(raw, &token) == nil && token.Content != "":
			v.roles[role] = token.Content
		}
	}
	return nil
}

// special finds the ids of the special tokens of a configuration that is read: of
// each, what the tokenizer's files say by text, else what config.json says by
// number, else the end, which then stands in for padding and for the beginning.
// A tokenizer with more tokens than the embedding has rows is an error. Fewer are
// not: embeddings are padded to round numbers.
func (src *Source) special(s *settings, c model.Config) (model.Special, error) {
	v, err := readVocabulary(src.Files)
	if err != nil {
		return model.Special{}, err
	}
	if v.size > c.Text.Vocab {
		return model.Special{}, fmt.Errorf("%s has %d tokens, the embedding %d rows: they are of different models", TokenizerFile, v.size, c.Text.Vocab)
	}
	if s.has("text_config") {
		s = s.sub("text_config")
	}
	id := func(role string, otherwise int32) int32 {
		if id, ok := v.ids[v.roles[role]]; ok {
			return id
		}
		for _, id := range s.ids(role + "_id") {
			if int(id) < c.Text.Vocab {
				return id
			}
		}
		return otherwise
	}
	ids := c.Text.Special
	last := int32(c.Text.Vocab - 1)
	if ids == (model.Special{}) {
		ids.EOS = id("eos_token", id("pad_token", last))
		ids.BOS = id("bos_token", ids.EOS)
		ids.Pad = id("pad_token", ids.EOS)
	}
	ids.ENC = ids.BOS
	if ids == (model.Special{}) {
		ids.ENC = min(1, last) // ids that are all 0 would be taken for none; nothing here uses ENC
	}
	return ids, s.err()
}
