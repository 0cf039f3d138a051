package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// Property is a row of a type's property table.
type Property struct {
	Name    string
	Type    string // as the documentation names it
	Default string
	Doc     string
}

// TaskType is one of the types.
type TaskType struct {
	name       string
	properties []Property
	words      map[string]string // of other tools for a property
	prepare    func(r *reader) attempt
}

// attempt does a task's work once.
type attempt func(ctx context.Context, in *engine.TaskInput) (engine.TaskOutput, error)

var _ engine.TaskType = (*TaskType)(nil)

// Name implements engine.TaskType.
func (t *TaskType) Name() string { return t.name }

// Table returns the property table, for documentation.
func (t *TaskType) Table() []Property { return slices.Clone(t.properties) }

// PropertyNames implements engine.PropertyNamer.
func (t *TaskType) PropertyNames() []string {
	names := make([]string, len(t.properties))
	for i, p := range t.properties {
		names[i] = p.Name
	}
	return names
}

// Prepare implements engine.TaskType.
func (t *TaskType) Prepare(flow *engine.Flow, task *engine.Task) (engine.Program, []engine.Problem) {
	r := &reader{kind: t, flow: flow, task: task, needs: engine.Needs{Subtype: t.name}}
	for name := range task.Properties.All() {
		if !slices.Contains(t.PropertyNames(), name) {
			r.problems = append(r.problems, engine.Problem{Task: task.ID, Path: []string{"properties", name}, Code: "unknown-property",
				Message: "unknown property " + value.Quoted(name), Suggestion: engine.Meant(name, t.PropertyNames(), t.words)})
		}
	}
	p := &program{attempt: t.prepare(r), needs: r.needs}
	if wrong := engine.Refused(r.problems); wrong != nil {
		p.why = wrong.Message
	}
	return p, r.problems
}

// program is a prepared task.
type program struct {
	attempt attempt
	needs   engine.Needs
	why     string // it cannot run; "" when it can
}

// Needs implements engine.Program.
func (p *program) Needs() engine.Needs { return p.needs }

// Execute implements engine.Program.
func (p *program) Execute(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
	if p.why != "" {
		return engine.TaskOutput{Err: &engine.TaskError{Class: "config", Message: p.why}}
	}
	out, err := p.attempt(ctx, in)
	switch {
	case ctx.Err() != nil:
		return engine.TaskOutput{Err: &engine.TaskError{Class: "cancelled", Message: "cut off: " + context.Cause(ctx).Error()}}
	case err == nil:
		return out
	}
	failed := &engine.TaskError{Class: "template", Message: err.Error()}
	var own *stepError
	if errors.As(err, &own) {
		failed.Class = own.class
	}
	if len(in.Task.Secrets) > 0 && failed.Class == "template" {
		failed.Message = "a template cannot be rendered, and reads what a sensitive task has left"
	}
	return engine.TaskOutput{Err: failed}
}

// stepError is a failure that no template has caused.
type stepError struct{ class, message string }

func (e *stepError) Error() string { return e.message }

// reader reads the properties of a task and collects what is wrong with them,
// and what their templates read.
type reader struct {
	kind     *TaskType
	flow     *engine.Flow
	task     *engine.Task
	needs    engine.Needs
	problems []engine.Problem
}

func (r *reader) problem(key, code, format string, args ...any) {
	path := []string{"properties", key}
	if key == "" {
		path = []string{"type"}
	}
	r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: path, Code: code, Message: fmt.Sprintf(format, args...)})
}

// get returns a property's value; an explicit null is as if it were not there.
func (r *reader) get(key string) (any, bool) {
	v, ok := r.task.Properties.Get(key)
	return v, ok && v != nil
}

// text reads a property that is a template; nil when it is not there.
func (r *reader) text(key string) *jinja.Template {
	v, ok := r.get(key)
	if !ok {
		return nil
	}
	s, ok := v.(string)
	if !ok {
		r.problem(key, "wrong-type", "%s is %s, want a string", key, value.Kind(v))
		return nil
	}
	return r.parse([]string{"properties", key}, s)
}

func (r *reader) parse(path []string, text string) *jinja.Template {
	tpl, err := jinja.Parse(strings.Join(path[1:], "."), text)
	if err != nil {
		r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: path, Code: "template", Message: err.Error()})
		return nil
	}
	for _, name := range tpl.Names() {
		r.needs.Names = append(r.needs.Names, engine.NameUse{Name: name, Path: path, Optional: !slices.Contains(tpl.Needs(), name)})
	}
	return tpl
}

// tree is a value in whose texts templates stand: a text, a list, a table, or
// what has no text.
type tree struct {
	tpl    *jinja.Template
	list   []tree
	names  []string // of a table, with list
	fixed  any
	isList bool
}

// tree prepares a value at a path.
func (r *reader) tree(path []string, v any) (t tree) {
	switch v := v.(type) {
	case string:
		t.tpl = r.parse(path, v)
	case []any:
		t.isList = true
		for i, e := range v {
			t.list = append(t.list, r.tree(append(slices.Clone(path), fmt.Sprint(i)), e))
		}
	case *value.Map:
		for name, e := range v.All() {
			t.names, t.list = append(t.names, name), append(t.list, r.tree(append(slices.Clone(path), name), e))
		}
		if t.fixed = value.NewMap(0); v.Len() > 0 {
			t.fixed = nil
		}
	default:
		t.fixed = v
	}
	return t
}

// render fills the templates; o is where what they gave comes from.
func (t *tree) render(ctx context.Context, in *engine.TaskInput, o *value.Origin) (any, error) {
	switch {
	case t.tpl != nil:
		r, err := t.tpl.Value(ctx, in)
		if b, isBytes := r.Value.(*value.Bytes); isBytes && err == nil {
			err = errors.New(b.NotText() + "; | b64encode makes text of it")
		}
		*o |= r.Origin
		return r.Value, err
	case t.isList:
		out := make([]any, len(t.list))
		for i := range t.list {
			var err error
			if out[i], err = t.list[i].render(ctx, in, o); err != nil {
				return nil, err
			}
		}
		return out, nil
	case len(t.names) > 0:
		out := value.NewMap(len(t.names))
		for i, name := range t.names {
			v, err := t.list[i].render(ctx, in, o)
			if err != nil {
				return nil, err
			}
			out.Set(name, v)
		}
		return out, nil
	}
	return t.fixed, nil
}
