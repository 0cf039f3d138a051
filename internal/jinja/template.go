// Package jinja renders Jinja2 templates for flow files. gonja lexes, parses
// and evaluates them in strict mode, without files, imports or environment;
// this package adds the entry points that the rest of the house uses, typed
// values and errors that name the field.
package jinja

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"

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
	single bool
	names  []string
	tpl    *exec.Template
	nodes  []nodes.Node
}

// Error is a template that cannot be parsed or rendered. It never quotes data.
type Error struct {
	Field   string
	Message string
}

func (e *Error) Error() string { return e.Field + ": " + e.Message }

// UndefinedError names something that a template reads and that is not there.
type UndefinedError struct {
	Name      string   // as written: "xcom_get_user.id"
	Available []string // what there is instead
}

func (e *UndefinedError) Error() string { return e.Name + " is undefined" }

// Result is a rendered value with its origins.
type Result struct {
	Value  any
	Origin value.Origin
}

// Piece is a part of a template's output, in order: literal text, or what one
// expression or block gave.
type Piece struct {
	Text    string
	Value   any
	Origin  value.Origin
	Literal bool
	Path    bool // the expression ends with the filter path: "/" stays as it is
}

// refused are the tags that would read files or change what is outside.
var refused = []string{"include", "import", "from", "extends", "block", "call", "do", "break", "continue"}

// Parse reads a template; field names it in errors.
func Parse(field, source string) (t *Template, err error) {
	t = &Template{field: field, source: source}
	if !strings.Contains(source, "{{") && !strings.Contains(source, "{%") && !strings.Contains(source, "{#") {
		t.plain = true
		return t, nil
	}
	if len(source) > MaxSource {
		return nil, &Error{field, fmt.Sprintf("the template has %d bytes, at most %d are read", len(source), MaxSource)}
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, &Error{field, "the template cannot be parsed"}
		}
	}()
	if err := nesting(field, source); err != nil {
		return nil, err
	}
	cfg := config.New()
	cfg.StrictUndefined = true
	cfg.KeepTrailingNewline = true
	loader := loaders.MustNewMemoryLoader(map[string]string{"/t": source})
	tpl, err := exec.NewTemplate("/t", cfg, loader, environment())
	if err != nil {
		return nil, &Error{field, lastCause(err)}
	}
	t.tpl, t.nodes = tpl, tpl.Root().Nodes
	t.single = len(t.nodes) == 1 && isOutput(t.nodes[0])
	t.names, err = t.scanNames(cfg)
	return t, err
}

// maxNesting bounds brackets and blocks, counted before anything recurses.
const maxNesting = 100

func nesting(field, source string) error {
	depth, most := 0, 0
	for _, c := range source {
		switch c {
		case '(', '[', '{':
			depth++
			most = max(most, depth)
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
	}
	if most > maxNesting+2 || strings.Count(source, "{%") > 2000 {
		return &Error{field, fmt.Sprintf("the template nests deeper than %d levels", maxNesting)}
	}
	return nil
}

func isOutput(n nodes.Node) bool { _, ok := n.(*nodes.Output); return ok }

func environment() *exec.Environment {
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters)
	_ = filters.Register("path", func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value { return in })
	return &exec.Environment{
		Context: exec.EmptyContext().Update(builtins.GlobalFunctions), Filters: filters, Tests: builtins.Tests,
		ControlStructures: builtins.ControlStructures, Methods: builtins.Methods,
	}
}

