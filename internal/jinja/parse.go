package jinja

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// maxNesting bounds brackets, operators without end and blocks within each
// other.
const maxNesting = 100

// parser turns tokens into the tree, by Jinja2's grammar. It panics with a
// *failure at the first mistake.
type parser struct {
	lang   *language
	source string
	toks   []*tokens.Token
	at     int
	depth  int

	names  []string       // names read that may come from the context, by slot
	slots  map[string]int // name -> slot
	scopes []map[string]bool
	free   map[string]int  // names that are read where no scope has them -> reads that fail without one
	asked  map[string]bool // names of which the template asks whether they are defined
	macros []*macroStmt    // the macros that the parser is in
}

// parse reads a template's source.
func parse(source string) (p *parser, body []stmt, err error) {
	clean, toks, err := scan(source)
	if err != nil {
		return nil, nil, err
	}
	p = &parser{lang: known(), source: clean, toks: toks, slots: map[string]int{}, free: map[string]int{}, asked: map[string]bool{}, scopes: []map[string]bool{{}}}
	defer caught(&err)
	body = p.statements()
	if p.peek().Type != tokens.EOF {
		p.fail("unexpected %s", p.describe())
	}
	return p, body, nil
}

// fail ends the parsing at the current token.
func (p *parser) fail(format string, args ...any) {
	panic(&failure{mistake(p.source, min(p.peek().Pos, len(p.source)), format, args...)})
}

func (p *parser) peek() *tokens.Token { return p.toks[min(p.at, len(p.toks)-1)] }

func (p *parser) next() *tokens.Token {
	t := p.peek()
	p.at++
	return t
}

func (p *parser) is(types ...tokens.Type) bool { return slices.Contains(types, p.peek().Type) }

// accept takes the current token if it is of a type.
func (p *parser) accept(t tokens.Type) bool {
	if p.peek().Type == t {
		p.at++
		return true
	}
	return false
}

// keyword reports whether the current token is a word. The lexer gives some
// words types of their own, others it gives as names.
func (p *parser) keyword(word string) bool {
	t := p.peek()
	return t.Val == word && (t.Type == tokens.Name || t.Type == tokens.In || t.Type == tokens.Is || t.Type == tokens.And || t.Type == tokens.Or || t.Type == tokens.Not)
}

func (p *parser) acceptWord(word string) bool {
	if p.keyword(word) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(t tokens.Type, what string) *tokens.Token {
	if p.peek().Type != t {
		p.fail("expected %s, got %s", what, p.describe())
	}
	return p.next()
}

// describe names the current token.
func (p *parser) describe() string {
	switch t := p.peek(); t.Type {
	case tokens.EOF:
		return "the end of the template"
	case tokens.VariableEnd, tokens.BlockEnd:
		return "the end of the tag"
	case tokens.String:
		return "a text"
	case tokens.Data:
		return "text"
	default:
		return fmt.Sprintf("%q", t.Val)
	}
}

// enter counts nesting; the caller leaves with p.depth--.
func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.fail("the template nests deeper than %d levels", maxNesting)
	}
}

// reserved are the words that cannot be names.
var reserved = []string{"and", "or", "not", "in", "is", "if", "else", "elif", "true", "false", "none", "True", "False", "None"}

// identifier takes a name.
func (p *parser) identifier(what string) string {
	t := p.peek()
	if t.Type != tokens.Name || slices.Contains(reserved, t.Val) || !startsName(t.Val) {
		p.fail("expected %s, got %s", what, p.describe())
	}
	p.at++
	return t.Val
}

func startsName(s string) bool {
	return s != "" && (s[0] == '_' || unicode.IsLetter([]rune(s)[0]))
}

// word takes an attribute, filter or test name: words such as "in" are allowed.
func (p *parser) word(what string) string {
	t := p.peek()
	switch t.Type {
	case tokens.Name, tokens.In, tokens.Is, tokens.And, tokens.Or, tokens.Not:
		if startsName(t.Val) {
			p.at++
			return t.Val
		}
	}
	p.fail("expected %s, got %s", what, p.describe())
	return ""
}

