package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxRange is that of Jinja's sandbox.
const maxRange = 100_000

// globals are the functions that every template has.
func globals() map[string]any {
	return map[string]any{
		"range":           function{"range", callRange},
		"dict":            function{"dict", callDict},
		"namespace":       function{"namespace", callNamespace},
		"raise_exception": function{"raise_exception", callRaise},
	}
}

func callRaise(_ *run, a arguments) (any, error) {
	return nil, raisedError{a.text(0, "message", "the template raised an exception")}
}

func callRange(r *run, a arguments) (any, error) {
	ends := make([]int64, len(a.list))
	for i, v := range a.list {
		n, ok := integer(v)
		if !ok {
			return nil, fmt.Errorf("range: '%s' object cannot be interpreted as an integer", kind(v))
		}
		ends[i] = n
	}
	from, to, step := int64(0), int64(0), int64(1)
	switch len(ends) {
	case 1:
		to = ends[0]
	case 2:
		from, to = ends[0], ends[1]
	case 3:
		from, to, step = ends[0], ends[1], ends[2]
	default:
		return nil, fmt.Errorf("range takes 1 to 3 arguments, not %d", len(ends))
	}
	if step == 0 {
		return nil, errors.New("range() arg 3 must not be zero")
	}
	l := &List{}
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if len(l.Items) == maxRange {
			return nil, fmt.Errorf("range too big: more than %d", maxRange)
		}
		l.Items = append(l.Items, i)
	}
	return l, r.room(16 * len(l.Items))
}

func callDict(r *run, a arguments) (any, error) {
	d := NewDict()
	for _, v := range a.list {
		if from, ok := v.(*Dict); ok {
			for _, k := range from.keys {
				d.Set(k, from.values[k])
			}
			continue
		}
		pairs, err := r.iterate(v)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			l, ok := p.(*List)
			if !ok || len(l.Items) != 2 || !hashable(l.Items[0]) {
				return nil, errors.New("dict wants dictionaries or pairs")
			}
			d.Set(l.Items[0], l.Items[1])
		}
	}
	if a.named != nil {
		for _, k := range a.named.keys {
			d.Set(k, a.named.values[k])
		}
	}
	return d, nil
}

func callNamespace(r *run, a arguments) (any, error) {
	v, err := callDict(r, a)
	if err != nil {
		return nil, err
	}
	return &namespace{*v.(*Dict)}, nil
}

// Date is strftime_now for a template: a function that always tells the same time.
func Date(t time.Time) any {
	return function{"strftime_now", func(_ *run, a arguments) (any, error) {
		return strftime(t, a.text(0, "format", "%Y-%m-%d"))
	}}
}

// strftime writes a time as C does.
func strftime(t time.Time, format string) (string, error) {
	forms := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
		'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday", 'a': "Mon", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'Z': "MST", 'z': "-0700",
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		form, ok := forms[format[i]]
		switch {
		case format[i] == '%':
			b.WriteByte('%')
		case ok:
			b.WriteString(t.Format(form))
		default:
			return "", fmt.Errorf("strftime_now: the format %%%c is not supported", format[i])
		}
	}
	return b.String(), nil
}
