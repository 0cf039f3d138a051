package node

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qarion/qarion/engine"
)

// TestCodes_AreGoodOnceAndForAMinute.
func TestCodes_AreGoodOnceAndForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c codes
		one, two := c.make(time.Now()), c.make(time.Now())
		if one.Code == two.Code || len(one.Code) != 26 {
			t.Errorf("codes: %+v %+v", one, two)
		}
		if !c.use(one.Code, time.Now()) || c.use(one.Code, time.Now()) {
			t.Error("the first is not good exactly once")
		}
		time.Sleep(codeLife)
		if c.use(two.Code, time.Now()) {
			t.Error("the second is good after its minute")
		}
		first := c.make(time.Now())
		for range maxCodes {
			time.Sleep(time.Millisecond)
			c.make(time.Now())
		}
		if len(c.list) > maxCodes || c.use(first.Code, time.Now()) {
			t.Errorf("%d codes wait, the oldest among them", len(c.list))
		}
	})
}

// TestCodes_OfManyAtOnceOneGetsIn.
func TestCodes_OfManyAtOnceOneGetsIn(t *testing.T) {
	n := httpNode(t)
	code := n.codes.make(time.Now()).Code
	var in atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, _, err := (backend{n}).Login(t.Context(), "", code); err == nil {
				in.Add(1)
			} else if !errors.Is(err, engine.ErrDenied) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 {
		t.Errorf("%d got in", in.Load())
	}
}

// TestSessions_EndWithTheirTokenAndOutliveTheNode.
func TestSessions_EndWithTheirTokenAndOutliveTheNode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	n := httpNode(t, func(c *Config) { c.DataDir = dir })
	admin := engine.Caller{Name: "test", Role: engine.RoleAdmin, Login: true}
	ask := func(endpoint, payload string, out any) {
		t.Helper()
		answer, err := n.service.Call(t.Context(), admin, endpoint, []byte(payload))
		if err == nil {
			err = json.Unmarshal(answer.JSON, out)
		}
		if err != nil {
			t.Fatal(endpoint, err)
		}
	}
	var made TokenMade
	ask("token.create", `{"role":"viewer","name":"ci"}`, &made)
	_, byToken, err := backend{n}.Login(t.Context(), "", " "+made.Text+"\n")
	if err != nil {
		t.Fatal(err)
	}
	var code LoginCode
	ask("login.code", `{}`, &code)
	_, byCode, err := backend{n}.Login(t.Context(), "", code.Code)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = httpNode(t, func(c *Config) { c.DataDir = dir })
	for cookie, want := range map[string]engine.Role{byToken.Cookie: engine.RoleViewer, byCode.Cookie: engine.RoleAdmin} {
		if s, err := (backend{n}).Session(t.Context(), cookie); err != nil || s.Role != want || !s.Caller().Login {
			t.Errorf("after a restart: %+v %v", s, err)
		}
	}
	ask("token.delete", `{"id":"`+made.ID+`"}`, &made)
	if _, err := (backend{n}).Session(t.Context(), byToken.Cookie); !errors.Is(err, engine.ErrDenied) || !strings.Contains(err.Error(), "token of the login was deleted") {
		t.Errorf("after its token was deleted: %v", err)
	}
	if err := (backend{n}).Logout(t.Context(), byCode.Cookie); err != nil {
		t.Fatal(err)
	}
	for _, cookie := range []string{byCode.Cookie, byCode.Key, "", "x"} {
		if _, err := (backend{n}).Session(t.Context(), cookie); !errors.Is(err, engine.ErrDenied) {
			t.Errorf("%.5q: %v", cookie, err)
		}
	}
}

