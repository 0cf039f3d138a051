package apicall

import (
	"fmt"
	"slices"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/property"
	"github.com/qarion/qarion/internal/schema"
	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// rules are what response_validation demands.
type rules struct {
	statuses []int
	required []fieldPath
	checks   []check
}

// check is one entry of field_checks.
type check struct {
	schema.Check
	path   fieldPath
	absent bool
}

var ruleKeys = []string{"expected_status_code", "required_fields", "field_checks"}

// readRules reads response_validation; nil when the task has none.
func (r *reader) readRules() *rules {
	m := r.Table("response_validation")
	if m == nil {
		return nil
	}
	in := newReader(r.Task, m, "properties", "response_validation")
	in.unknown("rule", ruleKeys)
	out := &rules{statuses: in.statuses("expected_status_code", nil), required: in.paths("required_fields")}
	if checks := in.Table("field_checks"); checks != nil {
		for path, v := range checks.All() {
			out.checks = append(out.checks, in.readCheck(path, v))
		}
	}
	r.Problems = append(r.Problems, in.Problems...)
	return out
}

func (r *reader) readCheck(path string, v any) check {
	var c check
	if _, told := v.(property.Unreadable); told {
		return c
	}
	var err error
	if c.path, err = parsePath(path); err != nil {
		r.Problem("field_checks", "bad-path", "field_checks: %v", err)
	}
	in := newReader(r.Task, nil, append(slices.Clone(r.Path), "field_checks")...)
	if m, ok := v.(*value.Map); ok {
		in.Path, in.From = append(in.Path, path), whatIsRead(m)
		var problems []schema.Problem
		c.Check, problems = schema.Read(in.From, "absent")
		for _, p := range problems {
			in.Add(p.Key, engine.Problem{Code: p.Code, Message: p.Message, Suggestion: p.Suggestion})
		}
		if c.absent = in.Flag("absent", false); c.absent && m.Len() > 1 {
			in.Problem("absent", "unused", "what is absent cannot be checked any further")
		}
	} else {
		in.Problem(path, "wrong-type", "field_checks.%s is %s, want a table such as { type = \"str\" }", path, value.Kind(v))
	}
	r.Problems = append(r.Problems, in.Problems...)
	return c
}

// whatIsRead leaves out what could not be read.
func whatIsRead(m *value.Map) *value.Map {
	out := value.NewMap(m.Len())
	for k, v := range m.All() {
		if _, told := v.(property.Unreadable); !told {
			out.Set(k, v)
		}
	}
	return out
}

// names reports whether the flow names the statuses that it expects.
func (r *rules) names() bool { return r != nil && len(r.statuses) > 0 }

// expects reports whether the flow names a status as one that it expects.
func (p *props) expects(status int) bool {
	return p.rules != nil && slices.Contains(p.rules.statuses, status)
}

// violations holds a response against the rules and reports every breach. hide
// keeps what stands in the response out of them.
func (r *rules) violations(doc *document, hide bool) (out []string) {
	if r == nil || len(r.required) == 0 && len(r.checks) == 0 {
		return nil
	}
	if doc.shape != shapeJSON {
		if hide {
			return []string{"the response is not JSON, so its fields cannot be checked"}
		}
		return []string{"the response is " + doc.kind() + ", so its fields cannot be checked"}
	}
	without := func(missing string) string { // keys may be data
		if hide {
			return "missing"
		}
		return missing
	}
	body, err := doc.value()
	if err != nil {
		return []string{"the response is not JSON: " + err.Error()}
	}
	for _, path := range r.required {
		if _, missing := path.find(body); missing != "" {
			out = append(out, path.text+": "+without(missing))
		}
	}
	for _, c := range r.checks {
		v, missing := c.path.find(body)
		switch {
		case c.absent && missing == "":
			out = append(out, c.path.text+": it is there, expected to be absent")
		case c.absent:
		case missing == "":
			for _, breach := range c.Breaches(v, hide || secret.Name(c.path.text)) {
				out = append(out, c.path.text+": "+breach)
			}
		case !r.requires(c.path.text):
			out = append(out, c.path.text+": "+without(missing))
		}
	}
	if len(out) > engine.MaxViolations {
		more := len(out) - engine.MaxViolations
		out = append(out[:engine.MaxViolations], fmt.Sprintf("... and %d more", more))
	}
	return out
}

// requires reports whether a path is one of the required fields, which say by
// themselves that it is missing.
func (r *rules) requires(path string) bool {
	return slices.ContainsFunc(r.required, func(p fieldPath) bool { return p.text == path })
}

// paths reads a list of paths: texts, or lists of keys.
func (r *reader) paths(key string) []fieldPath {
	v, ok := r.Get(key)
	if !ok {
		return nil
	}
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	var out []fieldPath
	for _, e := range list {
		var p fieldPath
		var err error
		switch e := e.(type) {
		case string:
			p, err = parsePath(e)
		case []any:
			p, err = exactPath(e)
		default:
			r.WrongType(key, v, "a list of strings")
			return nil
		}
		if err != nil {
			r.Problem(key, "bad-path", "%s: %v", key, err)
		}
		out = append(out, p)
	}
	return out
}