// bind makes a name known in the innermost scope.
func (p *parser) bind(id string) { p.scopes[len(p.scopes)-1][id] = true }

// scoped parses with a scope of its own.
func (p *parser) scoped(parse func()) {
	p.scopes = append(p.scopes, map[string]bool{})
	parse()
	p.scopes = p.scopes[:len(p.scopes)-1]
}

// slot is the place of a context variable; the name is free where no scope has
// it.
func (p *parser) slot(id string) (i int, free bool) {
	if n := len(p.macros); n > 0 {
		p.macros[n-1].varargs = p.macros[n-1].varargs || id == "varargs"
		p.macros[n-1].kwargs = p.macros[n-1].kwargs || id == "kwargs"
		p.macros[n-1].caller = p.macros[n-1].caller || id == "caller"
	}
	bound := slices.ContainsFunc(p.scopes, func(s map[string]bool) bool { return s[id] })
	if _, global := p.lang.globals[id]; !bound && !global {
		p.free[id]++
		free = true
	}
	i, ok := p.slots[id]
	if !ok {
		i = len(p.names)
		p.slots[id] = i
		p.names = append(p.names, id)
	}
	return i, free
}

// rootOf is the free name that an expression reads a part of; nil when it is
// anything else.
func rootOf(x expr) *name {
	for {
		switch e := x.(type) {
		case *name:
			if e.free {
				return e
			}
			return nil
		case *attr:
			x = e.x
		case *index:
			x = e.x
		default:
			return nil
		}
	}
}

// statements parses up to the end, or to a tag in until, which is left where
// it is: its BlockBegin is the current token.
func (p *parser) statements(until ...string) (body []stmt) {
	for {
		switch t := p.peek(); t.Type {
		case tokens.Data:
			if s, at := p.data(); s != "" {
				body = append(body, &text{s, at})
			}
		case tokens.CommentBegin:
			for !p.accept(tokens.CommentEnd) {
				p.next()
			}
		case tokens.VariableBegin:
			p.next()
			if p.is(tokens.VariableEnd) {
				p.fail("expected an expression, got the end of the tag")
			}
			x := p.tuple(true)
			if !p.is(tokens.VariableEnd) {
				p.fail("expected the end of the tag, got %s", p.describe())
			}
			p.next()
			f, ok := x.(*filterExpr)
			body = append(body, &output{x, ok && f.name == "path", isFixed(x)})
		case tokens.BlockBegin:
			p.next()
			tag := p.peek()
			if slices.Contains(until, tag.Val) {
				p.at--
				return body
			}
			p.enter()
			if s := p.tag(); s != nil {
				body = append(body, s...)
			}
			p.depth--
		case tokens.EOF:
			return body
		default:
			p.fail("unexpected %s", p.describe())
		}
	}
}

// isFixed reports whether an expression is a text of the template, whatever the
// data is, or one of two.
func isFixed(x expr) bool {
	switch x := x.(type) {
	case *literal:
		_, isText := x.v.(string)
		return isText
	case *conditional:
		return isFixed(x.yes) && (x.no == nil || isFixed(x.no))
	}
	return false
}

// data takes text between tags, trimmed as the tags beside it say, and tells
// where it begins.
func (p *parser) data() (s string, at int) {
	t := p.next()
	s, at = t.Val, t.Pos
	if p.at >= 2 {
		if before := p.toks[p.at-2]; before.Type != tokens.Data && strings.HasPrefix(before.Val, "-") {
			s = strings.TrimLeftFunc(s, unicode.IsSpace)
			at += len(t.Val) - len(s)
		}
	}
	if after := p.peek(); strings.HasSuffix(after.Val, "-") && (after.Type == tokens.VariableBegin || after.Type == tokens.BlockBegin || after.Type == tokens.CommentBegin) {
		s = strings.TrimRightFunc(s, unicode.IsSpace)
	}
	return s, at
}
