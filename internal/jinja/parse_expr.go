package jinja

import (
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// expression is a whole expression, with inline if.
func (p *parser) expression() expr {
	p.enter()
	defer func() { p.depth-- }()
	x := p.or()
	for p.acceptWord("if") {
		c := &conditional{cond: p.or(), yes: x}
		if p.acceptWord("else") {
			c.no = p.expression()
		}
		x = c
	}
	return x
}

// tuple is one expression, or several with commas. Without inline it stops
// before "if", as the sequence of a loop does.
func (p *parser) tuple(inline bool) expr {
	one := p.or
	if inline {
		one = p.expression
	}
	x := one()
	if !p.is(tokens.Comma) {
		return x
	}
	t := &tupleExpr{[]expr{x}}
	for p.accept(tokens.Comma) {
		if p.is(tokens.VariableEnd, tokens.BlockEnd, tokens.RightParenthesis, tokens.EOF) {
			break
		}
		t.items = append(t.items, one())
	}
	return t
}

func (p *parser) or() expr {
	x := p.and()
	for p.acceptWord("or") {
		x = &logical{false, x, p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.acceptWord("and") {
		x = &logical{true, x, p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if !p.acceptWord("not") {
		return p.compare()
	}
	p.enter()
	defer func() { p.depth-- }()
	return &not{p.not()}
}

var compareOps = map[tokens.Type]string{
	tokens.Equals: "==", tokens.Ne: "!=", tokens.LowerThan: "<", tokens.LowerThanOrEqual: "<=",
	tokens.GreaterThan: ">", tokens.GreaterThanOrEqual: ">=",
}

func (p *parser) compare() expr {
	c := &compare{first: p.sum()}
	for {
		op, ok := compareOps[p.peek().Type]
		switch {
		case ok:
			p.next()
		case p.acceptWord("in"):
			op = "in"
		case p.keyword("not") && p.at+1 < len(p.toks) && p.toks[p.at+1].Val == "in":
			p.at += 2
			op = "not in"
		case len(c.ops) == 0:
			return c.first
		default:
			return c
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
}

func (p *parser) sum() expr {
	x := p.concat()
	for p.is(tokens.Addition, tokens.Subtraction) {
		op := p.next().Val
		x = &binary{op, x, p.concat()}
	}
	return x
}

func (p *parser) concat() expr {
	x := p.product()
	if !p.is(tokens.Tilde) {
		return x
	}
	c := &concat{[]expr{x}}
	for p.accept(tokens.Tilde) {
		c.parts = append(c.parts, p.product())
	}
	return c
}

func (p *parser) product() expr {
	x := p.power()
	for p.is(tokens.Multiply, tokens.Division, tokens.FloorDivision, tokens.Modulo) {
		op := p.next().Val
		x = &binary{op, x, p.power()}
	}
	return x
}

func (p *parser) power() expr {
	x := p.unary(true)
	for p.accept(tokens.Power) {
		x = &binary{"**", x, p.unary(true)}
	}
	return x
}

func (p *parser) unary(filters bool) expr {
	var x expr
	if p.is(tokens.Addition, tokens.Subtraction) {
		op := p.next().Val
		p.enter()
		x = &unary{op, p.unary(false)}
		p.depth--
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if filters {
		x = p.filtered(x)
	}
	return x
}

func (p *parser) primary() expr {
	t := p.peek()
	switch t.Type {
	case tokens.Name:
		switch t.Val {
		case "true", "True":
			p.next()
			return &literal{true}
		case "false", "False":
			p.next()
			return &literal{false}
		case "none", "None":
			p.next()
			return &literal{nil}
		}
		id := p.identifier("an expression")
		slot, free := p.slot(id)
		return &name{id, slot, free}
	case tokens.String:
		s := ""
		for p.is(tokens.String) {
			s += p.stringLiteral()
		}
		return &literal{s}
	case tokens.Integer:
		p.next()
		return &literal{p.integer(t.Val)}
	case tokens.Float:
		p.next()
		f, err := strconv.ParseFloat(strings.ReplaceAll(t.Val, "_", ""), 64)
		if err != nil && f == 0 || strings.HasSuffix(t.Val, ".") {
			p.fail("%q is not a number", t.Val)
		}
		return &literal{f}
	case tokens.LeftParenthesis:
		p.next()
		p.enter()
		defer func() { p.depth-- }()
		if p.accept(tokens.RightParenthesis) {
			return &tupleExpr{}
		}
		x := p.tuple(true)
		p.expect(tokens.RightParenthesis, "\")\"")
		return x
	case tokens.LeftBracket:
		p.next()
		p.enter()
		defer func() { p.depth-- }()
		return &listExpr{p.items(tokens.RightBracket, "\"]\"")}
	case tokens.LeftBrace:
		p.next()
		p.enter()
		defer func() { p.depth-- }()
		return p.dict()
	}
	p.fail("expected an expression, got %s", p.describe())
	return nil
}

// items are expressions with commas up to a closing bracket.
func (p *parser) items(closing tokens.Type, shown string) (items []expr) {
	for !p.accept(closing) {
		if len(items) > 0 {
			p.expect(tokens.Comma, "\",\" or "+shown)
			if p.accept(closing) {
				break
			}
		}
		items = append(items, p.expression())
	}
	return items
}

func (p *parser) dict() expr {
	d := &dictExpr{}
	for !p.accept(tokens.RightBrace) {
		if len(d.keys) > 0 {
			p.expect(tokens.Comma, "\",\" or \"}\"")
			if p.accept(tokens.RightBrace) {
				break
			}
		}
		d.keys = append(d.keys, p.expression())
		p.expect(tokens.Colon, "\":\"")
		d.values = append(d.values, p.expression())
	}
	return d
}
