package jinja

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// textFilter is a filter that turns text into text.
func textFilter(f func(string) string) filterFunc {
	return func(s *state, v any, a *args) any {
		a.bind(s, 0)
		t := s.str(v)
		s.made(len(t))
		if _, safe := v.(markup); safe {
			return markup(f(t))
		}
		return f(t)
	}
}

func stringFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	if m, ok := v.(markup); ok {
		return m
	}
	t := s.str(v)
	s.made(len(t))
	return t
}

func safeFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	return markup(s.str(v))
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\"", "&#34;", "'", "&#39;")

// escape makes text safe within HTML and XML.
func escape(t string) string { return escaper.Replace(t) }

func escapeFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	if m, ok := v.(markup); ok {
		return m
	}
	return forceEscapeFilter(s, v, a)
}

func forceEscapeFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	t := s.str(v)
	s.made(len(t))
	out := escape(t)
	s.made(len(out))
	return markup(out)
}

func titleFilter(t string) string {
	var b strings.Builder
	first := true
	for _, r := range t {
		if unicode.IsSpace(r) || strings.ContainsRune("-({[<", r) {
			first = true
			b.WriteRune(r)
			continue
		}
		if first {
			b.WriteRune(unicode.ToUpper(r))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		first = false
	}
	return b.String()
}

func trimFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "chars")
	out := s.strip(s.str(v), p[0], true, true)
	if _, safe := v.(markup); safe {
		return markup(out)
	}
	return out
}

func replaceFilter(s *state, v any, a *args) any {
	p := a.bind(s, 2, "old", "new", "count")
	return s.replace(s.str(v), s.str(p[0]), s.str(p[1]), p[2])
}

func centerFilter(s *state, v any, a *args) any {
	return s.align(s.str(v), s.int(a.what, or(a.bind(s, 0, "width")[0], int64(80))), ' ', '^')
}

func formatFilter(s *state, v any, a *args) any {
	if len(a.pos) > 0 && len(a.names) > 0 {
		s.fail("the filter \"format\" takes values or names, not both")
	}
	if len(a.names) > 0 {
		m := &dict{}
		for i, n := range a.names {
			m.set(s, n, a.named[i])
		}
		return s.percent(s.str(v), m, v)
	}
	return s.percent(s.str(v), tuple(a.pos), v)
}

func indentFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "width", "first", "blank")
	by, ok := asText(p[0])
	if !ok {
		n := s.int(a.what, or(p[0], int64(4)))
		s.room(max(0, n))
		by = strings.Repeat(" ", max(0, n))
	}
	lines := splitLines(s.wantText(a.what, v)+"\n", false)
	s.made(len(lines) * (len(by) + 1))
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == 0 && s.truth(or(p[1], false)) || i > 0 && (line != "" || s.truth(or(p[2], false))) {
			b.WriteString(by)
		}
		b.WriteString(line)
		s.room(b.Len())
	}
	return b.String()
}

func truncateFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "length", "killwords", "end", "leeway")
	length := s.int(a.what, or(p[0], int64(255)))
	end := s.str(or(p[2], "..."))
	leeway := 5
	if given(p[3]) && p[3] != nil {
		leeway = s.int(a.what, p[3])
	}
	if length < utf8.RuneCountInString(end) || leeway < 0 {
		s.fail("%s: the length is shorter than the end, or the leeway is negative", a.what)
	}
	text := s.wantText(a.what, v)
	s.made(len(text))
	runes := []rune(text)
	if len(runes) <= length+leeway {
		return v
	}
	cut := string(runes[:length-utf8.RuneCountInString(end)])
	if i := strings.LastIndexByte(cut, ' '); i >= 0 && !s.truth(or(p[1], false)) {
		cut = cut[:i]
	}
	return cut + end
}

var wordPattern = regexp.MustCompile(`[\p{L}\p{N}_]+`)

func wordcountFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	t := s.str(v)
	s.made(len(t))
	s.step(len(t) / 16)
	return int64(len(wordPattern.FindAllStringIndex(t, -1)))
}

var tagPattern = regexp.MustCompile(`(?s)<!--.*?-->|<[^>]*>`)

func striptagsFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	t := s.str(v)
	s.made(2 * len(t))
	s.step(len(t) / 16)
	t = tagPattern.ReplaceAllString(t, "")
	return html.UnescapeString(strings.Join(strings.Fields(t), " "))
}

func xmlattrFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "autospace")
	m, ok := asMapping(v)
	if !ok {
		s.fail("the filter \"xmlattr\" wants a mapping, got %s", typeName(v))
	}
	var out []string
	for key, e := range m.all() {
		if e == nil {
			continue
		}
		k := s.str(key)
		if strings.ContainsAny(k, " \t\n\f\r/>=") {
			s.fail("the filter \"xmlattr\" got a name with a character that no attribute may have")
		}
		text := s.str(e)
		if _, safe := e.(markup); !safe {
			text = escape(text)
		}
		out = append(out, escape(k)+`="`+text+`"`)
		s.made(len(text) + len(k))
	}
	t := strings.Join(out, " ")
	if t != "" && s.truth(or(p[0], true)) {
		t = " " + t
	}
	return t
}

func pprintFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	var b strings.Builder
	s.repr(&b, sortedMaps(v), 0)
	s.made(b.Len())
	return b.String()
}
