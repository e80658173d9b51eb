package jinja

import "strconv"

// primary parses a constant, a name, or something in brackets.
func (p *parser) primary() (expr, error) {
	line, t := p.line(), p.peek()
	switch t.kind {
	case tokenName:
		p.next()
		switch t.text {
		case "true", "True":
			return &constExpr{line, true}, nil
		case "false", "False":
			return &constExpr{line, false}, nil
		case "none", "None":
			return &constExpr{line, nil}, nil
		}
		return &nameExpr{line, t.text}, nil
	case tokenString:
		s := ""
		for p.peek().kind == tokenString { // "a" "b" is one string
			s += p.next().text
		}
		return &constExpr{line, s}, nil
	case tokenInt:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return nil, p.fail("%s is too large a number", t.text)
		}
		p.next()
		return &constExpr{line, n}, nil
	case tokenFloat:
		n, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, p.fail("%s is too large a number", t.text)
		}
		p.next()
		return &constExpr{line, n}, nil
	default:
		return p.brackets(line)
	}
}

// brackets parses something in brackets.
func (p *parser) brackets(line place) (expr, error) {
	switch {
	case p.skip("("):
		return p.parenthesis(line)
	case p.skip("["):
		items, _, err := p.items("]")
		return &listExpr{place: line, items: items}, err
	case p.skip("{"):
		return p.dict(line)
	}
	return nil, p.fail("expected a value, found %s", p.peek())
}

// items parses expressions up to a closing bracket, and tells whether a comma came
// last.
func (p *parser) items(end string) (items []expr, comma bool, err error) {
	for !p.skip(end) {
		if len(items) > 0 && !comma {
			return nil, false, p.expect(end)
		}
		e, err := p.expression()
		if err != nil {
			return nil, false, err
		}
		items = append(items, e)
		comma = p.skip(",")
	}
	return items, comma, nil
}

func (p *parser) parenthesis(line place) (expr, error) {
	items, comma, err := p.items(")")
	if err != nil {
		return nil, err
	}
	if len(items) == 1 && !comma {
		return items[0], nil
	}
	return &listExpr{place: line, items: items, tuple: true}, nil
}

func (p *parser) dict(line place) (expr, error) {
	d := &dictExpr{place: line}
	for !p.skip("}") {
		if len(d.keys) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
			if p.skip("}") {
				break
			}
		}
		key, err := p.expression()
		if err == nil {
			err = p.expect(":")
		}
		if err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, key), append(d.values, value)
	}
	return d, nil
}
