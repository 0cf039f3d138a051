package apicall

import (
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
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
	path                 fieldPath
	absent               bool
	types                []string
	hasValue             bool
	value                any
	min, max             *float64
	pattern              *regexp.Regexp
	oneOf                []any
	minLength, maxLength int64 // -1: none
}

// typeWords maps the words of the flow format, and JSON's own, to value types.
var typeWords = map[string]string{
	"str": "str", "string": "str", "int": "int", "integer": "int", "float": "float", "number": "number",
	"bool": "bool", "boolean": "bool", "list": "list", "array": "list", "dict": "dict", "object": "dict", "null": "null", "none": "null",
}

var (
	ruleKeys  = []string{"expected_status_code", "required_fields", "field_checks"}
	checkKeys = []string{"type", "value", "min", "max", "pattern", "one_of", "min_length", "max_length", "absent"}
)

// readRules reads response_validation; nil when the task has none.
func (r *reader) readRules() *rules {
	m := r.table("response_validation")
	if m == nil {
		return nil
	}
	in := &reader{task: r.task, from: m, path: []string{"properties", "response_validation"}}
	in.unknown("rule", ruleKeys)
	out := &rules{statuses: in.statuses("expected_status_code", nil), required: in.paths("required_fields")}
	if checks := in.table("field_checks"); checks != nil {
		for path, v := range checks.All() {
			out.checks = append(out.checks, in.readCheck(path, v))
		}
	}
	r.problems = append(r.problems, in.problems...)
	return out
}

func (r *reader) readCheck(path string, v any) check {
	c := check{minLength: -1, maxLength: -1}
	if _, told := v.(unread); told {
		return c
	}
	var err error
	if c.path, err = parsePath(path); err != nil {
		r.problem("field_checks", "bad-path", "field_checks: %v", err)
	}
	m, ok := v.(*value.Map)
	if !ok {
		all := &reader{task: r.task, path: append(slices.Clone(r.path), "field_checks")}
		all.problem(path, "wrong-type", "field_checks.%s is %s, want a table such as { type = \"str\" }", path, value.Kind(v))
		r.problems = append(r.problems, all.problems...)
		return c
	}
	in := &reader{task: r.task, from: m, path: append(slices.Clone(r.path), "field_checks", path)}
	in.unknown("check", checkKeys)
	for _, word := range in.names("type") {
		kind, ok := typeWords[strings.ToLower(word)]
		if !ok {
			in.problem("type", "unknown-word", "type %s is not str, int, float, bool, list, dict or null", engine.Quoted(word))
		}
		c.types = append(c.types, kind)
	}
	if c.value, c.hasValue = m.Get("value"); c.value == any(unread{}) {
		c.value, c.hasValue = nil, false
	}
	c.min, c.max = in.bound("min"), in.bound("max")
	c.minLength, c.maxLength = in.whole("min_length", -1, 0, 1<<40), in.whole("max_length", -1, 0, 1<<40)
	if one, ok := in.get("one_of"); ok {
		if c.oneOf, ok = one.([]any); !ok {
			in.wrongType("one_of", one, "a list")
		}
	}
	if c.absent = in.flag("absent", false); c.absent && m.Len() > 1 {
		in.problem("absent", "unused", "what is absent cannot be checked any further")
	}
	if s := in.text("pattern", ""); s != "" {
		if c.pattern, err = regexp.Compile(s); err != nil {
			in.problem("pattern", "bad-pattern", "pattern: %v", err)
		}
	}
	r.problems = append(r.problems, in.problems...)
	return c
}

func (r *reader) bound(key string) *float64 {
	v, ok := r.get(key)
	if !ok {
		return nil
	}
	f, ok := number(v)
	if !ok {
		r.wrongType(key, v, "a number")
		return nil
	}
	return &f
}

// names reports whether the flow names the statuses that it expects.
func (r *rules) names() bool { return r != nil && len(r.statuses) > 0 }

// expects reports whether the flow names a status as one that it expects.
func (p *props) expects(status int) bool {
	return p.rules != nil && slices.Contains(p.rules.statuses, status)
}

