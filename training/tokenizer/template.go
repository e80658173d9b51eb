package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// item is one part of a template.
type item struct {
	text bool // the ids of the text; otherwise the token id
	id   int32
}

// Wrap puts ids into the tokenizer's template, e.g. between [BOS] and [EOS].
// Without a template it returns a copy.
func (t *Tokenizer) Wrap(ids []int32) []int32 {
	if t.template == nil {
		return slices.Clone(ids)
	}
	out := make([]int32, 0, len(ids)+len(t.template))
	for _, i := range t.template {
		if i.text {
			out = append(out, ids...)
		} else {
			out = append(out, i.id)
		}
	}
	return out
}

// processor holds the fields of every post-processor.
type processor struct {
	Type          string                `json:"type"`
	Single        []piece               `json:"single,omitempty"`
	Pair          []piece               `json:"pair,omitempty"`
	SpecialTokens map[string]specialIDs `json:"special_tokens,omitempty"`
	Processors    []json.RawMessage     `json:"processors,omitempty"`
	Sep           *namedID              `json:"sep,omitempty"`
	Cls           *namedID              `json:"cls,omitempty"`
}

// piece is one item of a template; one of the two is set.
type piece struct {
	SpecialToken *pieceID `json:"SpecialToken,omitempty"`
	Sequence     *pieceID `json:"Sequence,omitempty"`
}

type pieceID struct {
	ID     string `json:"id"`
	TypeID int    `json:"type_id"`
}

type specialIDs struct {
	ID     string   `json:"id"`
	IDs    []int32  `json:"ids"`
	Tokens []string `json:"tokens"`
}

// namedID is written as ["[SEP]", 102].
type namedID struct {
	name string
	id   int32
}

func (n *namedID) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&n.name, &n.id})
}

// readProcessor puts what a post-processor adds around the template so far.
func (t *Tokenizer) readProcessor(raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var p processor
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	switch p.Type {
	case "Sequence":
		for i, raw := range p.Processors {
			if err := t.readProcessor(raw); err != nil {
				return fmt.Errorf("part %d: %w", i, err)
			}
		}
		return nil
	case "ByteLevel": // it trims offsets, which are not kept here
		return nil
	case "TemplateProcessing":
		return t.readTemplate(p)
	case "BertProcessing", "RobertaProcessing": // they differ for pairs only
		if p.Cls == nil || p.Sep == nil {
			return fmt.Errorf("%s needs cls and sep", p.Type)
		}
		return t.surround([]item{{id: p.Cls.id}, {text: true}, {id: p.Sep.id}})
	case "":
		return errors.New("it has no type")
	}
	return fmt.Errorf("type %s is not known", p.Type)
}

func (t *Tokenizer) readTemplate(p processor) error {
	var items []item
	for _, i := range p.Single {
		switch {
		case i.Sequence != nil && i.Sequence.ID == "A":
			items = append(items, item{text: true})
		case i.SpecialToken != nil:
			ids, ok := p.SpecialTokens[i.SpecialToken.ID]
			if !ok {
				return fmt.Errorf("the template's token %q has no ids", i.SpecialToken.ID)
			}
			for _, id := range ids.IDs {
				items = append(items, item{id: id})
			}
		default:
			return errors.New("the template for one text has something that is neither that text nor a token")
		}
	}
	return t.surround(items)
}

// surround puts the template so far where the new one has the text.
func (t *Tokenizer) surround(items []item) error {
	inner := t.template
	if inner == nil {
		inner = []item{{text: true}}
	}
	t.template = []item{}
	for _, i := range items {
		if i.text {
			t.template = append(t.template, inner...)
			continue
		}
		if _, ok := t.Token(i.id); !ok {
			return fmt.Errorf("the template has id %d, which is not in the vocabulary", i.id)
		}
		t.template = append(t.template, i)
	}
	return nil
}
