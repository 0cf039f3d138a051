package jinja

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/internal/value"
)

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
