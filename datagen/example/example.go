// Package example keeps the rows that post-training learns from and is measured on: conversations, prompts with completions, preferences, labelled
// completions and problems with a checkable answer. An artifact of them has the type examples.
//
// A row is JSON in the formats of TRL (Hugging Face), so that other programs read the shards as they are; which fields it has says what it is for,
// see [Example.Form]. Readers below datagen/source/rows make rows of the files that people have, package task makes problems, package chat turns
// rows into tokens. Start reading at Example, then shards.go.
package example

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
)

// Example is one row.
type Example struct {
	ID string `json:"id"`

	// Messages is a whole conversation. The other texts leave it out.
	Messages []Message `json:"messages,omitempty"`
	// Prompt is what is given, Completion what is to be learned or judged.
	Prompt     *Text `json:"prompt,omitempty"`
	Completion *Text `json:"completion,omitempty"`
	// Chosen is preferred to Rejected, by Margin where it is known.
	Chosen   *Text   `json:"chosen,omitempty"`
	Rejected *Text   `json:"rejected,omitempty"`
	Margin   float64 `json:"margin,omitempty"`
	// Label tells whether Completion is a good one.
	Label *bool `json:"label,omitempty"`
	// Steps are the parts of a completion, StepLabels whether each is right (process supervision).
	Steps      []string `json:"completions,omitempty"`
	StepLabels []bool   `json:"labels,omitempty"`
	// Choices are answers to choose from, Choice the number of the right one.
	Choices []string `json:"choices,omitempty"`
	Choice  *int     `json:"choice,omitempty"`

	// Problem says how an answer to Prompt is checked.
	Problem *Problem `json:"problem,omitempty"`

	Tools  json.RawMessage `json:"tools,omitempty"`  // JSON Schemas of functions, for the chat template
	Images []string        `json:"images,omitempty"` // names of the images that the texts show, in order, in the shard's tar
	Slice  string          `json:"slice,omitempty"`  // the row of an evaluation's table that it counts in
	Source string          `json:"source,omitempty"` // the file and line, or the generator, that it comes from

	// Score and Rewards are what judges gave to Completion.
	Score   *float64           `json:"score,omitempty"`
	Rewards map[string]float64 `json:"rewards,omitempty"`

	// Drawn is Completion as it was sampled, where it is to be learned from by reinforcement.
	Drawn *Drawn `json:"drawn,omitempty"`

	// Pictures are the bytes of Images, PNG or JPEG. They are no part of the JSON.
	Pictures [][]byte `json:"-"`
}

// Drawn is a completion as a policy sampled it, so that another process can learn from it.
type Drawn struct {
	Group    string    `json:"group"`           // the row whose prompt it has; the samples of a prompt are compared
	Prompt   []int32   `json:"prompt"`          // in tokens
	Tokens   []int32   `json:"tokens"`          // of the completion, the one that ended it included
	LogProbs []float32 `json:"log_probs"`       // of Tokens, under the distribution that they were drawn from
	Given    []bool    `json:"given,omitempty"` // tokens that an environment put in
	Ended    bool      `json:"ended"`           // otherwise it was cut off
}

// Problem is a task and the answer that its checker wants.
type Problem struct {
	Task   string          `json:"task"`             // the checker's name, see package task
	Answer string          `json:"answer"`           // the reference answer
	Facts  json.RawMessage `json:"facts,omitempty"`  // what else the checker needs, such as the numbers of a countdown
	Level  int             `json:"level,omitempty"`  // of difficulty
	Traces []string        `json:"traces,omitempty"` // worked solutions, the reasoning before the answer
	Mark   string          `json:"mark,omitempty"`   // how a completion marks its answer, see task.Mark; empty: the task's own way
}

// Form is what a row is for.
type Form string

// The forms, by the fields that a row has.
const (
	Conversation Form = "messages"   // Messages
	Completed    Form = "completion" // Prompt, Completion
	Preference   Form = "preference" // Prompt, Chosen, Rejected
	Labelled     Form = "labelled"   // Prompt, Completion, Label
	Stepwise     Form = "stepwise"   // Prompt, Steps, StepLabels
	Choice       Form = "choice"     // Prompt, Choices, Choice
	Task         Form = "problem"    // Prompt, Problem, no Completion
	Question     Form = "prompt"     // Prompt alone
)

// Form tells what a row is for; "" if its fields make no sense together.
func (e *Example) Form() Form {
	switch {
	case e.Messages != nil:
		return Conversation
	case e.Prompt == nil:
		return ""
	case e.Chosen != nil && e.Rejected != nil:
		return Preference
	case e.Steps != nil:
		return Stepwise
	case e.Completion != nil && e.Label != nil:
		return Labelled
	case e.Completion != nil:
		return Completed
	case e.Choices != nil:
		return Choice
	case e.Problem != nil:
		return Task
	}
	return Question
}

