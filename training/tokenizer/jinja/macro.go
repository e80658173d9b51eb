package jinja

import (
	"fmt"
	"strings"
)

// function makes a macro callable. Its body sees the variables around it.
func (n *macroNode) function(s *scope) function {
	return function{n.name, func(r *run, a arguments) (any, error) {
		inner := s.inner()
		if len(a.list) > len(n.params) {
			return nil, fmt.Errorf("macro '%s' takes not more than %d argument(s)", n.name, len(n.params))
		}
		used := 0
		for i, p := range n.params {
			v, given := a.at(i, p.name)
			if i >= len(a.list) && given {
				used++
			}
			if !given && p.otherwise != nil {
				var err error
				if v, err = r.eval(inner, p.otherwise); err != nil {
					return nil, err
				}
			} else if !given {
				v = undefined{fmt.Sprintf("parameter '%s' was not provided", p.name)}
			}
			inner.names[p.name] = v
		}
		if caller, ok := a.at(len(a.list), "caller"); ok {
			inner.names["caller"] = caller
			used++
		}
		if a.named != nil && len(a.named.keys) > used {
			return nil, fmt.Errorf("macro '%s' takes no such keyword argument: it was called with %s", n.name, strings.Trim(a.named.repr(), "{}"))
		}
		text, err := r.capture(inner, n.body)
		if err != nil {
			return nil, err
		}
		return text, nil
	}}
}

func (n *macroNode) exec(_ *run, s *scope) error {
	s.names[n.name] = n.function(s)
	return nil
}

func (n *callNode) exec(r *run, s *scope) error {
	c := n.value.(*callExpr)
	f, err := r.eval(s, c.of)
	if err != nil {
		return err
	}
	a, err := r.arguments(s, c.args)
	if err != nil {
		return err
	}
	if a.named == nil {
		a.named = NewDict()
	}
	a.named.Set("caller", n.caller.function(s))
	v, err := r.call(f, a)
	if err == nil {
		err = r.write(str(v))
	}
	return locate(n.at(), err)
}
