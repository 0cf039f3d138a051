package jinja

import (
	"math/big"
	"strings"
	"unicode"

	"github.com/qarion/qarion/internal/value"
)

type testFunc func(s *state, v any, a *args) bool

// testTable are the tests, with the operators under their names.
func testTable() map[string]testFunc {
	comparison := func(op string) testFunc {
		return func(s *state, v any, a *args) bool { return s.holds(op, v, a.bind(s, 1, "other")[0]) }
	}
	tests := map[string]testFunc{
		"defined":   none(func(_ *state, v any) bool { _, no := v.(*undefined); return !no }),
		"undefined": none(func(_ *state, v any) bool { _, no := v.(*undefined); return no }),
		"none":      none(func(_ *state, v any) bool { return v == nil }),
		"boolean":   none(func(_ *state, v any) bool { _, ok := v.(bool); return ok }),
		"true":      none(func(_ *state, v any) bool { return v == true }),
		"false":     none(func(_ *state, v any) bool { return v == false }),
		"float":     none(func(_ *state, v any) bool { return typeName(v) == "float" }),
		"integer":   none(func(_ *state, v any) bool { return typeName(v) == "int" }),
		"number": none(func(_ *state, v any) bool {
			if _, kept := v.(value.Number); kept {
				return true // also where it is too large to calculate with
			}
			_, ok := number(v)
			return ok
		}),
		"string":  none(func(_ *state, v any) bool { _, ok := asText(v); return ok }),
		"mapping": none(func(_ *state, v any) bool { _, ok := asMapping(v); return ok }),
		"escaped": none(func(_ *state, v any) bool { _, ok := v.(markup); return ok }),
		"sequence": none(func(s *state, v any) bool {
			if _, isView := v.(view); isView {
				return false
			}
			_, ok := s.length(v)
			return ok
		}),
		"iterable": none(func(s *state, v any) bool {
			if u, no := v.(*undefined); no {
				s.undefined(u)
			}
			_, ok := s.items(v)
			return ok
		}),
		"callable": none(func(_ *state, v any) bool {
			switch v.(type) {
			case *function, *macro, *joiner, *undefined:
				return true
			}
			return false
		}),
		"even":  none(func(s *state, v any) bool { return s.modulo(v, int64(2), 0) }),
		"odd":   none(func(s *state, v any) bool { return s.modulo(v, int64(2), 1) }),
		"lower": none(func(s *state, v any) bool { return isCase(s.str(v), unicode.IsUpper) }),
		"upper": none(func(s *state, v any) bool { return isCase(s.str(v), unicode.IsLower) }),
		"divisibleby": func(s *state, v any, a *args) bool {
			return s.modulo(v, a.bind(s, 1, "num")[0], 0)
		},
		"sameas": func(s *state, v any, a *args) bool { return same(v, a.bind(s, 1, "other")[0]) },
		"in": func(s *state, v any, a *args) bool {
			return s.contains(a.bind(s, 1, "seq")[0], v)
		},
		"filter": none(func(s *state, v any) bool { _, ok := s.lang.filters[s.str(v)]; return ok }),
		"test":   none(func(s *state, v any) bool { _, ok := s.lang.tests[s.str(v)]; return ok }),
	}
	for op, names := range map[string]string{
		"==": "== eq equalto", "!=": "!= ne", "<": "< lt lessthan", "<=": "<= le", ">": "> gt greaterthan", ">=": ">= ge",
	} {
		for n := range strings.FieldsSeq(names) {
			tests[n] = comparison(op)
		}
	}
	return tests
}

// none is a test without arguments.
func none(f func(*state, any) bool) testFunc {
	return func(s *state, v any, a *args) bool {
		a.bind(s, 0)
		return f(s, v)
	}
}

func (s *state) modulo(v, by any, want int64) bool {
	if u, ok := v.(*undefined); ok {
		s.undefined(u)
	}
	return s.equal(s.compute("%", v, by), want)
}

// isCase is Python's islower and isupper: no letter of the other case, and one
// with a case at all.
func isCase(text string, other func(rune) bool) bool {
	cased := false
	for _, r := range text {
		if other(r) || unicode.IsTitle(r) {
			return false
		}
		cased = cased || unicode.IsUpper(r) || unicode.IsLower(r)
	}
	return cased
}

// same is Python's "is": one value, not only an equal one. Small numbers and
// texts are the same when they are equal and of one type.
func same(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && len(x) == len(y) && (len(x) > 0 && &x[0] == &y[0])
	case tuple:
		y, ok := b.(tuple)
		return ok && len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
	case gen, view:
		return false
	case *big.Int:
		y, ok := b.(*big.Int)
		return ok && x == y
	}
	switch b.(type) {
	case []any, tuple, gen, view:
		return false
	}
	return a == b
}
