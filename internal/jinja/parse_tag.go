package jinja

import (
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// tags are those there are; refused would read files, take templates apart or
// change what is outside of them.
var (
	tagNames = []string{"if", "for", "set", "with", "filter", "macro", "call", "do", "raw"}
	refused  = []string{"include", "import", "from", "extends", "block", "break", "continue", "autoescape", "trans", "debug", "comment"}
)

// tag parses a statement after its {%.
func (p *parser) tag() []stmt {
	t := p.peek()
	word := p.word("the name of a tag")
	switch word {
	case "if":
		return []stmt{p.ifTag()}
	case "for":
		return []stmt{p.forTag()}
	case "set":
		return []stmt{p.setTag()}
	case "with":
		return []stmt{p.withTag()}
	case "filter":
		return []stmt{p.filterTag()}
	case "macro":
		return []stmt{p.macroTag()}
	case "call":
		return []stmt{p.callTag()}
	case "do":
		x := p.tuple(true)
		p.endTag()
		return []stmt{&doStmt{x}}
	case "raw":
		p.endTag()
		body := p.statements("endraw")
		p.closeTag("raw", "endraw")
		return body
	}
	p.at--
	switch {
	case slices.Contains(refused, t.Val):
		p.fail("the tag %q is not available in flow files", t.Val)
	case strings.HasPrefix(t.Val, "end") || t.Val == "else" || t.Val == "elif":
		p.fail("the tag %q has nothing to end", t.Val)
	}
	p.fail("unknown tag %q%s", t.Val, orNearest(t.Val, tagNames))
	return nil
}

// endTag takes the end of a tag.
func (p *parser) endTag() {
	if !p.is(tokens.BlockEnd) {
		p.fail("expected the end of the tag, got %s", p.describe())
	}
	p.next()
}

// closeTag takes {% word %}, which must come now.
func (p *parser) closeTag(tag, word string) {
	p.middleTag(tag, word)
	p.endTag()
}

// middleTag takes {% and the first of the words that is there.
func (p *parser) middleTag(tag string, words ...string) string {
	if !p.accept(tokens.BlockBegin) {
		p.fail("the tag %q is not ended by %q", tag, words[len(words)-1])
	}
	t := p.next()
	if !slices.Contains(words, t.Val) {
		p.at--
		p.fail("the tag %q is not ended by %q", tag, words[len(words)-1])
	}
	return t.Val
}

func (p *parser) ifTag() stmt {
	s := &ifStmt{}
	for {
		s.conds = append(s.conds, p.tuple(false))
		p.endTag()
		s.bodies = append(s.bodies, p.statements("elif", "else", "endif"))
		switch p.middleTag("if", "elif", "else", "endif") {
		case "elif":
			continue
		case "else":
			p.endTag()
			s.orElse = p.statements("endif")
			p.closeTag("if", "endif")
		default:
			p.endTag()
		}
		return s
	}
}

// target is what stands on the left of "in": names, in parentheses too.
func (p *parser) target() target {
	first := p.oneTarget()
	if !p.is(tokens.Comma) {
		return first
	}
	t := target{parts: []target{first}}
	for p.accept(tokens.Comma) && p.is(tokens.Name, tokens.LeftParenthesis) && !p.keyword("in") {
		t.parts = append(t.parts, p.oneTarget())
	}
	return t
}

func (p *parser) oneTarget() target {
	if !p.accept(tokens.LeftParenthesis) {
		return target{name: p.identifier("a name")}
	}
	p.enter()
	defer func() { p.depth-- }()
	t := p.target()
	p.expect(tokens.RightParenthesis, "\")\"")
	return t
}

// bindTarget makes the names of a target known.
func (p *parser) bindTarget(t target) {
	if t.name == "loop" {
		p.fail("\"loop\" cannot be the variable of a loop")
	}
	if t.name != "" {
		p.bind(t.name)
	}
	for _, part := range t.parts {
		p.bindTarget(part)
	}
}

func (p *parser) forTag() stmt {
	s := &forStmt{}
	s.target = p.target()
	if !p.acceptWord("in") {
		p.fail("expected \"in\", got %s", p.describe())
	}
	s.iter = p.tuple(false)
	p.scoped(func() {
		p.bindTarget(s.target)
		if p.acceptWord("if") {
			s.cond = p.expression()
		}
		s.recursive = p.acceptWord("recursive")
		p.endTag()
		p.bind("loop")
		s.body = p.statements("else", "endfor")
	})
	if p.middleTag("for", "else", "endfor") == "else" {
		p.endTag()
		p.scoped(func() { s.orElse = p.statements("endfor") })
		p.closeTag("for", "endfor")
	} else {
		p.endTag()
	}
	return s
}

func (p *parser) setTarget() setTarget {
	t := setTarget{name: p.identifier("a name")}
	if p.accept(tokens.Dot) {
		t.attr = p.word("a name after \".\"")
		t.slot, _ = p.slot(t.name)
	}
	return t
}

func (p *parser) setTag() stmt {
	parens := p.accept(tokens.LeftParenthesis)
	targets, unpack := []setTarget{p.setTarget()}, false
	for p.accept(tokens.Comma) {
		unpack = true
		if !p.is(tokens.Name) {
			break
		}
		targets = append(targets, p.setTarget())
	}
	if parens {
		p.expect(tokens.RightParenthesis, "\")\"")
	}
	bind := func() {
		for _, t := range targets {
			if t.attr == "" {
				p.bind(t.name)
			}
		}
	}
	if p.accept(tokens.Assign) {
		x := p.tuple(true)
		p.endTag()
		bind()
		return &setStmt{targets, unpack, x}
	}
	if unpack {
		p.fail("expected \"=\", got %s", p.describe())
	}
	b := &setBlock{target: targets[0], filters: p.blockFilters(false)}
	p.endTag()
	p.scoped(func() { b.body = p.statements("endset") })
	p.closeTag("set", "endset")
	bind()
	return b
}

// blockFilters are the filters that a block's content goes through.
func (p *parser) blockFilters(first bool) (out []*filterExpr) {
	for first || p.accept(tokens.Pipe) {
		first = false
		out = append(out, p.filter(nil))
	}
	return out
}

func (p *parser) withTag() stmt {
	w := &withStmt{}
	for !p.is(tokens.BlockEnd) {
		if len(w.targets) > 0 {
			p.expect(tokens.Comma, "\",\" or the end of the tag")
		}
		w.targets = append(w.targets, p.oneTarget())
		p.expect(tokens.Assign, "\"=\"")
		w.values = append(w.values, p.expression())
	}
	p.endTag()
	p.scoped(func() {
		for _, t := range w.targets {
			p.bindTarget(t)
		}
		w.body = p.statements("endwith")
	})
	p.closeTag("with", "endwith")
	return w
}

func (p *parser) filterTag() stmt {
	f := &filterStmt{filters: p.blockFilters(true)}
	p.endTag()
	p.scoped(func() { f.body = p.statements("endfilter") })
	p.closeTag("filter", "endfilter")
	return f
}

func (p *parser) macroTag() stmt {
	m := &macroStmt{name: p.identifier("the macro's name")}
	p.expect(tokens.LeftParenthesis, "\"(\"")
	p.params(m)
	p.endTag()
	p.bind(m.name)
	p.macroBody(m, "endmacro")
	p.closeTag("macro", "endmacro")
	return m
}

// callTag parses {% call(params) macro(...) %}: a macro without a name, which
// is the caller of the one that is called.
func (p *parser) callTag() stmt {
	body := &macroStmt{name: "caller"}
	if p.accept(tokens.LeftParenthesis) {
		p.params(body)
	}
	x, ok := p.expression().(*callExpr)
	if !ok {
		p.fail("expected the call of a macro in the tag \"call\"")
	}
	p.endTag()
	p.macroBody(body, "endcall")
	p.closeTag("call", "endcall")
	return &callStmt{x, body}
}

// params are those of a macro, behind their "(".
func (p *parser) params(m *macroStmt) {
	for !p.accept(tokens.RightParenthesis) {
		if len(m.params) > 0 {
			p.expect(tokens.Comma, "\",\" or \")\"")
		}
		param := p.identifier("a name")
		if slices.Contains(m.params, param) {
			p.fail("the parameter %q is there twice", param)
		}
		m.params = append(m.params, param)
		if p.accept(tokens.Assign) {
			m.defaults = append(m.defaults, p.expression())
		} else if len(m.defaults) > 0 {
			p.fail("a parameter without default follows one with a default")
		}
	}
}

// macroBody parses what a macro writes, in a scope of its own.
func (p *parser) macroBody(m *macroStmt, end string) {
	p.scoped(func() {
		for _, n := range append([]string{"varargs", "kwargs", "caller"}, m.params...) {
			p.bind(n)
		}
		p.macros = append(p.macros, m)
		m.body = p.statements(end)
		p.macros = p.macros[:len(p.macros)-1]
	})
}
