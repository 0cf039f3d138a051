package apicall

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// hidden stands where a secret was.
const hidden = secret.Hidden

// minSecret is the shortest secret that is looked for by value: shorter ones
// would hide half of the text around them.
const minSecret = 8

// redactor hides the secrets of one attempt: by value, in every form in which
// they may come back, and by name.
type redactor struct {
	replacer *strings.Replacer
	any      bool
	secrets  []string // for which it was made
	used     []string
	forms    []string                 // of all secrets
	named    func(name string) string // what stands for a secret of that name; nil: stars
}

// as is what stands in the place of a secret.
func (r *redactor) as(name string) string {
	if r.named == nil {
		return hidden
	}
	return r.named(name)
}

// stands reports whether something stands in the place of a secret already.
func (r *redactor) stands(s string) bool { return r.named != nil && standPattern.MatchString(s) }

// newRedactor prepares for the secrets that an attempt has used. Texts that were
// made of what is sensitive are looked for even when they are short: they are
// known to be in the request.
func newRedactor(secrets []string, used ...string) *redactor {
	return redactorAs(nil, secrets, used...)
}

// redactorAs is newRedactor with something else in the place of secrets.
func redactorAs(named func(name string) string, secrets []string, used ...string) *redactor {
	r := &redactor{secrets: slices.Clone(secrets), named: named}
	var pairs []string
	used = slices.Clone(used)
	slices.SortStableFunc(used, func(a, b string) int { return len(b) - len(a) }) // a longer one first
	for _, s := range used {
		for _, form := range append(forms(s), cores(s)...) {
			pairs = append(pairs, form, r.as("secret"))
		}
	}
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range forms(s) {
			pairs = append(pairs, form, r.as("secret"))
		}
	}
	r.any, r.used = len(pairs) > 0, used
	for i := 0; i < len(pairs); i += 2 {
		r.forms = append(r.forms, pairs[i])
	}
	if r.any {
		r.replacer = strings.NewReplacer(pairs...)
	}
	return r
}

// forms are the encodings in which a secret is looked for, longest first so
// that a longer one is not broken by a shorter one inside it.
func forms(s string) []string {
	out := []string{hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
	out = append(out, base64Forms(s)...)
	if escaped := url.QueryEscape(s); escaped != s {
		out = append(out, base64Forms(escaped)...) // OAuth2 clients escape what they send as basic (RFC 6749, 2.3.1)
	}
	for _, encoded := range []string{url.QueryEscape(s), url.PathEscape(s)} {
		out = append(out, encoded, lowerPercent(encoded))
	}
	out = append(out, quotedForms(s)...)
	var b strings.Builder
	escapeXML(&b, s)
	if b.String() != s {
		out = append(out, b.String(), html.EscapeString(s))
	}
	return append(out, s)
}

// minCore is the shortest core of a text that is looked for.
const minCore = 12

// cores are the parts of a text that no way of writing it changes, where they
// are long: what is in JSON, in a form, in a query has been through several.
func cores(s string) (out []string) {
	for _, core := range strings.FieldsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		if len(core) >= minCore {
			out = append(out, core)
		}
	}
	return out
}

// base64Forms are a text in base64, alone and inside a longer text
// (user:password): there it starts at one of three offsets, and the middle of
// each is what stays the same.
func base64Forms(s string) []string {
	raw := []byte(s)
	out := []string{
		base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw),
		base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	}
	for offset := range 3 {
		padded := append(make([]byte, offset), raw...)
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			enc := encoding.EncodeToString(padded)
			from, to := (offset*8+5)/6, len(padded)*8/6
			if to-from >= minSecret {
				out = append(out, enc[from:to])
			}
		}
	}
	return out
}

