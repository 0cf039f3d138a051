package apicall

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/qarion/qarion/engine"
)

// redirect returns the request that a redirect asks for; nil when the response
// is the answer. It differs from a browser in what it gives away: credentials
// stay with the origin that they were meant for, and a body is not sent to
// another one.
func (a *attempt) redirect(req *http.Request, resp *http.Response) (*http.Request, error) {
	location := resp.Header.Get("Location")
	if !isRedirect(resp.StatusCode) || a.props().redirects == 0 || a.props().expects(resp.StatusCode) {
		return nil, nil
	}
	if location == "" {
		a.out.Details.StatusCode = resp.StatusCode
		return nil, refuseRedirect("%s without a Location header leads nowhere; expected_status_code = %d takes it as the answer", statusText(resp.StatusCode), resp.StatusCode)
	}
	if len(a.history) >= a.props().redirects {
		return nil, refuseRedirect("more than %d redirects", a.props().redirects)
	}
	u, err := redirectURL(req.URL, location)
	if err != nil {
		return nil, err
	}
	keeps := keepsMethod(resp.StatusCode, req.Method)
	if !keeps && a.props().sameMethod {
		return nil, refuseRedirect("%d would turn the %s into a GET (to %s); follow_redirects = true goes along", resp.StatusCode, req.Method, a.shownFrom(req.URL, u))
	}
	if keeps && req.ContentLength > 0 && !sameOrigin(req.URL, u) {
		return nil, refuseRedirect("the redirect to %s would send the body to another host", u.Host)
	}
	a.wire.ever = true
	a.keepCookies(resp)
	a.history = append(a.history, cut(a.redactor().url(u), maxShownRedirect))
	if !keeps {
		a.moved = true
		a.note(fmt.Sprintf("%s became GET (%d to %s)", req.Method, resp.StatusCode, a.shownFrom(req.URL, u)))
	}
	return a.redirected(req, u, keeps)
}

// shownFrom is where a redirect leads, for people: without the origin when it
// stays there.
func (a *attempt) shownFrom(from, to *url.URL) string {
	shown := *to
	if sameOrigin(from, to) {
		shown.Scheme, shown.Host = "", ""
	}
	return cut(a.redactor().url(&shown), 128)
}

// maxShownRedirect bounds a redirect's address in the operation log, in bytes.
const maxShownRedirect = 512

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

func refuseRedirect(format string, args ...any) error {
	return &classifiedError{classRedirect, fmt.Errorf(format, args...)}
}

// redirectURL resolves a Location header and refuses what it must not be.
func redirectURL(base *url.URL, location string) (*url.URL, error) {
	u, err := parseURL(escapeAddress(location))
	if err != nil {
		return nil, refuseRedirect("the redirect's address cannot be parsed")
	}
	u = base.ResolveReference(u)
	u.Fragment, u.RawFragment = "", ""
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, refuseRedirect("the redirect leads to an address that is neither http nor https")
	case u.User != nil:
		return nil, refuseRedirect("the redirect's address contains a user name or password")
	case base.Scheme == "https" && u.Scheme == "http":
		return nil, refuseRedirect("the redirect leads from https to http")
	case len(location) > engine.MaxURL:
		return nil, refuseRedirect("the redirect's address is longer than %d bytes", engine.MaxURL)
	}
	return u, nil
}

// keepsMethod reports whether the next request has the same method and body:
// 303 turns all but HEAD into GET, 301 and 302 turn POST into GET as every
// client does, 307 and 308 keep everything (RFC 9110, 15.4).
func keepsMethod(status int, method string) bool {
	switch status {
	case 303:
		return method == http.MethodGet || method == http.MethodHead
	case 301, 302:
		return method != http.MethodPost
	}
	return true
}

// redirected makes the next request of a redirect.
func (a *attempt) redirected(req *http.Request, u *url.URL, keeps bool) (*http.Request, error) {
	next := req.Clone(req.Context())
	next.URL, next.Host = u, u.Host
	same := sameOrigin(req.URL, u)
	if same {
		next.Host = req.Host
	} else {
		dropSecrets(next)
		if a.left = true; a.cookies != nil {
			a.cookies.own = ""
		}
	}
	a.sendCookies(next)
	body := a.body
	if !keeps {
		next.Method = http.MethodGet
		next.Header.Del("Content-Type")
		next.Header.Del(keyHeader)
	}
	if !keeps || req.ContentLength <= 0 {
		body = nil
	}
	a.load(req.Context(), next, body)
	if b, ok := a.auth.(binder); ok && !a.left && b.binds() {
		if err := a.auth.Authenticate(req.Context(), next); err != nil {
			return nil, &classifiedError{classAuth, err}
		}
		a.learn(next)
	}
	return next, nil
}

// dropSecrets removes what was meant for the first origin only: every header
// that the flow or a credential added, but for the harmless ones.
func dropSecrets(req *http.Request) {
	for name := range req.Header {
		switch name {
		case "Accept", "Accept-Language", "Accept-Encoding", "User-Agent", "Content-Type":
		default:
			delete(req.Header, name)
		}
	}
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

// portOf is the port of an address, or the one that its scheme means.
func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}
