package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// formatMethod is Python's "text".format(...).
func (s *state) formatMethod(format string, a *args) string {
	var b strings.Builder
	auto := 0
	for i := 0; i < len(format); {
		switch c := format[i]; {
		case (c == '{' || c == '}') && i+1 < len(format) && format[i+1] == c:
			b.WriteByte(c)
			i += 2
		case c == '}':
			s.fail("a format has a \"}\" without \"{\"")
		case c == '{':
			end, depth := i+1, 1
			for ; end < len(format) && depth > 0; end++ {
				switch format[end] {
				case '{':
					depth++
				case '}':
					depth--
				}
			}
			if depth > 0 {
				s.fail("a format has a \"{\" without \"}\"")
			}
			b.WriteString(s.field(format[i+1:end-1], a, &auto, true))
			i = end
		default:
			b.WriteByte(c)
			i++
		}
		s.room(b.Len())
	}
	s.made(b.Len())
	return b.String()
}

// field formats one replacement field: name!conversion:spec.
func (s *state) field(field string, a *args, auto *int, nested bool) string {
	s.step(1)
	place, how, _ := strings.Cut(field, ":")
	place, conversion, converted := strings.Cut(place, "!")
	first, rest := place, ""
	if i := strings.IndexAny(place, ".["); i >= 0 {
		first, rest = place[:i], place[i:]
	}
	var v any
	n, err := strconv.Atoi(first)
	if first == "" {
		n, err = *auto, nil
		*auto++
	}
	if err == nil {
		if n < 0 || n >= len(a.pos) {
			s.fail("a format names a value that was not given")
		}
		v = a.pos[n]
	} else {
		found := false
		for i, name := range a.names {
			if name == first {
				v, found = a.named[i], true
			}
		}
		if !found {
			s.fail("a format names a value that was not given")
		}
	}
	for rest != "" {
		var key string
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				s.fail("a format has a \"[\" without \"]\"")
			}
			key, rest = rest[1:end], rest[end+1:]
			if at, err := strconv.Atoi(key); err == nil {
				v = s.item(&literal{}, v, int64(at), false)
			} else {
				v = s.item(&literal{}, v, key, false)
			}
		} else {
			rest = rest[1:]
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			key, rest = rest[:end], rest[end:]
			if _, isMap := asMapping(v); isMap {
				s.fail("a format reads the keys of a mapping as {name[key]}")
			}
			v = s.item(&literal{}, v, key, false)
		}
		if u, ok := v.(*undefined); ok {
			s.undefined(u)
		}
	}
	if converted {
		switch conversion {
		case "s":
			v = s.str(v)
		case "r", "a":
			var b strings.Builder
			s.repr(&b, v, 0)
			v = b.String()
		default:
			s.fail("a format has an unknown conversion")
		}
	}
	if nested && strings.Contains(how, "{") {
		how = s.innerSpec(how, a, auto)
	}
	return s.formatted(v, how)
}

// innerSpec fills in the places within a specification: {:{width}}.
func (s *state) innerSpec(how string, a *args, auto *int) string {
	var b strings.Builder
	for how != "" {
		before, after, found := strings.Cut(how, "{")
		b.WriteString(before)
		if !found {
			break
		}
		inner, rest, ok := strings.Cut(after, "}")
		if !ok {
			s.fail("a format has a \"{\" without \"}\"")
		}
		b.WriteString(s.field(inner, a, auto, false))
		how = rest
	}
	return b.String()
}

