package jinja

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
)

// maxRepr bounds how deep values are printed.
const maxRepr = 200

// str is a value as text, as Python's str gives it.
func (s *state) str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case markup:
		return string(v)
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64:
		return strconv.FormatInt(v, 10)
	case *big.Int:
		return v.String()
	case float64:
		return floatText(v)
	case value.Number:
		return string(v)
	case moment:
		return v.String()
	case timedelta:
		return v.String()
	case *undefined:
		if v.empty {
			return ""
		}
		s.undefined(v)
	}
	var b strings.Builder
	s.repr(&b, v, 0)
	return b.String()
}

// repr writes a value as Python's repr does.
func (s *state) repr(b *strings.Builder, v any, depth int) {
	s.step(1)
	if depth > maxRepr {
		s.fail("a value nests deeper than %d levels", maxRepr)
	}
	s.room(b.Len())
	switch v := v.(type) {
	case string:
		quote(b, v)
	case markup:
		b.WriteString("Markup(")
		quote(b, string(v))
		b.WriteString(")")
	case []any:
		s.reprItems(b, "[", v, "]", depth)
	case *list:
		s.reprItems(b, "[", v.items, "]", depth)
	case tuple:
		closing := ")"
		if len(v) == 1 {
			closing = ",)"
		}
		s.reprItems(b, "(", v, closing, depth)
	case view:
		b.WriteString(v.name + "(")
		s.reprItems(b, "[", v.items, "]", depth)
		b.WriteString(")")
	case *value.Map, *dict:
		m, _ := asMapping(v)
		b.WriteByte('{')
		first := true
		for k, e := range m.all() {
			if !first {
				b.WriteString(", ")
			}
			first = false
			s.repr(b, k, depth+1)
			b.WriteString(": ")
			s.repr(b, e, depth+1)
		}
		b.WriteByte('}')
	case *span:
		if v.step == 1 {
			fmt.Fprintf(b, "range(%d, %d)", v.from, v.to)
		} else {
			fmt.Fprintf(b, "range(%d, %d, %d)", v.from, v.to, v.step)
		}
	case gen:
		s.fail("a sequence that a filter gives must go through \"list\" or \"join\" before it is printed")
	case nil, bool, int64, *big.Int, float64, value.Number, *undefined:
		b.WriteString(s.str(v))
	case moment:
		quote(b, v.String())
	case timedelta:
		quote(b, v.String())
	case *value.Bytes:
		s.fail("%s", v.NotText())
	default:
		s.fail("a %s cannot be printed", typeName(v))
	}
}

func (s *state) reprItems(b *strings.Builder, opening string, items []any, closing string, depth int) {
	b.WriteString(opening)
	for i, e := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		s.repr(b, e, depth+1)
	}
	b.WriteString(closing)
}

// quote writes a text as Python's repr does.
func quote(b *strings.Builder, text string) {
	q := byte('\'')
	if strings.Contains(text, "'") && !strings.Contains(text, "\"") {
		q = '"'
	}
	b.WriteByte(q)
	for _, r := range text {
		switch {
		case r == rune(q) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < utf8.RuneSelf || unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteByte(q)
}

// truth is Python's bool of a value.
func (s *state) truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case *big.Int:
		return v.Sign() != 0
	case float64:
		return v != 0
	case value.Number:
		return !v.IsZero()
	case *value.Bytes:
		return v.Size > 0
	case string:
		return v != ""
	case markup:
		return v != ""
	case []any:
		return len(v) > 0
	case *list:
		return len(v.items) > 0
	case tuple:
		return len(v) > 0
	case view:
		return len(v.items) > 0
	case *value.Map:
		return v.Len() > 0
	case *dict:
		return v.Len() > 0
	case *span:
		return v.n > 0
	case timedelta:
		return v.d != 0
	case *undefined:
		if v.empty {
			return false
		}
		s.undefined(v)
	}
	return true
}

// equal is Python's ==.
func (s *state) equal(a, b any) bool { return s.equalAt(a, b, 0) }

func (s *state) equalAt(a, b any, depth int) bool {
	s.step(1)
	if depth > maxRepr {
		s.fail("a value nests deeper than %d levels", maxRepr)
	}
	if u, ok := a.(*undefined); ok {
		s.undefined(u)
	}
	if u, ok := b.(*undefined); ok {
		s.undefined(u)
	}
	if x, ok := a.(value.Number); ok && a == b {
		s.scan(len(x))
		return true
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && compareNumbers(x, y) == 0
	}
	if x, ok := asText(a); ok {
		y, ok := asText(b)
		s.scan(min(len(x), len(y)))
		return ok && x == y
	}
	if c, ok := compareTimes(a, b); ok {
		return c == 0
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case []any, *list:
		p, _ := asList(x)
		q, ok := asList(b)
		return ok && s.equalItems(p, q, depth)
	case tuple:
		y, ok := b.(tuple)
		return ok && s.equalItems(x, y, depth)
	case *span:
		y, ok := b.(*span)
		return ok && x.n == y.n && (x.n == 0 || x.from == y.from && (x.n == 1 || x.step == y.step))
	case *value.Map, *dict:
		p, _ := asMapping(x)
		q, ok := asMapping(b)
		if !ok || p.Len() != q.Len() {
			return false
		}
		for k, e := range p.all() {
			other, ok := q.get(s, k)
			if !ok || !s.equalAt(e, other, depth+1) {
				return false
			}
		}
		return true
	case gen:
		return false
	case view:
		y, ok := b.(view)
		return ok && s.equalItems(x.items, y.items, depth)
	}
	return a == b // what lives within the evaluation is a pointer
}

