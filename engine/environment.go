package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/nearest"
	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// Environment is a named set of values that stand in for the defaults of flows,
// such as the addresses of production. They count as written by the author of a
// flow, and a trigger overrides them as it overrides defaults.
type Environment struct {
	Name   string
	Values *value.Map // by the name of a variable; those that a flow does not declare are not for it
}

// ParseEnvironment checks the name of an environment.
func ParseEnvironment(s string) (string, error) {
	if _, err := ParseFlowID(s); err != nil {
		return "", fmt.Errorf("%w: environment %s: a name has letters, digits, _ and -, and starts with a letter or _", ErrInvalid, value.Quoted(s))
	}
	return s, nil
}

// Stray is a name of an environment that no flow declares.
type Stray struct {
	Name string
	Near string // the declared name that is most likely meant, and has no value there; "" when none is near
}

// Strays lists the names of the environment that none of the flows declares.
func (e *Environment) Strays(flows []*Flow) (out []Stray) {
	declared := map[string]bool{}
	for _, f := range flows {
		for _, names := range [][]string{f.Variables.Keys(), f.Input.Keys()} {
			for _, name := range names {
				declared[name] = true
			}
		}
	}
	var free []string
	for name := range declared {
		if _, set := e.Values.Get(name); !set {
			free = append(free, name)
		}
	}
	slices.Sort(free)
	for _, name := range e.Values.Keys() {
		if !declared[name] {
			out = append(out, Stray{Name: name, Near: nearest.Name(name, free)})
		}
	}
	return out
}

// Enter takes what an environment has for the variables and inputs that the
// flow declares. Compile checks it.
func (f *Flow) Enter(e *Environment) {
	f.Environment, f.Values = "", nil
	if e == nil {
		return
	}
	f.Environment = e.Name
	for name, v := range e.Values.All() {
		if !f.declares(name) {
			continue
		}
		if f.Values == nil {
			f.Values = new(value.Map)
		}
		f.Values.Set(name, v)
	}
}

// Default is the value of a variable that no trigger gives: that of the
// environment, else the flow's own. ok is false where it has neither.
func (f *Flow) Default(name string) (v any, ok bool) {
	if v, ok = f.Values.Get(name); ok {
		return v, true
	}
	return f.Variables.Get(name)
}

// environment checks what the flow has of its environment, as it checks what
// triggers give.
func (c *compilation) environment(inputs []input) {
	f := c.flow
	for name, got := range f.Values.All() {
		var wrong []string
		def, declared := f.Variables.Get(name)
		if at := slices.IndexFunc(inputs, func(in input) bool { return in.name == name }); at >= 0 {
			wrong = inputs[at].check.Breaches(got, secret.Name(name))
			declared = declared && len(inputs[at].check.Types) == 0
		}
		if declared && !passesFor(got, def) {
			wrong = []string{fmt.Sprintf("got %s, want %s as its default here", value.TypeName(got), value.TypeName(def))}
		}
		if len(wrong) == 0 {
			continue
		}
		path := []string{"variables", name}
		if _, ok := f.Variables.Get(name); !ok {
			path[0] = "input"
		}
		c.add(Problem{Path: path, Code: "environment", Message: fmt.Sprintf("environment %s: variable %q: %s", f.Environment, name, strings.Join(wrong, "; "))})
	}
}
