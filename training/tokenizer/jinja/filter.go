package jinja

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// filterFunc is what stands behind |.
type filterFunc func(*run, any, arguments) (any, error)

// filters by their names.
func filters() map[string]filterFunc {
	text := func(f func(string) string) filterFunc {
		return func(r *run, v any, _ arguments) (any, error) { return r.made(f(str(v))) }
	}
	all := map[string]filterFunc{
		"abs":        filterAbs,
		"batch":      filterBatch,
		"capitalize": text(capitalize),
		"default":    filterDefault,
		"dictsort":   filterDictSort,
		"escape":     text(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace),
		"first":      filterEnd(0),
		"float":      filterFloat,
		"indent":     filterIndent,
		"int":        filterInt,
		"items":      filterItems,
		"join":       filterJoin,
		"last":       filterEnd(-1),
		"length":     filterLength,
		"list":       filterList,
		"lower":      text(strings.ToLower),
		"map":        filterMap,
		"max":        filterExtreme(1),
		"min":        filterExtreme(-1),
		"reject":     filterSelect(false, false),
		"rejectattr": filterSelect(true, false),
		"replace":    filterReplace,
		"reverse":    filterReverse,
		"round":      filterRound,
		"safe":       text(func(s string) string { return s }),
		"select":     filterSelect(false, true),
		"selectattr": filterSelect(true, true),
		"sort":       filterSort,
		"string":     text(func(s string) string { return s }),
		"sum":        filterSum,
		"title":      text(titleWords),
		"tojson":     filterJSON,
		"trim":       filterTrim,
		"unique":     filterUnique,
		"upper":      text(strings.ToUpper),
		"wordcount":  filterWordCount,
	}
	all["d"], all["e"], all["count"] = all["default"], all["escape"], all["length"]
	return all
}

func capitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + strings.ToLower(s[n:])
}

// titleWords is title of Jinja: words end at blanks, hyphens and brackets.
func titleWords(s string) string {
	var b strings.Builder
	start := true
	for _, r := range s {
		if start {
			b.WriteRune(unicode.ToTitle(r))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		start = isSpace(r) || strings.ContainsRune("-({[<", r)
	}
	return b.String()
}

func filterAbs(_ *run, v any, _ arguments) (any, error) {
	if n, ok := integer(v); ok {
		return max(n, -n), nil
	}
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	return nil, fmt.Errorf("bad operand type: '%s'", kind(v))
}

func filterDefault(_ *run, v any, a arguments) (any, error) {
	otherwise, ok := a.at(0, "default_value")
	if !ok {
		otherwise = ""
	}
	falsy, _ := a.at(1, "boolean")
	if _, u := v.(undefined); u || truth(falsy) && !truth(v) {
		return otherwise, nil
	}
	return v, nil
}

func filterFloat(_ *run, v any, a arguments) (any, error) {
	if f, ok := number(v); ok {
		return f, nil
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(s, isSpace), 64); err == nil {
			return f, nil
		}
	}
	if otherwise, ok := a.at(0, "default"); ok {
		return otherwise, nil
	}
	return 0.0, nil
}

func filterInt(_ *run, v any, a arguments) (any, error) {
	if f, ok := v.(float64); ok && math.Abs(f) < 1<<62 {
		return int64(f), nil
	}
	if n, ok := integer(v); ok {
		return n, nil
	}
	if s, ok := v.(string); ok {
		s = strings.TrimFunc(s, isSpace)
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
			return int64(f), nil
		}
	}
	if otherwise, ok := a.at(0, "default"); ok {
		return otherwise, nil
	}
	return int64(0), nil
}

func filterRound(_ *run, v any, a arguments) (any, error) {
	f, ok := number(v)
	if !ok {
		return nil, fmt.Errorf("cannot round a '%s'", kind(v))
	}
	p, _ := a.at(0, "precision")
	digits, _ := integer(p)
	if digits < -15 || digits > 15 {
		return nil, errors.New("a precision of -15 to 15")
	}
	scale := math.Pow(10, float64(digits))
	switch a.text(1, "method", "common") {
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	case "common":
		return math.RoundToEven(f*scale) / scale, nil
	}
	return nil, errors.New("method must be common, ceil or floor")
}

func filterIndent(r *run, v any, a arguments) (any, error) {
	width, _ := a.at(0, "width")
	pad, isText := width.(string)
	if !isText {
		n, ok := integer(width)
		if !ok {
			n = 4
		}
		if n < 0 || n > 1000 {
			return nil, errors.New("a width of 0 to 1000")
		}
		pad = strings.Repeat(" ", int(n))
	}
	atFirst, _ := a.at(1, "first")
	blank, _ := a.at(2, "blank")
	lines := splitLines(str(v)+"\n", false)
	if err := r.room(len(lines) * len(pad)); err != nil {
		return nil, err
	}
	for i := range lines {
		if i > 0 && (truth(blank) || lines[i] != "") || i == 0 && truth(atFirst) {
			lines[i] = pad + lines[i]
		}
	}
	return r.made(strings.Join(lines, "\n"))
}

func filterTrim(r *run, v any, a arguments) (any, error) {
	if cut, ok := a.at(0, "chars"); ok && cut != nil {
		return r.made(strings.Trim(str(v), str(cut)))
	}
	return r.made(strings.TrimFunc(str(v), isSpace))
}

func filterReplace(r *run, v any, a arguments) (any, error) {
	if len(a.list) < 2 {
		return nil, errors.New("it takes what is replaced and by what")
	}
	n := -1
	if limit, ok := a.at(2, "count"); ok && limit != nil {
		count, _ := integer(limit)
		n = int(count)
	}
	return r.replace(str(v), str(a.list[0]), [2]any{str(a.list[1]), n})
}

// replace counts the bytes before it makes them.
func (r *run) replace(s, old string, by [2]any) (any, error) {
	to, n := by[0].(string), by[1].(int)
	if found := strings.Count(s, old); n < 0 || found < n {
		n = found
	}
	if err := r.room(len(s) + n*len(to)); err != nil {
		return nil, err
	}
	return strings.Replace(s, old, to, n), nil
}

func filterWordCount(_ *run, v any, _ arguments) (any, error) {
	words := strings.FieldsFunc(str(v), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '_' })
	return int64(len(words)), nil
}

func filterLength(r *run, v any, _ arguments) (any, error) {
	switch v := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), nil
	case *List, *Dict, undefined:
		items, err := r.iterate(v)
		return int64(len(items)), err
	}
	return nil, fmt.Errorf("object of type '%s' has no len()", kind(v))
}

func filterList(r *run, v any, _ arguments) (any, error) {
	items, err := r.iterate(v)
	return &List{Items: slices.Clone(items)}, err
}

func filterItems(_ *run, v any, _ arguments) (any, error) {
	switch v := v.(type) {
	case undefined:
		return &List{}, nil
	case *Dict:
		return v.pairs(), nil
	}
	return nil, errors.New("Can only get item pairs from a mapping.")
}

func (d *Dict) pairs() *List {
	l := &List{}
	for _, k := range d.keys {
		l.Items = append(l.Items, &List{Items: []any{k, d.values[k]}, Tuple: true})
	}
	return l
}
