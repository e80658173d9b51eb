package jinja

import "slices"

// body parses up to the end of the template.
func (p *parser) body() ([]node, error) {
	nodes, end, err := p.until()
	if err == nil && end != "" {
		err = p.fail("unexpected %s", end)
	}
	return nodes, err
}

// until parses up to one of these tags and returns which; its name is consumed, its
// arguments are not. Without tags it parses up to the end of the template.
func (p *parser) until(ends ...string) (nodes []node, end string, err error) {
	if err := p.enter(); err != nil {
		return nil, "", err
	}
	defer p.leave()
	from := p.peek().line
	for {
		switch t := p.next(); {
		case t.kind == tokenEnd && len(ends) == 0:
			return nodes, "", nil
		case t.kind == tokenEnd:
			return nil, "", &Error{Line: from, Reason: "a block begins here and never ends: " + ends[len(ends)-1] + " is missing"}
		case t.kind == tokenText:
			nodes = append(nodes, &textNode{t.text})
		case t.text == "{{":
			e, err := p.tuple()
			if err == nil {
				err = p.close("}}")
			}
			if err != nil {
				return nil, "", err
			}
			nodes = append(nodes, &outputNode{e})
		default:
			if p.seesName(ends...) {
				return nodes, p.next().text, nil
			}
			n, err := p.statement()
			if err != nil {
				return nil, "", err
			}
			nodes = append(nodes, n)
		}
	}
}

// close consumes the end of a tag.
func (p *parser) close(end string) error {
	if p.peek().kind != tokenClose || p.peek().text != end {
		return p.fail("expected %s, found %s", end, p.peek())
	}
	p.next()
	return nil
}

// inside parses the end of a tag, and what follows up to a closing tag without
// arguments.
func (p *parser) inside(end string) ([]node, error) {
	if err := p.close("%}"); err != nil {
		return nil, err
	}
	nodes, _, err := p.until(end)
	if err == nil {
		if end == "endmacro" || end == "endcall" {
			p.skipAny() // its name may be repeated
		}
		err = p.close("%}")
	}
	return nodes, err
}

// skipAny skips a name.
func (p *parser) skipAny() {
	if p.peek().kind == tokenName {
		p.next()
	}
}

// tuple parses an expression, or several with commas between them.
func (p *parser) tuple() (expr, error) {
	line := p.line()
	first, err := p.expression()
	if err != nil || !p.sees(",") {
		return first, err
	}
	items := []expr{first}
	for p.skip(",") && p.peek().kind != tokenClose {
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, e)
	}
	return &listExpr{place: line, items: items, tuple: true}, nil
}

func (p *parser) statement() (node, error) {
	line := p.line()
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	switch name {
	case "if":
		return p.ifBlock()
	case "for":
		return p.forBlock(line)
	case "set":
		return p.set(line)
	case "macro":
		return p.macro(line)
	case "call":
		return p.callBlock(line)
	case "filter":
		return p.filterBlock(line)
	case "with":
		return p.withBlock()
	case "generation":
		if p.macros > 0 {
			return nil, p.fail("generation stands in a macro, a call or a set: only what is written directly can be marked")
		}
		body, err := p.inside("endgeneration")
		return &generationNode{body}, err
	case "break", "continue":
		if p.loops == 0 {
			return nil, p.fail("%s outside a loop", name)
		}
		jump := errBreak
		if name == "continue" {
			jump = errContinue
		}
		return &jumpNode{jump}, p.close("%}")
	}
	return nil, p.fail("the tag %q is not supported", name)
}

func (p *parser) ifBlock() (node, error) {
	n := &ifNode{}
	for end := "elif"; end != "endif"; {
		switch end {
		case "elif":
			test, err := p.tuple()
			if err != nil {
				return nil, err
			}
			n.tests = append(n.tests, test)
		case "else":
			if len(n.bodies) > len(n.tests) {
				return nil, p.fail("a second else")
			}
		}
		if err := p.close("%}"); err != nil {
			return nil, err
		}
		ends := []string{"elif", "else", "endif"}
		if end == "else" {
			ends = ends[2:]
		}
		body, next, err := p.until(ends...)
		if err != nil {
			return nil, err
		}
		n.bodies = append(n.bodies, body)
		end = next
	}
	return n, p.close("%}")
}

