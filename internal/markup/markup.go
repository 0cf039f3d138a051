// Package markup makes HTML of templates in the language of text/template,
// escaped by where a value stands. It knows less than html/template and costs
// less: it calls no methods of values, which would keep every exported method of
// every type in the program (7 MiB of it), and values stand only where it is
// sure how to escape them: in text, and in quoted values of attributes that are
// neither scripts nor styles. A template that puts one elsewhere is refused when
// it is read.
//
// There are the actions {{.}}, {{if}}, {{with}}, {{range}}, {{template}},
// {{define}} and variables, fields of structs and keys of maps, the functions
// and, or, not, eq, ne, lt, gt, ge, len, print and printf, and those that a set
// is given. There are no methods and no pipes.
package markup

import (
	"bytes"
	"fmt"
	"maps"
	"text/template/parse"
)

// Set is templates that use each other by name.
type Set struct {
	funcs     Funcs
	templates map[string][]node
}

// New makes an empty set whose templates may call functions.
func New(funcs Funcs) *Set {
	all := maps.Clone(builtins)
	maps.Copy(all, funcs)
	return &Set{funcs: all, templates: map[string][]node{}}
}

// Clone is a set of the same templates, to which others may be added.
func (s *Set) Clone() *Set { return &Set{funcs: s.funcs, templates: maps.Clone(s.templates)} }

// Add reads a template and those that it defines. An error names the line.
func (s *Set) Add(name, text string) error {
	known := map[string]any{}
	for f := range s.funcs {
		known[f] = true
	}
	for _, f := range []string{"and", "or"} {
		known[f] = true
	}
	trees, err := parse.Parse(name, text, "", "", known)
	if err != nil {
		return err
	}
	for part, tree := range trees {
		if parse.IsEmptyTree(tree.Root) {
			continue
		}
		c := compiler{set: s, tree: tree}
		nodes, err := c.template()
		if err != nil {
			return err
		}
		s.templates[part] = nodes
	}
	return nil
}

// Render writes a template with its data. An error is one of the template.
func (s *Set) Render(out *bytes.Buffer, name string, data any) (err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case failure:
			err = fmt.Errorf("template %s: %w", name, e.err)
		default:
			panic(e)
		}
	}()
	x := &execution{set: s, out: out}
	x.call(name, valueOf(data))
	return nil
}

// failure is what a template ends with that cannot go on.
type failure struct{ err error }

func failf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }
