package jinja

import (
	"slices"

	"github.com/qarion/qarion/internal/value"
)

func (t *text) exec(s *state) { s.write(Piece{Text: t.s, Literal: true}) }

func (o *output) exec(s *state) {
	if s.out.apart && s.writeCall(o.x) {
		return
	}
	v := s.value(o.x)
	text := s.str(v.v)
	p := Piece{Text: text, Origin: v.o, Path: o.path, Fixed: o.fixed}
	if s.out.apart {
		_, p.Markup = v.v.(markup)
		if data, ok := s.plain(v.v); ok {
			p.Value = data
		} else {
			p.Value = text
		}
	}
	s.write(p)
}

func (d *doStmt) exec(s *state) { s.value(d.x) }

func (i *ifStmt) exec(s *state) {
	for n, c := range i.conds {
		if s.truth(c.eval(s).v) {
			s.run(i.bodies[n])
			return
		}
	}
	s.run(i.orElse)
}

func (f *forStmt) exec(s *state) {
	v := s.value(f.iter)
	f.over(s, v, 0)
}

// over runs the loop over a value; depth counts recursive calls.
func (f *forStmt) over(s *state, v val, depth int) {
	items := s.iterate(v.v)
	if _, made := v.v.(*list); made {
		items = slices.Clone(items) // the body may change it; what is gone through is as it was
	}
	if f.cond != nil {
		items = f.filter(s, items, v.o)
	}
	if len(items) == 0 {
		s.within(s.scope, func() { s.run(f.orElse) })
		return
	}
	l := &loop{items: items, stmt: f, depth: depth}
	outer := s.scope
	for i, item := range items {
		l.at = i
		s.step(1)
		s.within(outer, func() {
			s.assign(f.target, val{item, v.o})
			s.scope.set("loop", val{l, v.o})
			s.run(f.body)
		})
	}
}

func (f *forStmt) filter(s *state, items []any, o value.Origin) (kept []any) {
	for _, item := range items {
		s.step(1)
		s.within(s.scope, func() {
			s.assign(f.target, val{item, o})
			if s.truth(f.cond.eval(s).v) {
				kept = append(kept, item)
			}
		})
	}
	return kept
}

// assign sets one name, or unpacks a value into several.
func (s *state) assign(t target, v val) {
	if t.parts == nil {
		s.scope.set(t.name, v)
		return
	}
	items := s.unpack(v.v, len(t.parts))
	for i, part := range t.parts {
		s.assign(part, val{items[i], v.o})
	}
}

func (s *state) unpack(v any, want int) []any {
	items := s.iterate(v)
	if len(items) != want {
		s.fail("%d values cannot be unpacked into %d names", len(items), want)
	}
	return items
}

func (t *setTarget) set(s *state, v val) {
	if t.attr == "" {
		if s.scope == nil {
			s.scope = &scope{}
		}
		s.scope.set(t.name, v)
		return
	}
	target := (&name{id: t.name, slot: t.slot}).eval(s).v
	if u, ok := target.(*undefined); ok {
		s.undefined(u)
	}
	ns, ok := target.(*namespace)
	if !ok {
		s.fail("%s.%s cannot be set: only a namespace() can be changed", t.name, t.attr)
	}
	if _, known := ns.vals[t.attr]; !known {
		ns.names = append(ns.names, t.attr)
	}
	ns.vals[t.attr] = v
}

func (st *setStmt) exec(s *state) {
	v := s.value(st.x)
	if !st.unpack {
		st.targets[0].set(s, v)
		return
	}
	items := s.unpack(v.v, len(st.targets))
	for i := range st.targets {
		st.targets[i].set(s, val{items[i], v.o})
	}
}

func (b *setBlock) exec(s *state) {
	var v val
	s.within(s.scope, func() { v = s.capture(b.body) })
	b.target.set(s, s.through(b.filters, v))
}

// through applies filters to a block's content.
func (s *state) through(filters []*filterExpr, v val) val {
	for _, f := range filters {
		v = f.apply(s, v)
	}
	return v
}

func (w *withStmt) exec(s *state) {
	vals := make([]val, len(w.values))
	for i, x := range w.values {
		vals[i] = s.value(x)
	}
	s.within(s.scope, func() {
		for i, t := range w.targets {
			s.assign(t, vals[i])
		}
		s.run(w.body)
	})
}

func (f *filterStmt) exec(s *state) {
	var v val
	s.within(s.scope, func() { v = s.capture(f.body) })
	v = s.through(f.filters, v)
	text := s.wantText("a filter block", v.v)
	s.write(Piece{Text: text, Origin: v.o, Value: text})
}
