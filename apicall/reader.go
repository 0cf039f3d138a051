package apicall

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/property"
	"github.com/qarion/qarion/internal/value"
)

// reader reads the properties of a call.
type reader struct{ property.Reader }

func newReader(task engine.TaskID, from *value.Map, path ...string) *reader {
	return &reader{property.Reader{Task: task, From: from, Path: path, Words: valueWords}}
}

// readable returns properties with Unreadable in place of infinities and NaN, which
// neither JSON nor a template can carry, and of lists that hold one.
func (r *reader) readable(path []string, m *value.Map) *value.Map {
	out := m
	for k, v := range m.All() {
		at := append(path[:len(path):len(path)], k)
		if inner, ok := v.(*value.Map); ok && hasKeys(at) {
			v = any(r.readable(at, inner))
			if v == any(inner) {
				continue
			}
		} else if !infinite(v) {
			continue
		} else {
			r.Problems = append(r.Problems, engine.Problem{Task: r.Task, Path: at, Code: "not-finite", Message: k + ": inf and nan cannot be used"})
			v = property.Unreadable{}
		}
		if out == m { // the flow's own properties stay as they are
			out = value.NewMap(m.Len())
			for k, v := range m.All() {
				out.Set(k, v)
			}
		}
		out.Set(k, v)
	}
	return out
}

// hasKeys reports whether a table belongs at a path, so that each of its keys
// is a value of its own.
func hasKeys(path []string) bool {
	switch path[1] {
	case "headers", "params", "body":
		return true
	case "response_validation":
		return len(path) == 2 || len(path) <= 4 && path[2] == "field_checks"
	}
	return false
}

// infinite reports whether a value is, or holds, an infinity or NaN.
func infinite(v any) bool {
	switch v := v.(type) {
	case float64:
		return math.IsInf(v, 0) || math.IsNaN(v)
	case []any:
		return slices.ContainsFunc(v, infinite)
	case *value.Map:
		for _, e := range v.All() {
			if infinite(e) {
				return true
			}
		}
	}
	return false
}

// statuses reads one HTTP status or a list of them.
func (r *reader) statuses(key string, def []int) []int {
	v, ok := r.Get(key)
	if !ok {
		return def
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]int, 0, len(list))
	for _, e := range list {
		n, ok := e.(int64)
		if !ok || n < 100 || n > 599 {
			r.Problem(key, "wrong-type", "%s: want HTTP statuses from 100 to 599", key)
			return def
		}
		out = append(out, int(n))
	}
	return out
}

// otherwise reports whether a property stands there under the word of another
// tool: that is told, and what follows from its absence is no mistake of its own.
func (r *reader) otherwise(property string) bool { return r.meant(property, propertyNames()) }

// meant is otherwise among the keys of a table.
func (r *reader) meant(property string, known []string) bool {
	if _, given := r.From.Get(property); given {
		return false
	}
	for key := range r.From.All() {
		if !slices.Contains(known, key) && engine.Meant(key, known, propertyWords) == property {
			return true
		}
	}
	return false
}

// unknown reports keys that are not in the known ones.
func (r *reader) unknown(what string, known []string) { r.strange(what, known, false) }

// mistyped is unknown for a table of which something else is missing: only the
// keys that are nearly known ones.
func (r *reader) mistyped(what string, known []string) { r.strange(what, known, true) }

func (r *reader) strange(what string, known []string, near bool) {
	for key, v := range r.From.All() {
		if _, told := v.(property.Unreadable); told || slices.Contains(known, key) || near && engine.Meant(key, known, propertyWords) == "" {
			continue
		}
		p := engine.Problem{
			Code: "unknown-property", Message: fmt.Sprintf("unknown %s %s", what, value.Quoted(key)), Suggestion: engine.Meant(key, known, propertyWords),
		}
		if what == "property" && slices.Contains(ruleKeys, key) {
			p.Message += fmt.Sprintf(": it belongs into response_validation = { %s = ... }", key)
			p.Suggestion = ""
		}
		if what != "property" && p.Suggestion == "" {
			p.Message += " (there are: " + strings.Join(known, ", ") + ")"
		}
		r.Add(key, p)
	}
}
