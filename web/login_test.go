package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

const formType = "application/x-www-form-urlencoded"

// enter logs in and returns the cookie and the key.
func enter(t *testing.T, s *Server, secret string, headers ...string) (*http.Cookie, string) {
	t.Helper()
	res, text := ask(t, s, "POST", "/login", url.Values{"secret": {secret}, "next": {"/runs"}}.Encode(),
		append([]string{"Content-Type", formType, "Accept", "application/json"}, headers...)...)
	var answer struct{ Key, Next string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || res.StatusCode != 200 || len(res.Cookies()) != 1 || len(answer.Key) != 43 || answer.Next != "/runs" {
		t.Fatalf("the login: %d %v %s", res.StatusCode, res.Cookies(), text)
	}
	return res.Cookies()[0], answer.Key
}

// TestLogin_ACodeLetsOneBrowserInOnce, with a cookie that no script reads and
// no other site makes the browser send.
func TestLogin_ACodeLetsOneBrowserInOnce(t *testing.T) {
	node := shown()
	node.codes = map[string]bool{"CODE": true}
	s := door(t, node)
	c, key := enter(t, s, "CODE")
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure || !strings.HasPrefix(c.Name, "qarion_") {
		t.Errorf("the cookie is %+v", c)
	}
	cookie := c.Name + "=" + c.Value
	if _, text := ask(t, s, "GET", "/runs", "", "Accept", html, "Cookie", cookie); !strings.Contains(text, "qarion ui (admin)") || !strings.Contains(text, "Log out") {
		t.Errorf("logged in it shows\n%s", text)
	}
	if res, _ := ask(t, s, "GET", "/credentials", "", "Accept", html, "Cookie", cookie); res.StatusCode != 200 {
		t.Errorf("credentials: %d", res.StatusCode)
	}
	for _, value := range []string{c.Value, key, engine.SessionID(c.Value)} {
		for _, path := range []string{"/", "/node", "/credentials", "/tokens", "/login"} {
			if _, text := ask(t, s, "GET", path, "", "Accept", html, "Cookie", cookie); strings.Contains(text, value) {
				t.Errorf("%s shows a secret of the session", path)
			}
		}
	}
	res, text := ask(t, s, "POST", "/login", "secret=CODE", "Content-Type", formType, "Accept", "application/json")
	if res.StatusCode != 401 || len(res.Cookies()) != 0 {
		t.Errorf("the code again: %d %s", res.StatusCode, text)
	}

	res, _ = ask(t, s, "POST", "/logout", "", "Cookie", cookie)
	if got := res.Cookies(); res.StatusCode != http.StatusSeeOther || len(got) != 1 || got[0].MaxAge >= 0 {
		t.Errorf("logout: %d %v", res.StatusCode, got)
	}
	if res, _ := ask(t, s, "GET", "/credentials", "", "Accept", html, "Cookie", cookie); res.StatusCode != 403 {
		t.Errorf("after the logout: %d", res.StatusCode)
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	var said []string
	for _, a := range node.audits {
		said = append(said, a.Endpoint+" "+a.Result)
	}
	if got := strings.Join(said, ", "); got != "login ok, login 401, logout ok" {
		t.Errorf("told: %s", got)
	}
}

// TestLogin_ACookieAloneChangesNothing: over plain HTTP another server on the
// machine may have seen it. What needs no login is done as without one.
func TestLogin_ACookieAloneChangesNothing(t *testing.T) {
	var who engine.Caller
	node := &double{call: func(c engine.Caller, _, _ string) (string, error) { who = c; return `{"run_id":"R1"}`, nil }}
	open, always := door(t, node), door(t, node, func(c *Config) { c.Login = LoginAlways })
	for name, c := range map[string]struct {
		s            *Server
		method, path string
		key          string // header, form, wrong or none
		status       int
		as           string
	}{
		"reads":                            {always, "GET", "/runs/R1", "none", 200, "token operator"},
		"cancels with the key":             {always, "POST", "/runs/R1/cancel", "form", 303, "token operator"},
		"cancels by a script":              {always, "POST", "/api/v1/runs/R1/cancel", "header", 200, "token operator"},
		"cancels without the key":          {always, "POST", "/runs/R1/cancel", "none", 401, ""},
		"cancels by a script without":      {always, "POST", "/api/v1/runs/R1/cancel", "none", 401, ""},
		"cancels with another key":         {always, "POST", "/runs/R1/cancel", "wrong", 401, ""},
		"cancels where no login is needed": {open, "POST", "/runs/R1/cancel", "none", 303, "no login"},
		"resets where a login is needed":   {open, "POST", "/breakers/reset", "none", 403, ""},
		"resets with the key":              {open, "POST", "/breakers/reset", "form", 303, "token operator"},
	} {
		cookie, key := enter(t, c.s, "operator")
		headers, body := []string{"Cookie", cookie.Name + "=" + cookie.Value, "Accept", html}, ""
		if c.method == "POST" && !strings.HasPrefix(c.path, "/api") {
			headers, body = append(headers, "Content-Type", formType), "reason=x&key=k"
		}
		switch c.key {
		case "header":
			headers = append(headers, keyHeader, key)
		case "form":
			body += "&" + keyField + "=" + key
		case "wrong":
			body += "&" + keyField + "=" + cookie.Value
		}
		who = engine.Caller{}
		res, text := ask(t, c.s, c.method, c.path, body, headers...)
		if res.StatusCode != c.status || who.Name != c.as {
			t.Errorf("%s: %d as %q, want %d as %q\n%.300s", name, res.StatusCode, who.Name, c.status, c.as, text)
		}
	}
}

// TestLogin_WithTLSTheCookieIsOfThisHostAlone: behind a public address, cookies
// are sent by TLS only, to this very host, and no key is needed beside them.
func TestLogin_WithTLSTheCookieIsOfThisHostAlone(t *testing.T) {
	s := door(t, shown(), func(c *Config) { c.PublicURL = "https://qarion.example.com" })
	at := []string{"Host", "qarion.example.com"}
	c, _ := enter(t, s, "operator", at...)
	if c.Name != "__Host-qarion" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("the cookie is %+v", c)
	}
	headers := append(at, "Cookie", c.Name+"="+c.Value, "Accept", html, "Content-Type", formType)
	if res, text := ask(t, s, "POST", "/runs/R1/cancel", "reason=x", headers...); res.StatusCode != 303 {
		t.Errorf("cancel: %d %.300s", res.StatusCode, text)
	}
	for _, origin := range []string{"https://evil.example", "https://qarion.example.com.evil.example", "http://qarion.example.com", "null"} {
		if res, _ := ask(t, s, "POST", "/runs/R1/cancel", "reason=x", append(headers, "Origin", origin)...); res.StatusCode != 403 {
			t.Errorf("cancel from %s: %d", origin, res.StatusCode)
		}
		if res, _ := ask(t, s, "POST", "/login", "secret=operator", append(at, "Content-Type", formType, "Origin", origin)...); res.StatusCode != 403 || len(res.Cookies()) > 0 {
			t.Errorf("login from %s: %d", origin, res.StatusCode)
		}
	}
	if res, _ := ask(t, s, "POST", "/login", "secret=operator", "Host", "evil.example", "Content-Type", formType); res.StatusCode != 421 {
		t.Errorf("under another name: %d", res.StatusCode)
	}
}

// TestLogin_ASessionIsMadeAnew: a cookie that the browser had before, perhaps
// from somebody else, is no session, and does not become one.
func TestLogin_ASessionIsMadeAnew(t *testing.T) {
	s := door(t, shown(), func(c *Config) { c.Login = LoginAlways })
	first, _ := enter(t, s, "viewer")
	planted := first.Name + "=planted"
	second, _ := enter(t, s, "admin", "Cookie", planted)
	if second.Value == "planted" || second.Value == first.Value {
		t.Errorf("the session is %q", second.Value)
	}
	if res, _ := ask(t, s, "GET", "/runs", "", "Cookie", planted, "Accept", html); res.StatusCode != 401 {
		t.Errorf("the planted one: %d", res.StatusCode)
	}
	enter(t, s, "admin", "Cookie", first.Name+"="+first.Value)
	if res, _ := ask(t, s, "GET", "/runs", "", "Cookie", first.Name+"="+first.Value, "Accept", html); res.StatusCode != 401 {
		t.Errorf("the session of before goes on: %d", res.StatusCode)
	}
}

// TestLogin_GuessesAreFew: five a minute by address, whatever is guessed; a
// login that fails sets no cookie and says the same of whatever is wrong.
func TestLogin_GuessesAreFew(t *testing.T) {
	node := shown()
	node.codes = map[string]bool{"CODE": true}
	s := door(t, node)
	for i := range maxTries + 1 {
		res, text := ask(t, s, "POST", "/login", "secret=GUESS", "Content-Type", formType, "Accept", html)
		want := 401
		if i == maxTries {
			want = 429
		}
		if res.StatusCode != want || len(res.Cookies()) > 0 || !strings.Contains(text, "<form") || want == 429 && res.Header.Get("Retry-After") == "" {
			t.Fatalf("guess %d: %d %v %.300s", i, res.StatusCode, res.Header, text)
		}
	}
	if res, _ := ask(t, s, "POST", "/login", "secret=CODE", "Content-Type", formType); res.StatusCode != 429 {
		t.Errorf("and the right one: %d", res.StatusCode)
	}

	var one tries
	now := time.Now()
	for range maxTries {
		one.begin("2001:db8::1", "", now)
	}
	for from, waits := range map[string]bool{"2001:db8::ffff": true, "2001:db8:0:1::1": false, "192.0.2.1": false, "": false} {
		if got := one.begin(from, "", now) > 0; got != waits {
			t.Errorf("%s waits: %v", from, got)
		}
	}
	if one.begin("2001:db8::1", "", now.Add(triesTime)) > 0 {
		t.Error("it waits after a minute")
	}
	for i := range 3 * maxFrom {
		one.begin("10."+strings.Join([]string{itoa(i >> 16), itoa(i >> 8 & 255), itoa(i & 255)}, "."), itoa(i), now)
	}
	if n := len(one.list); n > maxFrom+2 {
		t.Errorf("%d addresses are remembered", n)
	}
}

// TestLogin_GuessesOfAPassword: few are looked at, also of many at once, and of
// a name from wherever they come; the right one is not counted.
func TestLogin_GuessesOfAPassword(t *testing.T) {
	node := shown()
	s := door(t, node)
	for range 2 * maxTries {
		if res, text := ask(t, s, "POST", "/login", "name=ann&secret=password", "Content-Type", formType); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("the right one: %d %s", res.StatusCode, text)
		}
	}
	looked := func() int {
		node.mu.Lock()
		defer node.mu.Unlock()
		return node.logins
	}
	before := looked()
	var all sync.WaitGroup
	var refused, later atomic.Int32
	for range 40 {
		all.Go(func() {
			switch res, _ := ask(t, s, "POST", "/login", "name=ann&secret=guess", "Content-Type", formType, "Accept", "application/json"); res.StatusCode {
			case http.StatusUnauthorized:
				refused.Add(1)
			case http.StatusTooManyRequests:
				later.Add(1)
			}
		})
	}
	all.Wait()
	if n := looked() - before; n != maxTries || refused.Load() != maxTries || later.Load() != 40-maxTries {
		t.Errorf("%d guesses were looked at, %d refused, %d told to wait", n, refused.Load(), later.Load())
	}
	var one tries
	now := time.Now()
	for i := range maxTries {
		one.begin("192.0.2."+itoa(i), "ann", now)
	}
	if one.begin("192.0.2.99", "ann", now) == 0 || one.begin("192.0.2.99", "bob", now) > 0 {
		t.Error("a name is guessed at from many addresses")
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// TestLogin_GoesOnWithinThisDoorOnly.
func TestLogin_GoesOnWithinThisDoorOnly(t *testing.T) {
	for next, want := range map[string]string{
		"/runs?status=failed": "/runs?status=failed", "/": "/", "": "/", "//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		`\\evil.example`: "/", "/\t/evil.example": "/", "javascript:alert(1)": "/", "evil.example": "/", "///evil.example": "/", "/login": "/", "/logout": "/",
		"/%2f/evil.example": "/%2f/evil.example", "/runs\r\nSet-Cookie: x=y": "/", "data:text/html,x": "/", "/?next=//x": "/?next=//x",
	} {
		s := door(t, shown())
		if got := localPath(next); got != want {
			t.Errorf("%q goes on at %q, want %q", next, got, want)
		}
		res, _ := ask(t, s, "POST", "/login", url.Values{"secret": {"viewer"}, "next": {next}}.Encode(), "Content-Type", formType)
		at, err := url.Parse(res.Header.Get("Location"))
		if err != nil || at.Host != "" || at.Scheme != "" || res.StatusCode != 303 {
			t.Errorf("%q: %d to %q", next, res.StatusCode, res.Header.Get("Location"))
		}
	}
}

// TestLogin_WhoNeedsOneGetsItsPage, with the address to go on at; a program
// reads a problem.
func TestLogin_WhoNeedsOneGetsItsPage(t *testing.T) {
	s := door(t, shown(), func(c *Config) { c.Login = LoginAlways })
	res, text := ask(t, s, "GET", "/runs?status=failed", "", "Accept", html)
	if res.StatusCode != 401 || !strings.Contains(text, `action="/login"`) || !strings.Contains(text, `value="/runs?status=failed"`) || strings.Contains(text, "data-cross") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if _, text := ask(t, s, "GET", "/runs", "", "Accept", html, "Sec-Fetch-Site", "cross-site"); !strings.Contains(text, "data-cross") {
		t.Error("a link from elsewhere: the page does not look whether there is a login")
	}
	if res, text := ask(t, s, "GET", "/login", "", "Accept", "application/json"); res.StatusCode != 401 || !strings.Contains(text, "nobody is logged in") {
		t.Errorf("who: %d %s", res.StatusCode, text)
	}
	c, _ := enter(t, s, "viewer")
	if res, text := ask(t, s, "GET", "/login", "", "Accept", "application/json", "Cookie", c.Name+"="+c.Value); res.StatusCode != 200 || text != `{"name":"token viewer","role":"viewer"}`+"\n" {
		t.Errorf("who: %d %s", res.StatusCode, text)
	}
}

// TestForms_AreBoundedAndInTime: a form that drips in holds nothing up and is
// cut off; another kind of body, or one too large, is refused.
func TestForms_AreBoundedAndInTime(t *testing.T) {
	s := door(t, shown(), func(c *Config) { c.bodyTime = 100 * time.Millisecond })
	for path, largest := range map[string]int{"/login": maxLoginBody, "/runs/R1/cancel": maxForm} {
		if res, _ := ask(t, s, "POST", path, "reason="+strings.Repeat("x", largest), "Content-Type", formType); res.StatusCode != 413 {
			t.Errorf("%s, too large: %d", path, res.StatusCode)
		}
		if res, _ := ask(t, s, "POST", path, "{}", "Content-Type", "application/json"); res.StatusCode != 415 {
			t.Errorf("%s, JSON: %d", path, res.StatusCode)
		}
		if res, _ := ask(t, s, "POST", path, "a=%zz", "Content-Type", formType); res.StatusCode != 400 {
			t.Errorf("%s, no form: %d", path, res.StatusCode)
		}
		began := time.Now()
		got := rawRequest(t, s, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: "+formType+"\r\nContent-Length: 100\r\n\r\na=")
		if got != "HTTP/1.1 408 Request Timeout" || time.Since(began) > 20*time.Second {
			t.Errorf("%s, slow: %s", path, got)
		}
	}
}
