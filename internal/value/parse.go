package value

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth bounds how deeply lists and maps may nest in JSON that is read.
const MaxDepth = 500

// ErrDepth is returned for JSON that nests deeper than MaxDepth.
var ErrDepth = fmt.Errorf("JSON nests deeper than %d levels", MaxDepth)

// SyntaxError says where a text stops being JSON. It quotes no more of it than
// one character, or a word that JSON does not have.
type SyntaxError struct {
	What   string // "NaN", "'x'", "invalid UTF-8"; "" when the text ends too early
	Offset int    // of the first byte that does not belong there
}

func (e *SyntaxError) Error() string {
	if e.What == "" {
		return "unexpected end of JSON"
	}
	return fmt.Sprintf("%s at offset %d", e.What, e.Offset)
}

// ParseJSON reads one JSON text (RFC 8259) with nothing behind it. A number is
// an int64, a *big.Int, a float64 or, where none of these would be written as
// it was read, a Number. Of a repeated key the last value counts, at the first
// place. An error is a *SyntaxError or ErrDepth.
func ParseJSON(data []byte) (any, error) {
	p := parser{data: data}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(data) {
		return nil, &SyntaxError{"more after the JSON value", p.at}
	}
	return v, nil
}

// parser reads a JSON text from its beginning to its end.
type parser struct {
	data []byte
	at   int
	text string // all of data, where that is short and a part of it was asked for
}

// shortText is how long a text may be, in bytes, whose strings are parts of one
// copy of it instead of copies of their own. A string holds the whole of it in
// memory.
const shortText = 512

// part is a part of the text as a string.
func (p *parser) part(from, to int) string {
	if len(p.data) > shortText {
		return string(p.data[from:to])
	}
	if p.text == "" {
		p.text = string(p.data)
	}
	return p.text[from:to]
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// unexpected is the error about what stands at the present place.
func (p *parser) unexpected() error {
	if p.at >= len(p.data) {
		return &SyntaxError{"", p.at}
	}
	end := p.at
	for end < len(p.data) && isLetter(p.data[end]) {
		end++
	}
	switch word := string(p.data[p.at:end]); word {
	case "NaN", "Infinity", "undefined", "None", "True", "False", "nan", "inf", "NULL", "TRUE", "FALSE":
		return &SyntaxError{word, p.at}
	}
	if p.data[p.at] == '-' && end < len(p.data) && string(p.data[p.at:min(len(p.data), p.at+9)]) == "-Infinity" {
		return &SyntaxError{"-Infinity", p.at}
	}
	r, size := utf8.DecodeRune(p.data[p.at:])
	if r == utf8.RuneError && size == 1 {
		return &SyntaxError{"invalid UTF-8", p.at}
	}
	return &SyntaxError{strconv.QuoteRune(r), p.at}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func (p *parser) value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, ErrDepth
	}
	p.space()
	if p.at >= len(p.data) {
		return nil, p.unexpected()
	}
	switch c := p.data[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == '"':
		return p.str()
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == 't':
		return true, p.word("true")
	case c == 'f':
		return false, p.word("false")
	case c == 'n':
		return nil, p.word("null")
	}
	return nil, p.unexpected()
}

func (p *parser) word(w string) error {
	start := p.at
	for i := range len(w) {
		if p.at >= len(p.data) {
			return p.unexpected()
		}
		if p.data[p.at] != w[i] {
			p.at = start
			return p.unexpected()
		}
		p.at++
	}
	return nil
}

func (p *parser) list(depth int) (any, error) {
	list := []any{}
	p.at++
	if p.space(); p.at < len(p.data) && p.data[p.at] == ']' {
		p.at++
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if done, err := p.next(']'); done || err != nil {
			return list, err
		}
	}
}

func (p *parser) object(depth int) (any, error) {
	m := NewMap(4)
	p.at++
	if p.space(); p.at < len(p.data) && p.data[p.at] == '}' {
		p.at++
		return m, nil
	}
	for {
		if p.space(); p.at >= len(p.data) || p.data[p.at] != '"' {
			return nil, p.unexpected()
		}
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if p.space(); p.at >= len(p.data) || p.data[p.at] != ':' {
			return nil, p.unexpected()
		}
		p.at++
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		m.Set(key, v)
		if done, err := p.next('}'); done || err != nil {
			return m, err
		}
	}
}

// next goes past a comma; done says that the closing bracket stood there.
func (p *parser) next(closing byte) (done bool, err error) {
	p.space()
	if p.at < len(p.data) {
		switch p.data[p.at] {
		case closing:
			p.at++
			return true, nil
		case ',':
			p.at++
			return false, nil
		}
	}
	return false, p.unexpected()
}

// str reads a string; most hold nothing that is escaped.
func (p *parser) str() (string, error) {
	start := p.at + 1
	for i := start; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			p.at = i + 1
			return p.part(start, i), nil
		case c == '\\' || c < ' ' || c >= utf8.RuneSelf:
			return p.mixedText(start, i)
		}
	}
	p.at = len(p.data)
	return "", p.unexpected()
}

