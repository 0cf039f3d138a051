package jinja

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// integer reads a whole number: decimal, 0x, 0o or 0b, with underscores.
func (p *parser) integer(s string) any {
	digits := strings.ReplaceAll(s, "_", "")
	if len(digits) > maxDigits {
		p.fail("a number has more than %d digits", maxDigits)
	}
	n, ok := new(big.Int).SetString(digits, 0)
	if !ok || len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0") != "" && digits[1] >= '0' && digits[1] <= '9' {
		p.fail("%q is not a number", s)
	}
	return normal(n)
}

// stringLiteral takes a text and resolves its escapes.
func (p *parser) stringLiteral() string {
	t := p.next()
	from := t.Pos + 1
	raw := p.source[from : from+len(t.Val)]
	if !strings.Contains(raw, "\\") {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 >= len(raw) {
			b.WriteByte(raw[i])
			continue
		}
		i++
		digits := 0
		switch c := raw[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b.WriteByte(map[byte]byte{'a': 7, 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}[c])
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 1
			for n < 3 && i+n < len(raw) && raw[i+n] >= '0' && raw[i+n] <= '7' {
				n++
			}
			code, _ := strconv.ParseUint(raw[i:i+n], 8, 32)
			b.WriteRune(rune(code))
			i += n - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
		if digits > 0 {
			code, err := uint64(0), fmt.Errorf("short")
			if i+digits < len(raw) {
				code, err = strconv.ParseUint(raw[i+1:i+1+digits], 16, 32)
			}
			if err != nil || code > 0x10ffff || code >= 0xd800 && code < 0xe000 {
				p.at--
				p.fail("a text has an escape \\%c that is not complete", raw[i])
			}
			b.WriteRune(rune(code))
			i += digits
		}
	}
	return b.String()
}
