package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func wordwrapFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "width", "break_long_words", "wrapstring", "break_on_hyphens")
	width := s.int(a.what, or(p[0], int64(79)))
	if width <= 0 {
		s.fail("%s: the width must be above zero", a.what)
	}
	sep := "\n"
	if given(p[2]) && p[2] != nil {
		sep = s.str(p[2])
	}
	text := s.wantText(a.what, v)
	s.made(len(text))
	s.step(len(text))
	var out []string
	for _, line := range splitLines(text, false) {
		out = append(out, strings.Join(wrap(line, width, s.truth(or(p[1], true)), s.truth(or(p[3], true))), sep))
	}
	s.made(len(text) + len(out)*len(sep))
	return strings.Join(out, sep)
}

// wrap breaks a line into lines of at most width characters, at space and, as
// asked, after hyphens within words and within words that are too long.
func wrap(line string, width int, breakLong, hyphens bool) (lines []string) {
	chunks := wrapChunks(line, hyphens)
	var current []string
	size := 0
	flush := func() {
		for len(current) > 0 && strings.TrimFunc(current[len(current)-1], unicode.IsSpace) == "" {
			current = current[:len(current)-1]
		}
		if len(current) > 0 {
			lines = append(lines, strings.Join(current, ""))
		}
		current, size = nil, 0
	}
	for i := 0; i < len(chunks); {
		if len(current) == 0 && len(lines) > 0 && strings.TrimFunc(chunks[i], unicode.IsSpace) == "" {
			i++
			continue
		}
		n := utf8.RuneCountInString(chunks[i])
		switch {
		case size+n <= width:
			current = append(current, chunks[i])
			size += n
			i++
		case n > width && breakLong:
			space := max(1, width-size)
			runes := []rune(chunks[i])
			end := space
			if hyphens && n > space {
				if at := strings.LastIndexByte(string(runes[:space]), '-'); at > 0 && strings.Trim(string(runes[:space])[:at], "-") != "" {
					end = utf8.RuneCountInString(string(runes[:space])[:at]) + 1
				}
			}
			current = append(current, string(runes[:end]))
			chunks[i] = string(runes[end:])
			flush()
		case n > width && len(current) == 0:
			current = append(current, chunks[i])
			i++
			flush()
		default:
			flush()
		}
	}
	flush()
	return lines
}

// wrapChunks splits a line into words and the space between them.
func wrapChunks(line string, hyphens bool) (chunks []string) {
	runes := []rune(line)
	for i := 0; i < len(runes); {
		j := i
		if unicode.IsSpace(runes[i]) {
			for j < len(runes) && unicode.IsSpace(runes[j]) {
				j++
			}
			chunks = append(chunks, string(runes[i:j]))
			i = j
			continue
		}
		for j < len(runes) && !unicode.IsSpace(runes[j]) {
			if hyphens && runes[j] == '-' && j-i >= 2 && j+2 < len(runes) && isWordRune(runes[j-1]) && isWordRune(runes[j-2]) && unicode.IsLetter(runes[j+1]) && isWordRune(runes[j+2]) {
				j++
				break
			}
			j++
		}
		chunks = append(chunks, string(runes[i:j]))
		i = j
	}
	return chunks
}

func isWordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) }