// mixedText reads a string of which the first bytes, up to i, are plain.
func (p *parser) mixedText(start, i int) (string, error) {
	out := append(make([]byte, 0, i-start+32), p.data[start:i]...)
	for p.at = i; p.at < len(p.data); {
		c := p.data[p.at]
		switch {
		case c == '"':
			p.at++
			return string(out), nil
		case c < ' ':
			return "", &SyntaxError{fmt.Sprintf("the control character %#02x in a string", c), p.at}
		case c == '\\':
			var err error
			if out, err = p.escape(out); err != nil {
				return "", err
			}
		case c < utf8.RuneSelf:
			out = append(out, c)
			p.at++
		default:
			r, size := utf8.DecodeRune(p.data[p.at:])
			if r == utf8.RuneError && size == 1 {
				return "", &SyntaxError{"invalid UTF-8", p.at}
			}
			out = append(out, p.data[p.at:p.at+size]...)
			p.at += size
		}
	}
	return "", p.unexpected()
}

// escapes are the characters that stand for others behind a backslash.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads what stands behind a backslash. Half of a surrogate pair is no
// character and becomes U+FFFD.
func (p *parser) escape(out []byte) ([]byte, error) {
	p.at++
	if p.at >= len(p.data) {
		return out, p.unexpected()
	}
	c := p.data[p.at]
	if plain := escapes[c]; plain != 0 {
		p.at++
		return append(out, plain), nil
	}
	if c != 'u' {
		return out, p.unexpected()
	}
	r, err := p.hex4()
	if err != nil {
		return out, err
	}
	if utf16.IsSurrogate(r) {
		before := p.at
		if p.at+1 < len(p.data) && p.data[p.at] == '\\' && p.data[p.at+1] == 'u' {
			p.at++
			second, err := p.hex4()
			if err != nil {
				return out, err
			}
			if whole := utf16.DecodeRune(r, second); whole != utf8.RuneError {
				return utf8.AppendRune(out, whole), nil
			}
			p.at = before
		}
		r = utf8.RuneError
	}
	return utf8.AppendRune(out, r), nil
}

// hex4 reads the four digits behind the present character.
func (p *parser) hex4() (r rune, err error) {
	for range 4 {
		p.at++
		if p.at >= len(p.data) {
			return 0, p.unexpected()
		}
		c := p.data[p.at]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, p.unexpected()
		}
		r = r<<4 | rune(c)
	}
	p.at++
	return r, nil
}

func (p *parser) number() (any, error) {
	start := p.at
	if p.data[p.at] == '-' {
		p.at++
	}
	if p.at < len(p.data) && p.data[p.at] == '0' {
		p.at++ // no digit may follow: 012 is not JSON
	} else if !p.digits() {
		if p.at < len(p.data) && isLetter(p.data[p.at]) {
			p.at = start // -Infinity
		}
		return nil, p.unexpected()
	}
	if p.at < len(p.data) && p.data[p.at] == '.' {
		p.at++
		if !p.digits() {
			return nil, p.unexpected()
		}
	}
	if p.at < len(p.data) && p.data[p.at]|0x20 == 'e' {
		p.at++
		if p.at < len(p.data) && (p.data[p.at] == '+' || p.data[p.at] == '-') {
			p.at++
		}
		if !p.digits() {
			return nil, p.unexpected()
		}
	}
	return numberOf(p.part(start, p.at)), nil
}

// digits goes past digits and reports whether there were any.
func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.data) && '0' <= p.data[p.at] && p.data[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}

// ParseNumber reads a JSON number as ParseJSON does.
func ParseNumber(s string) (any, error) {
	p := parser{data: []byte(s)}
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return nil, fmt.Errorf("%.40q is not a number", s)
	}
	v, err := p.number()
	if err != nil || p.at < len(s) {
		return nil, fmt.Errorf("%.40q is not a number", s)
	}
	return v, nil
}

// MaxDigits bounds whole numbers that are calculated with, as CPython does:
// more digits cost quadratic time.
const MaxDigits = 4300

var errDigits = errors.New("a number has more than " + strconv.Itoa(MaxDigits) + " digits")

// numberOf is a number in the plainest type that is written as it was read.
func numberOf(s string) any {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && (i != 0 || len(s) == 1) {
		return i
	}
	if f, ok := plainFloat(s); ok {
		return f
	}
	if len(s) > MaxDigits {
		return Number(s)
	}
	if b, ok := new(big.Int).SetString(s, 10); ok && !b.IsInt64() {
		return b
	}
	return Number(s)
}

// plainFloat reads a fraction that is written without exponent and with as few
// digits as it needs, as nearly all are: both JSON and templates write it so.
func plainFloat(s string) (float64, bool) {
	if len(s) > 24 {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if a := max(f, -f); err != nil || a != 0 && (a < 1e-4 || a >= 1e16) {
		return 0, false
	}
	var buf [32]byte
	text, _ := appendFloat(buf[:0], f)
	return f, string(text) == s
}
