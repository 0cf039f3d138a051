package engine

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/nearest"
	"github.com/qarion/qarion/internal/schema"
	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// input is what an [input.<name>] block demands of a variable.
type input struct {
	name     string
	required bool
	check    schema.Check
}

// inputKeys are the keys of an [input.<name>] block beside those of a check.
var inputKeys = []string{"required", "default", "description"}

// variableName is what a template can read.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// readInputs reads the flow's [input]. What is wrong is given to add, with the
// path below the flow.
func readInputs(f *Flow, add func(Problem)) (out []input) {
	for name, v := range f.Input.All() {
		path := []string{"input", name}
		m, ok := v.(*value.Map)
		switch {
		case ReservedName(name):
			add(Problem{Path: path, Code: "reserved", Message: fmt.Sprintf("input %s: the name is reserved", value.Quoted(name))})
			continue
		case !variableName.MatchString(name):
			add(Problem{Path: path, Code: "bad-name", Message: fmt.Sprintf("input %s: a name has letters, digits and _, and starts with a letter or _", value.Quoted(name))})
			continue
		case !ok:
			add(Problem{Path: path, Code: "wrong-type", Message: fmt.Sprintf("input %s is %s, want a table such as { type = \"int\", required = true }", name, value.Kind(v))})
			continue
		}
		out = append(out, readInput(f, name, m, func(p Problem) {
			p.Path = append(path[:2:2], p.Path...)
			add(p)
		}))
	}
	return out
}

func readInput(f *Flow, name string, m *value.Map, add func(Problem)) input {
	in := input{name: name}
	var problems []schema.Problem
	in.check, problems = schema.Read(m, inputKeys...)
	whole := true
	for _, p := range problems {
		if p.Code == "unknown-property" {
			p.Message = strings.Replace(p.Message, "unknown check", "unknown key", 1)
		} else {
			whole = false
		}
		add(Problem{Path: []string{p.Key}, Code: p.Code, Message: p.Message, Suggestion: p.Suggestion})
	}
	required, _ := m.Get("required")
	flag, isFlag := required.(bool)
	if in.required = flag; required != nil && !isFlag {
		add(Problem{Path: []string{"required"}, Code: "wrong-type", Message: "required is " + value.Kind(required) + ", want true or false"})
	}
	if d, _ := m.Get("description"); d != nil {
		if _, text := d.(string); !text {
			add(Problem{Path: []string{"description"}, Code: "wrong-type", Message: "description is " + value.Kind(d) + ", want a string"})
		}
	}
	def, hasDefault := m.Get("default")
	declared, isVariable := f.Variables.Get(name)
	switch {
	case hasDefault && in.required:
		add(Problem{Path: []string{"default"}, Code: "unused", Message: "a required input has no default"})
	case hasDefault && isVariable:
		add(Problem{Path: []string{"default"}, Code: "unused", Message: fmt.Sprintf("%s has a default under [variables] already", name)})
	case in.required && isVariable:
		add(Problem{Path: []string{"required"}, Code: "unused", Message: fmt.Sprintf("a required input has no default, but %s has one under [variables]", name)})
	case isVariable:
		def, hasDefault = declared, true
	}
	if whole && hasDefault && def != nil {
		if breaches := in.check.Breaches(def, secret.Name(name)); len(breaches) > 0 {
			add(Problem{Path: []string{"default"}, Code: "bad-default", Message: "the default does not pass: " + strings.Join(breaches, "; ")})
		}
	}
	return in
}

// declareInputs gives every input that need not be given its default, null when
// it has none, so that templates can read it.
func (f *Flow) declareInputs() {
	for name, v := range f.Input.All() {
		m, _ := v.(*value.Map)
		required, _ := m.Get("required")
		if _, has := f.Variables.Get(name); has || required == true || !variableName.MatchString(name) {
			continue
		}
		if f.Variables == nil {
			f.Variables = new(value.Map)
		}
		def, _ := m.Get("default")
		f.Variables.Set(name, def)
	}
}

// declares reports whether a template can rely on a variable.
func (f *Flow) declares(name string) bool {
	if _, ok := f.Variables.Get(name); ok {
		return true
	}
	_, ok := f.Input.Get(name)
	return ok
}

// hasDefault reports whether a variable has a value when no trigger gives one.
func (f *Flow) hasDefault(name string) bool {
	_, ok := f.Default(name)
	return ok
}

// maxReason bounds what is said about wrong variables, in bytes.
const maxReason = 1000