// formatted is a value under a specification such as ">8.2f".
func (s *state) formatted(v any, how string) string {
	if how == "" {
		return s.str(v)
	}
	f := s.parseSpec(how)
	if t, ok := asText(v); ok {
		if f.verb != 0 && f.verb != 's' || f.align == '=' || f.sign != 0 || f.grouping != 0 {
			s.fail("a format for numbers got text")
		}
		if f.align == 0 {
			f.align = '<'
		}
		return f.pad(f.cut(t))
	}
	n, ok := number(v)
	if !ok {
		s.fail("a %s cannot be formatted with a specification", typeName(v))
	}
	if b, flag := v.(bool); flag && f.verb == 0 && f.width == 0 {
		return s.str(b)
	}
	if f.align == 0 {
		f.align = '>'
		if f.zero {
			f.align, f.fill = '=', '0'
		}
	}
	_, fraction := n.(float64)
	var sign, digits string
	switch f.verb {
	case 'd', 'x', 'X', 'o', 'b', 'c':
		if fraction || f.precision >= 0 {
			s.fail("a format for whole numbers got a fraction")
		}
		if f.verb == 'c' {
			f.align = '<'
			return f.pad(string(rune(s.int("a format", n))))
		}
		if f.verb == 'd' {
			sign, digits = splitSign(s.str(n))
		} else {
			sign, digits = f.base(toBig(n), f.verb)
		}
	case 'e', 'E', 'f', 'F', 'g', 'G', '%':
		x, ok := toFloat(n)
		if !ok {
			s.fail("a whole number is too large for a fraction")
		}
		if f.verb == '%' {
			sign, digits = splitSign(f.float(x*100, 'f'))
			digits += "%"
		} else {
			sign, digits = splitSign(f.float(x, f.verb))
		}
	case 0:
		switch {
		case fraction && f.precision >= 0:
			x, _ := toFloat(n)
			sign, digits = splitSign(f.float(x, 'g'))
		case !fraction && f.precision >= 0:
			s.fail("a format for whole numbers got a precision")
		default:
			sign, digits = splitSign(s.str(n))
		}
	case 'n':
		sign, digits = splitSign(s.str(n))
	default:
		s.fail("unknown format %q for a number", string(f.verb))
	}
	if f.grouping != 0 {
		digits = group(digits, f.grouping)
	}
	return f.signed(sign, digits)
}

// group puts separators between thousands.
func group(digits string, sep byte) string {
	whole, rest := digits, ""
	if i := strings.IndexAny(digits, ".e%"); i >= 0 {
		whole, rest = digits[:i], digits[i:]
	}
	var b strings.Builder
	for i, c := range []byte(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(sep)
		}
		b.WriteByte(c)
	}
	return b.String() + rest
}

// parseSpec reads [[fill]align][sign][#][0][width][grouping][.precision][type].
func (s *state) parseSpec(how string) *spec {
	f := &spec{precision: -1}
	runes := []rune(how)
	aligns := "<>=^"
	i := 0
	if len(runes) > 1 && strings.ContainsRune(aligns, runes[1]) {
		f.fill, f.align = runes[0], byte(runes[1])
		i = 2
	} else if len(runes) > 0 && strings.ContainsRune(aligns, runes[0]) {
		f.align = byte(runes[0])
		i = 1
	}
	has := func(set string) bool { return i < len(runes) && strings.ContainsRune(set, runes[i]) }
	number := func() int {
		n := 0
		for ; i < len(runes) && runes[i] >= '0' && runes[i] <= '9'; i++ {
			n = min(n*10+int(runes[i]-'0'), maxWidth+1)
		}
		if n > maxWidth {
			s.fail("a format is wider than %d characters", maxWidth)
		}
		return n
	}
	if has("+- ") {
		if f.sign = byte(runes[i]); f.sign == '-' {
			f.sign = 0
		}
		i++
	}
	if has("#") {
		f.alt = true
		i++
	}
	if has("0") {
		f.zero = true
		i++
	}
	f.width = number()
	if has(",_") {
		f.grouping = byte(runes[i])
		i++
	}
	if has(".") {
		i++
		if !has("0123456789") {
			s.fail("a format has a \".\" without precision")
		}
		f.precision = number()
	}
	if i < len(runes) && runes[i] < utf8.RuneSelf {
		f.verb = byte(runes[i])
		i++
	}
	if i < len(runes) {
		s.fail("a format specification cannot be read: %s", fmt.Sprintf("%d characters are left over", len(runes)-i))
	}
	return f
}
