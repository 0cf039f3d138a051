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
	set  []given         // by servers, in this attempt
	sent []string        // names of those that were sent
}

// given is a cookie that a server has set.
type given struct {
	engine.Cookie
	refused string // why it went into no jar; "" when it did
}

// kept makes room for cookies.
func (a *attempt) kept() *cookies {
	if a.cookies == nil {
		a.cookies = &cookies{}
	}
	return a.cookies
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
		a.cookies.put(&c)
		a.hideCookie(&c)
	}
	return nil
}

// put gives a cookie to the jar of the attempt.
func (k *cookies) put(c *engine.Cookie) {
	from, err := url.Parse(c.From)
	if err != nil {
		return
	}
	again := &http.Cookie{Name: c.Name, Value: c.Bytes(), Domain: c.Domain, Path: c.Path, Secure: c.Secure}
	if c.Expires != 0 {
		again.Expires = time.Unix(c.Expires, 0)
	}
	k.jar.SetCookies(from, []*http.Cookie{again})
}

// keepCookies takes the cookies of an answer. They are as good as passwords, so
// they are hidden where they come back, also those that no jar takes.
func (a *attempt) keepCookies(resp *http.Response) {
	lines := resp.Header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	if a.kept().jar == nil {
		a.cookies.jar = newJar()
	}
	for _, line := range lines {
		c, refused, ok := setCookie(line, resp.Request.URL, time.Now())
		if !ok || len(a.cookies.set) == maxCookies {
			continue
		}
		a.hideCookie(&c)
		a.cookies.set = append(a.cookies.set, given{c, refused})
		if refused == "" {
			a.cookies.put(&c)
		}
	}
	a.fillJar()
}

// keepLastCookies takes those of the last answer of the attempt, if somebody can
// use them.
func (a *attempt) keepLastCookies(resp *http.Response) {
	if a.props().cookieJar != "" || a.prog.answered {
		a.keepCookies(resp)
	}
}

// fillJar says what the attempt leaves in the run's jar: what is new in it. A
// server that sets the same session cookie with every answer changes nothing.
func (a *attempt) fillJar() {
	if a.props().cookieJar == "" {
		return
	}
	a.out.Cookies = &engine.SetCookies{}
	last := map[string]engine.Cookie{}
	for _, c := range a.cookies.set {
		if c.refused == "" {
			last[c.ID()] = c.Cookie
		}
	}
	for _, c := range a.cookies.set {
		if c.refused != "" || last[c.ID()] != c.Cookie {
			continue
		}
		delete(last, c.ID())
		if !slices.ContainsFunc(a.cookies.held, func(h engine.Cookie) bool { h.Set = engine.Pos{}; return h == c.Cookie }) {
			a.out.Cookies.Jar = append(a.out.Cookies.Jar, c.Cookie)
		}
	}
}

// describeJar names the cookies that were used, for people.
func (a *attempt) describeJar() {
	name := a.props().cookieJar
	if name == "" || a.cookies == nil {
		return
	}
	said := map[string][]string{"sent": a.cookies.sent}
	say := func(what, text string) {
		if !slices.Contains(said[what], text) {
			said[what] = append(said[what], text)
		}
	}
	for _, c := range a.cookies.set {
		switch {
		case c.refused != "":
			say("refused", fmt.Sprintf("%s (%s)", cut(c.Name, maxShownName), c.refused))
		case c.Expires == 1:
			say("taken back", cut(c.Name, maxShownName))
		default:
			say("set", cut(c.Name, maxShownName))
		}
	}
	var parts []string
	for _, what := range []string{"sent", "set", "taken back", "refused"} {
		if len(said[what]) > 0 {
			parts = append(parts, what+": "+strings.Join(said[what], ", "))
		}
	}
	if parts == nil {
		parts = []string{"nothing in it for this address"}
		if len(a.cookies.held) == 0 {
			parts[0] = "empty"
		}
	}
	if a.in.Task.Sensitive {
		parts = []string{"what was in it is not shown: the task is sensitive"}
	}
	a.out.Details.CookieJar = cut(a.redactor().values(fmt.Sprintf("%s (%s)", name, strings.Join(parts, "; "))), maxShownHeader)
}

// maxShownName bounds a cookie's name in the operation log, in bytes.
const maxShownName = 64

// giveCookies hands on what the attempt's answers have set, by name, for
// resp_<task>, as far as there is room.
func (a *attempt) giveCookies() {
	if a.cookies == nil || len(a.cookies.set) == 0 {
		return
	}
	m, size := value.NewMap(len(a.cookies.set)), 0
	for _, c := range a.cookies.set {
		n := len(c.Name) + len(c.Value)
		switch {
		case c.Expires == 1:
			m.Delete(c.Name)
		case n > maxCookie || size+n > engine.MaxResponseHeaders:
			name := cut(c.Name, maxShownName)
			if a.in.Task.Sensitive {
				name = hidden
			}
			a.note(fmt.Sprintf("the cookie %s is too large for resp_%s.cookies", name, a.in.Task.ID.TemplateName()))
		default:
			size += n // others may fit
			m.Set(c.Name, c.Value)
		}
	}
	text, err := value.JSON(m)
	if err != nil {
		return
	}
	if a.out.Cookies == nil {
		a.out.Cookies = &engine.SetCookies{}
	}
	a.out.Cookies.Values = text
}

// hideCookie makes a cookie's value a secret of the attempt, and of one that is
// JSON what is long in it: that may come back quoted anew.
func (a *attempt) hideCookie(c *engine.Cookie) {
	forms := []string{c.Value, strings.Trim(c.Value, `"`), c.Bytes()}
	if strings.ContainsAny(c.Value, `"\`) {
		forms = append(forms, cores(c.Value)...)
	}
	for _, v := range forms {
		if len(v) >= minSecret && !slices.Contains(a.vars.secrets, v) {
			a.vars.secrets = append(a.vars.secrets, v)
		}
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
		parts = append(parts, c.Name+"="+c.Value) // as it came: what encodes it changes it
	}
	return strings.Join(parts, "; ")
}