// violations holds a response against the rules and reports every breach.
func (r *rules) violations(doc *document) (out []string) {
	if r == nil || len(r.required) == 0 && len(r.checks) == 0 {
		return nil
	}
	if doc.shape != shapeJSON {
		return []string{"the response is " + doc.kind() + ", so its fields cannot be checked"}
	}
	body, err := doc.value()
	if err != nil {
		return []string{"the response is not JSON: " + err.Error()}
	}
	for _, path := range r.required {
		if _, missing := path.find(body); missing != "" {
			out = append(out, path.text+": "+missing)
		}
	}
	for _, c := range r.checks {
		v, missing := c.path.find(body)
		switch {
		case c.absent && missing == "":
			out = append(out, c.path.text+": it is there, expected to be absent")
		case c.absent:
		case missing == "":
			out = append(out, c.breaches(v)...)
		case !r.requires(c.path.text):
			out = append(out, c.path.text+": "+missing)
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
	v, ok := r.get(key)
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
			r.wrongType(key, v, "a list of strings")
			return nil
		}
		if err != nil {
			r.problem(key, "bad-path", "%s: %v", key, err)
		}
		out = append(out, p)
	}
	return out
}

// breaches says in what a value differs from what the check demands. What
// stands under a name such as "token" is not shown.
func (c *check) breaches(v any) (out []string) {
	say := func(format string, args ...any) { out = append(out, c.path.text+": "+fmt.Sprintf(format, args...)) }
	shown := short(v)
	if secretName(c.path.text) {
		shown = hidden
	}
	if len(c.types) > 0 && !slices.ContainsFunc(c.types, func(t string) bool { return isType(v, t) }) {
		say("%s, expected %s", value.Kind(v), strings.Join(c.types, " or "))
	}
	if c.hasValue && !equal(v, c.value) {
		say("%s, expected %s", shown, short(c.value))
	}
	if n, ok := number(v); ok {
		if c.min != nil && n < *c.min {
			say("%s is less than %g", shown, *c.min)
		}
		if c.max != nil && n > *c.max {
			say("%s is more than %g", shown, *c.max)
		}
	} else if c.min != nil || c.max != nil {
		say("%s, expected a number", value.Kind(v))
	}
	if c.pattern != nil {
		if s, ok := v.(string); !ok || !c.pattern.MatchString(s) {
			say("%s does not match %s", shown, c.pattern)
		}
	}
	if c.oneOf != nil && !slices.ContainsFunc(c.oneOf, func(o any) bool { return equal(v, o) }) {
		say("%s is none of %s", shown, short(c.oneOf))
	}
	if s := c.wrongLength(v); s != "" {
		say("%s", s)
	}
	return out
}

func (c *check) wrongLength(v any) string {
	if c.minLength < 0 && c.maxLength < 0 {
		return ""
	}
	n, ok := length(v)
	switch {
	case !ok:
		return value.Kind(v) + " has no length"
	case c.minLength >= 0 && n < c.minLength:
		return fmt.Sprintf("length %d, at least %d expected", n, c.minLength)
	case c.maxLength >= 0 && n > c.maxLength:
		return fmt.Sprintf("length %d, at most %d expected", n, c.maxLength)
	}
	return ""
}

func isType(v any, want string) bool {
	got := value.TypeName(v)
	return got == want || want == "number" && (got == "int" || got == "float")
}

func length(v any) (int64, bool) {
	switch v := v.(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), true
	case []any:
		return int64(len(v)), true
	case *value.Map:
		return int64(v.Len()), true
	}
	return 0, false
}

// equal compares values as JSON does: numbers by value, maps without order.
func equal(a, b any) bool {
	if x, ok := number(a); ok {
		y, ok := number(b)
		if bigA, big1 := a.(*big.Int); big1 {
			bigB, big2 := b.(*big.Int)
			return big2 && bigA.Cmp(bigB) == 0
		}
		return ok && x == y
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case *value.Map:
		b, ok := b.(*value.Map)
		if !ok || a.Len() != b.Len() {
			return false
		}
		for k, v := range a.All() {
			if w, has := b.Get(k); !has || !equal(v, w) {
				return false
			}
		}
		return true
	}
	return a == b
}

// short writes a value as JSON, cut for a message.
func short(v any) string {
	b, err := value.JSON(v)
	if err != nil {
		return value.TypeName(v)
	}
	if len(b) > 80 {
		return strings.ToValidUTF8(string(b[:77]), "") + "..."
	}
	return string(b)
}