// quotedForms are the ways in which programs write a text into JSON: as it is,
// without what HTML might misread, in ASCII, and with slashes escaped.
func quotedForms(s string) []string {
	plain := string(value.AppendString(nil, s))
	out := []string{plain[1 : len(plain)-1], strings.ReplaceAll(plain[1:len(plain)-1], "/", `\/`)}
	if html, err := json.Marshal(s); err == nil {
		out = append(out, string(html[1:len(html)-1]))
	}
	ascii := strconv.QuoteToASCII(s)
	return append(out, ascii[1:len(ascii)-1])
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerPercent(s string) string { return percent.ReplaceAllStringFunc(s, strings.ToLower) }

// keyValue finds names with secret values in JSON, forms, queries and headers.
var keyValue = regexp.MustCompile(`(?i)("?[\w.-]*(?:` + secret.Pattern() + `)[\w.-]*"?\s*[:=]\s*)` +
	`("(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|\{[^}]*\}?|(?:(?:bearer|basic|digest|token)\s+)?[^\s&,;"}<]+)`)

// values hides secrets by value, for our own words: by name, "a password: use
// a credential" would lose its point.
func (r *redactor) values(s string) string {
	if r.any {
		return r.replacer.Replace(s)
	}
	return s
}

// message hides secrets in our own words about a value, which may have been cut
// in the middle of one before: "abc..." shows a part of it.
func (r *redactor) message(s string) string {
	if !r.any {
		return s
	}
	s = r.values(s)
	for from := 0; ; {
		dots := strings.Index(s[from:], "...")
		if dots < 0 {
			return s
		}
		end := from + dots
		if begin := r.beginning(strings.TrimSuffix(s[:end], " ")); begin >= 0 {
			s = s[:begin] + r.as("secret") + s[end:]
			end = begin + len(r.as("secret"))
		}
		from = end + len("...")
	}
}

// escapedLetter finds a letter of ASCII that is written as its number, also in JSON
// within JSON; escapedText texts of JSON with escapes.
var (
	escapedLetter = regexp.MustCompile(`\\+u00[2-7][0-9a-fA-F]`)
	escapedText   = regexp.MustCompile(`"[^"\\]*(?:\\.[^"\\]*)+"`)
)

// escaped hides secrets in JSON that spells them with escapes.
func (r *redactor) escaped(s string) string {
	if !r.any || !strings.Contains(s, `\`) {
		return s
	}
	plain := escapedLetter.ReplaceAllStringFunc(s, func(letter string) string {
		if c, err := strconv.ParseUint(letter[len(letter)-2:], 16, 8); err == nil && c != '"' && c != '\\' && c < 0x7f {
			return string(rune(c))
		}
		return letter
	})
	if clean := r.values(plain); clean != plain {
		s = clean
	}
	return escapedText.ReplaceAllStringFunc(s, func(literal string) string {
		var text string
		if json.Unmarshal([]byte(literal), &text) != nil {
			return literal
		}
		if clean := r.values(text); clean != text {
			return string(value.AppendString(nil, clean))
		}
		return literal
	})
}

// said hides secrets in a line that a hook has written, which may have been cut in
// the middle of one.
func (r *redactor) said(s string) string {
	if !r.any {
		return s
	}
	s = r.escaped(r.message(s))
	if begin := r.beginning(s); begin >= 0 {
		s = s[:begin] + r.as("secret")
	}
	return s
}

// minShown is how much of a secret may stand in a message, in bytes.
const minShown = 3

// beginning is where the longest beginning of a secret starts that a text ends
// with; -1 when it ends with none.
func (r *redactor) beginning(s string) int {
	at := -1
	for _, form := range r.forms {
		for n := min(len(form), len(s)); n > minShown; n-- {
			if strings.HasSuffix(s, form[:n]) {
				if at < 0 || len(s)-n < at {
					at = len(s) - n
				}
				break
			}
		}
	}
	return at
}

// text hides secrets in free text, such as an excerpt of a body, by value and
// by name.
func (r *redactor) text(s string) string {
	s = r.values(s)
	return keyValue.ReplaceAllStringFunc(s, func(m string) string {
		parts := keyValue.FindStringSubmatch(m)
		if r.stands(parts[2]) {
			return m
		}
		stands := r.as(strings.Trim(parts[1], "\" \t\r\n:="))
		if strings.HasPrefix(parts[2], `"`) {
			return parts[1] + `"` + stands + `"`
		}
		return parts[1] + stands
	})
}

// header hides a header's value by its name, or the secrets in it.
func (r *redactor) header(name, v string) string {
	if secret.Name(name) {
		if scheme, _, ok := strings.Cut(v, " "); ok && strings.EqualFold(name, "Authorization") {
			return scheme + " " + hidden
		}
		return hidden
	}
	return r.values(v)
}

// url hides secret query parameters by name, and secrets by value.
func (r *redactor) url(u *url.URL) string {
	if !r.any && u.RawQuery == "" {
		return r.userinfo(u)
	}
	c := *u
	if c.RawQuery != "" {
		parts := strings.Split(c.RawQuery, "&")
		for i, p := range parts {
			k, _, ok := strings.Cut(p, "=")
			if name, err := url.QueryUnescape(k); ok && (err != nil || secret.Name(name)) && !r.stands(p) {
				parts[i] = k + "=" + r.as(name)
			}
		}
		c.RawQuery = strings.Join(parts, "&")
	}
	return r.values(r.userinfo(&c))
}

// userinfo is the address with its password hidden.
func (r *redactor) userinfo(u *url.URL) string {
	if r.named == nil || u.User == nil {
		return u.Redacted()
	}
	c := *u
	if password, ok := u.User.Password(); ok && !r.stands(password) {
		c.User = url.UserPassword(u.User.Username(), r.as("password"))
	}
	return c.String()
}
