package jinja

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/internal/nearest"
	"github.com/qarion/qarion/internal/value"
)

// Limits of one evaluation. What exceeds them is an error of the template.
const (
	maxSteps  = 1_000_000       // nodes evaluated, items gone through
	maxText   = 16 << 20        // bytes of one text, and of the output
	maxTotal  = 4 * maxText     // bytes of all texts that are made on the way
	maxTime   = 5 * time.Second // wall clock
	maxRange  = 1_000_000       // numbers in a range
	maxMacros = 50              // calls of macros and recursive loops within each other
	maxWait   = 2048            // steps between looks at clock and context
)

// failure is what an evaluation panics with; recovered at its start.
type failure struct{ err error }

// caught turns a failure into an error; deferred where a parse or an evaluation
// starts. Any other panic goes on.
func caught(err *error) {
	p := recover()
	if p == nil {
		return
	}
	f, ok := p.(*failure)
	if !ok {
		panic(p)
	}
	*err = f.err
}

// state is one evaluation.
type state struct {
	ctx   context.Context
	vars  Vars
	tpl   *Template
	lang  *language
	cache []cached // the context's variables that were asked for, by slot
	scope *scope   // nil until something is assigned
	out   *sink

	// mutated are the origins of all that was put into lists and mappings that
	// the template made, touched whether one was read since the expression began
	// (see state.value).
	mutated value.Origin
	touched bool

	// spilled are the origins of what was read from namespaces by other ways
	// than their names: whatever is written from then on has them.
	spilled value.Origin

	steps, look int
	total       int
	depth       int
	started     time.Time
}

type cached struct {
	val
	known bool
}

// scope are the names assigned in a block.
type scope struct {
	names  []string
	vals   []val
	parent *scope
}

func (sc *scope) find(id string) (val, bool) {
	for ; sc != nil; sc = sc.parent {
		for i, n := range sc.names {
			if n == id {
				return sc.vals[i], true
			}
		}
	}
	return val{}, false
}

func (sc *scope) set(id string, v val) {
	for i, n := range sc.names {
		if n == id {
			sc.vals[i] = v
			return
		}
	}
	sc.names = append(sc.names, id)
	sc.vals = append(sc.vals, v)
}

// sink takes what statements write: as text, or piece by piece.
type sink struct {
	b      strings.Builder
	o      value.Origin
	pieces []Piece
	apart  bool // collect pieces
}

// write takes a part of the output.
func (s *state) write(p Piece) {
	s.room(s.out.b.Len() + len(p.Text))
	if !p.Literal {
		p.Origin |= s.spilled
	}
	s.out.o |= p.Origin
	if s.out.apart {
		s.total += len(p.Text)
		s.out.pieces = append(s.out.pieces, p)
		return
	}
	s.out.b.WriteString(p.Text)
}

// capture returns what statements write.
func (s *state) capture(body []stmt) val {
	before := s.out
	s.out = &sink{}
	s.run(body)
	text, o := s.out.b.String(), s.out.o
	s.out = before
	s.made(len(text))
	return val{text, o}
}

func (s *state) run(body []stmt) {
	for _, st := range body {
		s.step(1)
		st.exec(s)
	}
}

// within runs something in a scope of its own.
func (s *state) within(parent *scope, do func()) {
	before := s.scope
	s.scope = &scope{parent: parent}
	do()
	s.scope = before
}

// step counts work and looks at the clock from time to time.
func (s *state) step(n int) {
	s.steps += n
	if s.steps < s.look {
		return
	}
	if s.steps > maxSteps {
		s.fail("the template takes more than %d steps", maxSteps)
	}
	s.look = s.steps + maxWait
	if s.ctx.Err() != nil {
		panic(&failure{context.Cause(s.ctx)})
	}
	if time.Since(s.started) > maxTime {
		s.fail("the template takes longer than %s", maxTime)
	}
}

// room fails when a text of a length would be too long.
func (s *state) room(n int) {
	if n > maxText || n < 0 {
		s.fail("the template makes a text of more than %d MiB", maxText>>20)
	}
	if s.total > maxTotal {
		s.fail("the template makes more than %d MiB of text on its way", maxTotal>>20)
	}
}

// made counts a text that was, or is about to be, made.
func (s *state) made(n int) {
	s.room(n)
	s.total += n
	s.scan(n)
}

// scan counts the work of going through a text of n bytes.
func (s *state) scan(n int) { s.step(n / 256) }

func (s *state) fail(format string, args ...any) {
	panic(&failure{&Error{Field: s.tpl.field, Message: fmt.Sprintf(format, args...)}})
}