func (s *state) equalItems(x, y []any, depth int) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !s.equalAt(x[i], y[i], depth+1) {
			return false
		}
	}
	return true
}

// compareNumbers is -1, 0 or 1; 2 where nan makes them incomparable.
func compareNumbers(a, b any) int {
	x, xInt := a.(int64)
	y, yInt := b.(int64)
	if xInt && yInt {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	fx, xFloat := a.(float64)
	fy, yFloat := b.(float64)
	switch {
	case !xFloat && !yFloat:
		return toBig(a).Cmp(toBig(b))
	case xFloat && fx != fx || yFloat && fy != fy:
		return 2
	case xFloat && yFloat:
		switch {
		case fx < fy:
			return -1
		case fx > fy:
			return 1
		}
		return 0
	}
	return bigFloat(a).Cmp(bigFloat(b))
}

func bigFloat(v any) *big.Float {
	if f, ok := v.(float64); ok {
		return big.NewFloat(f)
	}
	return new(big.Float).SetInt(toBig(v))
}

// compare orders two values as Python's < does; it fails where there is no
// order.
func (s *state) compare(op string, a, b any) int {
	s.step(1)
	for _, v := range []any{a, b} {
		if u, ok := v.(*undefined); ok {
			s.undefined(u)
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return compareNumbers(x, y)
		}
	}
	if x, ok := asText(a); ok {
		if y, ok := asText(b); ok {
			s.scan(min(len(x), len(y)))
			return strings.Compare(x, y)
		}
	}
	if c, ok := compareTimes(a, b); ok {
		return c
	}
	x, xList := asItems(a)
	y, yList := asItems(b)
	if xList && yList && typeName(a) == typeName(b) {
		for i := 0; i < len(x) && i < len(y); i++ {
			if !s.equal(x[i], y[i]) {
				return s.compare(op, x[i], y[i])
			}
		}
		return len(x) - len(y)
	}
	s.fail("%s and %s cannot be compared with %q", typeName(a), typeName(b), op)
	return 0
}

// contains is Python's "in".
func (s *state) contains(container, v any) bool {
	if u, ok := container.(*undefined); ok {
		s.undefined(u)
	}
	if text, ok := asText(container); ok {
		part, ok := asText(v)
		if !ok {
			if u, undef := v.(*undefined); undef {
				s.undefined(u)
			}
			s.fail("%q wants text on its left side where text is on the right, not %s", "in", typeName(v))
		}
		s.scan(len(text))
		return strings.Contains(text, part)
	}
	if m, ok := asMapping(container); ok {
		if u, undef := v.(*undefined); undef {
			s.undefined(u)
		}
		s.hashable(v)
		_, ok = m.get(s, v)
		return ok
	}
	for _, e := range s.iterate(container) {
		if s.equal(e, v) {
			return true
		}
	}
	return false
}

// iterate returns what a loop over a value goes through.
func (s *state) iterate(v any) []any {
	items, ok := s.items(v)
	if !ok {
		if u, undef := v.(*undefined); undef {
			s.undefined(u)
		}
		s.fail("a %s cannot be iterated over", typeName(v))
	}
	return items
}

func (s *state) items(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		s.step(len(v))
		return v, true
	case *list:
		s.step(len(v.items))
		return v.items, true
	case tuple:
		s.step(len(v))
		return v, true
	case gen:
		s.step(len(v))
		return v, true
	case view:
		s.step(len(v.items))
		return v.items, true
	case *span:
		s.step(int(v.n))
		return v.list(), true
	case *value.Map, *dict:
		m, _ := asMapping(v)
		return s.mapKeys(m), true
	}
	if text, ok := asText(v); ok {
		s.step(len(text))
		out := make([]any, 0, len(text))
		for _, r := range text {
			out = append(out, string(r))
		}
		return out, true
	}
	return nil, false
}

// length is Python's len; ok is false for what has none.
func (s *state) length(v any) (int, bool) {
	switch v := v.(type) {
	case []any:
		return len(v), true
	case *list:
		return len(v.items), true
	case tuple:
		return len(v), true
	case view:
		return len(v.items), true
	case *span:
		return int(v.n), true
	case *value.Map:
		return v.Len(), true
	case *dict:
		return v.Len(), true
	case *value.Bytes:
		return int(v.Size), true
	}
	if text, ok := asText(v); ok {
		s.scan(len(text))
		return utf8.RuneCountInString(text), true
	}
	return 0, false
}
