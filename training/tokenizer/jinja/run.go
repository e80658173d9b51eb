package jinja

import (
	"errors"
	"fmt"
	"strings"
)

// scope is the variables of a block, in those of the blocks around it.
type scope struct {
	names map[string]any
	up    *scope
}

func (s *scope) inner() *scope { return &scope{map[string]any{}, s} }

func (s *scope) get(name string) any {
	for ; s != nil; s = s.up {
		if v, ok := s.names[name]; ok {
			return v
		}
	}
	return undefined{fmt.Sprintf("'%s' is undefined", name)}
}

// run is one render.
type run struct {
	limits              Limits
	steps, bytes, depth int
	out                 strings.Builder
	captured            *strings.Builder // of a macro or the like; nil: the text goes to out
	generated           []Span
}

var (
	errBreak    = errors.New("break")
	errContinue = errors.New("continue")
)

// step counts what is carried out.
func (r *run) step() error {
	if r.steps++; r.steps > r.limits.Steps {
		return fmt.Errorf("it takes more than %d steps", r.limits.Steps)
	}
	return nil
}

// room counts bytes of text before they are made.
func (r *run) room(n int) error {
	if r.bytes += n; r.bytes > r.limits.Bytes || n < 0 {
		return fmt.Errorf("it makes more than %d bytes of text", r.limits.Bytes)
	}
	return nil
}

// made counts a text that was made.
func (r *run) made(s string) (any, error) { return s, r.room(len(s)) }

func (r *run) write(s string) error {
	if err := r.room(len(s)); err != nil {
		return err
	}
	if r.captured != nil {
		r.captured.WriteString(s)
	} else {
		r.out.WriteString(s)
	}
	return nil
}

// eval evaluates an expression; its errors have a line.
func (r *run) eval(s *scope, e expr) (any, error) {
	if err := r.step(); err != nil {
		return nil, locate(e.at(), err)
	}
	v, err := e.eval(r, s)
	return v, locate(e.at(), err)
}

// optional evaluates an expression that may be left out.
func (r *run) optional(s *scope, e expr) (any, error) {
	if e == nil {
		return nil, nil
	}
	return r.eval(s, e)
}

// capture returns the text that nodes make.
func (r *run) capture(s *scope, nodes []node) (string, error) {
	before := r.captured
	r.captured = &strings.Builder{}
	err := r.block(s, nodes)
	text := r.captured.String()
	r.captured = before
	return text, err
}

func (r *run) block(s *scope, nodes []node) error {
	for _, n := range nodes {
		if err := r.step(); err != nil {
			if e, ok := n.(interface{ at() int }); ok {
				err = locate(e.at(), err)
			}
			return err
		}
		if err := n.exec(r, s); err != nil {
			return err
		}
	}
	return nil
}

func (n *textNode) exec(r *run, _ *scope) error { return r.write(n.text) }

func (n *outputNode) exec(r *run, s *scope) error {
	v, err := r.eval(s, n.value)
	if err != nil {
		return err
	}
	return locate(n.value.at(), r.write(str(v)))
}

func (n *ifNode) exec(r *run, s *scope) error {
	for i, test := range n.tests {
		v, err := r.eval(s, test)
		if err != nil {
			return err
		}
		if truth(v) {
			return r.block(s, n.bodies[i])
		}
	}
	if len(n.bodies) > len(n.tests) {
		return r.block(s, n.bodies[len(n.tests)])
	}
	return nil
}

// loopState is what loop is in a loop.
type loopState struct {
	items []any
	i     int
	depth int
	last  *List // what changed() was called with
}

func (l *loopState) attribute(name string) any {
	n := len(l.items)
	near := func(i int) any {
		if i < 0 || i >= n {
			return undefined{"there is no such item in the loop"}
		}
		return l.items[i]
	}
	switch name {
	case "index":
		return int64(l.i + 1)
	case "index0":
		return int64(l.i)
	case "revindex":
		return int64(n - l.i)
	case "revindex0":
		return int64(n - l.i - 1)
	case "first":
		return l.i == 0
	case "last":
		return l.i == n-1
	case "length":
		return int64(n)
	case "depth":
		return int64(l.depth)
	case "depth0":
		return int64(l.depth - 1)
	case "previtem":
		return near(l.i - 1)
	case "nextitem":
		return near(l.i + 1)
	case "cycle":
		return function{"cycle", func(_ *run, a arguments) (any, error) {
			if len(a.list) == 0 {
				return nil, errors.New("no items for cycling given")
			}
			return a.list[l.i%len(a.list)], nil
		}}
	case "changed":
		return function{"changed", func(_ *run, a arguments) (any, error) {
			now := &List{Items: a.list}
			same := l.last != nil && equal(now, l.last)
			l.last = now
			return !same, nil
		}}
	}
	return undefined{fmt.Sprintf("'loop' has no attribute '%s'", name)}
}

