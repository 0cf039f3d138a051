package apicall

import (
	"hash"
	"net/http"
	"slices"
	"strings"
)

// challenge is what a server asks with a WWW-Authenticate header of the scheme
// Digest (RFC 7616, 3.3). Texts are as they came, byte by byte.
type challenge struct {
	realm, nonce, algorithm string
	opaque                  *string // nil: there is none
	qop                     []string
	stale, userhash         bool
}

// hash is the function of the algorithm, and whether the algorithm is one of
// sessions; nil: it is not known.
func (c *challenge) hash() (h hash.Hash, sess bool) {
	name := c.algorithm
	if n := len(name) - len("-sess"); n > 0 && strings.EqualFold(name[n:], "-sess") {
		name, sess = name[:n], true
	}
	return digestHash(name), sess
}

// offered is the quality of protection that is taken: without the body where
// that is enough.
func (c *challenge) offered() string {
	for _, q := range []string{"auth", "auth-int"} {
		if slices.Contains(c.qop, q) {
			return q
		}
	}
	return ""
}

// can reports whether the challenge can be answered.
func (c *challenge) can() bool {
	h, _ := c.hash()
	return h != nil && c.nonce != "" && (len(c.qop) == 0 || c.offered() != "")
}

// strength orders what can be answered: all others go before MD5.
func (c *challenge) strength() int {
	if h, _ := c.hash(); h.Size() > 16 {
		return 1
	}
	return 0
}

// findChallenge returns the best challenge of an answer that can be met, nil
// when there is none.
func findChallenge(h http.Header) (best *challenge) {
	for _, header := range h["Www-Authenticate"] {
		for _, asked := range parseChallenges(header) {
			if !strings.EqualFold(asked.scheme, "Digest") {
				continue
			}
			if c := newChallenge(asked.params); c.can() && (best == nil || c.strength() > best.strength()) {
				best = c
			}
		}
	}
	return best
}

func newChallenge(params []authParam) *challenge {
	c := &challenge{}
	for _, p := range params {
		switch p.name {
		case "realm":
			c.realm = p.value
		case "nonce":
			c.nonce = p.value
		case "algorithm":
			c.algorithm = p.value
		case "opaque":
			c.opaque = &p.value
		case "stale":
			c.stale = strings.EqualFold(p.value, "true")
		case "userhash":
			c.userhash = strings.EqualFold(p.value, "true")
		case "qop":
			c.qop = strings.FieldsFunc(strings.ToLower(p.value), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		}
	}
	return c
}

// schemes are the schemes that an answer asks for, for messages.
func schemes(h http.Header) (names []string) {
	for _, header := range h["Www-Authenticate"] {
		for _, asked := range parseChallenges(header) {
			if !slices.Contains(names, asked.scheme) {
				names = append(names, asked.scheme)
			}
		}
	}
	return names
}

// authChallenge is one challenge of a header, and authParam one parameter of it;
// the name is in lower case.
type authChallenge struct {
	scheme string
	params []authParam
}

type authParam struct{ name, value string }

// parseChallenges takes a WWW-Authenticate header apart (RFC 9110, 11.6.1).
// Several challenges may stand in one. It reads what real devices send, too:
// spaces around the equals sign, no comma between parameters, one too many.
func parseChallenges(header string) (out []authChallenge) {
	for rest := header; ; {
		rest = strings.TrimLeft(rest, ", \t")
		if rest == "" {
			return out
		}
		end := strings.IndexAny(rest, "=, \t\"")
		if end < 0 {
			end = len(rest)
		}
		word := rest[:end]
		after := strings.TrimLeft(rest[end:], " \t")
		switch {
		case strings.HasPrefix(after, "="):
			var v string
			v, rest = authValue(strings.TrimLeft(after[1:], " \t"))
			if len(out) > 0 {
				last := &out[len(out)-1]
				last.params = append(last.params, authParam{strings.ToLower(word), v})
			}
		case word == "": // a quote where nothing begins with one
			_, rest = authValue(after)
		default:
			out = append(out, authChallenge{scheme: word})
			rest = after
		}
	}
}

// parseParams reads parameters without a scheme before them.
func parseParams(header string) []authParam {
	if all := parseChallenges("none " + header); len(all) > 0 {
		return all[0].params
	}
	return nil
}

// authValue reads a quoted text, or up to the next comma or space.
func authValue(s string) (v, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:]
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// quoted escapes a text for between quotes (RFC 9110, 5.6.4).
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}
