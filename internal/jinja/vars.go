package jinja

import (
	"context"
	"maps"
	"slices"

	"github.com/qarion/qarion/internal/value"
)

// Var is one value of a template's context, with where it comes from.
type Var struct {
	Value  any // one of the types of package value
	Origin value.Origin
}

// Vars looks the names of a template up. An implementation may make values
// only when they are asked for; it is asked at most once per name and
// evaluation, and only for names that the template uses.
type Vars interface {
	// Lookup returns a variable; ok is false when there is none of that name.
	Lookup(ctx context.Context, name string) (v Var, ok bool, err error)
	// Names lists what there is, for messages about undefined names.
	Names() []string
}

// Witness is a Vars that is told of every text that a filter, a method or a
// function makes of a secret, also when it is only a part of what is written in
// the end.
type Witness interface {
	Derived(o value.Origin, text string)
}

// derived tells the context of a text that was made of a secret.
func (s *state) derived(v val) val {
	if !v.o.Secret() {
		return v
	}
	if text, isText := v.v.(string); isText {
		if w, ok := s.vars.(Witness); ok {
			w.Derived(v.o, text)
		}
	}
	return v
}

// MapVars is a small context held in a map.
type MapVars map[string]Var

// Lookup implements Vars.
func (m MapVars) Lookup(_ context.Context, name string) (Var, bool, error) {
	v, ok := m[name]
	return v, ok, nil
}

// Names implements Vars.
func (m MapVars) Names() []string { return slices.Sorted(maps.Keys(m)) }
