package apicall

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// reader reads properties and collects every problem.
type reader struct {
	task     engine.TaskID
	from     *value.Map
	path     []string
	problems []engine.Problem
}

func (r *reader) problem(key, code, format string, args ...any) {
	r.problems = append(r.problems, engine.Problem{
		Task: r.task, Path: append(slices.Clone(r.path), key), Code: code, Message: fmt.Sprintf(format, args...),
	})
}

// get returns a property's value if it is there; an explicit null is as if it
// were not.
func (r *reader) get(key string) (any, bool) {
	v, ok := r.from.Get(key)
	return v, ok && v != nil
}

func (r *reader) wrongType(key string, v any, want string) {
	r.problem(key, "wrong-type", "%s is %s, want %s", key, kind(v), want)
}

// kind names a value's type with its article: "a list", "an int".
func kind(v any) string {
	switch name := value.TypeName(v); name {
	case "null":
		return name
	case "int":
		return "an int"
	default:
		return "a " + name
	}
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
		r.problems = append(r.problems, engine.Problem{
			Task: r.task, Path: append(slices.Clone(r.path), key), Code: "unknown-word", Value: s,
			Message:    fmt.Sprintf("%s is %q, want one of %s", key, s, strings.Join(words, ", ")),
			Suggestion: engine.Nearest(s, words),
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
	f, ok := number(v)
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
	d, err := Duration(v)
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

// Duration reads a time span as flow files write it: a number of seconds, or
// text such as "1.5s" or "2m".
func Duration(v any) (time.Duration, error) {
	if f, ok := number(v); ok {
		if f > 1e9 || f < -1e9 {
			return 0, fmt.Errorf("%g seconds is out of range", f)
		}
		return time.Duration(f * float64(time.Second)), nil
	}
	s, ok := v.(string)
	if !ok {
		return 0, fmt.Errorf("got a %s, want seconds or text such as \"1.5s\"", value.TypeName(v))
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time span such as \"1.5s\" or \"2m\"", s)
	}
	return d, nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case value.Number:
		if n, err := v.Plain(); err == nil {
			return number(n)
		}
		if strings.HasPrefix(string(v), "-") {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, true
	}
	return 0, false
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

// unknown reports keys that are not in the known ones.
func (r *reader) unknown(what string, known []string) {
	for _, key := range r.from.Keys() {
		if slices.Contains(known, key) {
			continue
		}
		r.problems = append(r.problems, engine.Problem{
			Task: r.task, Path: append(slices.Clone(r.path), key), Code: "unknown-property",
			Message: fmt.Sprintf("unknown %s %q", what, key), Suggestion: engine.Nearest(key, known),
		})
	}
}
