package apicall

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// maxLinks bounds the links of a response that are kept, in bytes.
const maxLinks = 4 << 10

// links are the addresses to which an answer's headers lead, as absolute URLs:
// "location" (RFC 9110, 10.2.2) and "links" by relation (RFC 8288). Where there
// is none, the key is missing. What holds a secret is withheld.
func (a *attempt) links(resp *http.Response) (out *value.Map, withheld []any) {
	out = value.NewMap(2)
	base := resp.Request.URL
	if location := absolute(base, resp.Header.Get("Location")); location != nil {
		switch text := location.String(); {
		case len(text) > engine.MaxURL/2:
		case a.redactor().values(text) != text:
			withheld = append(withheld, "location")
		default:
			out.Set("location", text)
		}
	}
	links, size := value.NewMap(2), 0
	for _, l := range parseLinks(resp.Header["Link"]) {
		u := absolute(base, l.target)
		if u == nil || l.anchor != "" && !sameDocument(base, absolute(base, l.anchor)) {
			continue // of something else than this answer
		}
		text := u.String()
		for _, rel := range l.rels {
			_, known := links.Get(rel)
			if known || size+len(rel)+len(text) > maxLinks || a.redactor().values(text) != text {
				continue // the first of a relation counts
			}
			size += len(rel) + len(text)
			links.Set(rel, text)
		}
	}
	if links.Len() > 0 {
		out.Set("links", links)
	}
	return out, withheld
}

// absolute resolves a reference against an address (RFC 3986, 5); nil when it
// is none, or leads to something that no call can reach.
func absolute(base *url.URL, ref string) *url.URL {
	if ref == "" {
		return nil
	}
	to, err := url.Parse(escapeAddress(ref))
	if err != nil {
		return nil
	}
	u := base.ResolveReference(to)
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil
	}
	u.Fragment, u.RawFragment = "", ""
	return u
}

func sameDocument(base, anchor *url.URL) bool {
	return anchor != nil && engine.OriginOf(base) == engine.OriginOf(anchor) && base.RequestURI() == anchor.RequestURI()
}

// link is one link of a Link header.
type link struct {
	target, anchor string
	rels           []string // in lower case
}

// parseLinks reads Link headers as RFC 8288, appendix B.2 and B.3 have it: what
// cannot be read ends that header.
func parseLinks(headers []string) (out []link) {
	for _, rest := range headers {
		for {
			rest = strings.TrimLeft(rest, ", \t")
			if !strings.HasPrefix(rest, "<") {
				break
			}
			end := strings.IndexByte(rest, '>')
			if end < 0 {
				break
			}
			l := link{target: strings.TrimSpace(rest[1:end])}
			rest = l.parameters(rest[end+1:])
			if len(l.rels) > 0 {
				out = append(out, l)
			}
		}
	}
	return out
}

// parameters reads those of one link and returns what follows it. Of a
// parameter that comes twice the first counts.
func (l *link) parameters(s string) (rest string) {
	anchored := false
	for {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, ";") {
			if i := strings.IndexByte(s, ','); i >= 0 {
				return s[i:]
			}
			return ""
		}
		s = strings.TrimLeft(s[1:], " \t")
		end := strings.IndexAny(s, "=;, \t")
		if end < 0 {
			end = len(s)
		}
		name, value := strings.ToLower(s[:end]), ""
		if s = strings.TrimLeft(s[end:], " \t"); strings.HasPrefix(s, "=") {
			value, s = parameterValue(strings.TrimLeft(s[1:], " \t"))
		}
		switch {
		case name == "rel" && l.rels == nil:
			l.rels = strings.Fields(strings.ToLower(value))
		case name == "anchor" && !anchored:
			l.anchor, anchored = value, true
		}
	}
}

// parameterValue takes a token or a quoted string.
func parameterValue(s string) (v, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
