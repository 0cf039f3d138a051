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

// MapVars is a small context held in a map.
type MapVars map[string]Var

// Lookup implements Vars.
func (m MapVars) Lookup(_ context.Context, name string) (Var, bool, error) {
	v, ok := m[name]
	return v, ok, nil
}

// Names implements Vars.
func (m MapVars) Names() []string { return slices.Sorted(maps.Keys(m)) }
