package jinja

import (
	"math/big"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

func (l *literal) eval(*state) val { return val{v: l.v} }

func (n *name) eval(s *state) val {
	s.step(1)
	if s.scope != nil {
		if v, ok := s.scope.find(n.id); ok {
			s.touched = s.touched || reaches(v.v)
			return v
		}
	}
	return s.lookup(n.id, n.slot)
}

// all evaluates expressions into a list.
func (s *state) all(items []expr) (out []any, o value.Origin) {
	out = make([]any, len(items))
	for i, x := range items {
		v := s.defined(x)
		out[i], o = v.v, o|v.o
	}
	return out, o
}

// defined evaluates an expression that must give something.
func (s *state) defined(x expr) val {
	v := x.eval(s)
	if u, ok := v.v.(*undefined); ok && !u.empty {
		s.undefined(u)
	}
	return v
}

func (l *listExpr) eval(s *state) val {
	items, o := s.all(l.items)
	return val{&list{items}, o}
}

func (t *tupleExpr) eval(s *state) val {
	items, o := s.all(t.items)
	return val{tuple(items), o}
}

func (d *dictExpr) eval(s *state) val {
	m := &dict{}
	var o value.Origin
	for i := range d.keys {
		k, v := s.defined(d.keys[i]), s.defined(d.values[i])
		o |= k.o | v.o
		s.hashable(k.v)
		m.set(s, k.v, v.v)
	}
	return val{m, o}
}

func (u *unary) eval(s *state) val {
	v := s.defined(u.x)
	n, ok := number(v.v)
	if !ok {
		s.fail("%q wants a number, got %s", u.op, typeName(v.v))
	}
	if u.op == "-" {
		switch x := n.(type) {
		case float64:
			n = -x
		default:
			n = normal(new(big.Int).Neg(toBig(x)))
		}
	}
	return val{n, v.o}
}

func (n *not) eval(s *state) val {
	v := n.x.eval(s)
	return val{!s.truth(v.v), v.o}
}

func (l *logical) eval(s *state) val {
	a := l.a.eval(s)
	if s.truth(a.v) != l.and {
		return a
	}
	b := l.b.eval(s)
	b.o |= a.o
	return b
}

func (c *conditional) eval(s *state) val {
	cond := c.cond.eval(s)
	var v val
	switch {
	case s.truth(cond.v):
		v = c.yes.eval(s)
	case c.no != nil:
		v = c.no.eval(s)
	default:
		v = val{v: &undefined{name: "the value of an \"if\" without \"else\"", empty: true}}
	}
	v.o |= cond.o
	return v
}

func (c *concat) eval(s *state) val {
	var b strings.Builder
	var o value.Origin
	for _, p := range c.parts {
		v := p.eval(s)
		text := s.str(v.v)
		s.room(b.Len() + len(text))
		b.WriteString(text)
		o |= v.o
	}
	s.made(b.Len())
	return val{b.String(), o}
}

func (c *compare) eval(s *state) val {
	a := c.first.eval(s)
	o := a.o
	for i, op := range c.ops {
		b := c.rest[i].eval(s)
		o |= b.o
		if !s.holds(op, a.v, b.v) {
			return val{false, o}
		}
		a = b
	}
	return val{true, o}
}

// holds reports whether one comparison is true.
func (s *state) holds(op string, a, b any) bool {
	switch op {
	case "==":
		return s.equal(a, b)
	case "!=":
		return !s.equal(a, b)
	case "in":
		return s.contains(b, a)
	case "not in":
		return !s.contains(b, a)
	}
	c := s.compare(op, a, b)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0 && c != 2
	}
	return c >= 0 && c != 2
}

func (b *binary) eval(s *state) val {
	x, y := s.defined(b.a), s.defined(b.b)
	s.step(1)
	return val{s.compute(b.op, x.v, y.v), x.o | y.o}
}

// compute is a op b, with Python's meaning.
func (s *state) compute(op string, a, b any) any {
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return s.arithmetic(op, x, y)
		}
	}
	if v, ok := s.timeArithmetic(op, a, b); ok {
		return v
	}
	switch op {
	case "+":
		if v, ok := s.join(a, b); ok {
			return v
		}
	case "*":
		if n, ok := number(b); ok {
			if v, ok := s.repeat(a, n); ok {
				return v
			}
		}
		if n, ok := number(a); ok {
			if v, ok := s.repeat(b, n); ok {
				return v
			}
		}
	case "%":
		if format, ok := asText(a); ok {
			out := s.percent(format, b, a)
			return out
		}
	}
	s.fail("%q does not work with %s and %s", op, typeName(a), typeName(b))
	return nil
}

// join adds texts or sequences.
func (s *state) join(a, b any) (any, bool) {
	x, isText := asText(a)
	y, alsoText := asText(b)
	if isText && alsoText {
		_, safeA := a.(markup)
		_, safeB := b.(markup)
		if safeA && !safeB {
			y = escape(y)
		} else if safeB && !safeA {
			x = escape(x)
		}
		s.made(len(x) + len(y))
		if safeA || safeB {
			return markup(x + y), true
		}
		return x + y, true
	}
	p, isList := asItems(a)
	q, alsoList := asItems(b)
	if !isList || !alsoList || typeName(a) != typeName(b) {
		return nil, false
	}
	s.step(len(p) + len(q))
	out := append(append(make([]any, 0, len(p)+len(q)), p...), q...)
	if _, ok := a.(tuple); ok {
		return tuple(out), true
	}
	return &list{out}, true
}

// repeat is a text or sequence, n times.
func (s *state) repeat(v, n any) (any, bool) {
	times, ok := n.(int64)
	if _, big := n.(*big.Int); big {
		s.fail("a repetition is too long")
	} else if !ok {
		return nil, false
	}
	times = max(0, min(times, 1<<40))
	if text, ok := asText(v); ok {
		if len(text) > 0 && times > int64(maxText/len(text)) {
			s.room(maxText + 1)
		}
		s.made(len(text) * int(times))
		out := strings.Repeat(text, int(times))
		if _, safe := v.(markup); safe {
			return markup(out), true
		}
		return out, true
	}
	items, ok := asItems(v)
	if !ok {
		return nil, false
	}
	if len(items) > 0 && times > int64(maxSteps/len(items)) {
		s.step(maxSteps + 1)
	}
	s.step(len(items) * int(times))
	out := make([]any, 0, len(items)*int(times))
	for range times {
		out = append(out, items...)
	}
	if _, ok := v.(tuple); ok {
		return tuple(out), true
	}
	return &list{out}, true
}
