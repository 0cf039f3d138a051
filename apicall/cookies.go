package apicall

import (
	"maps"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Cookies that a server sets go back to where they may (RFC 6265): within the
// redirects of an attempt, and where a token was renewed. What the flow file
// says itself in a Cookie header stays with its origin.

// cookies are those of one attempt.
type cookies struct {
	jar *cookiejar.Jar // nil: no server has set any
	own string         // the Cookie header of the flow; "" once its origin was left
}

func newJar() *cookiejar.Jar {
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // never fails
	return jar
}

// keepCookies takes the cookies of an answer that is not the last one. They are
// as good as passwords, so they are hidden where they come back.
func (a *attempt) keepCookies(resp *http.Response) {
	set := resp.Cookies()
	if len(set) == 0 {
		return
	}
	if a.cookies.jar == nil {
		a.cookies.jar = newJar()
	}
	a.cookies.jar.SetCookies(resp.Request.URL, set)
	for _, c := range set {
		a.hideCookie(c.Value)
	}
}

func (a *attempt) hideCookie(v string) {
	if len(v) >= minSecret && !slices.Contains(a.vars.secrets, v) {
		a.vars.secrets = append(a.vars.secrets, v)
	}
}

// sendCookies gives a request the cookies that belong to its address, beside
// the flow's own; of one name the server's newer word counts. The header map is
// the request's own afterwards.
func (a *attempt) sendCookies(req *http.Request) {
	if a.cookies.jar == nil {
		return
	}
	req.Header = maps.Clone(req.Header)
	delete(req.Header, "Cookie")
	if line := cookieHeader(a.cookies.own, a.cookies.jar.Cookies(req.URL)); line != "" {
		req.Header["Cookie"] = []string{line}
	}
}

func cookieHeader(own string, set []*http.Cookie) string {
	var parts []string
	for part := range strings.SplitSeq(own, ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name != "" && !slices.ContainsFunc(set, func(c *http.Cookie) bool { return c.Name == name }) {
			parts = append(parts, strings.TrimSpace(part))
		}
	}
	for _, c := range set {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, "; ")
}
