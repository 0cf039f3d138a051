package apicall

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Cookies that a server sets go back to where they may (RFC 6265): within the
// redirects of an attempt, where a token was renewed, and, with cookie_jar, in
// all later attempts of the run that use the same jar. What the flow file says
// itself in a Cookie header stays with its origin.

// cookies are those of one attempt.
type cookies struct {
	jar  *cookiejar.Jar  // nil: there are none
	own  string          // the Cookie header of the flow; "" once its origin was left
	held []engine.Cookie // what the run's jar held when the attempt began
	set  []engine.Cookie // by servers, in this attempt
	sent []string        // names of those that were sent
}

// kept makes room for cookies.
func (a *attempt) kept() *cookies {
	if a.cookies == nil {
		a.cookies = &cookies{}
	}
	return a.cookies
}

func newJar() *cookiejar.Jar {
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // never fails
	return jar
}

// openJar takes the cookies of the run's jar.
func (a *attempt) openJar(ctx context.Context) error {
	if a.props().cookieJar == "" {
		return nil
	}
	held, err := a.in.Cookies(ctx)
	if err != nil {
		return err
	}
	a.kept().held, a.cookies.jar = held, newJar()
	for _, c := range held {
		from, err := url.Parse(c.From)
		if err != nil {
			continue
		}
		again := &http.Cookie{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure}
		if c.Expires != 0 {
			again.Expires = time.Unix(c.Expires, 0)
		}
		a.cookies.jar.SetCookies(from, []*http.Cookie{again})
		a.hideCookie(c.Value)
	}
	return nil
}

// keepCookies takes the cookies of an answer. They are as good as passwords, so
// they are hidden where they come back.
func (a *attempt) keepCookies(resp *http.Response) {
	set := resp.Cookies()
	if len(set) == 0 {
		return
	}
	if a.kept().jar == nil {
		a.cookies.jar = newJar()
	}
	a.cookies.jar.SetCookies(resp.Request.URL, set)
	for _, c := range set {
		a.hideCookie(c.Value)
		a.cookies.set = append(a.cookies.set, keptCookie(resp.Request.URL, c, time.Now()))
	}
	a.fillJar()
}

// keepLastCookies takes those of the last answer of the attempt, if somebody can
// use them.
func (a *attempt) keepLastCookies(resp *http.Response) {
	if a.props().cookieJar != "" || a.prog.answered {
		a.keepCookies(resp)
	}
	a.describeJar()
}

// keptCookie is a cookie with the time at which it ends, rather than how long it
// lives from now.
func keptCookie(from *url.URL, c *http.Cookie, now time.Time) engine.Cookie {
	out := engine.Cookie{
		From: from.Scheme + "://" + from.Host + from.EscapedPath(), Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure,
	}
	switch {
	case c.MaxAge < 0:
		out.Expires = 1
	case c.MaxAge > 0:
		out.Expires = now.Unix() + int64(c.MaxAge)
	case !c.Expires.IsZero():
		out.Expires = max(1, c.Expires.Unix())
	}
	if out.Expires == 1 {
		out.Value = "" // it is taken back
	}
	return out
}

// fillJar says what the attempt leaves in the run's jar: what is new in it. A
// server that sets the same session cookie with every answer changes nothing.
func (a *attempt) fillJar() {
	if a.props().cookieJar == "" {
		return
	}
	a.out.Cookies = &engine.SetCookies{}
	for _, c := range a.cookies.set {
		if !slices.ContainsFunc(a.cookies.held, func(h engine.Cookie) bool { h.Set = engine.Pos{}; return h == c }) {
			a.out.Cookies.Jar = append(a.out.Cookies.Jar, c)
		}
	}
}

// describeJar names the cookies that were used, for people.
func (a *attempt) describeJar() {
	name := a.props().cookieJar
	if name == "" {
		return
	}
	var set []string
	for _, c := range a.cookies.set {
		if !slices.Contains(set, c.Name) {
			set = append(set, c.Name)
		}
	}
	var parts []string
	if len(a.cookies.sent) > 0 {
		parts = append(parts, "sent: "+strings.Join(a.cookies.sent, ", "))
	}
	if len(set) > 0 {
		parts = append(parts, "set: "+strings.Join(set, ", "))
	}
	if parts == nil {
		parts = []string{"empty"}
	}
	if a.in.Task.Sensitive {
		parts = []string{"what was in it is not shown: the task is sensitive"}
	}
	a.out.Details.CookieJar = cut(fmt.Sprintf("%s (%s)", name, strings.Join(parts, "; ")), maxShownHeader)
}

// giveCookies hands on what the attempt's answers have set, by name, for
// resp_<task>.
func (a *attempt) giveCookies() {
	if a.cookies == nil || len(a.cookies.set) == 0 {
		return
	}
	m := value.NewMap(len(a.cookies.set))
	for _, c := range a.cookies.set {
		m.Set(c.Name, c.Value)
	}
	text, err := value.JSON(m)
	if err != nil || len(text) > engine.MaxResponseHeaders {
		return
	}
	if a.out.Cookies == nil {
		a.out.Cookies = &engine.SetCookies{}
	}
	a.out.Cookies.Values = text
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
	if a.cookies == nil || a.cookies.jar == nil {
		return
	}
	set := a.cookies.jar.Cookies(req.URL)
	req.Header = maps.Clone(req.Header)
	delete(req.Header, "Cookie")
	if line := cookieHeader(a.cookies.own, set); line != "" {
		req.Header["Cookie"] = []string{line}
	}
	for _, c := range set {
		if !slices.Contains(a.cookies.sent, c.Name) {
			a.cookies.sent = append(a.cookies.sent, c.Name)
		}
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
