package jinja

import (
	"fmt"
	"slices"
	"strconv"
)

// parser makes nodes of tokens, by the grammar of Jinja 3.
type parser struct {
	tokens []token
	at     int
	loops  int // that are open, for break and continue
	macros int // that are open
	depth  int // of expressions and blocks within each other
}

// maxNesting bounds how deeply a template may be nested.
const maxNesting = 400

// enter counts a level of nesting; leave must follow.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return p.fail("it is nested more than %d deep", maxNesting)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

func (p *parser) line() place { return place(p.peek().line) }

func (p *parser) fail(format string, args ...any) error {
	return &Error{Line: p.peek().line, Reason: fmt.Sprintf(format, args...)}
}

// sees tells whether the next token is one of these signs.
func (p *parser) sees(signs ...string) bool {
	return p.peek().kind == tokenSign && slices.Contains(signs, p.peek().text)
}

// seesName tells whether the next token is one of these words.
func (p *parser) seesName(words ...string) bool {
	return p.peek().kind == tokenName && slices.Contains(words, p.peek().text)
}

func (p *parser) skip(sign string) bool {
	if p.sees(sign) {
		p.at++
		return true
	}
	return false
}

func (p *parser) skipName(word string) bool {
	if p.seesName(word) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(sign string) error {
	if !p.skip(sign) {
		return p.fail("expected %q, found %s", sign, p.peek())
	}
	return nil
}

func (p *parser) name() (string, error) {
	if p.peek().kind != tokenName {
		return "", p.fail("expected a name, found %s", p.peek())
	}
	return p.next().text, nil
}

// expression parses an expression with its condition: a if b else c.
func (p *parser) expression() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	e, err := p.binary(0)
	for err == nil && p.seesName("if") {
		c := &choiceExpr{place: p.line(), yes: e}
		p.next()
		if c.test, err = p.binary(0); err != nil {
			return nil, err
		}
		if p.skipName("else") {
			if c.no, err = p.expression(); err != nil {
				return nil, err
			}
		}
		e = c
	}
	return e, err
}

