package apicall

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// reader reads properties and collects every problem: one for each mistake. A
// value that could not be read has its default and is not judged any further,
// nor held against others.
type reader struct {
	task     engine.TaskID
	from     *value.Map
	path     []string
	problems []engine.Problem
	failed   map[string]bool // keys that have a problem
}

// maxMessage bounds what is said about one mistake, in bytes: values of the
// file may be in it.
const maxMessage = 300

func (r *reader) problem(key, code, format string, args ...any) {
	r.add(key, engine.Problem{Code: code, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) add(key string, p engine.Problem) {
	p.Task, p.Path = r.task, append(slices.Clone(r.path), key)
	if len(p.Message) > maxMessage {
		p.Message = cut(p.Message, maxMessage)
	}
	r.problems = append(r.problems, p)
	if !p.Warning {
		r.fail(key)
	}
}

func (r *reader) fail(key string) {
	if r.failed == nil {
		r.failed = map[string]bool{}
	}
	r.failed[key] = true
}

// judges reports whether all of these keys could be read, so that they can be
// held against each other.
func (r *reader) judges(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return r.failed[k] })
}

// unread stands for a value that cannot be, and whose error is told.
type unread struct{}

// readable returns properties with unread in place of infinities and NaN, which
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
			r.problems = append(r.problems, engine.Problem{Task: r.task, Path: at, Code: "not-finite", Message: k + ": inf and nan cannot be used"})
			v = unread{}
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

// get returns a property's value if it is there; an explicit null is as if it
// were not.
func (r *reader) get(key string) (any, bool) {
	v, ok := r.from.Get(key)
	if _, bad := v.(unread); bad {
		r.fail(key)
		return nil, false
	}
	return v, ok && v != nil
}

func (r *reader) wrongType(key string, v any, want string) {
	r.problem(key, "wrong-type", "%s is %s, want %s", key, value.Kind(v), want)
}

func (r *reader) text(key, def string) string {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		r.wrongType(key, v, "a string")
		return def
	}
	return s
}

func (r *reader) flag(key string, def bool) bool {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		r.wrongType(key, v, "true or false")
		return def
	}
	return b
}

func (r *reader) word(key, def string, words []string) string {
	s := strings.ToLower(r.text(key, def))
	if !slices.Contains(words, s) {
		r.add(key, engine.Problem{
			Code: "unknown-word", Value: s, Suggestion: engine.Meant(s, words, valueWords),
			Message: fmt.Sprintf("%s is %s, want one of %s", key, value.Quoted(s), strings.Join(words, ", ")),
		})
		return def
	}
	return s
}

func (r *reader) whole(key string, def, low, high int64) int64 {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	n, ok := v.(int64)
	if !ok {
		r.wrongType(key, v, "an integer")
		return def
	}
	if n < low || n > high {
		r.problem(key, "out-of-range", "%s is %d, want %d to %d", key, n, low, high)
		return def
	}
	return n
}

func (r *reader) fraction(key string, def, low float64) float64 {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	f, ok := value.Float(v)
	if !ok {
		r.wrongType(key, v, "a number")
		return def
	}
	if f < low {
		r.problem(key, "out-of-range", "%s is %g, want at least %g", key, f, low)
		return def
	}
	return f
}

// span reads a duration: seconds as a number, or text such as "1.5s" or "2m".
func (r *reader) span(key string, def, low time.Duration) time.Duration {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	d, err := engine.ParseSpan(v)
	if err != nil {
		r.problem(key, "wrong-type", "%s: %v", key, err)
		return def
	}
	if d < low || d > 365*24*time.Hour {
		r.problem(key, "out-of-range", "%s is %s, want %s to a year", key, d, low)
		return def
	}
	return d
}

func (r *reader) table(key string) *value.Map {
	v, ok := r.get(key)
	if !ok {
		return nil
	}
	m, ok := v.(*value.Map)
	if !ok {
		r.wrongType(key, v, "a table")
	}
	return m
}

func (r *reader) names(key string) []string {
	v, ok := r.get(key)
	if !ok {
		return nil
	}
	if s, ok := v.(string); ok {
		return []string{s}
	}
	list, ok := v.([]any)
	var out []string
	for _, e := range list {
		s, text := e.(string)
		ok = ok && text
		out = append(out, s)
	}
	if !ok {
		r.wrongType(key, v, "a list of strings")
		return nil
	}
	return out
}

// statuses reads one HTTP status or a list of them.
func (r *reader) statuses(key string, def []int) []int {
	v, ok := r.get(key)
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
			r.problem(key, "wrong-type", "%s: want HTTP statuses from 100 to 599", key)
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
	if _, given := r.from.Get(property); given {
		return false
	}
	for key := range r.from.All() {
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
	for key, v := range r.from.All() {
		if _, told := v.(unread); told || slices.Contains(known, key) || near && engine.Meant(key, known, propertyWords) == "" {
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
		r.add(key, p)
	}
}
