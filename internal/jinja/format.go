package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
)

// maxWidth bounds the width and the precision of a format.
const maxWidth = 100_000

// percent is Python's "text % values".
func (s *state) percent(format string, values, original any) any {
	list, isTuple := values.(tuple)
	named, isMap := values.(*value.Map)
	_, safe := original.(markup)
	if !isTuple {
		list = tuple{values}
	}
	var b strings.Builder
	used := 0
	next := func() any {
		if used >= len(list) {
			s.fail("a format has more places than values")
		}
		used++
		return list[used-1]
	}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		var f spec
		var v any
		keyed := false
		if i++; i < len(format) && format[i] == '(' {
			end := strings.IndexByte(format[i:], ')')
			if end < 0 || !isMap {
				s.fail("a format with names needs a mapping")
			}
			key := format[i+1 : i+end]
			var ok bool
			if v, ok = named.Get(key); !ok {
				s.fail("a format names a key that the mapping does not have")
			}
			keyed = true
			i += end + 1
		}
		for ; i < len(format) && strings.IndexByte("-+ 0#", format[i]) >= 0; i++ {
			switch format[i] {
			case '-':
				f.align = '<'
			case '+':
				f.sign = '+'
			case ' ':
				if f.sign == 0 {
					f.sign = ' '
				}
			case '0':
				f.zero = true
			case '#':
				f.alt = true
			}
		}
		number := func() int {
			if i < len(format) && format[i] == '*' {
				i++
				return s.int("a format", next())
			}
			from := i
			for i < len(format) && format[i] >= '0' && format[i] <= '9' {
				i++
			}
			n, _ := strconv.Atoi(format[from:i])
			return n
		}
		f.width = number()
		f.precision = -1
		if i < len(format) && format[i] == '.' {
			i++
			f.precision = number()
		}
		if i >= len(format) {
			s.fail("a format ends after \"%%\"")
		}
		if f.width > maxWidth || f.precision > maxWidth || f.width < 0 {
			s.fail("a format is wider than %d characters", maxWidth)
		}
		verb := format[i]
		if verb == '%' {
			b.WriteByte('%')
			continue
		}
		if !keyed {
			v = next()
		}
		text := s.percentValue(&f, verb, v)
		if _, isSafe := v.(markup); safe && !isSafe {
			text = escape(text)
		}
		b.WriteString(text)
		s.room(b.Len())
	}
	if !isMap && used < len(list) {
		s.fail("a format has fewer places than values")
	}
	s.made(b.Len())
	if safe {
		return markup(b.String())
	}
	return b.String()
}

func (s *state) percentValue(f *spec, verb byte, v any) string {
	switch verb {
	case 's', 'r', 'a':
		text := ""
		if verb == 's' {
			text = s.str(v)
		} else {
			var b strings.Builder
			s.repr(&b, v, 0)
			text = b.String()
		}
		f.zero = false
		if f.align == 0 {
			f.align = '>'
		}
		return f.pad(f.cut(text))
	case 'c':
		if t, ok := asText(v); ok && utf8.RuneCountInString(t) == 1 {
			return f.pad(t)
		}
		n := s.int("%c", v)
		if n < 0 || n > utf8.MaxRune {
			s.fail("%%c wants a character")
		}
		return f.pad(string(rune(n)))
	}
	n, ok := number(v)
	if !ok {
		s.fail("a format with %%%c wants a number, got %s", verb, typeName(v))
	}
	if f.align == 0 && f.zero {
		f.align, f.fill = '=', '0'
	} else if f.align == 0 {
		f.align = '>'
	}
	switch verb {
	case 'd', 'i', 'u':
		whole, ok := toInt(n)
		if !ok {
			s.fail("a format with %%%c wants a finite number", verb)
		}
		if f.precision > 0 {
			sign, digits := splitSign(s.str(whole))
			return f.signed(sign, strings.Repeat("0", max(0, f.precision-len(digits)))+digits)
		}
		return f.signed(splitSign(s.str(whole)))
	case 'x', 'X', 'o':
		if _, fraction := n.(float64); fraction {
			s.fail("a format with %%%c wants a whole number, got float", verb)
		}
		return f.signed(f.base(toBig(n), verb))
	case 'e', 'E', 'f', 'F', 'g', 'G':
		x, ok := toFloat(n)
		if !ok {
			s.fail("a whole number is too large for a fraction")
		}
		return f.signed(splitSign(f.float(x, verb)))
	}
	s.fail("unknown format %%%c", verb)
	return ""
}

// spec is how one value is formatted: Python's format specification.
type spec struct {
	fill      rune
	align     byte // < > ^ =; 0: by type
	sign      byte // + or blank; 0: only minus
	alt, zero bool
	width     int
	grouping  byte // , or _
	precision int  // -1: none
	verb      byte
}

func splitSign(text string) (sign, digits string) {
	if strings.HasPrefix(text, "-") {
		return "-", text[1:]
	}
	return "", text
}

// signed puts sign, digits and padding together.
func (f *spec) signed(sign, digits string) string {
	if sign == "" && f.sign != 0 {
		sign = string(f.sign)
	}
	if f.align == '=' {
		n := f.width - utf8.RuneCountInString(sign+digits)
		if n > 0 {
			fill := f.fill
			if fill == 0 {
				fill = ' '
			}
			digits = strings.Repeat(string(fill), n) + digits
		}
		return sign + digits
	}
	return f.pad(sign + digits)
}

func (f *spec) pad(text string) string {
	n := f.width - utf8.RuneCountInString(text)
	if n <= 0 {
		return text
	}
	fill := " "
	if f.fill != 0 {
		fill = string(f.fill)
	}
	switch f.align {
	case '<':
		return text + strings.Repeat(fill, n)
	case '^':
		return strings.Repeat(fill, n/2) + text + strings.Repeat(fill, n-n/2)
	}
	return strings.Repeat(fill, n) + text
}

func (f *spec) cut(text string) string {
	if f.precision < 0 {
		return text
	}
	runes := []rune(text)
	return string(runes[:min(len(runes), f.precision)])
}

func (f *spec) base(n *big.Int, verb byte) (sign, digits string) {
	base := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'b': 2}[verb]
	sign, digits = splitSign(n.Text(base))
	if verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	if f.alt {
		digits = "0" + string(verb) + digits
	}
	return sign, digits
}

// float writes a fraction as %e, %f and %g of Python do.
func (f *spec) float(x float64, verb byte) string {
	precision := f.precision
	if precision < 0 {
		precision = 6
	}
	lower := verb | 0x20
	var text string
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		text = floatText(x)
	case lower == 'g':
		precision = max(1, precision)
		exp := 0
		if x != 0 {
			e := strconv.FormatFloat(x, 'e', precision-1, 64)
			exp, _ = strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
		}
		if exp < -4 || exp >= precision {
			text = strconv.FormatFloat(x, 'e', precision-1, 64)
			if mantissa, e, ok := strings.Cut(text, "e"); ok && !f.alt {
				text = trimZeros(mantissa) + "e" + e
			}
		} else {
			text = strconv.FormatFloat(x, 'f', precision-1-exp, 64)
			if !f.alt {
				text = trimZeros(text)
			}
		}
	default:
		text = strconv.FormatFloat(x, lower, precision, 64)
	}
	if verb != lower {
		text = strings.ToUpper(text)
	}
	return text
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

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
			if _, isMap := v.(*value.Map); isMap {
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