// undefined fails because something is not there.
func (s *state) undefined(u *undefined) {
	panic(&failure{fmt.Errorf("%s: %w", s.tpl.field, &UndefinedError{Name: u.name, Available: u.available, Why: u.why, Short: u.short})})
}

// lookup returns a variable of the context, undefined when it is not there.
func (s *state) lookup(id string, slot int) val {
	c := &s.cache[slot]
	if c.known {
		return c.val
	}
	v, ok, err := s.vars.Lookup(s.ctx, id)
	if err != nil {
		panic(&failure{&Error{Field: s.tpl.field, Message: err.Error()}})
	}
	switch g, global := s.lang.globals[id]; {
	case ok:
		c.val = val{v.Value, v.Origin}
	case global:
		c.val = val{v: g}
	default:
		missing := &undefined{name: id, available: s.vars.Names()}
		if e, ok := s.vars.(Explainer); ok {
			if missing.why = e.Missing(id); missing.why != "" {
				missing.available = nil
			}
		}
		c.val = val{v: missing}
	}
	c.known = true
	return c.val
}

// orNearest is " (did you mean ...?)", or nothing.
func orNearest(got string, known []string) string {
	slices.Sort(known)
	if n := nearest.Name(got, known); n != "" {
		return fmt.Sprintf(" (did you mean %q?)", n)
	}
	return ""
}

// args are the arguments of a call, evaluated.
type args struct {
	what  string // of whom: for messages
	pos   []any
	names []string
	named []any
	o     value.Origin
}

// absent stands for a parameter that was not given.
type absent struct{}

func (s *state) args(what string, a *arguments) *args {
	out := &args{what: what}
	if n := len(a.pos); n > 0 {
		out.pos = make([]any, n)
		for i, x := range a.pos {
			v := x.eval(s)
			out.pos[i] = v.v
			out.o |= v.o
		}
	}
	if a.star != nil {
		v := a.star.eval(s)
		out.pos, out.o = append(out.pos, s.iterate(v.v)...), out.o|v.o
	}
	for i, x := range a.named {
		v := x.eval(s)
		out.names = append(out.names, a.names[i])
		out.named = append(out.named, v.v)
		out.o |= v.o
	}
	if a.starStar != nil {
		v := a.starStar.eval(s)
		m, ok := asMapping(v.v)
		if !ok {
			s.fail("%s: what follows ** must be a mapping", what)
		}
		for k, e := range m.all() {
			out.names, out.named = append(out.names, s.wantText(what, k)), append(out.named, e)
		}
		out.o |= v.o
	}
	return out
}

// bind puts arguments into the order of parameters; those not given are
// absent. It fails for those that there are none for, and for the first
// required ones that are missing.
func (a *args) bind(s *state, required int, params ...string) []any {
	out := make([]any, len(params))
	for i := range out {
		out[i] = absent{}
	}
	if len(a.pos) > len(params) {
		s.fail("%s takes at most %d arguments, got %d", a.what, len(params), len(a.pos))
	}
	copy(out, a.pos)
	for i, n := range a.names {
		at := slices.Index(params, n)
		if at < 0 {
			s.fail("%s has no argument %q", a.what, n)
		}
		if _, free := out[at].(absent); !free {
			s.fail("%s has the argument %q twice", a.what, n)
		}
		out[at] = a.named[i]
	}
	for i := range required {
		if _, missing := out[i].(absent); missing {
			s.fail("%s needs the argument %q", a.what, params[i])
		}
	}
	return out
}

// given reports whether an argument was given.
func given(v any) bool {
	_, no := v.(absent)
	return !no
}

// or is an argument, or its default.
func or(v, def any) any {
	if given(v) {
		return v
	}
	return def
}

// int is a whole number as an argument, of a size that can be worked with.
func (s *state) int(what string, v any) int {
	if u, ok := v.(*undefined); ok {
		s.undefined(u)
	}
	n, _ := number(v)
	i, ok := n.(int64)
	if !ok {
		s.fail("%s wants a whole number, got %s", what, typeName(v))
	}
	return int(max(-1<<40, min(i, 1<<40)))
}

// wantText is an argument that must be text.
func (s *state) wantText(what string, v any) string {
	if u, ok := v.(*undefined); ok {
		s.undefined(u)
	}
	if b, ok := v.(*value.Bytes); ok {
		s.fail("%s", b.NotText())
	}
	t, ok := asText(v)
	if !ok {
		s.fail("%s wants text, got %s", what, typeName(v))
	}
	return t
}
