// Package property reads the properties of a task from its flow file: values of
// the kinds that every task type has, each mistake told once and with its place.
package property

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Reader reads the values of a table and collects every problem: one for each
// mistake. A value that could not be read has its default and is not judged any
// further, nor held against others.
type Reader struct {
	Task     engine.TaskID
	From     *value.Map
	Path     []string // of From, below the task
	Problems []engine.Problem
	// Words are what other tools call a word, for suggestions.
	Words map[string]string
	// Elsewhere is asked first: a property may stand in a second table, at a path of
	// its own. nil where there is none.
	Elsewhere func(key string) (v any, path []string, ok bool)

	failed map[string]bool // keys that have a problem
}

// Unreadable stands for a value that cannot be used, and whose problem is told.
type Unreadable struct{}

// maxMessage bounds what is said about one mistake, in bytes: values of the file
// may be in it.
const maxMessage = 300

// Problem adds a mistake of a property.
func (r *Reader) Problem(key, code, format string, args ...any) {
	r.Add(key, engine.Problem{Code: code, Message: fmt.Sprintf(format, args...)})
}

// Add adds a problem of a property, which says all but its task and place.
func (r *Reader) Add(key string, p engine.Problem) {
	p.Task, p.Path = r.Task, r.At(key)
	if len(p.Message) > maxMessage {
		p.Message = strings.ToValidUTF8(p.Message[:maxMessage], "") + "... (cut)"
	}
	r.Problems = append(r.Problems, p)
	if !p.Warning {
		r.Fail(key)
	}
}

// Fail notes that a property has a problem, which is told elsewhere.
func (r *Reader) Fail(key string) {
	if r.failed == nil {
		r.failed = map[string]bool{}
	}
	r.failed[key] = true
}

// Failed reports whether any property has a problem.
func (r *Reader) Failed() bool { return len(r.failed) > 0 }

// Judges reports whether all of these properties could be read, so that they can be
// held against each other.
func (r *Reader) Judges(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return r.failed[k] })
}

// At is the place of a property, below the task.
func (r *Reader) At(key string) []string {
	if r.Elsewhere != nil {
		if _, path, ok := r.Elsewhere(key); ok {
			return path
		}
	}
	return append(slices.Clone(r.Path), key)
}

// Get returns a property's value; an explicit null is as if it were not there.
func (r *Reader) Get(key string) (any, bool) {
	if r.Elsewhere != nil {
		if v, _, ok := r.Elsewhere(key); ok && v != nil {
			return v, true
		}
	}
	v, ok := r.From.Get(key)
	if _, bad := v.(Unreadable); bad {
		r.Fail(key)
		return nil, false
	}
	return v, ok && v != nil
}

// WrongType says that a value is not of the kind that is wanted.
func (r *Reader) WrongType(key string, v any, want string) {
	r.Problem(key, "wrong-type", "%s is %s, want %s", key, value.Kind(v), want)
}

// Text reads a text.
func (r *Reader) Text(key, def string) string {
	v, ok := r.Get(key)
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		r.WrongType(key, v, "a string")
		return def
	}
	return s
}

// Flag reads true or false.
func (r *Reader) Flag(key string, def bool) bool {
	v, ok := r.Get(key)
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		r.WrongType(key, v, "true or false")
		return def
	}
	return b
}

// Word reads one of some words, in lower case.
func (r *Reader) Word(key, def string, words ...string) string {
	s := strings.ToLower(r.Text(key, def))
	if !slices.Contains(words, s) {
		r.Add(key, engine.Problem{
			Code: "unknown-word", Value: s, Suggestion: engine.Meant(s, words, r.Words),
			Message: fmt.Sprintf("%s is %s, want one of %s", key, value.Quoted(s), strings.Join(words, ", ")),
		})
		return def
	}
	return s
}

// Whole reads an integer from low to high.
func (r *Reader) Whole(key string, def, low, high int64) int64 {
	v, ok := r.Get(key)
	if !ok {
		return def
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		r.WrongType(key, v, "an integer")
	case n < low || n > high:
		r.Problem(key, "out-of-range", "%s is %d, want %d to %d", key, n, low, high)
	default:
		return n
	}
	return def
}

// Fraction reads a number, at least low.
func (r *Reader) Fraction(key string, def, low float64) float64 {
	v, ok := r.Get(key)
	if !ok {
		return def
	}
	f, ok := value.Float(v)
	switch {
	case !ok:
		r.WrongType(key, v, "a number")
	case f < low:
		r.Problem(key, "out-of-range", "%s is %g, want at least %g", key, f, low)
	default:
		return f
	}
	return def
}

// Span reads a duration, from low to a year: seconds as a number, or text such as
// "1.5s" or "2m".
func (r *Reader) Span(key string, def, low time.Duration) time.Duration {
	v, ok := r.Get(key)
	if !ok {
		return def
	}
	d, err := engine.ParseSpan(v)
	switch {
	case err != nil:
		r.Problem(key, "wrong-type", "%s: %v", key, err)
	case d < low || d > 365*24*time.Hour:
		r.Problem(key, "out-of-range", "%s is %s, want %s to a year", key, d, low)
	default:
		return d
	}
	return def
}

// Table reads a table; nil where there is none.
func (r *Reader) Table(key string) *value.Map {
	v, ok := r.Get(key)
	if !ok {
		return nil
	}
	m, ok := v.(*value.Map)
	if !ok {
		r.WrongType(key, v, "a table")
	}
	return m
}

// Names reads a text or a list of texts.
func (r *Reader) Names(key string) []string {
	v, ok := r.Get(key)
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
		r.WrongType(key, v, "a list of strings")
		return nil
	}
	return out
}
