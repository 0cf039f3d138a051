package main

import (
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// screenWidth is how many columns a text takes on a terminal, colours left out.
func screenWidth(s string) int { return text.StringWidthWithoutEscSequences(s) }

// clip shortens a line to a width, so that a terminal never wraps it; a colour
// that is cut is ended.
func clip(s string, width int) string {
	if screenWidth(s) <= width {
		return s
	}
	var b strings.Builder
	painted, left := false, width-1 // one for the sign that something is missing
	for len(s) > 0 {
		if n := escape(s); n > 0 {
			painted = s[:n] != resetColor
			b.WriteString(s[:n])
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		if left -= text.RuneWidth(r); left < 0 {
			break
		}
		b.WriteString(s[:n])
		s = s[n:]
	}
	b.WriteString("…")
	if painted {
		b.WriteString(resetColor)
	}
	return b.String()
}

const resetColor = "\x1b[0m"

// escape is the length of the colour that a text begins with, 0 when it does
// not.
func escape(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	return strings.IndexByte(s, 'm') + 1
}

// wrapped breaks a line of plain text into lines of at most width columns, where
// it can behind a blank, a comma or a part of an address.
func wrapped(s string, width int) (lines []string) {
	for width >= minFold && screenWidth(s) > width {
		at, good, used := 0, 0, 0
		for i, r := range s {
			if used += text.RuneWidth(r); used > width {
				break
			}
			at = i + utf8.RuneLen(r)
			if strings.ContainsRune(" ,&/", r) && used > width/2 {
				good = at
			}
		}
		if good > 0 {
			at = good
		}
		if at == 0 {
			break
		}
		lines, s = append(lines, strings.TrimRight(s[:at], " ")), s[at:]
	}
	return append(lines, s)
}

// minFold is the narrowest column into which text is folded.
const minFold = 16

// indented writes text line by line behind an indent, folded on a terminal with
// what is over further in by hang columns.
func (u *ui) indented(b *strings.Builder, indent string, hang int, s string) {
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n")
		if !u.outTerm {
			b.WriteString(indent + line + "\n")
			continue
		}
		for i, part := range wrapped(line, u.width()-len(indent)-hang) {
			if i > 0 {
				part = strings.Repeat(" ", hang) + part
			}
			b.WriteString(indent + part + "\n")
		}
	}
}
