package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// getter makes the function that finds an attribute of an item; names may have
// points, and an absent name takes the item itself.
func getter(name any) func(any) (any, error) {
	if name == nil {
		return func(v any) (any, error) { return v, nil }
	}
	return func(v any) (any, error) {
		if n, ok := integer(name); ok {
			return item(v, n)
		}
		for part := range strings.SplitSeq(str(name), ".") {
			var err error
			if v, err = item(v, part); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
}

// someOf is iterate for filters to which whatever is false is empty.
func (r *run) someOf(v any) ([]any, error) {
	if !truth(v) {
		return nil, nil
	}
	return r.iterate(v)
}

func filterEnd(i int64) filterFunc {
	return func(r *run, v any, _ arguments) (any, error) {
		items, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return undefined{"No first or last item, sequence was empty."}, nil
		}
		return item(&List{Items: items}, i)
	}
}

func filterJoin(r *run, v any, a arguments) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	name, _ := a.at(1, "attribute")
	get, parts := getter(name), make([]string, len(items))
	size, sep := 0, a.text(0, "d", "")
	for i, it := range items {
		part, err := get(it)
		if err != nil {
			return nil, err
		}
		parts[i] = str(part)
		size += len(parts[i]) + len(sep)
	}
	if err := r.room(size); err != nil {
		return nil, err
	}
	return strings.Join(parts, sep), nil
}

