package ui

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// field is a variable of a flow in the form that starts a run.
type field struct {
	Name, Label string
	Kind        string // text, json or choice
	Type        string // as the flow says it, for people
	Help        string
	Value       string // what stands in it
	Default     string // what the run gets when it is left so
	Required    bool
	Choices     []string
}

// variablePrefix begins the names of the form's fields, so that a variable may
// be called as it likes.
const variablePrefix = "var."

// formOf are the fields for a flow's variables, in the order of the file;
// typed is what stood in them before, if anything.
func formOf(flow *engine.Flow, typed url.Values) (list []field) {
	for _, name := range variableNames(flow) {
		def, declared := flow.Variables.Get(name)
		f := field{Name: variablePrefix + name, Label: name, Kind: "json", Type: kindOf(def)}
		if _, text := def.(string); text {
			f.Kind = "text"
		}
		if declared {
			f.Default = shown(def)
		}
		if spec, ok := flow.Input.Get(name); ok {
			if m, ok := spec.(*value.Map); ok {
				f.declare(m, declared)
			}
		}
		f.Value = f.Default
		if values, ok := typed[f.Name]; ok && len(values) > 0 {
			f.Value = values[0]
		}
		list = append(list, f)
	}
	return list
}

// kindOf names a default's type as an [input] block would.
func kindOf(def any) string {
	if def == nil {
		return ""
	}
	_, kind, found := strings.Cut(value.Kind(def), " ") // "an int"
	if !found {
		return value.Kind(def)
	}
	return kind
}

// declare takes what an [input] block says of the variable.
func (f *field) declare(spec *value.Map, hasDefault bool) {
	f.Type, f.Help = setting(spec, "type"), setting(spec, "description")
	required, _ := spec.Get("required")
	f.Required = required == true && !hasDefault
	switch f.Type {
	case "string", "str", "text", "":
		f.Kind = "text"
	default:
		f.Kind = "json"
	}
	choices, _ := spec.Get("one_of")
	if many, ok := choices.([]any); ok {
		f.Kind = "choice"
		for _, c := range many {
			f.Choices = append(f.Choices, shown(c))
		}
	}
}

// shown is a value as a person types it: text bare, the rest as JSON.
func shown(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// variableNames are those that a run may be given: the declared ones first.
func variableNames(flow *engine.Flow) (names []string) {
	for name := range flow.Input.All() {
		names = append(names, name)
	}
	for name := range flow.Variables.All() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range flow.Reads {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// readForm makes a run's variables of the form: what was left as it stood is
// not sent, so that the run gets the flow's own default.
func readForm(flow *engine.Flow, form url.Values) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for _, f := range formOf(flow, nil) {
		values, given := form[f.Name]
		if !given || len(values) == 0 || values[0] == f.Default || values[0] == "" && !f.Required {
			continue
		}
		text := values[0]
		name := strings.TrimPrefix(f.Name, variablePrefix)
		if v, err := readJSON(text); err == nil && f.Kind != "text" {
			out[name] = v
			continue
		}
		quoted, err := json.Marshal(text) // a text; the node says when it wants another type
		if err != nil {
			return nil, err
		}
		out[name] = quoted
	}
	return out, nil
}
