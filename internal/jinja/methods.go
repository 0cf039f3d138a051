package jinja

import (
	"math"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
)

// methods are those that only read, by the type of their value.
var (
	textMethods map[string]func(s *state, t string, a *args) any
	listMethods map[string]func(s *state, l []any, a *args) any
	mapMethods  map[string]func(s *state, m mapping, a *args) any
)

// method returns a method of a value, nil when it has none of that name.
func method(v any, name string) any {
	switch v := v.(type) {
	case string:
		if f := textMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return f(s, v, a) }}
		}
	case markup:
		if f := textMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return rewrap(f(s, string(v), a)) }}
		}
	case []any:
		if f := listMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return f(s, v, a) }}
		}
	case tuple:
		if f := listMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return f(s, v, a) }}
		}
	case *value.Map, *dict:
		if f := mapMethods[name]; f != nil {
			m, _ := asMapping(v)
			return &function{name, func(s *state, a *args) any { return f(s, m, a) }}
		}
	case int64, *big.Int:
		switch name {
		case "bit_length":
			return numberMethod(name, int64(toBig(v).BitLen()))
		case "is_integer":
			return numberMethod(name, true)
		}
	case float64:
		if name == "is_integer" {
			return numberMethod(name, v == math.Trunc(v))
		}
	case *span:
		if f := listMethods[name]; f != nil {
			return &function{name, func(s *state, a *args) any { return f(s, v.list(), a) }}
		}
	}
	return nil
}

// numberMethod is a method without arguments whose result is known.
func numberMethod(name string, result any) *function {
	return &function{name, func(s *state, a *args) any {
		a.bind(s, 0)
		return result
	}}
}

// rewrap keeps text that was escaped marked as such.
func rewrap(v any) any {
	switch v := v.(type) {
	case string:
		return markup(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = rewrap(e)
		}
		return out
	}
	return v
}

