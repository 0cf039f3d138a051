package engine

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// OriginOf is the scheme, host and port of an http or https address, in a form
// that can be compared; "" when it is none.
func OriginOf(u *url.URL) string {
	port := u.Port()
	switch {
	case u.Hostname() == "" || u.User != nil:
		return ""
	case u.Scheme == "http" && port == "":
		port = "80"
	case u.Scheme == "https" && port == "":
		port = "443"
	case u.Scheme != "http" && u.Scheme != "https":
		return ""
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// maxOrigins bounds the origins that a flow names itself.
const maxOrigins = 10_000

// origins collects the addresses that the file itself names: in its tasks, as
// their types say, and as the values that variables have by themselves.
func (c *compilation) origins() {
	set := map[string]bool{}
	for _, o := range c.named {
		set[o] = true
	}
	for name := range c.flow.Variables.All() {
		v, _ := c.flow.Default(name)
		addOrigins(set, v)
	}
	for _, v := range c.flow.Values.All() {
		addOrigins(set, v)
	}
	c.flow.Origins = nil
	for o := range set {
		if c.flow.Origins = append(c.flow.Origins, o); len(c.flow.Origins) == maxOrigins {
			break
		}
	}
	slices.Sort(c.flow.Origins)
}

func addOrigins(set map[string]bool, v any) {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, "http://") && !strings.HasPrefix(v, "https://") {
			return
		}
		if u, err := url.Parse(v); err == nil {
			if o := OriginOf(u); o != "" {
				set[o] = true
			}
		}
	case []any:
		for _, e := range v {
			addOrigins(set, e)
		}
	case *value.Map:
		for _, e := range v.All() {
			addOrigins(set, e)
		}
	}
}

// OwnOrigin reports whether the flow file itself names an origin: then an
// address that data gives may lead there.
func (f *Flow) OwnOrigin(origin string) bool {
	_, found := slices.BinarySearch(f.Origins, origin)
	return found && origin != ""
}
