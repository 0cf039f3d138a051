package hookguest

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted is a JSON string as it was written, with its quotes.
type quoted []byte

// inner is what stands between the quotes.
func (q quoted) inner() []byte {
	if len(q) < 2 || q[len(q)-1] != '"' {
		return nil
	}
	return q[1 : len(q)-1]
}

// is compares without copying, unless something is escaped.
func (q quoted) is(s string) bool {
	in := q.inner()
	if bytes.IndexByte(in, '\\') >= 0 {
		return q.text() == s
	}
	return string(in) == s
}

// text undoes the escapes. Half of a surrogate pair becomes U+FFFD.
func (q quoted) text() string {
	in := q.inner()
	first := bytes.IndexByte(in, '\\')
	if first < 0 {
		return string(in)
	}
	out := append(make([]byte, 0, len(in)), in[:first]...)
	for i := first; i < len(in); {
		if in[i] != '\\' || i+1 >= len(in) {
			out = append(out, in[i])
			i++
			continue
		}
		var r rune
		r, i = unescape(in, i+1)
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// unescape reads what follows a backslash at i-1 and returns where it ends.
func unescape(in []byte, i int) (rune, int) {
	switch c := in[i]; c {
	case 'b':
		return '\b', i + 1
	case 'f':
		return '\f', i + 1
	case 'n':
		return '\n', i + 1
	case 'r':
		return '\r', i + 1
	case 't':
		return '\t', i + 1
	case 'u':
		r, ok := hex4(in, i+1)
		if !ok {
			return utf8.RuneError, i + 1
		}
		i += 5
		if !utf16.IsSurrogate(r) {
			return r, i
		}
		if i+1 < len(in) && in[i] == '\\' && in[i+1] == 'u' {
			if low, ok := hex4(in, i+2); ok {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					return pair, i + 6
				}
			}
		}
		return utf8.RuneError, i
	default:
		return rune(c), i + 1
	}
}

// hex4 reads four hexadecimal digits at i.
func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// AppendQuoted appends s as a JSON string, with its quotes. Bytes that are not
// UTF-8 become U+FFFD.
func AppendQuoted(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// cutToken splits a JSON Pointer after its first token.
func cutToken(s string) (token, rest string) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// unescapeToken undoes ~1 and ~0 (RFC 6901, section 4).
func unescapeToken(s string) string {
	if strings.IndexByte(s, '~') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
}

// PointerToken writes a name of a member as it stands in a JSON Pointer.
func PointerToken(name string) string {
	if strings.IndexByte(name, '~') < 0 && strings.IndexByte(name, '/') < 0 {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// arrayIndex reads a token as an index: digits without a leading zero; -1 if
// it is none.
func arrayIndex(token string) int {
	if token == "" || len(token) > 9 || token[0] == '0' && len(token) > 1 {
		return -1
	}
	for i := range len(token) {
		if !isDigit(token[i]) {
			return -1
		}
	}
	n, err := strconv.Atoi(token)
	if err != nil {
		return -1
	}
	return n
}