// levels are the operators from those that bind least on; each level is of binary
// operators that group to the left. Comparisons and not stand between them.
func levels() [][]string {
	return [][]string{{"or"}, {"and"}, {"not"}, {"compare"}, {"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}}
}

func (p *parser) binary(level int) (expr, error) {
	all := levels()
	if level == len(all) {
		return p.unary(true)
	}
	switch all[level][0] {
	case "not":
		return p.negation(level)
	case "compare":
		return p.comparison(level)
	}
	left, err := p.binary(level + 1)
	for err == nil && (p.sees(all[level]...) || level < 2 && p.seesName(all[level]...)) {
		b := &binaryExpr{place: p.line(), sign: p.next().text, left: left}
		b.right, err = p.binary(level + 1)
		left = b
	}
	return left, err
}

func (p *parser) negation(level int) (expr, error) {
	if !p.seesName("not") {
		return p.binary(level + 1)
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	u := &unaryExpr{place: p.line(), sign: p.next().text}
	var err error
	u.of, err = p.negation(level)
	return u, err
}

func (p *parser) comparison(level int) (expr, error) {
	first, err := p.binary(level + 1)
	if err != nil {
		return nil, err
	}
	c := &compareExpr{place: p.line(), first: first}
	for {
		sign := ""
		switch {
		case p.sees("==", "!=", "<", "<=", ">", ">="), p.seesName("in"):
			sign = p.next().text
		case p.seesName("not") && p.tokens[p.at+1].text == "in" && p.tokens[p.at+1].kind == tokenName:
			p.at += 2
			sign = "not in"
		case len(c.rest) == 0:
			return first, nil
		default:
			return c, nil
		}
		right, err := p.binary(level + 1)
		if err != nil {
			return nil, err
		}
		c.signs, c.rest = append(c.signs, sign), append(c.rest, right)
	}
}

// unary parses signs, an operand and what follows it. Filters and tests bind
// tighter than operators, and looser than a sign.
func (p *parser) unary(filters bool) (e expr, err error) {
	if p.sees("-", "+") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		u := &unaryExpr{place: p.line(), sign: p.next().text}
		u.of, err = p.unary(false)
		e = u
	} else {
		e, err = p.primary()
	}
	if err == nil {
		e, err = p.postfix(e)
	}
	if err == nil && filters {
		e, err = p.filtered(e)
	}
	return e, err
}

// postfix parses attributes, items and calls.
func (p *parser) postfix(e expr) (expr, error) {
	for {
		line := p.line()
		var err error
		switch {
		case p.skip("."):
			e, err = p.attribute(line, e)
		case p.skip("["):
			e, err = p.subscript(line, e)
		case p.skip("("):
			var args call
			args, err = p.arguments()
			e = &callExpr{line, e, args}
		default:
			return e, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) attribute(line place, of expr) (expr, error) {
	switch t := p.peek(); t.kind {
	case tokenName:
		p.next()
		return &attrExpr{line, of, t.text}, nil
	case tokenInt:
		p.next()
		n, err := strconv.ParseInt(t.text, 10, 64)
		return &itemExpr{line, of, &constExpr{line, n}}, err
	default:
		return nil, p.fail("expected a name or a number, found %s", t)
	}
}

func (p *parser) subscript(line place, of expr) (expr, error) {
	var parts [3]expr
	colons := 0
	for !p.skip("]") {
		switch {
		case p.skip(":"):
			colons++
		case parts[min(colons, 2)] != nil:
			return nil, p.expect("]")
		default:
			var err error
			if parts[min(colons, 2)], err = p.expression(); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case colons > 2 || colons == 0 && parts[0] == nil:
		return nil, p.fail("expected an index or a slice before ]")
	case colons == 0:
		return &itemExpr{line, of, parts[0]}, nil
	}
	return &sliceExpr{line, of, parts[0], parts[1], parts[2]}, nil
}

// arguments parses what stands in the parentheses of a call.
func (p *parser) arguments() (call, error) {
	var c call
	for first := true; !p.skip(")"); first = false {
		if !first {
			if err := p.expect(","); err != nil {
				return c, err
			}
			if p.skip(")") {
				break
			}
		}
		var err error
		switch {
		case p.skip("**"):
			c.others, err = p.expression()
		case p.skip("*"):
			c.spread, err = p.expression()
		case p.peek().kind == tokenName && p.tokens[p.at+1].kind == tokenSign && p.tokens[p.at+1].text == "=":
			a := namedArg{name: p.next().text}
			p.next()
			a.value, err = p.expression()
			c.named = append(c.named, a)
		default:
			var e expr
			e, err = p.expression()
			c.list = append(c.list, e)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// filtered parses filters and tests, and calls of what they give.
func (p *parser) filtered(e expr) (expr, error) {
	for {
		line := p.line()
		var err error
		switch {
		case p.skip("|"):
			var c call
			c, err = p.filter()
			e = &filterExpr{line, e, c}
		case p.skipName("is"):
			e, err = p.test(line, e)
		case p.skip("("):
			var args call
			args, err = p.arguments()
			e = &callExpr{line, e, args}
		default:
			return e, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) filter() (call, error) {
	name, err := p.name()
	if err != nil {
		return call{}, err
	}
	var c call
	f, ok := filters()[name]
	if !ok {
		return c, p.fail("there is no filter %q", name)
	}
	if p.skip("(") {
		c, err = p.arguments()
	}
	c.name, c.filter = name, f
	return c, err
}

func (p *parser) test(line place, of expr) (expr, error) {
	t := &testExpr{place: line, of: of, not: p.skipName("not")}
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	f, ok := tests()[name]
	if !ok {
		return nil, p.fail("there is no test %q", name)
	}
	next := p.peek()
	bare := next.kind == tokenString || next.kind == tokenInt || next.kind == tokenFloat || p.sees("[", "{") ||
		next.kind == tokenName && !slices.Contains([]string{"else", "or", "and", "if", "is", "not", "in"}, next.text)
	switch {
	case p.skip("("):
		t.test, err = p.arguments()
	case bare: // x is divisibleby 3
		var e expr
		if e, err = p.primary(); err == nil {
			e, err = p.postfix(e)
		}
		t.test.list = []expr{e}
	}
	t.test.name, t.test.test = name, f
	return t, err
}
