package chat

import (
	"errors"
	"fmt"
	"strings"

	"tempera/datagen/example"
	"tempera/training/tokenizer"
	"tempera/training/tokenizer/jinja"
)

const assistant = "assistant"

// errNoTemplate is for messages that nothing writes down.
var errNoTemplate = errors.New("it has messages, and the model has no chat template: give the model one (chat_template.jinja), or rows of plain prompts and completions")

// rendered is the text of messages; answer adds what comes before the model's turn.
func (r *row) rendered(messages []example.Message, answer bool) (string, error) {
	text, err := r.render(messages, answer)
	return text.Text, err
}

func (r *row) render(messages []example.Message, answer bool) (jinja.Rendered, error) {
	if r.template == nil {
		return jinja.Rendered{}, errNoTemplate
	}
	variables := map[string]any{"add_generation_prompt": answer, "documents": nil, "tools": nil}
	for name, v := range r.given {
		variables[name] = v
	}
	list := &jinja.List{}
	for i, m := range messages {
		v, err := r.message(m)
		if err != nil {
			return jinja.Rendered{}, fmt.Errorf("message %d: %w", i, err)
		}
		list.Items = append(list.Items, v)
	}
	variables["messages"] = list
	if len(r.x.Tools) > 0 {
		tools, err := jinja.FromJSON(r.x.Tools)
		if err != nil {
			return jinja.Rendered{}, fmt.Errorf("tools: %w", err)
		}
		variables["tools"] = tools
	}
	return r.template.Render(variables, jinja.Limits{})
}

// message is one as templates take it.
func (r *row) message(m example.Message) (*jinja.Dict, error) {
	d := jinja.NewDict("role", m.Role, "content", r.content(m.Content))
	if m.Reasoning != "" {
		d.Set("reasoning_content", m.Reasoning)
	}
	if len(m.ToolCalls) > 0 {
		calls, err := jinja.FromJSON(m.ToolCalls)
		if err != nil {
			return nil, fmt.Errorf("tool_calls: %w", err)
		}
		openCalls(calls)
		d.Set("tool_calls", calls)
	}
	if m.ToolID != "" {
		d.Set("tool_call_id", m.ToolID)
	}
	if m.Name != "" {
		d.Set("name", m.Name)
	}
	return d, nil
}

// content is a string where it is text alone, and where the template knows no parts:
// then the token of an image stands for it.
func (r *row) content(parts []example.Part) any {
	text, images := "", false
	for _, p := range parts {
		if p.Type == "image" {
			images = true
			text += r.image
			continue
		}
		text += p.Text
	}
	if !images || !r.typed {
		return text
	}
	list := &jinja.List{}
	for _, p := range parts {
		d := jinja.NewDict("type", p.Type)
		if p.Type != "image" {
			d.Set("text", p.Text)
		}
		list.Items = append(list.Items, d)
	}
	return list
}

// openCalls makes objects of the arguments of calls that are JSON in a string, as
// OpenAI's API has them: templates write them down as objects.
func openCalls(calls any) {
	list, ok := calls.(*jinja.List)
	if !ok {
		return
	}
	for _, c := range list.Items {
		call, ok := c.(*jinja.Dict)
		if !ok {
			continue
		}
		if f, ok := call.Get("function"); ok {
			if d, ok := f.(*jinja.Dict); ok {
				call = d
			}
		}
		text, _ := call.Get("arguments")
		raw, ok := text.(string)
		if !ok {
			continue
		}
		if v, err := jinja.FromJSON([]byte(raw)); err == nil {
			if _, ok := v.(*jinja.Dict); ok {
				call.Set("arguments", v)
			}
		}
	}
}

// span is a part of a text that is learned.
type span struct{ from, to int }

// conversation encodes messages as a whole.
func (r *row) conversation(messages []example.Message) error {
	full, err := r.render(messages, false)
	if err != nil {
		return err
	}
	if r.options.Learn == All {
		r.piece(true, full.Text, tokenizer.AllAdded)
		return nil
	}
	turns, err := r.turns(messages, full)
	if err != nil {
		return err
	}
	r.assemble(ended(full.Text, turns, messages), turns, len(turns)-1)
	return nil
}

// ended is a text without what templates write after the answer, such as the begin
// of the next one.
func ended(text string, turns []span, messages []example.Message) string {
	if messages[len(messages)-1].Role == assistant {
		return text[:turns[len(turns)-1].to]
	}
	return text
}

// turns finds what is learned of a conversation.
func (r *row) turns(messages []example.Message, full jinja.Rendered) ([]span, error) {
	if lastTurn(messages) < 0 {
		return nil, errors.New("the conversation has no assistant's turn: there is nothing to learn")
	}
	var turns []span
	if r.template.Generates() {
		for _, g := range full.Generated {
			if g.From < g.To {
				turns = append(turns, span{g.From, g.To})
			}
		}
		if len(turns) == 0 {
			return nil, errors.New("the template marks nothing as generated")
		}
	} else {
		for i, m := range messages {
			if m.Role != assistant || r.options.Learn == Completion && i != lastTurn(messages) {
				continue
			}
			s, err := r.prefixes(messages, i, full.Text)
			if err != nil {
				return nil, err
			}
			turns = append(turns, s)
		}
	}
	if r.options.Learn == Completion {
		turns = turns[len(turns)-1:]
	}
	return turns, nil
}

// prefixes finds turn i: it begins behind what the template writes of the messages
// before it, and ends with the first token that ends a turn; without one, where the
// template ends with this message.
func (r *row) prefixes(messages []example.Message, i int, full string) (span, error) {
	before, err := r.rendered(messages[:i], true)
	if err != nil {
		return span{}, err
	}
	if !strings.HasPrefix(full, before) {
		return span{}, differs(i, before, full)
	}
	if end := r.afterStop(full[len(before):]); end > 0 {
		return span{len(before), len(before) + end}, nil
	}
	with := full
	if i+1 < len(messages) {
		if with, err = r.rendered(messages[:i+1], false); err != nil {
			return span{}, err
		}
		if !strings.HasPrefix(full, with) || len(with) < len(before) {
			return span{}, differs(i+1, with, full)
		}
	}
	return span{len(before), len(with)}, nil
}

// afterStop is where the first token that ends a turn ends, 0 without one.
func (r *row) afterStop(text string) int {
	end := 0
	for _, stop := range r.stopTexts {
		if at := strings.Index(text, stop); at >= 0 && (end == 0 || at+len(stop) < end) {
			end = at + len(stop)
		}
	}
	return end
}

// differs says where the text of the first n messages is not that of all.
func differs(n int, part, full string) error {
	at := 0
	for at < len(part) && at < len(full) && part[at] == full[at] {
		at++
	}
	excerpt := func(s string) string { return strings.ToValidUTF8(s[min(at, len(s)):min(at+24, len(s))], "") }
	return fmt.Errorf("the template writes the first %d messages otherwise when more follow (at byte %d %q, alone %q), so it cannot be told which tokens are whose: "+
		"use a template that marks them with {%% generation %%}, learn: completion, or learn: all", n, at, excerpt(full), excerpt(part))
}
