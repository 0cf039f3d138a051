package apicall

import (
	"context"
	"fmt"
	"math/big"
	"strconv"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/property"
	"github.com/qarion/qarion/internal/value"
)

// template is a value of the flow file with templates in its strings: a tree
// of constants, templates, lists and maps.
type template struct {
	constant any // when nothing in it is a template
	fixed    bool
	tpl      *jinja.Template
	list     []*template
	keys     []string
	vals     []*template
}

func (t *template) isConstant() bool { return t.fixed }

// maxTemplateDepth bounds how deeply values of a flow file nest.
const maxTemplateDepth = 32

// value parses the templates in a value of the flow file.
func (c *compiler) value(path []string, v any, depth int) *template {
	if depth > maxTemplateDepth {
		c.Problem(path[0], "too-deep", "%s nests deeper than %d levels", path[0], maxTemplateDepth)
		return &template{fixed: true}
	}
	switch v := v.(type) {
	case property.Unreadable:
		return &template{fixed: true}
	case string:
		t := c.parse(path, v)
		if s, ok := t.Literal(); ok {
			return &template{constant: s, fixed: true}
		}
		return &template{tpl: t}
	case []any:
		out := &template{list: make([]*template, len(v)), fixed: true}
		for i, e := range v {
			out.list[i] = c.value(append(path[:len(path):len(path)], strconv.Itoa(i)), e, depth+1)
			out.fixed = out.fixed && out.list[i].fixed
		}
		return out.settle(v)
	case *value.Map:
		out := &template{keys: v.Keys(), fixed: true}
		for k, e := range v.All() {
			t := c.value(append(path[:len(path):len(path)], k), e, depth+1)
			out.vals = append(out.vals, t)
			out.fixed = out.fixed && t.fixed
		}
		return out.settle(v)
	}
	return &template{constant: v, fixed: true}
}

// settle keeps a tree without templates as the constant that it is.
func (t *template) settle(v any) *template {
	if t.fixed {
		return &template{constant: v, fixed: true}
	}
	return t
}

// render fills in the templates. A string that is exactly one {{ ... }} takes
// the type of its value.
func (t *template) render(ctx context.Context, vars jinja.Vars) (any, error) {
	switch {
	case t.fixed:
		return t.constant, nil
	case t.tpl != nil:
		r, err := t.tpl.Value(ctx, vars)
		if err == nil && r.Origin.Secret() {
			noteSecret(vars, r.Origin, plainText(r.Value))
		}
		return r.Value, err
	case t.vals != nil:
		m := value.NewMap(len(t.keys))
		for i, k := range t.keys {
			v, err := t.vals[i].render(ctx, vars)
			if err != nil {
				return nil, err
			}
			m.Set(k, v)
		}
		return m, nil
	}
	list := make([]any, len(t.list))
	for i, e := range t.list {
		v, err := e.render(ctx, vars)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}

// text renders a template whose place takes text alone; nil gives none.
func (t *template) text(ctx context.Context, vars jinja.Vars) (string, error) {
	if t == nil {
		return "", nil
	}
	v, err := t.render(ctx, vars)
	if err == nil {
		err = onlyText(v)
	}
	return plainText(v), err
}

// shownPiece is a piece of a template as it stands in a URL or a header: a flag
// is true, as in JSON, and null is nothing.
func shownPiece(p *jinja.Piece) string {
	if _, isText := p.Value.(string); p.Literal || isText {
		return p.Text
	}
	return plainText(p.Value)
}

// plainText is a scalar as it stands in a URL, a form or a header: numbers and
// flags as JSON writes them, text as it is.
func plainText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case *big.Int:
		return v.String()
	}
	b, err := value.JSON(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
