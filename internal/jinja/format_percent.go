package jinja

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// percent is Python's "text % values".
func (s *state) percent(format string, values, original any) any {
	list, isTuple := values.(tuple)
	named, isMap := asMapping(values)
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
			if v, ok = named.get(s, key); !ok {
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