func (n *forNode) exec(r *run, s *scope) error {
	v, err := r.eval(s, n.items)
	if err != nil {
		return err
	}
	items, err := r.iterate(v)
	if err != nil {
		return locate(n.at(), err)
	}
	if n.filter != nil {
		if items, err = n.filtered(r, s, items); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		return r.block(s.inner(), n.none)
	}
	loop := &loopState{items: items, depth: 1}
	if outer, ok := s.get("loop").(*loopState); ok {
		loop.depth = outer.depth + 1
	}
	for i, item := range items {
		loop.i = i
		body := s.inner()
		body.names["loop"] = loop
		if err := n.bind(body, item); err != nil {
			return locate(n.at(), err)
		}
		switch err := r.block(body, n.body); {
		case err == nil || errors.Is(err, errContinue):
		case errors.Is(err, errBreak):
			return nil
		default:
			return err
		}
		if err := r.step(); err != nil {
			return locate(n.at(), err)
		}
	}
	return nil
}

func (n *forNode) bind(s *scope, item any) error {
	if len(n.targets) == 1 {
		s.names[n.targets[0]] = item
		return nil
	}
	parts, ok := item.(*List)
	if !ok || len(parts.Items) != len(n.targets) {
		return fmt.Errorf("cannot unpack %s into %d names", kind(item), len(n.targets))
	}
	for i, name := range n.targets {
		s.names[name] = parts.Items[i]
	}
	return nil
}

func (n *forNode) filtered(r *run, s *scope, items []any) (kept []any, err error) {
	for _, item := range items {
		inner := s.inner()
		if err := n.bind(inner, item); err != nil {
			return nil, locate(n.at(), err)
		}
		v, err := r.eval(inner, n.filter)
		if err != nil {
			return nil, err
		}
		if truth(v) {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

func (n *setNode) exec(r *run, s *scope) error {
	var v any
	var err error
	if n.value != nil {
		v, err = r.eval(s, n.value)
	} else {
		v, err = r.capture(s.inner(), n.body)
		if err == nil {
			v, err = r.pass(s, v, n.filters)
		}
	}
	if err != nil {
		return err
	}
	if len(n.targets) == 1 {
		return locate(n.at(), n.targets[0].set(s, v))
	}
	parts, ok := v.(*List)
	if !ok || len(parts.Items) != len(n.targets) {
		return locate(n.at(), fmt.Errorf("cannot unpack %s into %d names", kind(v), len(n.targets)))
	}
	for i, t := range n.targets {
		if err := t.set(s, parts.Items[i]); err != nil {
			return locate(n.at(), err)
		}
	}
	return nil
}

func (t target) set(s *scope, v any) error {
	if t.attribute == "" {
		s.names[t.name] = v
		return nil
	}
	ns, ok := s.get(t.name).(*namespace)
	if !ok {
		return fmt.Errorf("cannot assign attribute on non-namespace object %s", t.name)
	}
	ns.Set(t.attribute, v)
	return nil
}

// pass sends a value through filters.
func (r *run) pass(s *scope, v any, filters []call) (any, error) {
	for _, f := range filters {
		a, err := r.arguments(s, f)
		if err != nil {
			return nil, err
		}
		if v, err = f.filter(r, v, a); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return v, nil
}

func (n *filterNode) exec(r *run, s *scope) error {
	text, err := r.capture(s.inner(), n.body)
	if err != nil {
		return err
	}
	v, err := r.pass(s, text, n.filters)
	if err == nil {
		err = r.write(str(v))
	}
	return locate(n.at(), err)
}

func (n *withNode) exec(r *run, s *scope) error {
	inner := s.inner()
	for i, name := range n.names {
		v, err := r.eval(s, n.values[i])
		if err != nil {
			return err
		}
		inner.names[name] = v
	}
	return r.block(inner, n.body)
}

func (n *generationNode) exec(r *run, s *scope) error {
	from := r.out.Len()
	err := r.block(s.inner(), n.body)
	r.generated = append(r.generated, Span{from, r.out.Len()})
	return err
}

func (n *jumpNode) exec(*run, *scope) error { return n.err }
