package jinja

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
)

// sortedKeys are the keys of a set, in order.
func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

// sortedMaps is a value with the keys of all mappings in order.
func sortedMaps(v any) any {
	switch x := v.(type) {
	case *value.Map:
		out := value.NewMap(x.Len())
		for _, k := range slices.Sorted(slices.Values(x.Keys())) {
			e, _ := x.Get(k)
			out.Set(k, sortedMaps(e))
		}
		return out
	case []any, *list:
		items, _ := asList(x)
		out := make([]any, len(items))
		for i, e := range items {
			out[i] = sortedMaps(e)
		}
		return out
	}
	return v
}

// defaultFilter stands in for what is undefined; with a second argument also
// for what is false.
func defaultFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "default_value", "boolean")
	_, missing := v.(*undefined)
	if missing || s.truth(or(p[1], false)) && !s.truth(v) {
		return or(p[0], "")
	}
	return v
}

func absFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	n, ok := number(v)
	if !ok {
		s.fail("the filter \"abs\" wants a number, got %s", typeName(v))
	}
	if f, ok := n.(float64); ok {
		return math.Abs(f)
	}
	return normal(new(big.Int).Abs(toBig(n)))
}

func intFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "default", "base")
	base := s.int(a.what, or(p[1], int64(10)))
	if t, ok := asText(v); ok {
		if n, ok := parseInt(t, base); ok {
			return n
		}
		if f, ok := parseFloat(t); ok {
			if n, ok := toInt(f); ok {
				return n
			}
		}
		return or(p[0], int64(0))
	}
	n, ok := number(v)
	if !ok {
		return or(p[0], int64(0))
	}
	whole, ok := toInt(n)
	if f, fraction := n.(float64); fraction && math.IsInf(f, 0) {
		s.fail("infinity is no whole number")
	}
	if !ok {
		return or(p[0], int64(0))
	}
	return whole
}

func floatFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "default")
	if t, ok := asText(v); ok {
		if f, ok := parseFloat(t); ok {
			return f
		}
		return or(p[0], 0.0)
	}
	if n, ok := number(v); ok {
		f, ok := toFloat(n)
		if !ok {
			s.fail("a whole number is too large for a fraction")
		}
		return f
	}
	return or(p[0], 0.0)
}

// roundFilter rounds halves to the even digit of the exact value, as Python's
// round does, up with "ceil" and down with "floor".
func roundFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "precision", "method")
	digits := s.int(a.what, or(p[0], int64(0)))
	how := s.str(or(p[1], "common"))
	n, ok := number(v)
	if !ok {
		s.fail("the filter \"round\" wants a number, got %s", typeName(v))
	}
	if digits < -400 || digits > 400 {
		s.fail("the filter \"round\" rounds to 400 digits at most")
	}
	if how == "common" {
		if _, fraction := n.(float64); !fraction {
			return roundInt(toBig(n), digits)
		}
		return roundFloat(n.(float64), digits)
	}
	f, ok := toFloat(n)
	if !ok {
		s.fail("a whole number is too large for a fraction")
	}
	scale := math.Pow(10, float64(digits))
	switch how {
	case "ceil":
		return math.Ceil(f*scale) / scale
	case "floor":
		return math.Floor(f*scale) / scale
	}
	s.fail("round works by \"common\", \"ceil\" or \"floor\"")
	return nil
}

func roundFloat(f float64, digits int) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return f
	}
	if digits >= 0 {
		r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64) // exact, halves to even
		return r
	}
	scale := math.Pow(10, float64(-digits))
	return math.RoundToEven(f/scale) * scale
}

func roundInt(n *big.Int, digits int) any {
	if digits >= 0 {
		return normal(n)
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-digits)), nil)
	q, m := new(big.Int).DivMod(n, scale, new(big.Int))
	switch c := new(big.Int).Lsh(m, 1).Cmp(scale); {
	case c > 0 || c == 0 && q.Bit(0) == 1:
		q.Add(q, big.NewInt(1))
	}
	return normal(q.Mul(q, scale))
}

func filesizeFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "binary")
	var f float64
	ok := false
	if t, isText := asText(v); isText {
		f, ok = parseFloat(t)
	} else if n, isNumber := number(v); isNumber {
		f, ok = toFloat(n)
	}
	if !ok {
		s.fail("the filter \"filesizeformat\" wants a number, got %s", typeName(v))
	}
	base, units := 1000.0, []string{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}
	if s.truth(or(p[0], false)) {
		base, units = 1024, []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}
	}
	switch {
	case f == 1:
		return "1 Byte"
	case f < base:
		return fmt.Sprintf("%d Bytes", int64(f))
	}
	unit, i := base*base, 0
	for ; i < len(units)-1 && f >= unit; i++ {
		unit *= base
	}
	return strconv.FormatFloat(base*f/unit, 'f', 1, 64) + " " + units[i]
}