// CheckVariables refuses variables that a run of the flow could not use, with
// everything that is wrong with them: no JSON object, a reserved name, another
// type than the declared default, a name that is nearly a declared one, and
// whatever [input] demands. It depends on the flow version and the data alone.
func CheckVariables(f *Flow, data []byte) error {
	_, err := ReadVariables(f, data)
	return err
}

// ReadVariables is CheckVariables, and returns the variables; nil for none.
func ReadVariables(f *Flow, data []byte) (*value.Map, error) {
	vars, err := parseVariables(data)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for name, got := range vars.All() {
		if s := f.checkVariable(name, got); s != "" {
			wrong = append(wrong, fmt.Sprintf("variable %s%s", value.Quoted(name), s))
		}
	}
	for i := range f.inputs {
		in := &f.inputs[i]
		got, given := vars.Get(in.name)
		switch {
		case in.required && !given && f.hasDefault(in.name):
		case in.required && !given:
			wrong = append(wrong, fmt.Sprintf("variable %q is required", in.name))
		case !given, got == nil && !in.required:
		default:
			for _, breach := range in.check.Breaches(got, secret.Name(in.name)) {
				wrong = append(wrong, fmt.Sprintf("variable %q: %s", in.name, breach))
			}
		}
	}
	if len(wrong) == 0 {
		return vars, nil
	}
	text := strings.Join(wrong, "; ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "..."
	}
	return nil, fmt.Errorf("%s", text)
}

func parseVariables(data []byte) (*value.Map, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "{}" {
		return nil, nil
	}
	v, err := value.ParseJSON(data)
	if err != nil {
		return nil, fmt.Errorf("payload is not JSON: %w", err)
	}
	vars, ok := v.(*value.Map)
	if !ok {
		return nil, fmt.Errorf("payload is a JSON %s, want an object of variables such as {\"customer\": 7}", value.TypeName(v))
	}
	return vars, nil
}

// checkVariable says what is wrong with one variable, but for what its [input]
// demands; "" when it can be used.
func (f *Flow) checkVariable(name string, got any) string {
	if ReservedName(name) {
		return ": the name is reserved"
	}
	def, declared := f.Variables.Get(name)
	_, isInput := f.Input.Get(name)
	switch {
	case isInput && (got == nil || f.typed(name)): // its own rules say it
		return ""
	case declared && !passesFor(got, def):
		return fmt.Sprintf(": got %s, want %s as its default in the flow", value.TypeName(got), value.TypeName(def))
	case declared || isInput || !f.Strict || slices.Contains(f.Reads, name):
		return ""
	}
	if near := f.nearVariable(name); near != "" {
		return fmt.Sprintf(" is not declared (did you mean %q?)", near)
	}
	return ""
}

// typed reports whether an input says its type itself.
func (f *Flow) typed(name string) bool {
	for i := range f.inputs {
		if f.inputs[i].name == name {
			return len(f.inputs[i].check.Types) > 0
		}
	}
	return false
}

// TypesOf lists the types that a variable may have, in the words of the flow
// format ("number" is an int or a float); nil when it is not declared or may
// have any.
func (f *Flow) TypesOf(name string) []string {
	for i := range f.inputs {
		if f.inputs[i].name == name && len(f.inputs[i].check.Types) > 0 {
			return f.inputs[i].check.Types
		}
	}
	if def, ok := f.Variables.Get(name); ok && def != nil {
		return []string{value.TypeName(def)}
	}
	return nil
}

// nearVariable is the declared variable that an undeclared name most likely
// means. Names of one or two letters are all near each other.
func (f *Flow) nearVariable(name string) string {
	if len(name) < 3 {
		return ""
	}
	known := slices.Clone(f.Variables.Keys())
	for _, in := range f.Input.Keys() {
		if !slices.Contains(known, in) {
			known = append(known, in)
		}
	}
	return nearest.Name(name, known)
}

// Undeclared lists the variables that the flow neither declares nor reads.
// They are accepted, and most often a mistake.
func Undeclared(f *Flow, vars *value.Map) (names []string) {
	for _, name := range vars.Keys() {
		if !f.declares(name) && !slices.Contains(f.Reads, name) {
			names = append(names, name)
		}
	}
	return names
}

// passesFor reports whether a value may stand in for a default: the same type,
// or an integer for a float. A null default takes anything.
func passesFor(got, def any) bool {
	g, d := value.TypeName(got), value.TypeName(def)
	return g == d || def == nil || g == "int" && d == "float"
}
