package task

import (
	"errors"
	"math/big"
)

// The bounds of an expression.
const (
	maxExpression = 256 // bytes
	maxDepth      = 32  // brackets
	maxOperand    = 9   // digits
)

// evaluate computes an expression of whole numbers with + - * / and brackets, exactly, and lists the numbers in it. There are no signs, exponents or
// decimals.
func evaluate(text string) (value *big.Rat, used []int, err error) {
	if len(text) > maxExpression {
		return nil, nil, errors.New("the expression is too long")
	}
	e := &expression{text: text}
	value, err = e.sum(0)
	if err == nil && e.next() != 0 {
		err = errors.New("the answer is no expression")
	}
	return value, e.used, err
}

// expression is a recursive descent over a text.
type expression struct {
	text string
	at   int
	used []int
}

// next is the byte that comes, 0 at the end. Spaces are skipped.
func (e *expression) next() byte {
	for e.at < len(e.text) && e.text[e.at] == ' ' {
		e.at++
	}
	if e.at == len(e.text) {
		return 0
	}
	return e.text[e.at]
}

func (e *expression) sum(depth int) (*big.Rat, error) {
	v, err := e.product(depth)
	for err == nil {
		sign := e.next()
		if sign != '+' && sign != '-' {
			return v, nil
		}
		e.at++
		var w *big.Rat
		if w, err = e.product(depth); err == nil && sign == '+' {
			v = new(big.Rat).Add(v, w)
		} else if err == nil {
			v = new(big.Rat).Sub(v, w)
		}
	}
	return nil, err
}

func (e *expression) product(depth int) (*big.Rat, error) {
	v, err := e.operand(depth)
	for err == nil {
		sign := e.next()
		if sign != '*' && sign != '/' {
			return v, nil
		}
		e.at++
		w, failed := e.operand(depth)
		switch {
		case failed != nil:
			err = failed
		case sign == '*':
			v = new(big.Rat).Mul(v, w)
		case w.Sign() == 0:
			err = errors.New("it divides by zero")
		default:
			v = new(big.Rat).Quo(v, w)
		}
	}
	return nil, err
}

func (e *expression) operand(depth int) (*big.Rat, error) {
	c := e.next()
	if c == '(' {
		if depth == maxDepth {
			return nil, errors.New("the brackets are too deep")
		}
		e.at++
		v, err := e.sum(depth + 1)
		if err == nil && e.next() != ')' {
			err = errors.New("a bracket is open")
		}
		e.at++
		return v, err
	}
	start, n := e.at, 0
	for e.at < len(e.text) && isDigit(e.text[e.at]) && e.at-start <= maxOperand {
		n = 10*n + int(e.text[e.at]-'0')
		e.at++
	}
	if e.at == start || e.at-start > maxOperand {
		return nil, errors.New("the answer is no expression")
	}
	e.used = append(e.used, n)
	return new(big.Rat).SetInt64(int64(n)), nil
}
