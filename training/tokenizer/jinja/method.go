package jinja

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// method finds a method of a value, bound to it.
func method(of any, name string) (any, bool) {
	switch v := of.(type) {
	case string:
		if f, ok := textMethods()[name]; ok {
			return function{name, func(r *run, a arguments) (any, error) { return f(r, v, a) }}, true
		}
	case *Dict:
		return v.method(name)
	case *List:
		return v.method(name)
	}
	return nil, false
}

// unsafe is a method that the sandbox refuses.
func unsafe(of, name string) function {
	return function{name, func(*run, arguments) (any, error) {
		return nil, fmt.Errorf("'%s' of a '%s' is unsafe: templates must not change what they are given", name, of)
	}}
}

func (d *Dict) method(name string) (any, bool) {
	made := func(f func(a arguments) (any, error)) (any, bool) {
		return function{name, func(_ *run, a arguments) (any, error) { return f(a) }}, true
	}
	switch name {
	case "get":
		return made(func(a arguments) (any, error) {
			if v, ok := d.Get(first(a)); ok {
				return v, nil
			}
			v, _ := a.at(1, "default")
			return v, nil
		})
	case "items":
		return made(func(arguments) (any, error) { return d.pairs(), nil })
	case "keys":
		return made(func(arguments) (any, error) { return &List{Items: d.keys[:len(d.keys):len(d.keys)]}, nil })
	case "values":
		return made(func(arguments) (any, error) {
			l := &List{}
			for _, k := range d.keys {
				l.Items = append(l.Items, d.values[k])
			}
			return l, nil
		})
	case "copy":
		return made(func(arguments) (any, error) { return d.clone(), nil })
	case "update", "pop", "setdefault", "clear", "popitem":
		return unsafe("dict", name), true
	}
	return nil, false
}

func (l *List) method(name string) (any, bool) {
	switch name {
	case "index", "count":
		return function{name, func(_ *run, a arguments) (any, error) {
			n := int64(0)
			for i, v := range l.Items {
				if equal(v, first(a)) {
					if name == "index" {
						return int64(i), nil
					}
					n++
				}
			}
			if name == "index" {
				return nil, fmt.Errorf("%s is not in list", repr(first(a)))
			}
			return n, nil
		}}, true
	case "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort":
		if !l.Tuple {
			return unsafe("list", name), true
		}
	}
	return nil, false
}

type textMethod func(*run, string, arguments) (any, error)

// textMethods are the methods of strings.
func textMethods() map[string]textMethod {
	plain := func(f func(string) string) textMethod {
		return func(r *run, s string, _ arguments) (any, error) { return r.made(f(s)) }
	}
	all := func(f func(rune) bool) textMethod {
		return func(_ *run, s string, _ arguments) (any, error) {
			return s != "" && strings.IndexFunc(s, func(r rune) bool { return !f(r) }) < 0, nil
		}
	}
	return map[string]textMethod{
		"capitalize": plain(capitalize),
		"lower":      plain(strings.ToLower),
		"upper":      plain(strings.ToUpper),
		"title":      plain(titleText),
		"casefold":   plain(strings.ToLower),
		"isalpha":    all(unicode.IsLetter),
		"isdigit":    all(unicode.IsDigit),
		"isdecimal":  all(unicode.IsDigit),
		"isnumeric":  all(unicode.IsNumber),
		"isalnum":    all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
		"isspace":    all(isSpace),
		"islower":    func(_ *run, s string, _ arguments) (any, error) { return cased(s, strings.ToLower), nil },
		"isupper":    func(_ *run, s string, _ arguments) (any, error) { return cased(s, strings.ToUpper), nil },
		"strip":      strip(true, true),
		"lstrip":     strip(true, false),
		"rstrip":     strip(false, true),
		"startswith": affix(strings.HasPrefix),
		"endswith":   affix(strings.HasSuffix),
		"removeprefix": func(r *run, s string, a arguments) (any, error) {
			return r.made(strings.TrimPrefix(s, str(first(a))))
		},
		"removesuffix": func(r *run, s string, a arguments) (any, error) {
			return r.made(strings.TrimSuffix(s, str(first(a))))
		},
		"find":    finds(strings.Index, false),
		"rfind":   finds(strings.LastIndex, false),
		"index":   finds(strings.Index, true),
		"rindex":  finds(strings.LastIndex, true),
		"count":   func(_ *run, s string, a arguments) (any, error) { return int64(strings.Count(s, str(first(a)))), nil },
		"replace": func(r *run, s string, a arguments) (any, error) { return filterReplace(r, s, a) },
		"join": func(r *run, s string, a arguments) (any, error) {
			return filterJoin(r, first(a), arguments{list: []any{s}})
		},
		"split":      split(false),
		"rsplit":     split(true),
		"splitlines": splitLinesMethod,
		"partition":  partition(strings.Index),
		"rpartition": partition(strings.LastIndex),
		"zfill":      zfill,
	}
}

// titleText is title of Python: a word is letters.
func titleText(s string) string {
	var b strings.Builder
	inWord := false
	for _, r := range s {
		if inWord {
			b.WriteRune(unicode.ToLower(r))
		} else {
			b.WriteRune(unicode.ToTitle(r))
		}
		inWord = unicode.IsLetter(r)
	}
	return b.String()
}

