package jinja

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

func (e *binaryExpr) eval(r *run, s *scope) (any, error) {
	left, err := r.eval(s, e.left)
	if err != nil {
		return nil, err
	}
	if e.sign == "and" && !truth(left) || e.sign == "or" && truth(left) {
		return left, nil
	}
	right, err := r.eval(s, e.right)
	if err != nil {
		return nil, err
	}
	switch e.sign {
	case "and", "or":
		return right, nil
	case "~":
		return r.made(str(left) + str(right))
	}
	for _, v := range []any{left, right} {
		if u, ok := v.(undefined); ok {
			return nil, u
		}
	}
	return r.operate(e.sign, left, right)
}

func (r *run) operate(sign string, a, b any) (any, error) {
	if v, done, err := r.join(sign, a, b); done || err != nil {
		return v, err
	}
	x, okX := integer(a)
	y, okY := integer(b)
	if okX && okY && sign != "/" {
		return whole(sign, x, y)
	}
	f, okF := number(a)
	g, okG := number(b)
	if !okF || !okG {
		if _, ok := a.(string); ok && sign == "+" {
			return nil, fmt.Errorf("can only concatenate str (not \"%s\") to str", kind(b))
		}
		return nil, fmt.Errorf("unsupported operand type(s) for %s: '%s' and '%s'", sign, kind(a), kind(b))
	}
	switch sign {
	case "+":
		return f + g, nil
	case "-":
		return f - g, nil
	case "*":
		return f * g, nil
	case "**":
		return math.Pow(f, g), nil
	}
	if g == 0 {
		return nil, errors.New("division by zero")
	}
	switch sign {
	case "/":
		return f / g, nil
	case "//":
		return math.Floor(f / g), nil
	}
	return f - g*math.Floor(f/g), nil
}

// join is what + and * do to texts and lists.
func (r *run) join(sign string, a, b any) (v any, done bool, err error) {
	if sign == "*" {
		if _, ok := integer(a); ok {
			a, b = b, a
		}
	}
	switch a := a.(type) {
	case string:
		if s, ok := b.(string); ok && sign == "+" {
			v, err = r.made(a + s)
			return v, true, err
		}
		if n, ok := integer(b); ok && sign == "*" {
			n = max(0, n)
			if n > int64(r.limits.Bytes) {
				return nil, true, r.room(r.limits.Bytes + 1)
			}
			if err := r.room(len(a) * int(n)); err != nil {
				return nil, true, err
			}
			return strings.Repeat(a, int(n)), true, nil
		}
		if sign == "%" {
			return nil, true, errors.New("formatting with % is not supported: join texts with ~")
		}
	case *List:
		if l, ok := b.(*List); ok && sign == "+" && a.Tuple == l.Tuple {
			if err := r.room(16 * (len(a.Items) + len(l.Items))); err != nil {
				return nil, true, err
			}
			return &List{Items: append(append([]any{}, a.Items...), l.Items...), Tuple: a.Tuple}, true, nil
		}
		if _, ok := integer(b); ok && sign == "*" {
			return nil, true, errors.New("repeating a list is not supported")
		}
	}
	return nil, false, nil
}

// whole is arithmetic on integers. What does not fit 64 bits is an error.
func whole(sign string, x, y int64) (any, error) {
	overflow := errors.New("a number is too large")
	switch sign {
	case "+":
		if z := x + y; (z > x) == (y > 0) {
			return z, nil
		}
		return nil, overflow
	case "-":
		if z := x - y; (z < x) == (y > 0) {
			return z, nil
		}
		return nil, overflow
	case "*":
		z := x * y
		if x != 0 && (z/x != y || x == -1 && y == math.MinInt64) {
			return nil, overflow
		}
		return z, nil
	case "**":
		return power(x, y)
	}
	if y == 0 {
		return nil, errors.New("integer division or modulo by zero")
	}
	if x == math.MinInt64 && y == -1 {
		return nil, overflow
	}
	q, m := x/y, x%y
	if m != 0 && (m < 0) != (y < 0) { // Python rounds down
		q, m = q-1, m+y
	}
	if sign == "//" {
		return q, nil
	}
	return m, nil
}

func power(x, y int64) (any, error) {
	f := math.Pow(float64(x), float64(y))
	switch {
	case y < 0:
		return f, nil
	case math.Abs(f) > 1<<62:
		return nil, errors.New("a number is too large")
	}
	z := int64(1)
	for range y {
		if x == 0 || x == 1 || x == -1 {
			return int64(f), nil
		}
		z *= x
	}
	return z, nil
}
