package jinja

import (
	"math/big"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

func (l *literal) eval(*state) val { return val{v: l.v} }

func (n *name) eval(s *state) val {
	s.step(1)
	if s.scope != nil {
		if v, ok := s.scope.find(n.id); ok {
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
	return val{items, o}
}

func (t *tupleExpr) eval(s *state) val {
	items, o := s.all(t.items)
	return val{tuple(items), o}
}

func (d *dictExpr) eval(s *state) val {
	m := value.NewMap(len(d.keys))
	var o value.Origin
	for i := range d.keys {
		k, v := s.defined(d.keys[i]), s.defined(d.values[i])
		key, ok := asText(k.v)
		if !ok {
			s.fail("the keys of a mapping must be text, not %s", typeName(k.v))
		}
		m.Set(key, v.v)
		o |= k.o | v.o
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
	return out, true
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
	return out, true
}

func (a *attr) eval(s *state) val {
	x := a.x.eval(s)
	s.step(1)
	if ns, ok := x.v.(*namespace); ok {
		if v, ok := ns.vals[a.name]; ok {
			return v
		}
	}
	return val{s.attribute(a.x, x.v, a.name), x.o}
}

// attribute is x.name: a key of a mapping, else a method.
func (s *state) attribute(written expr, x any, name string) any {
	switch x := x.(type) {
	case *undefined:
		return x // default may still catch it; anything else names what is missing
	case *value.Map:
		if v, ok := x.Get(name); ok {
			return v
		}
	case *namespace:
		return &undefined{name: path(written, name), available: x.names}
	case tuple: // what groupby gives
		if at := slices.Index([]string{"grouper", "list"}, name); at >= 0 && len(x) == 2 {
			return x[at]
		}
	case *loop:
		return x.attribute(s, name)
	case *cycler:
		return x.attribute(name)
	}
	if m := method(x, name); m != nil {
		return m
	}
	u := &undefined{name: path(written, name)}
	if m, ok := x.(*value.Map); ok {
		u.available = m.Keys()
	}
	return u
}

// path is how an attribute was written: get_user.address.city.
func path(x expr, last string) string {
	switch x := x.(type) {
	case *name:
		return x.id + "." + last
	case *attr:
		return path(x.x, x.name) + "." + last
	case *index:
		if l, ok := x.key.(*literal); ok {
			switch k := l.v.(type) {
			case string:
				return path(x.x, k) + "." + last
			case int64:
				return path(x.x, (&state{}).str(k)) + "." + last
			}
		}
		return path(x.x, "[...]") + "." + last
	}
	return last
}

func (i *index) eval(s *state) val {
	x, k := i.x.eval(s), s.defined(i.key)
	s.step(1)
	_, shown := i.key.(*literal)
	return val{s.item(i.x, x.v, k.v, shown), x.o | k.o}
}

// item is x[k]. shown says whether k stands in the template and may be quoted.
func (s *state) item(written expr, x, k any, shown bool) any {
	if u, ok := x.(*undefined); ok {
		return u
	}
	key, isText := asText(k)
	if m, ok := x.(*value.Map); ok {
		if v, found := m.Get(key); isText && found {
			return v
		}
		if isText {
			if f := method(x, key); f != nil {
				return f
			}
		}
		return &undefined{name: path(written, s.short(k, shown)), available: m.Keys()}
	}
	if isText {
		if ns, ok := x.(*namespace); ok {
			if v, ok := ns.vals[key]; ok {
				return v.v
			}
		}
		if t, ok := x.(tuple); ok {
			return s.attribute(written, t, key)
		}
		if m := method(x, key); m != nil {
			return m
		}
		return &undefined{name: path(written, s.short(k, shown))}
	}
	n, isNumber := number(k)
	at, ok := n.(int64)
	if _, fraction := k.(float64); !isNumber || !ok || fraction {
		return &undefined{name: path(written, s.short(k, shown))}
	}
	var v any
	var found bool
	if text, ok := asText(x); ok {
		v, found = charAt(text, at)
	} else if r, ok := x.(*span); ok {
		if at < 0 {
			at += r.n
		}
		v, found = r.at(at), at >= 0 && at < r.n
	} else if items, ok := asItems(x); ok {
		if at < 0 {
			at += int64(len(items))
		}
		if found = at >= 0 && at < int64(len(items)); found {
			v = items[at]
		}
	}
	if !found {
		return &undefined{name: path(written, s.short(k, shown))}
	}
	return v
}

// short is a key as messages show it: numbers, and names from the template;
// never data.
func (s *state) short(k any, shown bool) string {
	if t, ok := asText(k); ok {
		if shown && len(t) <= 64 && strings.Trim(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" {
			return t
		}
		return "[...]"
	}
	if _, ok := number(k); ok {
		return s.str(k)
	}
	return "[...]"
}

func charAt(text string, at int64) (string, bool) {
	if at >= 0 && at < int64(len(text)) && isASCII(text[:at+1]) {
		return text[at : at+1], true
	}
	runes := []rune(text)
	if at < 0 {
		at += int64(len(runes))
	}
	if at < 0 || at >= int64(len(runes)) {
		return "", false
	}
	return string(runes[at]), true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (sl *slice) eval(s *state) val {
	x := s.defined(sl.x)
	o := x.o
	bound := func(e expr) any {
		if e == nil {
			return nil
		}
		v := s.defined(e)
		o |= v.o
		return v.v
	}
	from, to, step := bound(sl.from), bound(sl.to), bound(sl.step)
	return val{s.slice(x.v, from, to, step), o}
}

// slice is x[from:to:step], with Python's meaning of what is left out and of
// negative numbers.
func (s *state) slice(x, from, to, step any) any {
	items, isList := asItems(x)
	text, isText := asText(x)
	r, isSpan := x.(*span)
	switch {
	case isText:
		s.step(len(text))
		items = nil
		for _, c := range text {
			items = append(items, c)
		}
	case isSpan:
		items = s.iterate(r)
	case !isList:
		s.fail("a %s has no parts: [from:to] needs text or a list", typeName(x))
	}
	n := len(items)
	by := 1
	if step != nil {
		by = s.int("a slice", step)
	}
	if by == 0 {
		s.fail("the step of a slice is zero")
	}
	start, end := 0, n
	if by < 0 {
		start, end = n-1, -1
	}
	clamp := func(v any, def int) int {
		if v == nil {
			return def
		}
		i := s.int("a slice", v)
		if i < 0 {
			i += n
		}
		if by < 0 {
			return max(-1, min(i, n-1))
		}
		return max(0, min(i, n))
	}
	start, end = clamp(from, start), clamp(to, end)
	out := []any{}
	for i := start; by > 0 && i < end || by < 0 && i > end; i += by {
		s.step(1)
		out = append(out, items[i])
	}
	if isText {
		var b strings.Builder
		for _, c := range out {
			b.WriteRune(c.(rune))
		}
		s.made(b.Len())
		if _, safe := x.(markup); safe {
			return markup(b.String())
		}
		return b.String()
	}
	if _, ok := x.(tuple); ok {
		return tuple(out)
	}
	return out
}

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
		return val{f.call(s, a), o | a.o}
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
	if _, isMap := x.v.(*value.Map); isMap {
		if m := method(x.v, a.name); m != nil {
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
	return val{f.fn(s, in.v, a), in.o | a.o}
}

func (t *testExpr) eval(s *state) val {
	x := t.x.eval(s)
	s.step(1)
	a := s.args("the test \""+t.name+"\"", t.args)
	return val{t.fn(s, x.v, a), x.o | a.o}
}

// recurse is loop(items) in a recursive loop.
func (l *loop) recurse(s *state, a *args) val {
	if !l.stmt.recursive {
		s.fail("loop(...) needs a loop that is \"recursive\"")
	}
	if s.depth++; s.depth > maxMacros {
		s.fail("a recursive loop goes more than %d deep", maxMacros)
	}
	items := a.bind(s, 1, "iterable")[0]
	before := s.out
	s.out = &sink{}
	l.stmt.over(s, val{items, a.o}, l.depth+1)
	out := val{s.out.b.String(), s.out.o | a.o}
	s.out = before
	s.depth--
	s.made(len(out.v.(string)))
	return out
}

func (l *loop) attribute(s *state, name string) any {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.at + 1)
	case "index0":
		return int64(l.at)
	case "revindex":
		return int64(n - l.at)
	case "revindex0":
		return int64(n - l.at - 1)
	case "first":
		return l.at == 0
	case "last":
		return l.at == n-1
	case "length":
		return int64(n)
	case "depth":
		return int64(l.depth + 1)
	case "depth0":
		return int64(l.depth)
	case "previtem":
		if l.at > 0 {
			return l.items[l.at-1]
		}
		return &undefined{name: "loop.previtem"}
	case "nextitem":
		if l.at < n-1 {
			return l.items[l.at+1]
		}
		return &undefined{name: "loop.nextitem"}
	case "cycle":
		return &function{"cycle", func(s *state, a *args) any {
			if len(a.pos) == 0 {
				s.fail("loop.cycle needs values to cycle through")
			}
			return a.pos[l.at%len(a.pos)]
		}}
	case "changed":
		return &function{"changed", func(s *state, a *args) any {
			same := l.everCalled && s.equal([]any(l.last), a.pos)
			l.last, l.everCalled = append([]any{}, a.pos...), true
			return !same
		}}
	}
	return &undefined{name: "loop." + name, available: []string{"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "cycle", "changed", "depth", "depth0"}}
}

func (c *cycler) attribute(name string) any {
	switch name {
	case "next":
		return &function{"next", func(*state, *args) any {
			v := c.items[c.at]
			c.at = (c.at + 1) % len(c.items)
			return v
		}}
	case "reset":
		return &function{"reset", func(*state, *args) any {
			c.at = 0
			return nil
		}}
	case "current":
		return c.items[c.at]
	}
	return &undefined{name: "cycler." + name, available: []string{"next", "reset", "current"}}
}
