package jinja

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWidth bounds the width and the precision of a format.
const maxWidth = 100_000

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
