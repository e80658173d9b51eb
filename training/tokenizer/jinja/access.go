package jinja

import (
	"errors"
	"fmt"
	"math"
)

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
