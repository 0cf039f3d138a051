package flowfile

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// position is a line and a column, both from 1; columns count characters.
type position struct{ line, column int }

// span is a piece of the file: a byte offset and a length. A length of 0 marks
// the place alone.
type span struct{ at, length int }

func (s span) end() int { return s.at + s.length }

// places turns byte offsets into lines and columns. Neither the number of
// lines nor the length of one makes a question slow, so that a file with
// thousands of mistakes, or one that is a single line, is not read again for
// each of them.
type places struct {
	text   string
	starts []int // where each line begins
	chars  []int // characters before each charStep-th byte
}

const charStep = 256

func newPlaces(text string) *places {
	p := &places{text: text, starts: []int{0}}
	chars := 0
	for i := range len(text) {
		if i%charStep == 0 {
			p.chars = append(p.chars, chars)
		}
		if utf8.RuneStart(text[i]) {
			chars++
		}
		if text[i] == '\n' {
			p.starts = append(p.starts, i+1)
		}
	}
	return p
}

// of returns the position of an offset.
func (p *places) of(offset int) position {
	offset = min(max(offset, 0), len(p.text))
	line := sort.SearchInts(p.starts, offset+1)
	return position{line, 1 + p.charsBefore(offset) - p.charsBefore(p.starts[line-1])}
}

func (p *places) charsBefore(offset int) int {
	step := offset / charStep
	if step >= len(p.chars) {
		if step = len(p.chars) - 1; step < 0 {
			return 0
		}
	}
	n := p.chars[step]
	for i := step * charStep; i < offset; i++ {
		if utf8.RuneStart(p.text[i]) {
			n++
		}
	}
	return n
}

// line returns a line without its end.
func (p *places) line(n int) string {
	if n < 1 || n > len(p.starts) {
		return ""
	}
	end := len(p.text)
	if n < len(p.starts) {
		end = p.starts[n] - 1
	}
	return strings.TrimSuffix(p.text[p.starts[n-1]:end], "\r")
}

// within finds a piece of text inside a span: as a word of its own, or else
// where it first stands.
func (p *places) within(s span, piece string) (span, bool) {
	if piece == "" || s.at < 0 || s.end() > len(p.text) {
		return span{}, false
	}
	text, first := p.text[s.at:s.end()], -1
	for from := 0; ; {
		i := strings.Index(text[from:], piece)
		if i < 0 {
			break
		}
		i += from
		if first < 0 {
			first = i
		}
		end := i + len(piece)
		if (i == 0 || !wordByte(text[i-1])) && (end == len(text) || !wordByte(text[end])) {
			return span{s.at + i, len(piece)}, true
		}
		from = i + 1
	}
	return span{s.at + first, len(piece)}, first >= 0
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf
}