func filterMap(r *run, v any, a arguments) (any, error) {
	items, err := r.someOf(v)
	if err != nil {
		return nil, err
	}
	out := &List{}
	var each func(any) (any, error)
	if name, ok := a.at(len(a.list), "attribute"); ok {
		get := getter(name)
		otherwise, hasDefault := a.at(len(a.list), "default")
		each = func(v any) (any, error) {
			v, err := get(v)
			if _, none := v.(undefined); none && hasDefault {
				return otherwise, nil
			}
			return v, err
		}
	} else {
		f, ok := filters()[str(first(a))]
		if !ok {
			return nil, fmt.Errorf("there is no filter %s", repr(first(a)))
		}
		each = func(v any) (any, error) { return f(r, v, arguments{a.list[1:], a.named}) }
	}
	for _, it := range items {
		if err := r.step(); err != nil {
			return nil, err
		}
		v, err := each(it)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

// filterSelect keeps the items, or those whose attribute, passes a test; without a
// test, what is true.
func filterSelect(byAttribute, keep bool) filterFunc {
	return func(r *run, v any, a arguments) (any, error) {
		items, err := r.someOf(v)
		if err != nil {
			return nil, err
		}
		get, rest := getter(nil), a.list
		if byAttribute {
			if len(rest) == 0 {
				return nil, errors.New("it wants an attribute")
			}
			get, rest = getter(rest[0]), rest[1:]
		}
		test := func(_ *run, v any, _ arguments) (bool, error) { return truth(v), nil }
		var args arguments
		if len(rest) > 0 {
			f, ok := tests()[str(rest[0])]
			if !ok {
				return nil, fmt.Errorf("there is no test %s", repr(rest[0]))
			}
			test, args = f, arguments{list: rest[1:]}
		}
		out := &List{}
		for _, it := range items {
			if err := r.step(); err != nil {
				return nil, err
			}
			v, err := get(it)
			if err != nil {
				return nil, err
			}
			yes, err := test(r, v, args)
			if err != nil {
				return nil, err
			}
			if yes == keep {
				out.Items = append(out.Items, it)
			}
		}
		return out, nil
	}
}

func filterReverse(r *run, v any, _ arguments) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	if _, ok := v.(string); ok {
		var b strings.Builder
		for _, c := range items {
			b.WriteString(c.(string))
		}
		return r.made(b.String())
	}
	return &List{Items: items}, nil
}

// sorted orders items by what key finds of them. Texts are compared without their
// case unless exact is true.
func (r *run) sorted(items []any, key func(any) (any, error), exact any) ([]any, error) {
	keys, err := foldedKeys(items, key, truth(exact))
	if err != nil {
		return nil, err
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	if err := r.room(16 * len(items)); err != nil {
		return nil, err
	}
	slices.SortStableFunc(order, func(i, j int) int {
		c, ok := compare(keys[i], keys[j])
		if !ok {
			err = fmt.Errorf("'<' not supported between instances of '%s' and '%s'", kind(keys[i]), kind(keys[j]))
		}
		return c
	})
	out := make([]any, len(items))
	for i, at := range order {
		out[i] = items[at]
	}
	return out, err
}

func foldedKeys(items []any, key func(any) (any, error), exact bool) ([]any, error) {
	keys := make([]any, len(items))
	for i, it := range items {
		k, err := key(it)
		if err != nil {
			return nil, err
		}
		if s, ok := k.(string); ok && !exact {
			k = strings.ToLower(s)
		}
		keys[i] = k
	}
	return keys, nil
}

func filterSort(r *run, v any, a arguments) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	back, _ := a.at(0, "reverse")
	exact, _ := a.at(1, "case_sensitive")
	name, _ := a.at(2, "attribute")
	return r.inOrder(items, getter(name), [2]any{exact, back})
}

// inOrder sorts, backwards where the second option is true: equal items keep their
// order all the same.
func (r *run) inOrder(items []any, key func(any) (any, error), exactAndBack [2]any) (any, error) {
	back := truth(exactAndBack[1])
	if back {
		items = slices.Clone(items)
		slices.Reverse(items)
	}
	out, err := r.sorted(items, key, exactAndBack[0])
	if back {
		slices.Reverse(out)
	}
	return &List{Items: out}, err
}

func filterDictSort(r *run, v any, a arguments) (any, error) {
	d, ok := v.(*Dict)
	if !ok {
		return nil, fmt.Errorf("it wants a dictionary, not a '%s'", kind(v))
	}
	exact, _ := a.at(0, "case_sensitive")
	back, _ := a.at(2, "reverse")
	at := int64(0)
	if a.text(1, "by", "key") == "value" {
		at = 1
	}
	return r.inOrder(d.pairs().Items, getter(at), [2]any{exact, back})
}

func filterExtreme(sign int) filterFunc {
	return func(r *run, v any, a arguments) (any, error) {
		items, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		exact, _ := a.at(0, "case_sensitive")
		name, _ := a.at(1, "attribute")
		keys, err := foldedKeys(items, getter(name), truth(exact))
		if err != nil {
			return nil, err
		}
		best := 0
		for i := range keys {
			c, ok := compare(keys[i], keys[best])
			if !ok {
				return nil, fmt.Errorf("cannot compare '%s' and '%s'", kind(keys[i]), kind(keys[best]))
			}
			if c*sign > 0 {
				best = i
			}
		}
		if len(items) == 0 {
			return undefined{"No aggregated item, sequence was empty."}, nil
		}
		return items[best], nil
	}
}

func filterUnique(r *run, v any, a arguments) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	exact, _ := a.at(0, "case_sensitive")
	name, _ := a.at(1, "attribute")
	keys, err := foldedKeys(items, getter(name), truth(exact))
	if err != nil {
		return nil, err
	}
	out := &List{}
	seen := map[any]bool{}
	for i, k := range keys {
		if !hashable(k) {
			return nil, fmt.Errorf("unhashable type: '%s'", kind(k))
		}
		if !seen[k] {
			seen[k] = true
			out.Items = append(out.Items, items[i])
		}
	}
	return out, nil
}

func filterSum(r *run, v any, a arguments) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	name, _ := a.at(0, "attribute")
	get := getter(name)
	total, ok := a.at(1, "start")
	if !ok {
		total = int64(0)
	}
	for _, it := range items {
		v, err := get(it)
		if err != nil {
			return nil, err
		}
		if total, err = r.operate("+", total, v); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func filterBatch(r *run, v any, a arguments) (any, error) {
	items, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	n, ok := integer(first(a))
	if !ok || n < 1 {
		return nil, errors.New("it wants a number of items above 0")
	}
	out := &List{}
	for part := range slices.Chunk(items, int(n)) {
		out.Items = append(out.Items, &List{Items: slices.Clone(part)})
	}
	return out, nil
}
