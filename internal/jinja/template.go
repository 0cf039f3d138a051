package jinja

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// MaxSource is the longest template, in bytes.
const MaxSource = 64 << 10

// Template is a parsed template. It is immutable and may be used by many
// goroutines.
type Template struct {
	field  string
	source string
	plain  bool
	text   string  // of a plain one: what it renders to
	single *output // the one {{ }} that the template is; nil: it is more, or other
	names  []string
	needs  []string // those of names without which it fails
	slots  []string // names that the context may be asked for
	body   []stmt
}

// Error is a template that cannot be parsed or rendered. It never quotes data.
type Error struct {
	Field   string
	Message string
	Piece   string // where the mistake is in the source: the text that begins there; "" where that is not known
}

func (e *Error) Error() string { return e.Field + ": " + e.Message }

// PieceOf is the text at which the mistake of a template begins; "" where that
// is not known.
func PieceOf(err error) string {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Piece
	}
	return ""
}

// UndefinedError names something that a template reads and that is not there.
type UndefinedError struct {
	Name      string   // as written: "xcom_get_user.id"
	Available []string // what there is instead
	Why       string   // why it cannot be read, where that is known
	Short     string   // of an index that is not there: "list of 9 has no [9]"
}

func (e *UndefinedError) Error() string {
	if e.Why != "" {
		return e.Name + " cannot be read: " + e.Why
	}
	if e.Short != "" {
		if at := strings.LastIndexByte(e.Name, '.'); at > 0 {
			return e.Name[:at] + ": " + e.Short
		}
		return e.Short
	}
	return e.Name + " is undefined"
}

// Hidden is a value that is there and that no template may read: using it is
// an error that says why.
func Hidden(name, why string) any { return &undefined{name: name, why: why} }

// HiddenSecrets is a mapping whose values are secrets: each can be read by its
// name, and is marked as one; using the whole is an error that says why.
func HiddenSecrets(name, why string, secrets *value.Map) any {
	return &undefined{name: name, why: why, within: secrets}
}

// Result is a rendered value with its origins.
type Result struct {
	Value  any
	Origin value.Origin
}

// Piece is a part of a template's output, in order: literal text, or what one
// expression gave.
type Piece struct {
	Text    string
	Value   any
	Origin  value.Origin
	Literal bool
	Path    bool // the expression ends with the filter path: "/" stays as it is
	Fixed   bool // the expression is a text of the template, or one of two: {{ "," if not loop.last }}
	Markup  bool // the expression gave text in a notation, by tojson, safe and their like
}

// Parse reads a template; field names it in errors. A source without {{, {%
// and {# is text. As in Jinja2, one newline at the very end is not part of the
// template.
func Parse(field, source string) (*Template, error) {
	t := &Template{field: field, source: source}
	if !strings.Contains(source, "{{") && !strings.Contains(source, "{%") && !strings.Contains(source, "{#") {
		t.plain, t.text = true, strings.TrimSuffix(strings.TrimSuffix(source, "\n"), "\r")
		return t, nil
	}
	if len(source) > MaxSource {
		return nil, &Error{Field: field, Message: fmt.Sprintf("the template has %d bytes, at most %d are read", len(source), MaxSource)}
	}
	p, body, err := parse(source)
	if err != nil {
		e := &Error{Field: field, Message: err.Error()}
		if at := (*placed)(nil); errors.As(err, &at) {
			e.Piece = at.piece
		}
		return nil, e
	}
	t.body, t.slots, t.source = body, p.names, p.source
	for n, reads := range p.free {
		t.names = append(t.names, n)
		if reads > 0 && !p.asked[n] {
			t.needs = append(t.needs, n)
		}
	}
	slices.Sort(t.names)
	slices.Sort(t.needs)
	if len(body) == 1 {
		t.single, _ = body[0].(*output)
	}
	return t, nil
}

// Literal returns the source of a template without expressions, as written,
// for callers to whom such a string is no template.
func (t *Template) Literal() (string, bool) { return t.source, t.plain }

// Single reports whether the template is exactly one {{ ... }}.
func (t *Template) Single() bool { return t.single != nil }

// Bare returns the name that a template consists of: {{ name }}, and nothing
// done with it.
func (t *Template) Bare() (string, bool) {
	if t.single == nil {
		return "", false
	}
	n, ok := t.single.x.(*name)
	if !ok {
		return "", false
	}
	return n.id, true
}

// Names lists the variables that the template reads, sorted.
func (t *Template) Names() []string { return t.names }

// Needs lists those of Names without which the template fails, sorted: they are
// not only read under the filter default, and the template does not ask whether
// they are defined.
func (t *Template) Needs() []string { return t.needs }

// Text renders to text.
func (t *Template) Text(ctx context.Context, vars Vars) (Result, error) {
	if t.plain {
		return Result{Value: t.text}, nil
	}
	out := &sink{}
	err := t.evaluate(ctx, vars, out, func(s *state) { s.run(t.body) })
	if err != nil {
		return Result{}, err
	}
	return Result{Value: out.b.String(), Origin: out.o}, nil
}

// Value renders a template that is exactly one {{ ... }} to its typed value,
// any other to text.
func (t *Template) Value(ctx context.Context, vars Vars) (r Result, err error) {
	if t.single == nil {
		return t.Text(ctx, vars)
	}
	err = t.evaluate(ctx, vars, &sink{}, func(s *state) {
		v := s.defined(t.single.x)
		data, ok := s.plain(v.v)
		if !ok {
			s.fail("a %s is no value that can be sent", typeName(v.v))
		}
		r = Result{data, v.o | s.spilled}
	})
	return r, err
}

// Explainer is Vars that can say why a name of theirs is not there; "" when they
// cannot.
type Explainer interface {
	Missing(name string) string
}

// Truth evaluates a template that is exactly one {{ ... }} as an if does. An
// undefined name is an error.
func (t *Template) Truth(ctx context.Context, vars Vars) (holds bool, err error) {
	if t.single == nil {
		return false, &Error{Field: t.field, Message: "it must be exactly one {{ ... }}"}
	}
	err = t.evaluate(ctx, vars, &sink{}, func(s *state) { holds = s.truth(s.defined(t.single.x).v) })
	return holds, err
}

// Pieces renders the parts of the output apart. Text of the template is
// literal wherever it stands, within blocks too.
func (t *Template) Pieces(ctx context.Context, vars Vars) ([]Piece, error) {
	if t.plain {
		return []Piece{{Text: t.text, Literal: true}}, nil
	}
	out := &sink{apart: true, pieces: make([]Piece, 0, len(t.body))}
	err := t.evaluate(ctx, vars, out, func(s *state) { s.run(t.body) })
	if err != nil {
		return nil, err
	}
	return out.pieces, nil
}

// evaluate runs something on the tree, and turns its failure into an error.
func (t *Template) evaluate(ctx context.Context, vars Vars, out *sink, run func(*state)) (err error) {
	s := &state{ctx: ctx, vars: vars, tpl: t, lang: known(), cache: make([]cached, len(t.slots)), out: out, look: maxWait, started: time.Now()}
	defer func() {
		if e, ok := err.(*Error); ok && e.Field == "" {
			e.Field = t.field
		}
	}()
	defer caught(&err)
	run(s)
	return nil
}
