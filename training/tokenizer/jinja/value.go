package jinja

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Values are nil (None), bool, int64, float64, string, *List, *Dict, and what only
// templates make: undefined, *namespace and function.

// List is a list, or a tuple.
type List struct {
	Items []any
	Tuple bool
}

// Dict is a dictionary that keeps the order in which its keys came. Keys are any
// value that is no list and no dictionary.
type Dict struct {
	keys   []any
	values map[any]any
}

// NewDict makes a dictionary of keys and values in turn.
func NewDict(pairs ...any) *Dict {
	d := &Dict{values: map[any]any{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		d.Set(pairs[i], pairs[i+1])
	}
	return d
}

// Set puts a value under a key.
func (d *Dict) Set(key, value any) {
	if _, there := d.values[key]; !there {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

// Get returns the value under a key.
func (d *Dict) Get(key any) (any, bool) {
	switch key.(type) {
	case *List, *Dict, *namespace, function, undefined:
		return nil, false
	}
	v, ok := d.values[key]
	return v, ok
}

func (d *Dict) clone() *Dict { return &Dict{slices.Clone(d.keys), maps.Clone(d.values)} }

// namespace is what namespace() makes: the one thing that a template may change.
type namespace struct{ Dict }

// undefined is a variable or an attribute that is not there; it says which.
type undefined struct{ what string }

// function is what a template can call.
type function struct {
	name string
	call func(*run, arguments) (any, error)
}

// arguments of a call.
type arguments struct {
	list  []any
	named *Dict
}

// at returns argument i or the one with the name.
func (a arguments) at(i int, name string) (any, bool) {
	if i < len(a.list) {
		return a.list[i], true
	}
	if a.named == nil {
		return nil, false
	}
	return a.named.Get(name)
}

func (a arguments) text(i int, name, otherwise string) string {
	if v, ok := a.at(i, name); ok {
		return str(v)
	}
	return otherwise
}

// kind is what Python calls the type of a value.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *List:
		if v.Tuple {
			return "tuple"
		}
		return "list"
	case *Dict:
		return "dict"
	case *namespace:
		return "namespace"
	case function:
		return "function"
	}
	return "undefined"
}

func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *List:
		return len(v.Items) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// number returns a value as a number; bools are numbers in Python.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int64:
		return v, true
	}
	return 0, false
}

func equal(a, b any) bool {
	x, isNumber := number(a)
	y, both := number(b)
	if isNumber && both {
		return x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := b.(string)
		return ok && a == s
	case undefined:
		_, ok := b.(undefined)
		return ok
	case *List:
		l, ok := b.(*List)
		return ok && a.Tuple == l.Tuple && slices.EqualFunc(a.Items, l.Items, equal)
	case *Dict:
		d, ok := b.(*Dict)
		if !ok || len(a.keys) != len(d.keys) {
			return false
		}
		for _, k := range a.keys {
			if v, there := d.Get(k); !there || !equal(a.values[k], v) {
				return false
			}
		}
		return true
	case *namespace:
		return a == b
	}
	return false
}

// compare orders two values; ok is false where Python raises a TypeError.
func compare(a, b any) (order int, ok bool) {
	x, isNumber := number(a)
	y, both := number(b)
	if isNumber && both {
		switch {
		case x < y:
			return -1, true
		case x > y:
			return 1, true
		}
		return 0, true
	}
	switch a := a.(type) {
	case string:
		s, ok := b.(string)
		return strings.Compare(a, s), ok
	case *List:
		l, ok := b.(*List)
		if !ok {
			return 0, false
		}
		for i := range min(len(a.Items), len(l.Items)) {
			if equal(a.Items[i], l.Items[i]) {
				continue
			}
			return compare(a.Items[i], l.Items[i])
		}
		return len(a.Items) - len(l.Items), true
	}
	return 0, false
}

// str is what a value prints as: Python's str().
func str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	return repr(v)
}

// repr is Python's repr().
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return floatText(v)
	case string:
		return quote(v)
	case *List:
		parts := make([]string, len(v.Items))
		for i, item := range v.Items {
			parts[i] = repr(item)
		}
		inner := strings.Join(parts, ", ")
		if !v.Tuple {
			return "[" + inner + "]"
		}
		if len(parts) == 1 {
			inner += ","
		}
		return "(" + inner + ")"
	case *Dict:
		return v.repr()
	case *namespace:
		return "<Namespace " + v.repr() + ">"
	case function:
		return "<function " + v.name + ">"
	}
	return "Undefined"
}

func (d *Dict) repr() string {
	parts := make([]string, len(d.keys))
	for i, k := range d.keys {
		parts[i] = repr(k) + ": " + repr(d.values[k])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// floatText is the shortest text of a number, as Python writes it.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote is repr of a string.
func quote(s string) string {
	mark := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		mark = '"'
	}
	var b strings.Builder
	b.WriteByte(mark)
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == rune(mark) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == utf8.RuneError && s[i] != "\uFFFD"[0]:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte(mark)
	return b.String()
}
