package jinja

import (
	"fmt"
	"math/big"
	"slices"
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
		return &name{id, p.slot(id)}
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

// integer reads a whole number: decimal, 0x, 0o or 0b, with underscores.
func (p *parser) integer(s string) any {
	digits := strings.ReplaceAll(s, "_", "")
	if len(digits) > maxDigits {
		p.fail("a number has more than %d digits", maxDigits)
	}
	n, ok := new(big.Int).SetString(digits, 0)
	if !ok || len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0") != "" && digits[1] >= '0' && digits[1] <= '9' {
		p.fail("%q is not a number", s)
	}
	return normal(n)
}

// stringLiteral takes a text and resolves its escapes.
func (p *parser) stringLiteral() string {
	t := p.next()
	from := t.Pos + 1
	raw := p.source[from : from+len(t.Val)]
	if !strings.Contains(raw, "\\") {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 >= len(raw) {
			b.WriteByte(raw[i])
			continue
		}
		i++
		digits := 0
		switch c := raw[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b.WriteByte(map[byte]byte{'a': 7, 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}[c])
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 1
			for n < 3 && i+n < len(raw) && raw[i+n] >= '0' && raw[i+n] <= '7' {
				n++
			}
			code, _ := strconv.ParseUint(raw[i:i+n], 8, 32)
			b.WriteRune(rune(code))
			i += n - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
		if digits > 0 {
			code, err := uint64(0), fmt.Errorf("short")
			if i+digits < len(raw) {
				code, err = strconv.ParseUint(raw[i+1:i+1+digits], 16, 32)
			}
			if err != nil || code > 0x10ffff || code >= 0xd800 && code < 0xe000 {
				p.at--
				p.fail("a text has an escape \\%c that is not complete", raw[i])
			}
			b.WriteRune(rune(code))
			i += digits
		}
	}
	return b.String()
}

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

// mutating are the methods that would change a value.
var mutating = map[string]bool{
	"append": true, "extend": true, "insert": true, "remove": true, "pop": true, "popitem": true, "clear": true,
	"sort": true, "reverse": true, "update": true, "setdefault": true, "add": true, "discard": true, "copy": false,
}

func (p *parser) call(x expr) expr {
	if a, ok := x.(*attr); ok && mutating[a.name] {
		p.fail("the method %q changes a value, which templates cannot do", a.name)
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
	if f.fn, ok = filters[f.name]; !ok {
		p.at--
		p.fail("unknown filter %q%s", f.name, orNearest(f.name, filterNames()))
	}
	f.args = &arguments{}
	if p.is(tokens.LeftParenthesis) {
		f.args = p.arguments()
	}
	return f
}

func (p *parser) test(x expr) expr {
	negated := p.acceptWord("not")
	t := &testExpr{x: x, name: p.word("a test")}
	var ok bool
	if t.fn, ok = tests[t.name]; !ok {
		p.at--
		p.fail("unknown test %q%s", t.name, orNearest(t.name, testNames()))
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
