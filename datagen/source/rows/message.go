package rows

import (
	"encoding/json"
	"fmt"
	"strings"

	"tempera/datagen/example"
)

// imageTag is where LLaVA's and other people's texts show an image.
const imageTag = "<image>"

// rawMessage is one as OpenAI's API, TRL and ShareGPT have it.
type rawMessage struct {
	Role      string          `json:"role"`
	From      string          `json:"from"`
	Content   json.RawMessage `json:"content"`
	Value     *string         `json:"value"`
	Reasoning string          `json:"reasoning_content"`
	Thinking  string          `json:"thinking"`
	ToolCalls json.RawMessage `json:"tool_calls"`
	ToolID    string          `json:"tool_call_id"`
	Name      string          `json:"name"`
}

// roles are those of example.Message, by what others call them.
func roles() map[string]string {
	return map[string]string{
		"system": "system", "developer": "system",
		"user": "user", "human": "user", "prompter": "user",
		"assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "model": "assistant", "bot": "assistant",
		"tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "function_response": "tool",
	}
}

// messages reads a list of messages. Images that they name are the next of the row's.
func (r *record) messages(raw json.RawMessage) ([]example.Message, error) {
	var list []rawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("want a list of messages: %w", err)
	}
	out := []example.Message{}
	for i, in := range list {
		m, err := r.message(in)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
		out = append(out, m)
	}
	return out, nil
}

func (r *record) message(in rawMessage) (example.Message, error) {
	called := in.Role + in.From
	m := example.Message{Role: roles()[strings.ToLower(called)], Reasoning: in.Reasoning + in.Thinking, ToolCalls: in.ToolCalls, ToolID: in.ToolID, Name: in.Name}
	if called == "function_call" { // ShareGPT's: its value is the call
		m.Role = "assistant"
		if in.Value != nil {
			m.ToolCalls, in.Value = shareGPTCall(*in.Value), nil
		}
	}
	if m.Role == "" {
		return m, fmt.Errorf("nobody is called %q: use system, user, assistant or tool", called)
	}
	if string(m.ToolCalls) == "null" {
		m.ToolCalls = nil
	}
	var err error
	switch {
	case in.Value != nil:
		m.Content = tagged(*in.Value)
	default:
		m.Content, err = r.content(in.Content)
	}
	return m, err
}

// shareGPTCall is the call of a function as OpenAI's API has it.
func shareGPTCall(text string) json.RawMessage {
	var f struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if json.Unmarshal([]byte(text), &f) != nil || f.Name == "" {
		f.Name, f.Arguments = "call", nil
	}
	if f.Arguments == nil {
		f.Arguments = json.RawMessage("{}")
	}
	raw, _ := json.Marshal([]any{map[string]any{"type": "function", "function": f}}) // it was JSON before
	return raw
}

// content reads a string, or a list of parts.
func (r *record) content(raw json.RawMessage) ([]example.Part, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return tagged(text), nil
	}
	var parts []struct {
		Type     string          `json:"type"`
		Text     string          `json:"text"`
		Image    json.RawMessage `json:"image"`
		URL      json.RawMessage `json:"url"`
		Path     json.RawMessage `json:"path"`
		ImageURL json.RawMessage `json:"image_url"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, fmt.Errorf("content: want a string or a list of parts: %w", err)
	}
	var out []example.Part
	for _, p := range parts {
		switch p.Type {
		case "text", "input_text", "output_text":
			out = append(out, example.Part{Type: "text", Text: p.Text})
		case "image", "image_url", "input_image":
			out = append(out, example.Part{Type: "image"})
			for _, named := range []json.RawMessage{p.Image, p.ImageURL, p.URL, p.Path} {
				if len(named) > 0 && string(named) != "null" {
					r.images = append(r.images, named)
					break
				}
			}
		default:
			return nil, fmt.Errorf("content has a part of type %q: only text and image are read", p.Type)
		}
	}
	return out, nil
}

// tagged makes parts of a text that says where its images are.
func tagged(text string) []example.Part {
	var parts []example.Part
	for i, piece := range strings.Split(text, imageTag) {
		if i > 0 {
			parts = append(parts, example.Part{Type: "image"})
			piece = strings.TrimPrefix(piece, "\n")
		}
		if i+1 < strings.Count(text, imageTag)+1 {
			piece = strings.TrimSuffix(piece, "\n")
		}
		if piece != "" || text == "" {
			parts = append(parts, example.Part{Type: "text", Text: piece})
		}
	}
	return parts
}

// either reads a string, or a list of messages.
func (r *record) either(name string) (*example.Text, error) {
	if !r.has(name) {
		return nil, nil
	}
	var text string
	if r.get(name, &text) == nil {
		return example.Plain(text), nil
	}
	raw := r.fields[name]
	if len(raw) > 0 && raw[0] == '{' { // one message
		raw = append(append(json.RawMessage("["), raw...), ']')
	}
	m, err := r.messages(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &example.Text{Messages: m}, nil
}
