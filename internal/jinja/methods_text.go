package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func every(t string, is func(rune) bool) bool {
	for _, r := range t {
		if !is(r) {
			return false
		}
	}
	return t != ""
}

func isIdentifier(t string) bool {
	for i, r := range t {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return t != ""
}

func lower(t string) string { return strings.ToLower(t) }

func upper(t string) string { return strings.ToUpper(strings.ReplaceAll(t, "ß", "SS")) }

func capitalize(t string) string {
	for i, r := range t {
		n := i + utf8.RuneLen(r)
		return string(unicode.ToTitle(r)) + lower(t[n:])
	}
	return ""
}

// titleWords is Python's title(): a letter after anything but a letter is
// upper case.
func titleWords(t string) string {
	var b strings.Builder
	inWord := false
	for _, r := range t {
		if inWord {
			b.WriteRune(unicode.ToLower(r))
		} else {
			b.WriteRune(unicode.ToTitle(r))
		}
		inWord = unicode.IsLetter(r)
	}
	return b.String()
}

func swapCase(t string) string {
	var b strings.Builder
	for _, r := range t {
		if unicode.IsUpper(r) {
			b.WriteRune(unicode.ToLower(r))
		} else {
			b.WriteString(upper(string(r)))
		}
	}
	return b.String()
}

// isPySpace is what Python's strip and split take for space.
func isPySpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func stripper(left, right bool) func(*state, string, *args) any {
	return func(s *state, t string, a *args) any {
		p := a.bind(s, 0, "chars")
		return s.strip(t, p[0], left, right)
	}
}

func (s *state) strip(t string, chars any, left, right bool) string {
	s.made(len(t))
	cut := isPySpace
	if given(chars) && chars != nil {
		set := s.wantText("strip", chars)
		cut = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	if left {
		t = strings.TrimLeftFunc(t, cut)
	}
	if right {
		t = strings.TrimRightFunc(t, cut)
	}
	return t
}

func (s *state) split(t string, a *args, fromRight bool) any {
	p := a.bind(s, 0, "sep", "maxsplit")
	limit := -1
	if given(p[1]) {
		limit = s.int(a.what, p[1])
	}
	s.made(len(t))
	s.scan(len(t))
	if !given(p[0]) || p[0] == nil {
		return texts(splitSpace(t, limit, fromRight))
	}
	sep := s.wantText(a.what, p[0])
	if sep == "" {
		s.fail("%s: the separator is empty", a.what)
	}
	n := strings.Count(t, sep)
	s.step(n)
	if limit < 0 || limit >= n {
		return texts(strings.Split(t, sep))
	}
	if !fromRight {
		return texts(strings.SplitN(t, sep, limit+1))
	}
	parts := strings.Split(t, sep)
	head := strings.Join(parts[:n+1-limit], sep)
	return texts(append([]string{head}, parts[n+1-limit:]...))
}

// splitSpace splits at runs of space, at most limit times when it is not
// negative.
func splitSpace(t string, limit int, fromRight bool) (parts []string) {
	if limit < 0 {
		return strings.FieldsFunc(t, isPySpace)
	}
	if fromRight {
		t = strings.TrimRightFunc(t, isPySpace)
		for ; limit > 0 && t != ""; limit-- {
			i := strings.LastIndexFunc(t, isPySpace)
			if i < 0 {
				break
			}
			_, w := utf8.DecodeRuneInString(t[i:])
			parts = append([]string{t[i+w:]}, parts...)
			t = strings.TrimRightFunc(t[:i], isPySpace)
		}
		if strings.TrimLeftFunc(t, isPySpace) != "" {
			parts = append([]string{t}, parts...)
		}
		return parts
	}
	t = strings.TrimLeftFunc(t, isPySpace)
	for ; limit > 0 && t != ""; limit-- {
		i := strings.IndexFunc(t, isPySpace)
		if i < 0 {
			break
		}
		parts = append(parts, t[:i])
		t = strings.TrimLeftFunc(t[i:], isPySpace)
	}
	if t != "" {
		parts = append(parts, t)
	}
	return parts
}

// splitLines splits at the line ends that Python knows.
func splitLines(t string, keep bool) (lines []string) {
	for t != "" {
		i := strings.IndexFunc(t, isLineEnd)
		if i < 0 {
			return append(lines, t)
		}
		r, w := utf8.DecodeRuneInString(t[i:])
		if r == '\r' && strings.HasPrefix(t[i+1:], "\n") {
			w = 2
		}
		if keep {
			lines = append(lines, t[:i+w])
		} else {
			lines = append(lines, t[:i])
		}
		t = t[i+w:]
	}
	return lines
}

func isLineEnd(r rune) bool {
	return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

func (s *state) joinTexts(sep string, a *args) any {
	p := a.bind(s, 1, "iterable")
	var b strings.Builder
	for i, e := range s.iterate(p[0]) {
		if i > 0 {
			b.WriteString(sep)
		}
		t, ok := asText(e)
		if !ok {
			s.fail("the method \"join\" wants texts, got %s", typeName(e))
		}
		b.WriteString(t)
		s.room(b.Len())
	}
	s.made(b.Len())
	return b.String()
}

func (s *state) replaceMethod(t string, a *args) any {
	p := a.bind(s, 2, "old", "new", "count")
	return s.replace(t, s.wantText(a.what, p[0]), s.wantText(a.what, p[1]), p[2])
}

// replace bounds what the result can be before it is made.
func (s *state) replace(t, old, with string, count any) string {
	n := -1
	if given(count) && count != nil {
		n = s.int("replace", count)
	}
	found := strings.Count(t, old)
	if n >= 0 {
		found = min(found, n)
	}
	s.made(len(t) + found*max(0, len(with)-len(old)))
	return strings.Replace(t, old, with, n)
}

func affix(has func(t, part string) bool) func(*state, string, *args) any {
	return func(s *state, t string, a *args) any {
		p := a.bind(s, 1, "prefix", "start", "end")
		if given(p[1]) {
			runes := []rune(t)
			from, to := s.part(len(runes), p[1], p[2])
			t = string(runes[from:max(from, to)])
		}
		if options, ok := p[0].(tuple); ok {
			for _, o := range options {
				if has(t, s.wantText(a.what, o)) {
					return true
				}
			}
			return false
		}
		return has(t, s.wantText(a.what, p[0]))
	}
}

func finder(last, must bool) func(*state, string, *args) any {
	return func(s *state, t string, a *args) any {
		p := a.bind(s, 1, "sub", "start", "end")
		part := s.wantText(a.what, p[0])
		s.scan(len(t))
		runes := []rune(t)
		from, to := s.part(len(runes), p[1], p[2])
		at := -1
		if from <= to {
			within := string(runes[from:to])
			if last {
				at = strings.LastIndex(within, part)
			} else {
				at = strings.Index(within, part)
			}
			if at >= 0 {
				at = from + utf8.RuneCountInString(within[:at])
			}
		}
		if at < 0 && must {
			s.fail("%s: the text is not found", a.what)
		}
		return int64(at)
	}
}

func countText(s *state, t string, a *args) any {
	p := a.bind(s, 1, "sub", "start", "end")
	s.scan(len(t))
	runes := []rune(t)
	from, to := s.part(len(runes), p[1], p[2])
	return int64(strings.Count(string(runes[from:max(from, to)]), s.wantText(a.what, p[0])))
}

func zfill(s *state, t string, a *args) any {
	width := s.int(a.what, a.bind(s, 1, "width")[0])
	n := width - utf8.RuneCountInString(t)
	if n <= 0 {
		return t
	}
	s.made(len(t) + n)
	sign := ""
	if t != "" && (t[0] == '-' || t[0] == '+') {
		sign, t = t[:1], t[1:]
	}
	return sign + strings.Repeat("0", n) + t
}

func justify(align byte) func(*state, string, *args) any {
	return func(s *state, t string, a *args) any {
		p := a.bind(s, 1, "width", "fillchar")
		fill := []rune(s.wantText(a.what, or(p[1], " ")))
		if len(fill) != 1 {
			s.fail("%s wants one character to fill with", a.what)
		}
		return s.align(t, s.int(a.what, p[0]), fill[0], align)
	}
}

func (s *state) align(t string, width int, fill rune, align byte) string {
	n := width - utf8.RuneCountInString(t)
	if n <= 0 {
		return t
	}
	s.room(n)
	s.made(len(t) + n*utf8.RuneLen(fill))
	left := 0
	switch align {
	case '>':
		left = n
	case '^': // Python puts the odd one to the left when the width is odd
		left = n/2 + n&width&1
	}
	return strings.Repeat(string(fill), left) + t + strings.Repeat(string(fill), n-left)
}

func partition(find func(t, sep string) int) func(*state, string, *args) any {
	return func(s *state, t string, a *args) any {
		sep := s.wantText(a.what, a.bind(s, 1, "sep")[0])
		if sep == "" {
			s.fail("%s: the separator is empty", a.what)
		}
		i := find(t, sep)
		switch {
		case i >= 0:
			return tuple{t[:i], sep, t[i+len(sep):]}
		case strings.Contains(a.what, "rpartition"):
			return tuple{"", "", t}
		}
		return tuple{t, "", ""}
	}
}

func remover(trim func(t, part string) string) func(*state, string, *args) any {
	return func(s *state, t string, a *args) any {
		return trim(t, s.wantText(a.what, a.bind(s, 1, "prefix")[0]))
	}
}

func expandTabs(s *state, t string, a *args) any {
	size := s.int(a.what, or(a.bind(s, 0, "tabsize")[0], int64(8)))
	var b strings.Builder
	column := 0
	for _, r := range t {
		switch r {
		case '\t':
			if size > 0 {
				n := size - column%size
				s.room(b.Len() + n)
				b.WriteString(strings.Repeat(" ", n))
				column += n
			}
		case '\n', '\r':
			b.WriteRune(r)
			column = 0
		default:
			b.WriteRune(r)
			column++
		}
	}
	s.made(b.Len())
	return b.String()
}
