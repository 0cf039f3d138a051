package schema

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// Breaches says in what a value differs from what the check demands, one line
// each. hide keeps the value itself out of them.
func (c *Check) Breaches(v any, hide bool) (out []string) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	shown := value.Short(v)
	if hide {
		shown = secret.Hidden
	}
	typed := len(c.Types) == 0 || slices.ContainsFunc(c.Types, func(t string) bool { return isType(v, t) })
	if !typed {
		say("%s, expected %s", value.Kind(v), strings.Join(c.Types, " or "))
	}
	if c.HasValue && !equal(v, c.Value) {
		say("%s, expected %s", shown, value.Short(c.Value))
	}
	// What cannot be compared because of its type is said once.
	if n, ok := value.Float(v); ok {
		if c.Min != nil && n < *c.Min {
			say("%s is less than %g", shown, *c.Min)
		}
		if c.Max != nil && n > *c.Max {
			say("%s is more than %g", shown, *c.Max)
		}
	} else if typed && (c.Min != nil || c.Max != nil) {
		say("%s, expected a number", value.Kind(v))
	}
	if s, ok := v.(string); c.Pattern != nil && (ok && !c.Pattern.MatchString(s) || !ok && typed) {
		say("%s does not match %s", shown, c.Pattern)
	}
	if c.OneOf != nil && !slices.ContainsFunc(c.OneOf, func(o any) bool { return equal(v, o) }) {
		say("%s is none of %s", shown, value.Short(c.OneOf))
	}
	if s := c.wrongLength(v, typed); s != "" {
		say("%s", s)
	}
	return out
}

func (c *Check) wrongLength(v any, typed bool) string {
	if c.MinLength == nil && c.MaxLength == nil {
		return ""
	}
	n, ok := length(v)
	switch {
	case !ok && typed:
		return value.Kind(v) + " has no length"
	case !ok:
	case c.MinLength != nil && n < *c.MinLength:
		return fmt.Sprintf("length %d, at least %d expected", n, *c.MinLength)
	case c.MaxLength != nil && n > *c.MaxLength:
		return fmt.Sprintf("length %d, at most %d expected", n, *c.MaxLength)
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
	if x, ok := value.Float(a); ok {
		y, ok := value.Float(b)
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
