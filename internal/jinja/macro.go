package jinja

import (
	"slices"
	"strings"
)

func (m *macroStmt) exec(s *state) {
	if s.scope == nil {
		s.scope = &scope{}
	}
	s.scope.set(m.name, val{v: &macro{m, s.scope}})
}

// call runs a macro and returns its text.
func (m *macro) call(s *state, a *args) (out val) {
	m.within(s, a, func() { out = s.capture(m.def.body) })
	out.o |= a.o
	return out
}

// within runs something where the macro's parameters are known.
func (m *macro) within(s *state, a *args, do func()) {
	if s.depth++; s.depth > maxMacros {
		s.fail("macros call each other more than %d deep", maxMacros)
	}
	s.within(m.scope, func() {
		m.bind(s, a)
		do()
	})
	s.depth--
}

// exec calls a macro that gets the block as its caller.
func (c *callStmt) exec(s *state) {
	if s.scope == nil {
		s.scope = &scope{}
	}
	fn, o := c.call.callee(s)
	s.step(1)
	a := s.args("the call", c.call.args)
	m, ok := fn.(*macro)
	switch u, missing := fn.(*undefined); {
	case missing:
		s.undefined(u)
	case !ok:
		s.fail("{%% call %%} takes a macro, got a %s", typeName(fn))
	}
	a.names, a.named = append(a.names, "caller"), append(a.named, any(&macro{c.body, s.scope}))
	if s.out.apart {
		m.within(s, a, func() { s.run(m.def.body) })
		return
	}
	out := m.call(s, a)
	s.write(Piece{Text: out.v.(string), Origin: out.o | o})
}

// writeCall writes what a macro or a recursive loop gives piece by piece, where
// the expression is nothing but its call: what is literal in it stays literal.
// So does the comma of a joiner.
func (s *state) writeCall(x expr) bool {
	c, ok := x.(*callExpr)
	if !ok {
		return false
	}
	n, ok := c.fn.(*name)
	if !ok {
		return false
	}
	switch f := n.eval(s).v.(type) {
	case *macro:
		f.within(s, s.args("the macro", c.args), func() { s.run(f.def.body) })
	case *loop:
		f.again(s, s.args("the loop", c.args))
	case *joiner:
		v := c.eval(s)
		text := v.v.(string)
		s.write(Piece{Text: text, Value: text, Origin: v.o, Fixed: strings.Trim(text, ", \t\r\n") == ""})
	default:
		return false
	}
	return true
}

func (m *macro) bind(s *state, a *args) {
	d := m.def
	pos, rest := a.pos, []any(nil)
	if len(pos) > len(d.params) {
		if !d.varargs {
			s.fail("macro %q takes at most %d arguments, got %d", d.name, len(d.params), len(pos))
		}
		pos, rest = pos[:len(d.params)], pos[len(d.params):]
	}
	given := slices.Clone(pos)
	extra := &dict{}
	var caller any = &undefined{name: "caller"}
	named := map[string]any{}
	for i, n := range a.names {
		switch at := slices.Index(d.params, n); {
		case at >= 0 && at < len(pos):
			s.fail("macro %q has the argument %q twice", d.name, n)
		case at >= 0:
			named[n] = a.named[i]
		case n == "caller" && d.caller:
			caller = a.named[i]
		case n == "caller":
			s.fail("macro %q does not use its caller: {{ caller() }} writes what stands in {%% call %%}", d.name)
		case !d.kwargs:
			s.fail("macro %q has no argument %q", d.name, n)
		default:
			extra.set(s, n, a.named[i])
		}
	}
	for i, n := range d.params {
		v := val{o: a.o}
		if i < len(given) {
			v.v = given[i]
		} else if e, ok := named[n]; ok {
			v.v = e
		} else if at := i - (len(d.params) - len(d.defaults)); at >= 0 {
			v = d.defaults[at].eval(s)
		} else {
			v.v = &undefined{name: n}
		}
		s.scope.set(n, v)
	}
	if !slices.Contains(d.params, "caller") {
		s.scope.set("caller", val{caller, a.o})
	}
	s.scope.set("varargs", val{tuple(rest), a.o})
	s.scope.set("kwargs", val{extra, a.o})
}
