package main_test

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// jarFlows are flows of the crash test whose tasks need what earlier ones were
// given: cookies of a session, of which three tasks add one each at the same
// time, and a large object, which must arrive whole.
func jarFlows(u *testkit.Upstream) map[string]string {
	allowed := func(c *testkit.Call, names ...string) bool {
		for _, name := range names {
			if got, err := c.Cookie(name); err != nil || got.Value != name+"-of-"+c.Seen.Run {
				return false
			}
		}
		return true
	}
	set := func(w http.ResponseWriter, c *testkit.Call, name string) {
		http.SetCookie(w, &http.Cookie{Name: name, Value: name + "-of-" + c.Seen.Run, Path: "/jar", MaxAge: 600})
	}
	answer := func(w http.ResponseWriter, ok bool) {
		if !ok {
			w.WriteHeader(http.StatusForbidden)
		}
	}
	u.Handle("/jar/login", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) { set(w, c, "sid") }))
	u.Handle("/jar/use", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		set(w, c, c.Seen.Task)
		answer(w, allowed(c, "sid"))
	}))
	u.Handle("/jar/all", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) { answer(w, allowed(c, "sid", "u0", "u1", "u2")) }))
	content := bytes.Repeat([]byte("qarion\x00\xff"), 40<<10)
	sum := sha256.Sum256(content)
	u.Handle("/object/down", testkit.Reply(200, string(content), "Content-Type", "application/octet-stream", "ETag", `"v1"`))
	u.Handle("/object/up", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) { answer(w, sha256.Sum256(c.Seen.Body) == sum) }))

	task := func(id, path, deps, more string) string {
		return upstreamTask(u, id, path, deps, more+"\ncookie_jar = \"shop\"")
	}
	return map[string]string{
		"session": task("login", "jar/login", "", "") + task("u0", "jar/use", after("login"), "") + task("u1", "jar/use", after("login"), "") +
			task("u2", "jar/use", after("login"), "") + task("all", "jar/all", after("u0", "u1", "u2"), ""),
		"object": upstreamTask(u, "down", "object/down", "", "store_as = \"object\"") +
			upstreamTask(u, "up", "object/up", "", "operation = \"put\"\nbody_format = \"raw\"\nbody = \"{{ xcom_down }}\""),
	}
}

// TestCookieJar_OfARun: a jar is filled by every attempt, failed ones too, goes
// where cookies may go, is taken back from, belongs to one run, and lies nowhere
// in the clear.
func TestCookieJar_OfARun(t *testing.T) {
	const sid, csrf, odd = "the-session-cookie-value", "the-csrf-cookie-value", "\"a, b\" {\"c\":caf\xe9-and-more}"
	u := testkit.NewUpstream(t)
	u.Handle("/login", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: sid, Path: "/", HttpOnly: true})
		w.Header().Add("Set-Cookie", "odd="+odd+"; Path=/; Expires=Thu, 31-Dec-60 23:59:59 GMT")
		http.SetCookie(w, &http.Cookie{Name: "only", Value: "for-the-admin-path", Path: "/admin"})
		w.Header().Set("Location", "/welcome")
		w.WriteHeader(http.StatusSeeOther)
	}))
	u.Handle("/shaky", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		if _, err := c.Cookie("csrf"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "csrf", Value: csrf})
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	u.Handle("/logout", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		http.SetCookie(w, &http.Cookie{Name: "sid", Path: "/", MaxAge: -1})
	}))
	for _, path := range []string{"/welcome", "/admin/x", "/other", "/none", "/one", "/gone"} {
		u.Handle(path, testkit.OK(`{}`))
	}
	jar := "cookie_jar = \"shop\"\n"
	dir := t.TempDir()
	text := upstreamTask(u, "login", "login", "", jar) + upstreamTask(u, "shaky", "shaky", after("login"), jar+"retry_count = 1\nretry_delay = 0") +
		upstreamTask(u, "admin", "admin/x", after("shaky"), jar) + upstreamTask(u, "other", "other", after("shaky"), "cookie_jar = \"another\"") +
		upstreamTask(u, "none", "none", after("shaky"), "") +
		upstreamTask(u, "one", "one", after("shaky"), "params = { t = \"{{ resp_login.cookies.sid }}\" }") +
		upstreamTask(u, "logout", "logout", after("admin", "other", "none", "one"), jar) + upstreamTask(u, "gone", "gone", after("logout"), jar)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "jar.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	startFlow(t, p, "jar")
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if doc := awaitFlow(t, c, "jar"); doc.Status != engine.Success {
		t.Fatalf("%s: %+v", doc.Status, doc.Error)
	}
	sent := func(path string) string {
		all := u.Requests(path)
		return strings.Join(all[len(all)-1].Header["Cookie"], " ")
	}
	for path, want := range map[string]string{
		"/welcome": "sid=" + sid + "; odd=" + odd, "/shaky": "sid=" + sid + "; odd=" + odd + "; csrf=" + csrf,
		"/admin/x": "only=for-the-admin-path; sid=" + sid + "; odd=" + odd + "; csrf=" + csrf,
		"/other":   "", "/none": "", "/one": "", "/gone": "odd=" + odd + "; csrf=" + csrf,
	} {
		if got := sent(path); got != want {
			t.Errorf("%s got the cookies %q, want %q", path, got, want)
		}
	}
	if got := u.Requests("/one")[0].Query.Get("t"); got != sid {
		t.Errorf("resp_login.cookies.sid was sent as %q", got)
	}
	var used string
	err = c.Logs(t.Context(), bus.LogFilter{}, func(line []byte, op *engine.Operation) error {
		if op.TaskID == "admin" {
			used = string(op.Details)
		}
		if bytes.Contains(line, []byte(sid)) || bytes.Contains(line, []byte(csrf)) {
			t.Errorf("a cookie is shown: %s", line)
		}
		return nil
	})
	if err != nil || !strings.Contains(used, `"cookie_jar":"shop (sent: only, sid, odd, csrf)"`) {
		t.Errorf("%v; the log says %s", err, used)
	}
	p.Stop()
	nowhere(t, filepath.Join(dir, "data"), sid, csrf, "and-more", "for-the-admin-path")
}

// nowhere looks for secrets in every file of a folder.
func nowhere(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, s := range secrets {
			if bytes.Contains(data, []byte(s)) {
				t.Errorf("%s lies in the clear in %s", s, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
