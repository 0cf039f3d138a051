package apicall

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// ownOrigin is the scheme, host and port that a task's url has by the flow file
// alone, with the defaults of variables; "" when data makes it. Only the text
// up to the path is looked at, so that the rest may read whatever it likes.
func ownOrigin(source string, flow *engine.Flow) string {
	t, err := jinja.Parse("url", source[:authorityEnd(source)])
	if err != nil {
		return ""
	}
	vars := jinja.MapVars{}
	for _, name := range t.Names() {
		if v, ok := flow.Default(name); ok {
			vars[name] = jinja.Var{Value: v, Origin: value.Variable}
		}
	}
	r, err := t.Text(context.Background(), vars)
	if err != nil || !r.Origin.Trusted() {
		return ""
	}
	text, _ := r.Value.(string)
	u, err := parseURL(text)
	if err != nil {
		return ""
	}
	return engine.OriginOf(u)
}

// authorityEnd is where the path of a URL begins, outside of {{ }}.
func authorityEnd(source string) int {
	depth := 0
	for i := 0; i < len(source); i++ {
		switch rest := source[i:]; {
		case strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "{%"):
			depth++
			i++
		case strings.HasPrefix(rest, "}}") || strings.HasPrefix(rest, "%}"):
			depth--
			i++
		case depth == 0 && strings.HasPrefix(rest, "://"):
			i += 2
		case depth == 0 && (source[i] == '/' || source[i] == '?' || source[i] == '#'):
			return i
		}
	}
	return len(source)
}

// leadsOn reports whether a redirect from an address that is trusted may lead
// to another one without being held for data's word: within one origin, to an
// origin that the flow names itself, and from http to https of the same host,
// on its own or on the usual port.
func (a *attempt) leadsOn(from, to *url.URL, trusted bool) bool {
	if a.in.Flow.OwnOrigin(engine.OriginOf(to)) {
		return true
	}
	if !trusted {
		return false
	}
	upgrade := from.Scheme == "http" && to.Scheme == "https" && strings.EqualFold(from.Hostname(), to.Hostname()) &&
		(portOf(to) == "443" || portOf(to) == portOf(from))
	return upgrade || sameOrigin(from, to)
}

// allowLine is what lets requests reach a host, to paste into qarion.toml.
func allowLine(host, port string) string {
	return "to allow it, in qarion.toml under [egress]: allow = [\"" + net.JoinHostPort(host, port) + "\"]"
}