// tojsonFilter writes JSON as Python's json.dumps does, in ASCII with sorted
// keys, safe within HTML.
func tojsonFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "indent")
	w := jsonWriter{s: s, indent: ""}
	if given(p[0]) && p[0] != nil {
		if t, ok := asText(p[0]); ok {
			w.indent = t
		} else {
			n := s.int(a.what, p[0])
			s.room(n)
			w.indent = strings.Repeat(" ", max(0, n))
		}
		w.lines = true
	}
	w.write(v, 0)
	s.made(w.b.Len())
	return markup(w.b.String())
}

type jsonWriter struct {
	s      *state
	b      strings.Builder
	indent string
	lines  bool
}

func (w *jsonWriter) write(v any, depth int) {
	w.s.step(1)
	w.s.room(w.b.Len())
	if depth > maxRepr {
		w.s.fail("a value nests deeper than %d levels", maxRepr)
	}
	if t, ok := asText(v); ok {
		w.text(t)
		return
	}
	switch x := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(x))
	case int64, *big.Int, value.Number:
		w.b.WriteString(w.s.str(x))
	case moment:
		w.text(x.String())
	case *value.Bytes:
		w.s.fail("%s", x.NotText())
	case float64:
		switch {
		case math.IsNaN(x):
			w.b.WriteString("NaN")
		case math.IsInf(x, 1):
			w.b.WriteString("Infinity")
		case math.IsInf(x, -1):
			w.b.WriteString("-Infinity")
		default:
			w.b.WriteString(floatText(x))
		}
	case []any:
		w.list(x, depth)
	case *list:
		w.list(x.items, depth)
	case tuple:
		w.list(x, depth)
	case *value.Map:
		w.object(textMap{x}, depth)
	case *dict:
		w.object(x, depth)
	case *undefined:
		w.s.undefined(x)
	default:
		w.s.fail("a %s cannot be written as JSON%s", typeName(v), map[bool]string{true: "; use \"list\" before", false: ""}[typeName(v) == "generator"])
	}
}

func (w *jsonWriter) list(items []any, depth int) {
	w.b.WriteByte('[')
	for i, e := range items {
		w.separate(i, depth+1)
		w.write(e, depth+1)
	}
	if len(items) > 0 {
		w.newline(depth)
	}
	w.b.WriteByte(']')
}

func (w *jsonWriter) object(m mapping, depth int) {
	w.b.WriteByte('{')
	keys := make([]any, 0, m.Len())
	for k := range m.all() {
		keys = append(keys, k)
	}
	slices.SortStableFunc(keys, func(a, b any) int { return w.s.compare("<", a, b) })
	for i, k := range keys {
		w.separate(i, depth+1)
		key, ok := jsonKey(k)
		if !ok {
			w.s.fail("a %s cannot be a key in JSON", typeName(k))
		}
		w.text(key)
		w.b.WriteString(": ")
		v, _ := m.get(w.s, k)
		w.write(v, depth+1)
	}
	if m.Len() > 0 {
		w.newline(depth)
	}
	w.b.WriteByte('}')
}

func (w *jsonWriter) separate(i, depth int) {
	if i > 0 {
		w.b.WriteByte(',')
		if !w.lines {
			w.b.WriteByte(' ')
		}
	}
	w.newline(depth)
}

func (w *jsonWriter) newline(depth int) {
	if w.lines {
		w.s.room(w.b.Len() + depth*len(w.indent))
		w.b.WriteByte('\n')
		w.b.WriteString(strings.Repeat(w.indent, depth))
	}
}

func (w *jsonWriter) text(t string) {
	w.s.step(len(t) / 256)
	w.b.WriteByte('"')
	for _, r := range t {
		switch {
		case r == '"' || r == '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(r)
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\r':
			w.b.WriteString(`\r`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case r == '\b':
			w.b.WriteString(`\b`)
		case r == '\f':
			w.b.WriteString(`\f`)
		case r >= ' ' && r < 0x7f && strings.IndexByte("<>&'", byte(r)) < 0:
			w.b.WriteByte(byte(r))
		case r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(&w.b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		case r == utf8.RuneError:
			w.b.WriteString(`\ufffd`)
		default:
			fmt.Fprintf(&w.b, `\u%04x`, r)
		}
	}
	w.b.WriteByte('"')
}
