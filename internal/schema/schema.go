// Package schema holds values against what a flow file demands of them: fields
// of a response (field_checks) and the variables of a trigger ([input]). Both
// say it with the same words.
package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/nearest"
	"github.com/qarion/qarion/internal/value"
)

// Check is what one value has to be. The zero Check takes anything.
type Check struct {
	Types                []string // of Words' values; one of them
	HasValue             bool
	Value                any
	Min, Max             *float64
	Pattern              *regexp.Regexp
	OneOf                []any  // nil: anything
	MinLength, MaxLength *int64 // of text in characters, of lists and tables in entries
}

// Keys are what Read understands.
var Keys = []string{"type", "value", "min", "max", "pattern", "one_of", "min_length", "max_length"}

// words maps the words of the flow format, and JSON's own, to value types;
// "number" is an int or a float.
var words = map[string]string{
	"str": "str", "string": "str", "int": "int", "integer": "int", "float": "float", "number": "number",
	"bool": "bool", "boolean": "bool", "list": "list", "array": "list", "dict": "dict", "object": "dict", "null": "null", "none": "null",
}

// Problem is something wrong in what a check says.
type Problem struct {
	Key, Code, Message, Suggestion string
}

type reader struct {
	from     *value.Map
	problems []Problem
}

// Read reads a check from a table. Keys besides those of Keys are problems, but
// for more.
func Read(m *value.Map, more ...string) (Check, []Problem) {
	r := &reader{from: m}
	for _, key := range m.Keys() {
		if !slices.Contains(Keys, key) && !slices.Contains(more, key) {
			known := append(slices.Clone(Keys), more...)
			r.problems = append(r.problems, Problem{key, "unknown-property", "unknown check " + value.Quoted(key), nearest.Name(key, known)})
		}
	}
	c := Check{Types: r.types(), Min: r.bound("min"), Max: r.bound("max"), MinLength: r.length("min_length"), MaxLength: r.length("max_length")}
	c.Value, c.HasValue = m.Get("value")
	if one, ok := m.Get("one_of"); ok {
		if c.OneOf, ok = one.([]any); !ok {
			r.wrongType("one_of", one, "a list")
		}
	}
	c.Pattern = r.pattern()
	if c.Min != nil && c.Max != nil && *c.Min > *c.Max {
		r.problem("max", "out-of-range", "max is %g, less than min", *c.Max)
	}
	if c.MinLength != nil && c.MaxLength != nil && *c.MinLength > *c.MaxLength {
		r.problem("max_length", "out-of-range", "max_length is %d, less than min_length", *c.MaxLength)
	}
	return c, r.problems
}

func (r *reader) problem(key, code, format string, args ...any) {
	r.problems = append(r.problems, Problem{Key: key, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) wrongType(key string, v any, want string) {
	r.problem(key, "wrong-type", "%s is %s, want %s", key, value.Kind(v), want)
}

// types reads type: a word or several.
func (r *reader) types() (out []string) {
	v, ok := r.from.Get("type")
	if !ok {
		return nil
	}
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	for _, e := range list {
		word, text := e.(string)
		if !text {
			r.wrongType("type", v, "a word or a list of words")
			return nil
		}
		kind, known := words[strings.ToLower(word)]
		if !known {
			r.problem("type", "unknown-word", "type %s is not str, int, float, bool, list, dict or null", value.Quoted(word))
			return nil
		}
		out = append(out, kind)
	}
	return out
}

func (r *reader) bound(key string) *float64 {
	v, ok := r.from.Get(key)
	if !ok {
		return nil
	}
	f, ok := value.Float(v)
	if !ok {
		r.wrongType(key, v, "a number")
		return nil
	}
	return &f
}

func (r *reader) length(key string) *int64 {
	v, ok := r.from.Get(key)
	if !ok {
		return nil
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		r.wrongType(key, v, "an integer")
		return nil
	case n < 0 || n > 1<<40:
		r.problem(key, "out-of-range", "%s is %d, want 0 to %d", key, n, int64(1)<<40)
		return nil
	}
	return &n
}

func (r *reader) pattern() *regexp.Regexp {
	v, ok := r.from.Get("pattern")
	if !ok {
		return nil
	}
	s, ok := v.(string)
	if !ok {
		r.wrongType("pattern", v, "a string")
		return nil
	}
	if s == "" {
		return nil
	}
	re, err := regexp.Compile(s)
	if err != nil {
		r.problem("pattern", "bad-pattern", "pattern: %v", err)
		return nil
	}
	return re
}
