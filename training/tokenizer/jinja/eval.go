package jinja

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

func (e *constExpr) eval(*run, *scope) (any, error)    { return e.value, nil }
func (e *nameExpr) eval(_ *run, s *scope) (any, error) { return s.get(e.name), nil }

func (e *listExpr) eval(r *run, s *scope) (any, error) {
	l := &List{Tuple: e.tuple}
	for _, item := range e.items {
		v, err := r.eval(s, item)
		if err != nil {
			return nil, err
		}
		l.Items = append(l.Items, v)
	}
	return l, nil
}

func (e *dictExpr) eval(r *run, s *scope) (any, error) {
	d := NewDict()
	for i := range e.keys {
		k, err := r.eval(s, e.keys[i])
		if err != nil {
			return nil, err
		}
		if !hashable(k) {
			return nil, fmt.Errorf("unhashable type: '%s'", kind(k))
		}
		v, err := r.eval(s, e.values[i])
		if err != nil {
			return nil, err
		}
		d.Set(k, v)
	}
	return d, nil
}

func hashable(v any) bool {
	switch v.(type) {
	case nil, bool, int64, float64, string:
		return true
	}
	return false
}

// arguments evaluates those of a call.
func (r *run) arguments(s *scope, c call) (arguments, error) {
	var a arguments
	for _, e := range c.list {
		v, err := r.eval(s, e)
		if err != nil {
			return a, err
		}
		a.list = append(a.list, v)
	}
	if c.spread != nil {
		v, err := r.eval(s, c.spread)
		if err != nil {
			return a, err
		}
		items, err := r.iterate(v)
		if err != nil {
			return a, err
		}
		a.list = append(a.list, items...)
	}
	if len(c.named) > 0 || c.others != nil {
		a.named = NewDict()
	}
	for _, n := range c.named {
		v, err := r.eval(s, n.value)
		if err != nil {
			return a, err
		}
		a.named.Set(n.name, v)
	}
	if c.others != nil {
		v, err := r.eval(s, c.others)
		if err != nil {
			return a, err
		}
		d, ok := v.(*Dict)
		if !ok {
			return a, fmt.Errorf("argument after ** must be a mapping, not %s", kind(v))
		}
		for _, k := range d.keys {
			a.named.Set(k, d.values[k])
		}
	}
	return a, nil
}

func (e *callExpr) eval(r *run, s *scope) (any, error) {
	f, err := r.eval(s, e.of)
	if err != nil {
		return nil, err
	}
	a, err := r.arguments(s, e.args)
	if err != nil {
		return nil, err
	}
	return r.call(f, a)
}

func (r *run) call(f any, a arguments) (any, error) {
	switch f := f.(type) {
	case undefined:
		return nil, f
	case function:
		if r.depth++; r.depth > r.limits.Depth {
			return nil, fmt.Errorf("calls are more than %d deep", r.limits.Depth)
		}
		v, err := f.call(r, a)
		r.depth--
		return v, err
	}
	return nil, fmt.Errorf("'%s' object is not callable", kind(f))
}

func (e *filterExpr) eval(r *run, s *scope) (any, error) {
	of, err := r.eval(s, e.of)
	if err != nil {
		return nil, err
	}
	return r.pass(s, of, []call{e.apply})
}

func (e *testExpr) eval(r *run, s *scope) (any, error) {
	of, err := r.eval(s, e.of)
	if err != nil {
		return nil, err
	}
	a, err := r.arguments(s, e.test)
	if err != nil {
		return nil, err
	}
	yes, err := e.test.test(r, of, a)
	return yes != e.not, err
}

func (e *choiceExpr) eval(r *run, s *scope) (any, error) {
	test, err := r.eval(s, e.test)
	switch {
	case err != nil:
		return nil, err
	case truth(test):
		return r.eval(s, e.yes)
	case e.no == nil:
		return undefined{"the inline if-expression has no else"}, nil
	}
	return r.eval(s, e.no)
}

func (e *unaryExpr) eval(r *run, s *scope) (any, error) {
	v, err := r.eval(s, e.of)
	if err != nil {
		return nil, err
	}
	if e.sign == "not" {
		return !truth(v), nil
	}
	if u, ok := v.(undefined); ok {
		return nil, u
	}
	if n, ok := integer(v); ok {
		if e.sign == "-" {
			n = -n
		}
		return n, nil
	}
	if n, ok := v.(float64); ok {
		if e.sign == "-" {
			n = -n
		}
		return n, nil
	}
	return nil, fmt.Errorf("bad operand type for unary %s: '%s'", e.sign, kind(v))
}

func (e *compareExpr) eval(r *run, s *scope) (any, error) {
	left, err := r.eval(s, e.first)
	if err != nil {
		return nil, err
	}
	for i, sign := range e.signs {
		right, err := r.eval(s, e.rest[i])
		if err != nil {
			return nil, err
		}
		yes, err := r.compare(sign, left, right)
		if err != nil || !yes {
			return false, err
		}
		left = right
	}
	return true, nil
}

func (r *run) compare(sign string, a, b any) (bool, error) {
	switch sign {
	case "==":
		return equal(a, b), nil
	case "!=":
		return !equal(a, b), nil
	case "in":
		return r.contains(b, a)
	case "not in":
		yes, err := r.contains(b, a)
		return !yes, err
	}
	for _, v := range []any{a, b} {
		if u, ok := v.(undefined); ok {
			return false, u
		}
	}
	order, ok := compare(a, b)
	if !ok {
		return false, fmt.Errorf("'%s' not supported between instances of '%s' and '%s'", sign, kind(a), kind(b))
	}
	switch sign {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	}
	return order >= 0, nil
}

// contains is "v in all".
func (r *run) contains(all, v any) (bool, error) {
	switch all := all.(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			return false, fmt.Errorf("'in <string>' requires string as left operand, not %s", kind(v))
		}
		return strings.Contains(all, s), nil
	case *Dict:
		_, ok := all.Get(v)
		return ok, nil
	}
	items, err := r.iterate(all)
	if err != nil {
		return false, fmt.Errorf("argument of type '%s' is not iterable", kind(all))
	}
	for _, item := range items {
		if equal(item, v) {
			return true, nil
		}
	}
	return false, nil
}

// iterate lists what a loop over a value goes through.
func (r *run) iterate(v any) ([]any, error) {
	switch v := v.(type) {
	case undefined:
		return nil, nil
	case *List:
		return v.Items, nil
	case *Dict:
		return v.keys, nil
	case string:
		if err := r.room(utf8.RuneCountInString(v)); err != nil {
			return nil, err
		}
		var items []any
		for _, c := range v {
			items = append(items, string(c))
		}
		return items, nil
	}
	return nil, fmt.Errorf("'%s' object is not iterable", kind(v))
}