// Validate returns every fault of a row at once.
func (e *Example) Validate() error {
	var faults []error
	fail := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fail(e.ID == "", "it has no id")
	fail(e.Form() == "", "it has neither messages nor a prompt")
	fail((e.Chosen == nil) != (e.Rejected == nil), "chosen and rejected go together: it has one of them")
	fail(len(e.Steps) != len(e.StepLabels), "it has %d completions and %d labels", len(e.Steps), len(e.StepLabels))
	fail(e.Choices != nil && (e.Choice == nil || *e.Choice < 0 || *e.Choice >= len(e.Choices)), "choice does not number one of its %d choices", len(e.Choices))
	fail(e.Problem != nil && e.Problem.Task == "", "its problem names no task")
	fail(len(e.Images) > 0 && len(e.Pictures) != len(e.Images), "it has %d images and %d pictures", len(e.Images), len(e.Pictures))
	for _, m := range e.Messages {
		fail(m.Role == "", "a message has no role")
	}
	return errors.Join(faults...)
}

// Text is a piece of text: as it is, or as messages that the chat template of a model writes down.
type Text struct {
	Plain    string
	Messages []Message // nil: Plain
}

// Plain is a text as it is.
func Plain(s string) *Text { return &Text{Plain: s} }

// Chat is a text of messages.
func Chat(m ...Message) *Text { return &Text{Messages: m} }

// MarshalJSON writes a string or a list of messages.
func (t Text) MarshalJSON() ([]byte, error) {
	if t.Messages != nil {
		return readable(t.Messages)
	}
	return readable(t.Plain)
}

// readable is JSON in which tags such as <think> stand as they are.
func readable(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// UnmarshalJSON reads a string or a list of messages.
func (t *Text) UnmarshalJSON(data []byte) error {
	*t = Text{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &t.Plain)
	}
	if err := json.Unmarshal(data, &t.Messages); err != nil {
		return fmt.Errorf("want a string or a list of messages: %w", err)
	}
	if t.Messages == nil {
		t.Messages = []Message{}
	}
	return nil
}

// String is the text as a person reads it: of messages, their texts a line each.
func (t *Text) String() string {
	if t == nil {
		return ""
	}
	if t.Messages == nil {
		return t.Plain
	}
	s := ""
	for i, m := range t.Messages {
		if i > 0 {
			s += "\n"
		}
		s += m.Text()
	}
	return s
}

// Message is one turn of a conversation.
type Message struct {
	Role      string          `json:"role"` // system, user, assistant or tool
	Content   []Part          `json:"-"`
	Reasoning string          `json:"reasoning_content,omitempty"` // what an assistant thinks before it answers
	ToolCalls json.RawMessage `json:"tool_calls,omitempty"`        // as OpenAI's API has them
	ToolID    string          `json:"tool_call_id,omitempty"`      // of a tool's message: the call that it answers
	Name      string          `json:"name,omitempty"`
}

// Part is a piece of a message: text, or the next of the example's images.
type Part struct {
	Type string `json:"type"` // text or image
	Text string `json:"text,omitempty"`
}

// Say is a message of text.
func Say(role, text string) Message {
	return Message{Role: role, Content: []Part{{Type: "text", Text: text}}}
}

// Text is the texts of a message, joined.
func (m Message) Text() string {
	s := ""
	for _, p := range m.Content {
		s += p.Text
	}
	return s
}

type plainMessage Message

// MarshalJSON writes the content as a string where it is one text, and otherwise as a list of parts.
func (m Message) MarshalJSON() ([]byte, error) {
	var content any = m.Content
	if len(m.Content) == 0 {
		content = ""
	} else if len(m.Content) == 1 && m.Content[0].Type == "text" {
		content = m.Content[0].Text
	}
	return readable(struct {
		plainMessage
		Content any `json:"content"`
	}{plainMessage(m), content})
}

// UnmarshalJSON reads either form of content, and null, which is empty.
func (m *Message) UnmarshalJSON(data []byte) error {
	raw := struct {
		*plainMessage
		Content json.RawMessage `json:"content"`
	}{plainMessage: (*plainMessage)(m)}
	*m = Message{}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	switch c := raw.Content; {
	case len(c) == 0 || string(c) == "null":
	case c[0] == '"':
		var s string
		if err := json.Unmarshal(c, &s); err != nil {
			return err
		}
		m.Content = []Part{{Type: "text", Text: s}}
	default:
		if err := json.Unmarshal(c, &m.Content); err != nil {
			return fmt.Errorf("content: want a string or a list of parts: %w", err)
		}
	}
	return nil
}

// Stream yields rows in a fixed order. An error that is a *sample.Fault concerns one row only; any other error ends the stream.
type Stream = iter.Seq2[*Example, error]
