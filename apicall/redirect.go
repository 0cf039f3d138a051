package apicall

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// redirect returns the request that a redirect asks for; nil when the response
// is the answer. It differs from a browser in what it gives away: credentials
// stay with the origin that they were meant for, and a body is not sent to
// another host.
func (a *attempt) redirect(req *http.Request, resp *http.Response) (*http.Request, error) {
	location := resp.Header.Get("Location")
	switch resp.StatusCode {
	case 301, 302, 303, 307, 308:
	default:
		return nil, nil
	}
	if location == "" || a.prog.props.redirects == 0 {
		return nil, nil
	}
	refuse := func(format string, args ...any) error {
		return &classifiedError{classRedirect, fmt.Errorf(format, args...)}
	}
	if len(a.history) >= a.prog.props.redirects {
		return nil, refuse("more than %d redirects", a.prog.props.redirects)
	}
	u, err := parseURL(location)
	if err != nil {
		return nil, refuse("the redirect's address cannot be parsed")
	}
	u = req.URL.ResolveReference(u)
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, refuse("the redirect leads to a %s address", u.Scheme)
	case u.User != nil:
		return nil, refuse("the redirect's address contains a user name or password")
	case req.URL.Scheme == "https" && u.Scheme == "http":
		return nil, refuse("the redirect leads from https to http")
	}
	keepsMethod := resp.StatusCode == 307 || resp.StatusCode == 308 || req.Method == http.MethodGet || req.Method == http.MethodHead
	if keepsMethod && a.body != nil && !sameOrigin(req.URL, u) {
		return nil, refuse("the redirect to %s would send the body to another host", u.Host)
	}
	next, err := a.redirected(req, u, keepsMethod)
	if err != nil {
		return nil, err
	}
	a.history = append(a.history, newRedactor(a.vars.secrets).url(u))
	return next, nil
}

// redirected makes the next request of a redirect.
func (a *attempt) redirected(req *http.Request, u *url.URL, keepsMethod bool) (*http.Request, error) {
	next := req.Clone(req.Context())
	next.URL, next.Host, next.Body, next.ContentLength = u, u.Host, emptyBody{}, 0
	switch {
	case !keepsMethod:
		next.Method = http.MethodGet
		next.Header.Del("Content-Type")
	case a.body != nil:
		if a.props().unrepeatable() {
			return nil, &classifiedError{classRedirect, errors.New("the redirect would send a POST or PATCH without idempotency_key again")}
		}
		next.Body, next.ContentLength = onceBody{strings.NewReader(string(a.body.data))}, int64(len(a.body.data))
	}
	if !sameOrigin(req.URL, u) {
		a.dropSecrets(next)
	}
	return next, nil
}

func (a *attempt) props() *props { return a.prog.props }

// unrepeatable reports whether the request must not be sent a second time by
// itself.
func (p *props) unrepeatable() bool { return !safe(p.operation) && !p.keyed }

// dropSecrets removes what was meant for the first origin only: every header
// that the flow or a credential added, but for the harmless ones.
func (a *attempt) dropSecrets(req *http.Request) {
	for name := range req.Header {
		switch name {
		case "Accept", "Accept-Language", "Accept-Encoding", "User-Agent", "Content-Type":
		default:
			req.Header.Del(name)
		}
	}
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}
