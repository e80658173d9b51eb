package rows

import (
	"encoding/json"
	"errors"

	"tempera/datagen/example"
)

// shareGPT is conversations of from and value, as Vicuna's, LLaVA's and
// LLaMA-Factory's data sets have them; with chosen and rejected, preferences.
func shareGPT() Format {
	return Format{
		Name: "sharegpt", Summary: "ShareGPT's and LLaVA's: conversations of from and value, with images and tools",
		fits: func(r *record) bool { return r.has("conversations") || r.has("conversation") },
		read: func(r *record) ([]*example.Example, error) { return one(readShareGPT(r)) },
	}
}

func readShareGPT(r *record) (*example.Example, error) {
	name := "conversations"
	if !r.has(name) && r.has("conversation") {
		name = "conversation"
	}
	if err := r.need(name); err != nil {
		return nil, err
	}
	if err := r.addImages("images", "image"); err != nil {
		return nil, err
	}
	talk, err := r.messages(r.fields[name])
	if err != nil {
		return nil, err
	}
	if len(talk) == 0 {
		return nil, errors.New("the conversation is empty")
	}
	var system string
	if err := r.get("system", &system); err != nil {
		return nil, err
	}
	if system != "" {
		talk = withSystem(talk, system)
	}
	e := &example.Example{ID: r.id()}
	if e.Tools, err = tools(r); err != nil {
		return nil, err
	}
	if !r.has("chosen", "rejected") {
		e.Messages = talk
		return e, nil
	}
	e.Prompt = &example.Text{Messages: talk}
	if e.Chosen, err = r.either("chosen"); err == nil {
		e.Rejected, err = r.either("rejected")
	}
	return e, err
}

// tools reads schemas of functions, which some files have as a string of JSON.
func tools(r *record) (json.RawMessage, error) {
	var raw json.RawMessage
	if err := r.get("tools", &raw); err != nil || raw == nil {
		return nil, err
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return raw, nil
	}
	if text == "" {
		return nil, nil
	}
	if !json.Valid([]byte(text)) {
		return nil, errors.New("tools: the string is no JSON")
	}
	return json.RawMessage(text), nil
}
