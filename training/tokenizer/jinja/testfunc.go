package jinja

import (
	"errors"
	"strings"
)

// testFunc is what stands behind is.
type testFunc func(*run, any, arguments) (bool, error)

// tests by their names.
func tests() map[string]testFunc {
	compares := func(sign string) testFunc {
		return func(r *run, v any, a arguments) (bool, error) {
			if len(a.list) == 0 {
				return false, errors.New("the test wants a value to compare with")
			}
			return r.compare(sign, v, a.list[0])
		}
	}
	is := func(f func(any) bool) testFunc {
		return func(_ *run, v any, _ arguments) (bool, error) { return f(v), nil }
	}
	kinds := func(names ...string) testFunc {
		return is(func(v any) bool {
			for _, n := range names {
				if kind(v) == n {
					return true
				}
			}
			return false
		})
	}
	all := map[string]testFunc{
		"defined":     is(func(v any) bool { _, u := v.(undefined); return !u }),
		"undefined":   is(func(v any) bool { _, u := v.(undefined); return u }),
		"none":        is(func(v any) bool { return v == nil }),
		"true":        is(func(v any) bool { return v == true }),
		"false":       is(func(v any) bool { return v == false }),
		"boolean":     kinds("bool"),
		"integer":     kinds("int"),
		"float":       kinds("float"),
		"number":      kinds("int", "float", "bool"),
		"string":      kinds("str"),
		"mapping":     kinds("dict"),
		"iterable":    kinds("str", "list", "tuple", "dict", "undefined"),
		"sequence":    kinds("str", "list", "tuple", "dict", "undefined"),
		"callable":    kinds("function"),
		"lower":       is(func(v any) bool { return cased(str(v), strings.ToLower) }),
		"upper":       is(func(v any) bool { return cased(str(v), strings.ToUpper) }),
		"odd":         divisible(2, 1),
		"even":        divisible(2, 0),
		"divisibleby": isDivisible,
		"in":          func(r *run, v any, a arguments) (bool, error) { return r.compare("in", v, first(a)) },
		"sameas": func(_ *run, v any, a arguments) (bool, error) {
			return kind(v) == kind(first(a)) && equal(v, first(a)), nil
		},
	}
	for names, sign := range map[string]string{
		"eq equalto ==": "==", "ne !=": "!=", "lt lessthan <": "<", "le <=": "<=", "gt greaterthan >": ">", "ge >=": ">=",
	} {
		for name := range strings.FieldsSeq(names) {
			all[name] = compares(sign)
		}
	}
	return all
}

// first is the first argument, or undefined.
func first(a arguments) any {
	if len(a.list) > 0 {
		return a.list[0]
	}
	return undefined{"an argument is missing"}
}

// cased tells whether a text has letters and all are in a case.
func cased(s string, to func(string) string) bool {
	return s == to(s) && strings.ToLower(s) != strings.ToUpper(s)
}

func divisible(by, rest int64) testFunc {
	return func(_ *run, v any, _ arguments) (bool, error) {
		n, ok := integer(v)
		if !ok {
			return false, errors.New("the test wants an integer")
		}
		return (n%by+by)%by == rest, nil
	}
}

func isDivisible(r *run, v any, a arguments) (bool, error) {
	by, ok := integer(first(a))
	if !ok || by == 0 {
		return false, errors.New("divisibleby wants an integer other than 0")
	}
	return divisible(by, 0)(r, v, a)
}
