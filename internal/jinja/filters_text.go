package jinja

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
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
		m := value.NewMap(len(a.names))
		for i, n := range a.names {
			m.Set(n, a.named[i])
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
	m, ok := v.(*value.Map)
	if !ok {
		s.fail("the filter \"xmlattr\" wants a mapping, got %s", typeName(v))
	}
	var out []string
	for k, e := range m.All() {
		if e == nil {
			continue
		}
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

func urlencodeFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	var pairs []any
	switch x := v.(type) {
	case *value.Map:
		pairs = s.pairs(textMap{x})
	case *dict:
		pairs = s.pairs(x)
	case string, markup:
	default:
		if items, ok := s.items(v); ok {
			pairs = items
		} else {
			v = s.str(v)
		}
	}
	if t, ok := asText(v); ok {
		s.made(3 * len(t))
		return quoteURL(t, "/")
	}
	var parts []string
	for _, p := range pairs {
		items := s.unpack(p, 2)
		k, e := quoteURL(s.str(items[0]), ""), quoteURL(s.str(items[1]), "")
		s.made(len(k) + len(e))
		parts = append(parts, strings.ReplaceAll(k, "%20", "+")+"="+strings.ReplaceAll(e, "%20", "+"))
	}
	return strings.Join(parts, "&")
}

// quoteURL encodes all but letters, digits, "_.-~" and what keep lists (RFC
// 3986, 2.3).
func quoteURL(t, keep string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(t) {
		c := t[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-~", c) >= 0 || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

var (
	urlPattern   = regexp.MustCompile(`(?i)^((https?://|www\.)(([\w%-]+\.)+)?([a-z]{2,63}|xn--[\w%]{2,59})|([\w%-]{2,63}\.)+(com|net|int|edu|gov|org|info|mil)|(https?://)((([\d]{1,3})(\.[\d]{1,3}){3})|(\[([\da-f]{0,4}:){2}([\da-f]{0,4}:?){1,6}\])))(?::[\d]{1,5})?(?:[/?#]\S*)?$`)
	emailPattern = regexp.MustCompile(`^\S+@\w[\w.-]*\.\w+$`)
	spacePattern = regexp.MustCompile(`\s+`)
	headPattern  = regexp.MustCompile(`^([(<]|&lt;)+`)
	tailPattern  = regexp.MustCompile(`([)>.,\n]|&gt;)+$`)
)

// urlizeFilter makes links of addresses in text.
func urlizeFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "trim_url_limit", "nofollow", "target", "rel", "extra_schemes")
	t := escape(s.str(v))
	s.made(4 * len(t))
	s.step(len(t))
	l := linker{limit: -1}
	if given(p[0]) && p[0] != nil {
		l.limit = s.int(a.what, p[0])
	}
	rel := map[string]bool{"noopener": true}
	if s.truth(or(p[1], false)) {
		rel["nofollow"] = true
	}
	if given(p[3]) && p[3] != nil {
		for r := range strings.FieldsSeq(s.str(p[3])) {
			rel[r] = true
		}
	}
	l.attrs = ` rel="` + escape(strings.Join(sortedKeys(rel), " ")) + `"`
	if given(p[2]) && p[2] != nil {
		l.attrs += ` target="` + escape(s.str(p[2])) + `"`
	}
	if given(p[4]) && p[4] != nil {
		for _, e := range s.iterate(p[4]) {
			l.schemes = append(l.schemes, s.str(e))
		}
	}
	var b strings.Builder
	at := 0
	for _, gap := range append(spacePattern.FindAllStringIndex(t, -1), []int{len(t), len(t)}) {
		b.WriteString(l.link(t[at:gap[0]]))
		b.WriteString(t[gap[0]:gap[1]])
		at = gap[1]
		s.room(b.Len())
	}
	return b.String()
}

// linker makes links of words.
type linker struct {
	attrs   string
	limit   int // of what is shown; -1: none
	schemes []string
}

func (l *linker) link(word string) string {
	head := headPattern.FindString(word)
	middle, tail := word[len(head):], ""
	if at := tailPattern.FindStringIndex(middle); at != nil {
		middle, tail = middle[:at[0]], middle[at[0]:]
	}
	for _, pair := range [][2]string{{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}} {
		opened := strings.Count(middle, pair[0])
		if opened <= strings.Count(middle, pair[1]) {
			continue
		}
		for range min(opened, strings.Count(tail, pair[1])) {
			end := strings.Index(tail, pair[1]) + len(pair[1])
			middle, tail = middle+tail[:end], tail[end:]
		}
	}
	return head + l.middle(middle) + tail
}

func (l *linker) middle(word string) string {
	shown := word
	if l.limit >= 0 && utf8.RuneCountInString(word) > l.limit {
		shown = string([]rune(word)[:l.limit]) + "..."
	}
	mail, isMail := strings.CutPrefix(word, "mailto:")
	switch {
	case urlPattern.MatchString(word):
		href := word
		if !strings.HasPrefix(word, "https://") && !strings.HasPrefix(word, "http://") {
			href = "https://" + word
		}
		return `<a href="` + href + `"` + l.attrs + `>` + shown + `</a>`
	case isMail && emailPattern.MatchString(mail):
		return `<a href="` + word + `">` + mail + `</a>`
	case strings.Contains(word, "@") && !strings.HasPrefix(word, "www.") && !strings.HasPrefix(word, "@") && !strings.Contains(word, ":") && emailPattern.MatchString(word):
		return `<a href="mailto:` + word + `">` + word + `</a>`
	}
	for _, scheme := range l.schemes {
		if word != scheme && strings.HasPrefix(word, scheme) {
			return `<a href="` + word + `"` + l.attrs + `>` + word + `</a>`
		}
	}
	return word
}

func pprintFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	var b strings.Builder
	s.repr(&b, sortedMaps(v), 0)
	s.made(b.Len())
	return b.String()
}