// names parses names with commas between them, in parentheses or not.
func (p *parser) names() (names []string, err error) {
	closed := p.skip("(")
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if !p.skip(",") {
			break
		}
	}
	if closed {
		err = p.expect(")")
	}
	return names, err
}

func (p *parser) forBlock(line place) (node, error) {
	n := &forNode{place: line}
	var err error
	if n.targets, err = p.names(); err != nil {
		return nil, err
	}
	if !p.skipName("in") {
		return nil, p.fail("expected in, found %s", p.peek())
	}
	if n.items, err = p.binary(0); err != nil { // without a condition: if belongs to the loop
		return nil, err
	}
	if p.skipName("if") {
		if n.filter, err = p.expression(); err != nil {
			return nil, err
		}
	}
	if p.seesName("recursive") {
		return nil, p.fail("recursive loops are not supported")
	}
	if err := p.close("%}"); err != nil {
		return nil, err
	}
	p.loops++
	body, end, err := p.until("else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	n.body = body
	if end == "else" {
		n.none, err = p.inside("endfor")
		return n, err
	}
	return n, p.close("%}")
}

func (p *parser) set(line place) (node, error) {
	n := &setNode{place: line}
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		t := target{name: name}
		if p.skip(".") {
			if t.attribute, err = p.name(); err != nil {
				return nil, err
			}
		}
		n.targets = append(n.targets, t)
		if !p.skip(",") {
			break
		}
	}
	var err error
	if p.skip("=") {
		if n.value, err = p.tuple(); err != nil {
			return nil, err
		}
		return n, p.close("%}")
	}
	for p.skip("|") {
		c, err := p.filter()
		if err != nil {
			return nil, err
		}
		n.filters = append(n.filters, c)
	}
	n.body, err = p.apart(func() ([]node, error) { return p.inside("endset") })
	return n, err
}

// apart parses a body whose text does not go to the output directly.
func (p *parser) apart(body func() ([]node, error)) ([]node, error) {
	loops := p.loops
	p.macros, p.loops = p.macros+1, 0
	nodes, err := body()
	p.macros, p.loops = p.macros-1, loops
	return nodes, err
}

// params parses the parameters of a macro, behind the opening parenthesis.
func (p *parser) params() (params []param, err error) {
	for !p.skip(")") {
		if len(params) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(params, func(o param) bool { return o.name == name }) {
			return nil, p.fail("parameter %q is there twice", name)
		}
		a := param{name: name}
		if p.skip("=") {
			if a.otherwise, err = p.expression(); err != nil {
				return nil, err
			}
		}
		params = append(params, a)
	}
	return params, nil
}

func (p *parser) macro(line place) (node, error) {
	n := &macroNode{place: line}
	var err error
	if n.name, err = p.name(); err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	if n.params, err = p.params(); err != nil {
		return nil, err
	}
	n.body, err = p.apart(func() ([]node, error) { return p.inside("endmacro") })
	return n, err
}

func (p *parser) callBlock(line place) (node, error) {
	n := &callNode{place: line, caller: macroNode{place: line, name: "caller"}}
	var err error
	if p.skip("(") {
		if n.caller.params, err = p.params(); err != nil {
			return nil, err
		}
	}
	if n.value, err = p.expression(); err != nil {
		return nil, err
	}
	if _, ok := n.value.(*callExpr); !ok {
		return nil, p.fail("call wants a call")
	}
	n.caller.body, err = p.apart(func() ([]node, error) { return p.inside("endcall") })
	return n, err
}

func (p *parser) filterBlock(line place) (node, error) {
	n := &filterNode{place: line}
	for {
		c, err := p.filter()
		if err != nil {
			return nil, err
		}
		n.filters = append(n.filters, c)
		if !p.skip("|") {
			break
		}
	}
	var err error
	n.body, err = p.apart(func() ([]node, error) { return p.inside("endfilter") })
	return n, err
}

func (p *parser) withBlock() (node, error) {
	n := &withNode{}
	for p.peek().kind != tokenClose {
		if len(n.names) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		name, err := p.name()
		if err == nil {
			err = p.expect("=")
		}
		if err != nil {
			return nil, err
		}
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		n.names, n.values = append(n.names, name), append(n.values, e)
	}
	var err error
	n.body, err = p.inside("endwith")
	return n, err
}
