package jinja

import (
	"errors"
	"fmt"
)

// Template is a parsed template. It may be rendered concurrently.
type Template struct{ body []node }

// Error is what is wrong with a template, or what it says is wrong with its input.
type Error struct {
	Line   int    // of the template, from 1
	Reason string // what happened
	Raised bool   // the template itself refused its input, with raise_exception
}

func (e *Error) Error() string { return fmt.Sprintf("template line %d: %s", e.Line, e.Reason) }

// locate gives an error the line where it came about, unless it has one.
func locate(line int, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &Error{Line: line, Reason: err.Error()}
	var raised raisedError
	if errors.As(err, &raised) {
		e.Raised = true
	}
	return e
}

// raisedError is what raise_exception raises.
type raisedError struct{ message string }

func (e raisedError) Error() string { return e.message }

// Span is a part of a rendered text, in bytes.
type Span struct{ From, To int }

// Rendered is what a template makes.
type Rendered struct {
	Text string
	// Generated are the parts within {% generation %}, in order.
	Generated []Span
}

// Limits bound a render. Zero means the default.
type Limits struct {
	Steps int // expressions and statements that are carried out; default a million
	Bytes int // of all texts that are made on the way; default 256 MiB
	Depth int // calls and blocks within each other; default 200
}

func (l Limits) resolve() Limits {
	if l.Steps == 0 {
		l.Steps = 1 << 20
	}
	if l.Bytes == 0 {
		l.Bytes = 256 << 20
	}
	if l.Depth == 0 {
		l.Depth = 200
	}
	return l
}

// Parse reads a template. Unknown tags, filters and tests are errors here, not when
// a row first meets them.
func Parse(source string) (*Template, error) {
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	body, err := p.body()
	if err != nil {
		return nil, err
	}
	return &Template{body}, nil
}

// Generates tells whether the template has {% generation %} blocks.
func (t *Template) Generates() bool { return generates(t.body) }

// Render makes the text of variables, given as values of this package.
func (t *Template) Render(variables map[string]any, l Limits) (Rendered, error) {
	r := &run{limits: l.resolve()}
	s := &scope{names: globals()}
	s = s.inner()
	for name, v := range variables {
		s.names[name] = v
	}
	err := r.block(s, t.body)
	if errors.Is(err, errBreak) || errors.Is(err, errContinue) {
		err = &Error{Line: 1, Reason: "break or continue outside a loop"}
	}
	if err != nil {
		return Rendered{}, err
	}
	return Rendered{Text: r.out.String(), Generated: r.generated}, nil
}
