package metadata

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// What a number may look like for jsonb, whose numbers are numeric: at most
// 131,072 digits before the point and 16,383 behind it. That is not looked at
// closely; nobody counts with numbers of this size.
const (
	maxNumberText     = 10_000 // bytes
	maxNumberExponent = 5_000
)

// jsonb is a JSON text as PostgreSQL can keep it. What it refuses would keep the
// rows behind it out: a NUL character and halves of surrogate pairs become
// U+FFFD, numbers beyond its range become text.
func jsonb(text string) string {
	if !strings.Contains(text, `\u`) && len(text) <= maxNumberText && !strings.ContainsAny(text, "eE") {
		return text // nothing of that can be in it
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); {
		n := 1
		switch c := text[i]; {
		case c == '"':
			n = jsonString(&b, text[i:])
		case c == '-' || c >= '0' && c <= '9':
			n = jsonNumber(&b, text[i:])
		default:
			b.WriteByte(c)
		}
		i += n
	}
	return b.String()
}

// jsonString writes the string with which a text begins, and returns its length.
func jsonString(b *strings.Builder, text string) int {
	b.WriteByte('"')
	for i := 1; i < len(text); {
		switch {
		case text[i] == '"':
			b.WriteByte('"')
			return i + 1
		case text[i] != '\\':
			b.WriteByte(text[i])
			i++
		case i+1 < len(text) && text[i+1] == 'u':
			i += jsonEscape(b, text[i:])
		default: // the character behind it stands for itself
			n := min(2, len(text)-i)
			b.WriteString(text[i : i+n])
			i += n
		}
	}
	return len(text)
}

// jsonEscape writes the \u with which a text begins, or both of a pair, and
// returns its length.
func jsonEscape(b *strings.Builder, text string) int {
	r := escaped(text)
	switch {
	case r < 0 || r > 0 && !utf16.IsSurrogate(r):
		n := min(2, len(text))
		if r > 0 {
			n = 6
		}
		b.WriteString(text[:n])
		return n
	case r > 0 && utf16.DecodeRune(r, escaped(text[6:])) != '\uFFFD':
		b.WriteString(text[:12])
		return 12
	}
	b.WriteString(`\ufffd`)
	return 6
}

// escaped is what the \uXXXX with which a text begins stands for; -1: there is
// none.
func escaped(text string) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// jsonNumber writes the number with which a text begins, and returns its length.
func jsonNumber(b *strings.Builder, text string) int {
	n := len(text) - len(strings.TrimLeft(text, "+-.0123456789eE"))
	number := text[:n]
	exponent := 0
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(number[at+1:]); err != nil {
			exponent = maxNumberExponent + 1
		}
	}
	if n > maxNumberText || max(exponent, -exponent) > maxNumberExponent {
		number = `"` + number + `"`
	}
	b.WriteString(number)
	return n
}
