package jinja

import (
	"github.com/qarion/qarion/internal/value"
)

func (c *callExpr) eval(s *state) val {
	fn, o := c.callee(s)
	s.step(1)
	what := "a call"
	switch f := c.fn.(type) {
	case *attr:
		what = "the method \"" + f.name + "\""
	case *name:
		what = "the function \"" + f.id + "\""
	}
	switch f := fn.(type) {
	case *function:
		a := s.args(what, c.args)
		return s.derived(val{f.call(s, a), o | a.o})
	case *macro:
		return f.call(s, s.args(what, c.args))
	case *loop:
		return f.recurse(s, s.args(what, c.args))
	case *joiner:
		if !f.used {
			f.used = true
			return val{"", o}
		}
		return val{f.sep, o}
	case *undefined:
		s.undefined(f)
	}
	s.fail("%s cannot be called: it is a %s", what, typeName(fn))
	return val{}
}

// callee is what is called. x.name(...) is the method, even where a mapping
// has a key of that name.
func (c *callExpr) callee(s *state) (any, value.Origin) {
	a, ok := c.fn.(*attr)
	if !ok {
		v := c.fn.eval(s)
		return v.v, v.o
	}
	x := a.x.eval(s)
	if _, isMap := asMapping(x.v); isMap {
		if m := s.method(x.v, a.name); m != nil {
			return m, x.o
		}
	}
	return s.attribute(a.x, x.v, a.name), x.o
}

func (f *filterExpr) eval(s *state) val { return f.apply(s, f.x.eval(s)) }

func (f *filterExpr) apply(s *state, in val) val {
	s.step(1)
	if f.name != "default" && f.name != "d" {
		if u, ok := in.v.(*undefined); ok && !takesUndefined[f.name] {
			s.undefined(u)
		}
	}
	a := s.args("the filter \""+f.name+"\"", f.args)
	o := in.o | a.o
	if unmarks[f.name] {
		o &^= value.Secret
	}
	return s.derived(val{f.fn(s, in.v, a), o})
}

func (t *testExpr) eval(s *state) val {
	x := t.x.eval(s)
	s.step(1)
	a := s.args("the test \""+t.name+"\"", t.args)
	return val{t.fn(s, x.v, a), x.o | a.o}
}
