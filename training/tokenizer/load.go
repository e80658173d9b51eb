package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
)

// Settings is what a model's folder says of its tokenizer beside tokenizer.json.
// What it does not say is zero.
type Settings struct {
	BOS, EOS, Pad, Unk, Sep, Cls, Mask *Named
	Stop                               []int32 // the tokens that end generation, of generation_config.json
	AddBOS, AddEOS                     *bool
	MaxLength                          int               // tokens that the model takes
	ChatTemplate                       string            // Jinja; the default one
	ChatTemplates                      map[string]string // the others, by their names
}

// Named is a special token that a folder names.
type Named struct {
	Text string
	ID   int32
}

// Files of a model's folder that Load reads.
const (
	tokenizerFile  = "tokenizer.json"
	configFile     = "tokenizer_config.json"
	specialFile    = "special_tokens_map.json"
	generationFile = "generation_config.json"
	templateFile   = "chat_template.jinja"
)

// Load reads the tokenizer of a model's folder as Hugging Face's libraries save
// it. All files but tokenizer.json may be missing. It fails where the files
// contradict each other: where one names a token that the vocabulary does not
// have.
func Load(folder fs.FS) (*Tokenizer, Settings, error) {
	var s Settings
	data, err := fs.ReadFile(folder, tokenizerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s, fmt.Errorf("%w: only tokenizer.json is read: save the tokenizer with save_pretrained of its fast class", err)
	}
	if err != nil {
		return nil, s, err
	}
	t, err := Parse(data)
	if err != nil {
		return nil, s, err
	}
	for _, step := range []struct {
		name string
		read func(*Tokenizer, []byte) error
	}{
		{specialFile, s.readConfig}, // first: the other overrides it
		{configFile, s.readConfig},
		{generationFile, s.readGeneration},
		{templateFile, s.readTemplate},
	} {
		data, err := fs.ReadFile(folder, step.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = step.read(t, data)
		}
		if err != nil {
			return nil, s, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return t, s, nil
}

// text is a token written as a string, or as an object with its content.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	if len(data) > 0 && data[0] == '{' {
		err := json.Unmarshal(data, &object)
		*t = text(object.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(t))
}

func (s *Settings) readConfig(t *Tokenizer, data []byte) error {
	var c struct {
		BOS          *text           `json:"bos_token"`
		EOS          *text           `json:"eos_token"`
		Pad          *text           `json:"pad_token"`
		Unk          *text           `json:"unk_token"`
		Sep          *text           `json:"sep_token"`
		Cls          *text           `json:"cls_token"`
		Mask         *text           `json:"mask_token"`
		AddBOS       *bool           `json:"add_bos_token"`
		AddEOS       *bool           `json:"add_eos_token"`
		MaxLength    float64         `json:"model_max_length"`
		ChatTemplate json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	var faults []error
	for _, token := range []struct {
		name string
		text *text
		to   **Named
	}{
		{"bos_token", c.BOS, &s.BOS},
		{"eos_token", c.EOS, &s.EOS},
		{"pad_token", c.Pad, &s.Pad},
		{"unk_token", c.Unk, &s.Unk},
		{"sep_token", c.Sep, &s.Sep},
		{"cls_token", c.Cls, &s.Cls},
		{"mask_token", c.Mask, &s.Mask},
	} {
		if token.text == nil || *token.text == "" {
			continue
		}
		id, ok := t.ID(string(*token.text))
		if !ok {
			faults = append(faults, fmt.Errorf("%s is %q, which tokenizer.json does not have", token.name, *token.text))
			continue
		}
		*token.to = &Named{string(*token.text), id}
	}
	if c.AddBOS != nil {
		s.AddBOS = c.AddBOS
	}
	if c.AddEOS != nil {
		s.AddEOS = c.AddEOS
	}
	if c.MaxLength >= 1 && c.MaxLength <= math.MaxInt32 { // greater ones mean that there is no limit
		s.MaxLength = int(c.MaxLength)
	}
	return errors.Join(append(faults, s.readTemplates(c.ChatTemplate))...)
}

// readTemplates reads one template, or a list of those with names.
func (s *Settings) readTemplates(raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if raw[0] == '"' {
		return json.Unmarshal(raw, &s.ChatTemplate)
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("chat_template: %w", err)
	}
	for _, t := range list {
		if t.Name == "default" {
			s.ChatTemplate = t.Template
			continue
		}
		if s.ChatTemplates == nil {
			s.ChatTemplates = map[string]string{}
		}
		s.ChatTemplates[t.Name] = t.Template
	}
	return nil
}

func (s *Settings) readTemplate(_ *Tokenizer, data []byte) error {
	s.ChatTemplate = string(data)
	return nil
}

// oneOrMore is an id, or a list of ids.
type oneOrMore []int32

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]int32)(o))
	}
	var id *int32
	err := json.Unmarshal(data, &id)
	if id != nil {
		*o = oneOrMore{*id}
	}
	return err
}

func (s *Settings) readGeneration(t *Tokenizer, data []byte) error {
	var g struct {
		EOS oneOrMore `json:"eos_token_id"`
	}
	if err := json.Unmarshal(data, &g); err != nil {
		return err
	}
	for _, id := range g.EOS {
		if _, ok := t.Token(id); !ok {
			return fmt.Errorf("eos_token_id has %d, but tokenizer.json has no such id below %d", id, t.Size())
		}
	}
	s.Stop = g.EOS
	return nil
}