// scanNames lists the names that are read: name tokens in code that are no
// attribute, filter, test, keyword or assigned variable.
func (t *Template) scanNames(cfg *config.Config) ([]string, error) {
	keywords := strings.Fields("if elif else endif for endfor in is not and or set endset with endwith filter endfilter macro endmacro raw endraw true false none True False None loop recursive range dict namespace lipsum cycler joiner")
	assigned := map[string]bool{}
	seen := map[string]bool{}
	stream := tokens.LexAll(t.source, cfg)
	var prev, prev2 *tokens.Token
	for ; !stream.End(); stream.Next() {
		tok := stream.Current()
		if tok.Type == tokens.Whitespace {
			continue
		}
		if tok.Type == tokens.Name {
			after := prev != nil && (prev.Type == tokens.Dot || prev.Type == tokens.Pipe || prev.Type == tokens.Is ||
				prev.Type == tokens.Not && prev2 != nil && prev2.Type == tokens.Is)
			tag := prev != nil && prev.Type == tokens.BlockBegin
			if tag && slices.Contains(refused, tok.Val) {
				return nil, &Error{t.field, fmt.Sprintf("the tag %q is not available in flow files", tok.Val)}
			}
			if prev != nil && prev.Type == tokens.Name && (prev.Val == "set" || prev.Val == "for" || prev.Val == "with" || prev.Val == "macro") {
				assigned[tok.Val] = true
			}
			if !after && !tag && !slices.Contains(keywords, tok.Val) {
				seen[tok.Val] = true
			}
		}
		if tok.Type == tokens.EOF {
			break
		}
		prev, prev2 = tok, prev
	}
	var names []string
	for n := range seen {
		if !assigned[n] {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Literal returns the text of a template without expressions.
func (t *Template) Literal() (string, bool) { return t.source, t.plain }

// Single reports whether the template is exactly one {{ ... }}.
func (t *Template) Single() bool { return t.single }

// Names lists the variables that the template reads, sorted.
func (t *Template) Names() []string { return t.names }

// Text renders to text.
func (t *Template) Text(ctx context.Context, vars Vars) (Result, error) {
	if t.plain {
		return Result{Value: t.source}, nil
	}
	pieces, err := t.Pieces(ctx, vars)
	if err != nil {
		return Result{}, err
	}
	var b strings.Builder
	var origin value.Origin
	for _, p := range pieces {
		b.WriteString(p.Text)
		origin |= p.Origin
	}
	return Result{Value: b.String(), Origin: origin}, nil
}

// Value renders a template that is exactly one {{ ... }} to its typed value,
// any other to text.
func (t *Template) Value(ctx context.Context, vars Vars) (Result, error) {
	if !t.single {
		return t.Text(ctx, vars)
	}
	pieces, err := t.Pieces(ctx, vars)
	if err != nil {
		return Result{}, err
	}
	return Result{Value: pieces[0].Value, Origin: pieces[0].Origin}, nil
}

// Pieces renders the parts of the output apart.
func (t *Template) Pieces(ctx context.Context, vars Vars) (pieces []Piece, err error) {
	if t.plain {
		return []Piece{{Text: t.source, Literal: true}}, nil
	}
	defer func() {
		if r := recover(); r != nil {
			pieces, err = nil, &Error{t.field, "the template cannot be rendered"}
		}
	}()
	data, origins, err := t.context(ctx, vars)
	if err != nil {
		return nil, err
	}
	for _, n := range t.nodes {
		p, err := t.piece(n, data)
		if err != nil {
			return nil, t.renderError(err, vars)
		}
		if !p.Literal {
			p.Origin = originOf(n, origins)
		}
		pieces = append(pieces, p)
	}
	return pieces, nil
}

// originOf is the origin of what a node gives: of the names in an expression,
// or of all names where a block may read any of them.
func originOf(n nodes.Node, origins map[string]value.Origin) (o value.Origin) {
	out, ok := n.(*nodes.Output)
	if ok {
		text := fmt.Sprint(out.Expression, out.Condition, out.Alternative)
		for name, from := range origins {
			if strings.Contains(text, name) {
				o |= from
			}
		}
		return o
	}
	for _, from := range origins {
		o |= from
	}
	return o
}

func (t *Template) context(ctx context.Context, vars Vars) (map[string]any, map[string]value.Origin, error) {
	data := make(map[string]any, len(t.names))
	origins := make(map[string]value.Origin, len(t.names))
	for _, name := range t.names {
		v, ok, err := vars.Lookup(ctx, name)
		if err != nil {
			return nil, nil, &Error{t.field, err.Error()}
		}
		if ok {
			data[name] = toGonja(v.Value)
			origins[name] = v.Origin
		}
	}
	return data, origins, nil
}

func (t *Template) piece(n nodes.Node, data map[string]any) (Piece, error) {
	env := environment()
	env.Context = env.Context.Inherit().Update(exec.NewContext(data))
	var out bytes.Buffer
	cfg := config.New()
	cfg.StrictUndefined = true
	r := exec.NewRenderer(env, &out, cfg, nil, t.tpl)
	if o, ok := n.(*nodes.Output); ok && o.Condition == nil {
		v := r.Eval(o.Expression)
		if v.IsError() {
			return Piece{}, errors.New(v.Error())
		}
		f, _ := o.Expression.(*nodes.FilteredExpression)
		path := f != nil && len(f.Filters) > 0 && f.Filters[len(f.Filters)-1].Name == "path"
		return Piece{Text: v.String(), Value: fromGonja(v.ToGoSimpleType(true)), Path: path}, nil
	}
	if err := nodes.Walk(r, n); err != nil {
		return Piece{}, err
	}
	_, literal := n.(*nodes.Data)
	return Piece{Text: out.String(), Value: out.String(), Literal: literal}, nil
}

// renderError names what is missing, or the cause, without quoting data.
func (t *Template) renderError(err error, vars Vars) error {
	for _, name := range t.names {
		if !slices.Contains(vars.Names(), name) {
			return fmt.Errorf("%s: %w", t.field, &UndefinedError{Name: name, Available: vars.Names()})
		}
	}
	return &Error{t.field, lastCause(err)}
}

func lastCause(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return strings.ReplaceAll(text, "\n", " ")
}

func toGonja(v any) any {
	switch v := v.(type) {
	case int64:
		return int(v)
	case *big.Int:
		return v.String()
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = toGonja(e)
		}
		return out
	case *value.Map:
		out := make(map[string]any, v.Len())
		for k, e := range v.All() {
			out[k] = toGonja(e)
		}
		return out
	}
	return v
}

func fromGonja(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = fromGonja(e)
		}
		return out
	case map[any]any:
		out := value.NewMap(len(v))
		for k, e := range v {
			out.Set(fmt.Sprint(k), fromGonja(e))
		}
		return out
	case error:
		return nil
	}
	return v
}
