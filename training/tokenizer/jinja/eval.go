package jinja

import (
	"errors"
	"fmt"
	"math"
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

func (e *attrExpr) eval(r *run, s *scope) (any, error) {
	of, err := r.eval(s, e.of)
	if err != nil {
		return nil, err
	}
	return attribute(of, e.name)
}

// attribute is a.b: as in Python, methods hide what is under the same key.
func attribute(of any, name string) (any, error) {
	switch v := of.(type) {
	case undefined:
		return nil, v
	case *namespace:
		if a, ok := v.Get(name); ok {
			return a, nil
		}
	case *loopState:
		return v.attribute(name), nil
	}
	if m, ok := method(of, name); ok {
		return m, nil
	}
	if d, ok := of.(*Dict); ok {
		if v, ok := d.Get(name); ok {
			return v, nil
		}
	}
	return undefined{noAttribute(of, name)}, nil
}

// Error makes an undefined value what using it raises.
func (u undefined) Error() string { return u.what }

func noAttribute(of any, name string) string {
	if of == nil {
		return fmt.Sprintf("'None' has no attribute '%s'", name)
	}
	return fmt.Sprintf("'%s object' has no attribute '%s'", kind(of), name)
}

func (e *itemExpr) eval(r *run, s *scope) (any, error) {
	of, err := r.eval(s, e.of)
	if err != nil {
		return nil, err
	}
	key, err := r.eval(s, e.key)
	if err != nil {
		return nil, err
	}
	return item(of, key)
}

// item is a[b]; what is not there is undefined.
func item(of, key any) (any, error) {
	switch v := of.(type) {
	case undefined:
		return nil, v
	case *Dict:
		if v, ok := v.Get(key); ok {
			return v, nil
		}
	case *List:
		if i, ok := integer(key); ok {
			if i < 0 {
				i += int64(len(v.Items))
			}
			if i >= 0 && i < int64(len(v.Items)) {
				return v.Items[i], nil
			}
			return undefined{fmt.Sprintf("%s object has no element %s", kind(of), repr(key))}, nil
		}
	case string:
		if i, ok := integer(key); ok {
			runes := []rune(v)
			if i < 0 {
				i += int64(len(runes))
			}
			if i >= 0 && i < int64(len(runes)) {
				return string(runes[i]), nil
			}
			return undefined{fmt.Sprintf("str object has no element %s", repr(key))}, nil
		}
	}
	if name, ok := key.(string); ok {
		return attribute(of, name)
	}
	return undefined{fmt.Sprintf("%s object has no element %s", kind(of), repr(key))}, nil
}

func (e *sliceExpr) eval(r *run, s *scope) (any, error) {
	of, err := r.eval(s, e.of)
	if err != nil {
		return nil, err
	}
	var ends [3]any
	for i, end := range []expr{e.from, e.to, e.steps} {
		if ends[i], err = r.optional(s, end); err != nil {
			return nil, err
		}
	}
	switch v := of.(type) {
	case undefined:
		return nil, v
	case *List:
		places, err := slice(len(v.Items), ends)
		if err != nil {
			return nil, err
		}
		out := &List{Tuple: v.Tuple, Items: make([]any, len(places))}
		for i, at := range places {
			out.Items[i] = v.Items[at]
		}
		return out, nil
	case string:
		runes := []rune(v)
		places, err := slice(len(runes), ends)
		if err != nil {
			return nil, err
		}
		out := make([]rune, len(places))
		for i, at := range places {
			out[i] = runes[at]
		}
		return r.made(string(out))
	}
	return nil, fmt.Errorf("'%s' object is not subscriptable", kind(of))
}

// slice lists the places that a slice takes of n.
func slice(n int, ends [3]any) ([]int, error) {
	var given [3]bool
	var at [3]int
	for i, end := range ends {
		v, ok := integer(end)
		if !ok && end != nil {
			return nil, errors.New("slice indices must be integers or None")
		}
		given[i], at[i] = end != nil, int(max(min(v, math.MaxInt32), math.MinInt32))
	}
	step := 1
	if given[2] {
		step = at[2]
	}
	if step == 0 {
		return nil, errors.New("slice step cannot be zero")
	}
	low, high := 0, n
	if step < 0 {
		low, high = -1, n-1
	}
	clamp := func(i, otherwise int) int {
		if !given[i] {
			return otherwise
		}
		v := at[i]
		if v < 0 {
			v += n
		}
		return max(low, min(v, high))
	}
	from, to := clamp(0, low), clamp(1, high)
	if step < 0 {
		from, to = clamp(0, high), clamp(1, low)
	}
	var places []int
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		places = append(places, i)
	}
	return places, nil
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