// TestUsers_LogInUntilTheirPasswordChanges: by name and password alone; a change
// ends what was begun with the one before, and so does taking the user away.
func TestUsers_LogInUntilTheirPasswordChanges(t *testing.T) {
	n := httpNode(t)
	admin := engine.Caller{Name: "test", Role: engine.RoleAdmin, Login: true}
	call := func(who engine.Caller, endpoint, payload string) (string, error) {
		answer, err := n.service.Call(t.Context(), who, endpoint, []byte(payload))
		return string(answer.JSON), err
	}
	const set = `{"name":"ann","role":"operator","password":"correct horse battery"}`
	for _, role := range []engine.Role{engine.RoleViewer, engine.RoleTrigger, engine.RoleOperator} {
		if _, err := call(engine.Caller{Role: role, Login: true}, "user.set", set); !errors.Is(err, engine.ErrDenied) {
			t.Errorf("a %s makes a user: %v", role, err)
		}
	}
	if text, err := call(admin, "user.set", set); err != nil || strings.Contains(text, "argon2id") {
		t.Fatal(text, err)
	}
	if text, err := call(admin, "user.list", "{}"); err != nil || !strings.Contains(text, `"ann"`) || strings.Contains(text, "argon2id") {
		t.Error(text, err)
	}
	in := func(name, text string) (string, error) {
		s, secrets, err := backend{n}.Login(t.Context(), name, text)
		if err == nil && (s.Role != engine.RoleOperator || s.Name != "user ann") {
			t.Errorf("%q is logged in as %+v", name, s)
		}
		return secrets.Cookie, err
	}
	cookie, err := in("ann", "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range [][2]string{{"ann", "correct horse"}, {"ann", ""}, {"bob", "correct horse battery"}, {"", "correct horse battery"}, {"Ann", "correct horse battery"}, {"../ann", "correct horse battery"}} {
		if _, err := in(wrong[0], wrong[1]); !errors.Is(err, engine.ErrDenied) || wrong[0] != "" && !strings.HasSuffix(err.Error(), "the name or the password is wrong") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := (backend{n}).Session(t.Context(), cookie); err != nil {
		t.Error(err)
	}
	if _, err := call(admin, "user.set", strings.Replace(set, "operator", "viewer", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := (backend{n}).Session(t.Context(), cookie); !errors.Is(err, engine.ErrDenied) || !strings.Contains(err.Error(), "password of ann was changed") {
		t.Errorf("after the change: %v", err)
	}
	if _, err := call(admin, "user.set", set); err != nil {
		t.Fatal(err)
	}
	if cookie, err = in("ann", "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	if _, err := call(admin, "user.delete", `{"name":"ann"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := (backend{n}).Session(t.Context(), cookie); !errors.Is(err, engine.ErrDenied) {
		t.Errorf("after the user was deleted: %v", err)
	}
	if _, err := call(admin, "user.set", `{"name":"ann","role":"operator","password":"short"}`); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "12 to 1024") {
		t.Errorf("a short password: %v", err)
	}
}

// TestSessions_EndWithTheirTime: idle for half a day, or after a week; a
// session that is used goes on, and that is written down seldom.
func TestSessions_EndWithTheirTime(t *testing.T) {
	n := httpNode(t)
	keep := func(began, seen time.Duration) string {
		t.Helper()
		s, secrets := engine.NewSession(engine.Caller{Name: "x", Role: engine.RoleViewer}, "", time.Now())
		s.Began, s.Seen = s.Began.Add(-began), s.Seen.Add(-seen)
		if err := n.sessions.Begin(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return secrets.Cookie
	}
	for name, c := range map[string]struct {
		began, seen time.Duration
		good        bool
	}{
		"new": {0, 0, true}, "used an hour ago": {48 * time.Hour, time.Hour, true}, "idle": {48 * time.Hour, engine.SessionIdle + engine.SessionSeen, false},
		"old": {engine.SessionLife, 0, false},
	} {
		cookie := keep(c.began, c.seen)
		_, err := backend{n}.Session(t.Context(), cookie)
		if (err == nil) != c.good || err != nil && !errors.Is(err, engine.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
		s, revision, err := n.sessions.Find(t.Context(), engine.SessionID(cookie))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (backend{n}).Session(t.Context(), cookie); c.good != (err == nil) {
			t.Errorf("%s, again: %v", name, err)
		}
		if _, again, _ := n.sessions.Find(t.Context(), s.ID); again != revision {
			t.Errorf("%s: it was written twice", name)
		}
		if name == "used an hour ago" && time.Since(s.Seen) > time.Minute {
			t.Errorf("its use was not written down: %s", s.Seen)
		}
	}
}

// TestLogin_ABrowserWithACodeMayDoAll: a breaker that only a login resets is
// asked for, credentials and hooks show, a token is made, lets in and ends.
func TestLogin_ABrowserWithACodeMayDoAll(t *testing.T) {
	n := httpNode(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := http.Client{Jar: jar, Timeout: 20 * time.Second}
	key := ""
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		if key != "" {
			form.Set("qarion-key", key)
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", n.URL()+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if path == "/login" {
			req.Header.Set("Accept", "application/json")
		}
		return answered(t, &browser, req)
	}
	page := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", n.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answered(t, &browser, req)
	}
	if status, text := page("/credentials"); status != 403 || !strings.Contains(text, "qarion ui") {
		t.Errorf("without a login: %d %s", status, text)
	}
	_, text := post("/login", url.Values{"secret": {n.codes.make(time.Now()).Code}})
	var in struct{ Key string }
	if err := json.Unmarshal([]byte(text), &in); err != nil || in.Key == "" {
		t.Fatalf("the login: %s", text)
	}
	key = in.Key
	for _, path := range []string{"/credentials", "/hooks", "/tokens"} {
		if status, text := page(path); status != 200 || !strings.Contains(text, `href="/tokens"`) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if status, text := post("/breakers/reset", url.Values{"key": {"http://none.example"}}); status == 403 || status == 401 {
		t.Errorf("reset: %d %s", status, text)
	}
	status, text := post("/tokens", url.Values{"role": {"viewer"}, "name": {"ci"}, "days": {"30"}})
	_, token, found := strings.Cut(text, "<pre tabindex=\"0\">")
	token, _, _ = strings.Cut(token, "</pre>")
	if status != 200 || !found {
		t.Fatalf("a token: %d %s", status, text)
	}
	if _, text := page("/tokens"); strings.Contains(text, token) {
		t.Error("the token is shown twice")
	}
	if status, text := post("/tokens", url.Values{"role": {"viewer"}, "flows": {"good"}}); status != 400 || !strings.Contains(text, "only the role trigger is bound to flows") {
		t.Errorf("a viewer of a flow: %d %s", status, text)
	}
	if _, err := (backend{n}).Authenticate(t.Context(), token); err != nil {
		t.Errorf("the token: %v", err)
	}
	id, _ := engine.TokenID(token)
	if status, text := post("/tokens/"+id+"/delete", url.Values{}); status != 200 {
		t.Errorf("delete: %d %s", status, text)
	}
	if _, err := (backend{n}).Authenticate(t.Context(), token); !errors.Is(err, engine.ErrDenied) {
		t.Errorf("the token after its end: %v", err)
	}
}

func answered(t *testing.T, c *http.Client, req *http.Request) (int, string) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
