package jinja

import (
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// postfix are attributes, indexes and calls.
func (p *parser) postfix(x expr) expr {
	for {
		switch {
		case p.accept(tokens.Dot):
			x = p.dotted(x)
		case p.accept(tokens.LeftBracket):
			p.enter()
			x = p.subscript(x)
			p.depth--
		case p.is(tokens.LeftParenthesis):
			x = p.call(x)
		default:
			return x
		}
	}
}

func (p *parser) dotted(x expr) expr {
	switch t := p.peek(); t.Type {
	case tokens.Integer:
		p.next()
		return &index{x, &literal{p.integer(t.Val)}}
	case tokens.Float: // a.0.1
		p.next()
		for part := range strings.SplitSeq(t.Val, ".") {
			x = &index{x, &literal{p.integer(part)}}
		}
		return x
	}
	return &attr{x, p.word("a name after \".\"")}
}

func (p *parser) subscript(x expr) expr {
	var from expr
	if !p.is(tokens.Colon) {
		from = p.expression()
		if p.is(tokens.Comma) {
			t := &tupleExpr{[]expr{from}}
			for p.accept(tokens.Comma) && !p.is(tokens.RightBracket) {
				t.items = append(t.items, p.expression())
			}
			from = t
		}
		if p.accept(tokens.RightBracket) {
			return &index{x, from}
		}
	}
	s := &slice{x: x, from: from}
	p.expect(tokens.Colon, "\"]\"")
	if !p.is(tokens.Colon, tokens.RightBracket) {
		s.to = p.expression()
	}
	if p.accept(tokens.Colon) && !p.is(tokens.RightBracket) {
		s.step = p.expression()
	}
	p.expect(tokens.RightBracket, "\"]\"")
	return s
}

func (p *parser) call(x expr) expr {
	if a, ok := x.(*attr); ok && changes[a.name] {
		if root := rootOf(a.x); root != nil {
			p.fail("the method %q changes a value, but %s is data; change a copy: (... | list) or dict(...)", a.name, root.id)
		}
	}
	return &callExpr{x, p.arguments()}
}

// arguments are those in parentheses.
func (p *parser) arguments() *arguments {
	p.expect(tokens.LeftParenthesis, "\"(\"")
	p.enter()
	defer func() { p.depth-- }()
	a := &arguments{}
	for first := true; !p.accept(tokens.RightParenthesis); first = false {
		if !first {
			p.expect(tokens.Comma, "\",\" or \")\"")
			if p.accept(tokens.RightParenthesis) {
				break
			}
		}
		switch {
		case p.accept(tokens.Multiply):
			if a.star != nil {
				p.fail("only one *argument is possible")
			}
			a.star = p.expression()
		case p.accept(tokens.Power):
			a.starStar = p.expression()
		case p.is(tokens.Name) && p.toks[p.at+1].Type == tokens.Assign:
			n := p.identifier("a name")
			if slices.Contains(a.names, n) {
				p.fail("the argument %q is there twice", n)
			}
			if a.starStar != nil {
				p.fail("an argument follows **")
			}
			a.names = append(a.names, n)
			p.next()
			a.named = append(a.named, p.expression())
		default:
			if len(a.names) > 0 || a.star != nil || a.starStar != nil {
				p.fail("an argument without name follows one with a name")
			}
			a.pos = append(a.pos, p.expression())
		}
	}
	return a
}

// filtered are filters, tests, and calls of what they give.
func (p *parser) filtered(x expr) expr {
	for {
		switch {
		case p.accept(tokens.Pipe):
			x = p.filter(x)
		case p.acceptWord("is"):
			x = p.test(x)
		case p.is(tokens.LeftParenthesis):
			x = p.call(x)
		default:
			return x
		}
	}
}

// filter parses one filter, after the pipe.
func (p *parser) filter(x expr) *filterExpr {
	f := &filterExpr{x: x, name: p.word("a filter")}
	var ok bool
	if f.fn, ok = p.lang.filters[f.name]; !ok {
		p.at--
		p.fail("unknown filter %q%s", f.name, orNearest(f.name, p.lang.filterNames()))
	}
	f.args = &arguments{}
	if p.is(tokens.LeftParenthesis) {
		f.args = p.arguments()
	}
	if takesUndefined[f.name] {
		if root := rootOf(x); root != nil {
			p.free[root.id]--
		}
	}
	return f
}

func (p *parser) test(x expr) expr {
	negated := p.acceptWord("not")
	t := &testExpr{x: x, name: p.word("a test")}
	var ok bool
	if t.fn, ok = p.lang.tests[t.name]; !ok {
		p.at--
		p.fail("unknown test %q%s", t.name, orNearest(t.name, p.lang.testNames()))
	}
	if root := rootOf(x); root != nil && (t.name == "defined" || t.name == "undefined") {
		p.asked[root.id] = true
	}
	t.args = &arguments{}
	switch {
	case p.is(tokens.LeftParenthesis):
		t.args = p.arguments()
	case p.is(tokens.Name, tokens.String, tokens.Integer, tokens.Float, tokens.LeftBracket, tokens.LeftBrace) && !p.keyword("else") && !p.keyword("or") && !p.keyword("and") && !p.keyword("if") && !p.keyword("is") && !p.keyword("in") && !p.keyword("not"):
		t.args.pos = []expr{p.postfix(p.primary())}
	case p.keyword("is"):
		p.fail("tests cannot be chained with \"is\"; use \"and\"")
	}
	if negated {
		return &not{t}
	}
	return t
}