func strip(left, right bool) textMethod {
	return func(r *run, s string, a arguments) (any, error) {
		cut := isSpace
		if chars, ok := a.at(0, "chars"); ok && chars != nil {
			set := str(chars)
			cut = func(r rune) bool { return strings.ContainsRune(set, r) }
		}
		if left {
			s = strings.TrimLeftFunc(s, cut)
		}
		if right {
			s = strings.TrimRightFunc(s, cut)
		}
		return r.made(s)
	}
}

func affix(has func(s, affix string) bool) textMethod {
	return func(_ *run, s string, a arguments) (any, error) {
		if l, ok := first(a).(*List); ok {
			for _, v := range l.Items {
				if has(s, str(v)) {
					return true, nil
				}
			}
			return false, nil
		}
		v, ok := first(a).(string)
		if !ok {
			return nil, fmt.Errorf("it wants a str or a tuple of str, not %s", kind(first(a)))
		}
		return has(s, v), nil
	}
}

func finds(index func(s, part string) int, must bool) textMethod {
	return func(_ *run, s string, a arguments) (any, error) {
		if len(a.list) != 1 {
			return nil, errors.New("it takes one argument here")
		}
		at := index(s, str(a.list[0]))
		if at < 0 && must {
			return nil, errors.New("substring not found")
		}
		if at > 0 {
			at = utf8.RuneCountInString(s[:at])
		}
		return int64(at), nil
	}
}

func partition(index func(s, part string) int) textMethod {
	return func(_ *run, s string, a arguments) (any, error) {
		sep := str(first(a))
		if sep == "" {
			return nil, errors.New("empty separator")
		}
		at := index(s, sep)
		parts := []any{s, "", ""}
		if at >= 0 {
			parts = []any{s[:at], sep, s[at+len(sep):]}
		} else if index("aa", "a") == 1 { // from the right the text is the last part
			parts = []any{"", "", s}
		}
		return &List{Items: parts, Tuple: true}, nil
	}
}

func zfill(r *run, s string, a arguments) (any, error) {
	n, _ := integer(first(a))
	missing := int(min(n, 1<<20)) - utf8.RuneCountInString(s)
	if missing <= 0 {
		return s, nil
	}
	sign := ""
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, s = s[:1], s[1:]
	}
	return r.made(sign + strings.Repeat("0", missing) + s)
}

func split(fromRight bool) textMethod {
	return func(r *run, s string, a arguments) (any, error) {
		if err := r.room(16 + 16*len(s)); err != nil {
			return nil, err
		}
		most := -1
		if v, ok := a.at(1, "maxsplit"); ok {
			n, _ := integer(v)
			most = int(n)
		}
		sep, _ := a.at(0, "sep")
		var parts []string
		switch text, ok := sep.(string); {
		case sep == nil:
			parts = splitSpace(s, most, fromRight)
		case !ok || text == "":
			return nil, errors.New("empty separator")
		case !fromRight || most < 0:
			n := -1
			if most >= 0 {
				n = most + 1
			}
			parts = strings.SplitN(s, text, n)
		default:
			parts = splitRight(s, text, most)
		}
		l := &List{}
		for _, p := range parts {
			l.Items = append(l.Items, p)
		}
		return l, nil
	}
}

func splitRight(s, sep string, most int) []string {
	var back []string
	for len(back) < most {
		at := strings.LastIndex(s, sep)
		if at < 0 {
			break
		}
		back = append(back, s[at+len(sep):])
		s = s[:at]
	}
	parts := []string{s}
	for i := len(back) - 1; i >= 0; i-- {
		parts = append(parts, back[i])
	}
	return parts
}

// splitSpace splits at white space, at most so many times.
func splitSpace(s string, most int, fromRight bool) []string {
	words := strings.FieldsFunc(s, isSpace)
	if most < 0 || len(words) <= most+1 {
		return words
	}
	if fromRight {
		rest := strings.TrimRightFunc(s, isSpace)
		for i := range most {
			rest = strings.TrimRightFunc(strings.TrimSuffix(rest, words[len(words)-1-i]), isSpace)
		}
		return append([]string{strings.TrimLeftFunc(rest, isSpace)}, words[len(words)-most:]...)
	}
	rest := strings.TrimLeftFunc(s, isSpace)
	for _, w := range words[:most] {
		rest = strings.TrimLeftFunc(strings.TrimPrefix(rest, w), isSpace)
	}
	return append(append([]string{}, words[:most]...), strings.TrimRightFunc(rest, isSpace))
}

func splitLinesMethod(r *run, s string, a arguments) (any, error) {
	keep, _ := a.at(0, "keepends")
	if err := r.room(16 + 16*strings.Count(s, "\n")); err != nil {
		return nil, err
	}
	l := &List{}
	for _, line := range splitLines(s, truth(keep)) {
		l.Items = append(l.Items, line)
	}
	return l, nil
}

// splitLines splits at the line ends that texts have: a last one begins no line.
func splitLines(s string, keep bool) []string {
	var lines []string
	for s != "" {
		at := strings.IndexAny(s, "\n\r")
		if at < 0 {
			return append(lines, s)
		}
		n := at + 1
		if strings.HasPrefix(s[at:], "\r\n") {
			n++
		}
		if keep {
			at = n
		}
		lines, s = append(lines, s[:at]), s[n:]
	}
	return lines
}