func init() { // not at their declarations: they use the evaluator, which looks methods up
	listMethods = map[string]func(*state, []any, *args) any{
		"index": listIndex,
		"count": func(s *state, l []any, a *args) any {
			p, n := a.bind(s, 1, "value"), int64(0)
			for _, e := range l {
				if s.equal(e, p[0]) {
					n++
				}
			}
			return n
		},
		"copy": func(s *state, l []any, a *args) any {
			a.bind(s, 0)
			return l
		},
	}
	mapMethods = map[string]func(*state, mapping, *args) any{
		"items": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			return view{"dict_items", s.pairs(m)}
		},
		"keys": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			return view{"dict_keys", s.mapKeys(m)}
		},
		"values": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			s.step(m.Len())
			out := make([]any, 0, m.Len())
			for _, v := range m.all() {
				out = append(out, v)
			}
			return view{"dict_values", out}
		},
		"get": func(s *state, m mapping, a *args) any {
			p := a.bind(s, 1, "key", "default")
			s.hashable(p[0])
			if v, ok := m.get(s, p[0]); ok {
				return v
			}
			return or(p[1], nil)
		},
		"copy": func(s *state, m mapping, a *args) any {
			a.bind(s, 0)
			if t, ok := m.(textMap); ok {
				return t.Map
			}
			return m
		},
	}
	simple := func(f func(string) any) func(*state, string, *args) any {
		return func(s *state, t string, a *args) any {
			a.bind(s, 0)
			s.made(len(t))
			return f(t)
		}
	}
	textMethods = map[string]func(*state, string, *args) any{
		"upper":      simple(func(t string) any { return upper(t) }),
		"lower":      simple(func(t string) any { return lower(t) }),
		"casefold":   simple(func(t string) any { return strings.ReplaceAll(lower(t), "ß", "ss") }),
		"title":      simple(func(t string) any { return titleWords(t) }),
		"capitalize": simple(func(t string) any { return capitalize(t) }),
		"swapcase":   simple(func(t string) any { return swapCase(t) }),
		"isdigit":    simple(func(t string) any { return every(t, unicode.IsDigit) }),
		"isnumeric":  simple(func(t string) any { return every(t, unicode.IsNumber) }),
		"isdecimal":  simple(func(t string) any { return every(t, func(r rune) bool { return unicode.Is(unicode.Nd, r) }) }),
		"isalpha":    simple(func(t string) any { return every(t, unicode.IsLetter) }),
		"isalnum": simple(func(t string) any {
			return every(t, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
		}),
		"isspace":      simple(func(t string) any { return every(t, unicode.IsSpace) }),
		"isupper":      simple(func(t string) any { return isCase(t, unicode.IsLower) }),
		"islower":      simple(func(t string) any { return isCase(t, unicode.IsUpper) }),
		"isascii":      simple(func(t string) any { return isASCII(t) }),
		"istitle":      simple(func(t string) any { return t != "" && titleWords(t) == t && strings.ToLower(t) != strings.ToUpper(t) }),
		"isidentifier": simple(func(t string) any { return isIdentifier(t) }),
		"isprintable":  simple(func(t string) any { return t == "" || every(t, unicode.IsPrint) }),
		"strip":        stripper(true, true),
		"lstrip":       stripper(true, false),
		"rstrip":       stripper(false, true),
		"split":        func(s *state, t string, a *args) any { return s.split(t, a, false) },
		"rsplit":       func(s *state, t string, a *args) any { return s.split(t, a, true) },
		"splitlines": func(s *state, t string, a *args) any {
			p := a.bind(s, 0, "keepends")
			s.made(len(t))
			return texts(splitLines(t, s.truth(or(p[0], false))))
		},
		"join":         func(s *state, t string, a *args) any { return s.joinTexts(t, a) },
		"replace":      func(s *state, t string, a *args) any { return s.replaceMethod(t, a) },
		"startswith":   affix(strings.HasPrefix),
		"endswith":     affix(strings.HasSuffix),
		"find":         finder(false, false),
		"rfind":        finder(true, false),
		"index":        finder(false, true),
		"rindex":       finder(true, true),
		"count":        countText,
		"format":       func(s *state, t string, a *args) any { return s.formatMethod(t, a) },
		"zfill":        zfill,
		"ljust":        justify('<'),
		"rjust":        justify('>'),
		"center":       justify('^'),
		"partition":    partition(strings.Index),
		"rpartition":   partition(strings.LastIndex),
		"removeprefix": remover(strings.TrimPrefix),
		"removesuffix": remover(strings.TrimSuffix),
		"expandtabs":   expandTabs,
	}
}

// pairs are the items of a mapping.
func (s *state) pairs(m mapping) []any {
	s.step(m.Len())
	out := make([]any, 0, m.Len())
	for k, v := range m.all() {
		out = append(out, tuple{k, v})
	}
	return out
}

// mapKeys are the keys of a mapping.
func (s *state) mapKeys(m mapping) []any {
	s.step(m.Len())
	out := make([]any, 0, m.Len())
	for k := range m.all() {
		out = append(out, k)
	}
	return out
}

func listIndex(s *state, l []any, a *args) any {
	p := a.bind(s, 1, "value", "start", "stop")
	from, to := s.part(len(l), p[1], p[2])
	for i := from; i < to; i++ {
		if s.equal(l[i], p[0]) {
			return int64(i)
		}
	}
	s.fail("index: the list does not contain the value")
	return nil
}

// part are the bounds of a part, from optional arguments that may be negative.
func (s *state) part(n int, from, to any) (int, int) {
	bound := func(v any, def int) int {
		if !given(v) || v == nil {
			return def
		}
		i := s.int("a position", v)
		if i < 0 {
			i += n
		}
		return max(0, min(i, n))
	}
	return bound(from, 0), bound(to, n)
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, t := range list {
		out[i] = t
	}
	return out
}

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
