package jinja

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

func validText(t string) bool { return utf8.ValidString(t) }

// maxPattern is the longest regular expression, in bytes.
const maxPattern = 4 << 10

// pattern compiles a regular expression (RE2: its time is bounded by the
// length of expression and text).
func (s *state) pattern(what string, p, ignorecase, multiline any) *regexp.Regexp {
	t := s.wantText(what, p)
	if len(t) > maxPattern {
		s.fail("%s: the expression is longer than %d bytes", what, maxPattern)
	}
	flags := ""
	if given(ignorecase) && s.truth(ignorecase) {
		flags += "i"
	}
	if given(multiline) && s.truth(multiline) {
		flags += "m"
	}
	if flags != "" {
		t = "(?" + flags + ")" + t
	}
	s.step(len(t))
	re, err := regexp.Compile(t)
	if err != nil {
		s.fail("%s: the expression cannot be used (the syntax is that of RE2: no look-around, no back references)", what)
	}
	return re
}

// subject is the text that is searched, whose length counts as work.
func (s *state) subject(what string, v any) string {
	t := s.str(v)
	s.step(len(t) / 16)
	return t
}

// regexSearchFilter is the first match, none where there is none; with groups
// ('\\1', '\\g<name>') a list of what they matched.
func regexSearchFilter(s *state, v any, a *args) any {
	groups := []any(nil)
	if len(a.pos) > 1 {
		groups, a.pos = a.pos[1:], a.pos[:1]
	}
	p := a.bind(s, 1, "regex", "ignorecase", "multiline")
	re := s.pattern(a.what, p[0], p[1], p[2])
	t := s.subject(a.what, v)
	found := re.FindStringSubmatch(t)
	if found == nil {
		return nil
	}
	if groups == nil {
		return found[0]
	}
	out := &list{}
	for _, g := range groups {
		at := groupAt(re, strings.TrimPrefix(s.str(g), `\`))
		if at < 0 || at >= len(found) {
			s.fail("%s: the expression has no such group; they are written '\\\\1' or '\\\\g<name>'", a.what)
		}
		out.items = append(out.items, found[at])
	}
	return out
}

// groupAt finds a group by number or by g<name>; -1 where there is none.
func groupAt(re *regexp.Regexp, name string) int {
	if inner, ok := strings.CutPrefix(name, "g<"); ok {
		return re.SubexpIndex(strings.TrimSuffix(inner, ">"))
	}
	at := 0
	for _, c := range name {
		if c < '0' || c > '9' || at > 99 {
			return -1
		}
		at = 10*at + int(c-'0')
	}
	if name == "" {
		return -1
	}
	return at
}

// regexFindallFilter lists the matches: texts, or what the one group matched,
// or lists of what the groups did.
func regexFindallFilter(s *state, v any, a *args) any {
	p := a.bind(s, 1, "regex", "multiline", "ignorecase")
	re := s.pattern(a.what, p[0], p[2], p[1])
	t := s.subject(a.what, v)
	out := &list{}
	for _, m := range re.FindAllStringSubmatch(t, -1) {
		s.step(1)
		switch len(m) {
		case 1:
			out.items = append(out.items, m[0])
		case 2:
			out.items = append(out.items, m[1])
		default:
			out.items = append(out.items, texts(m[1:]))
		}
	}
	return out
}

// regexReplaceFilter replaces every match; \1 and \g<name> in the replacement
// stand for groups.
func regexReplaceFilter(s *state, v any, a *args) any {
	p := a.bind(s, 1, "pattern", "replacement", "ignorecase", "multiline")
	re := s.pattern(a.what, p[0], p[2], p[3])
	t, with := s.subject(a.what, v), template(s.str(or(p[1], "")))
	var b strings.Builder
	last := 0
	for _, m := range re.FindAllStringSubmatchIndex(t, -1) {
		s.step(1)
		b.WriteString(t[last:m[0]])
		b.Write(re.ExpandString(nil, with, t, m))
		s.room(b.Len())
		last = m[1]
	}
	b.WriteString(t[last:])
	s.made(b.Len())
	return b.String()
}

var groupPattern = regexp.MustCompile(`\\(\d{1,2}|g<\w+>|\\)`)

// template turns a replacement as Python writes it into one as Go does.
func template(with string) string {
	with = strings.ReplaceAll(with, "$", "$$")
	return groupPattern.ReplaceAllStringFunc(with, func(m string) string {
		if m == `\\` {
			return `\`
		}
		return "${" + strings.TrimSuffix(strings.TrimPrefix(m[1:], "g<"), ">") + "}"
	})
}
