package web

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web/ui"
)

const html = "text/html,application/xhtml+xml"

// shown is a node for pages: a failed run whose message is no markup.
func shown() *double {
	return &double{call: func(_ engine.Caller, endpoint, _ string) (string, error) {
		if endpoint == "run.get" {
			return `{"run_id":"R1","flow_id":"orders","status":"failed","task_counts":{"failed":1},"tasks":[{"task_id":"a","status":"failed"}],
				"error":{"task_id":"a","class":"http","message":"<script>alert(1)</script>","details":{"response_excerpt":"<img src=x onerror=alert(2)>"}}}`, nil
		}
		if endpoint == "run.rerun" {
			return `{"run":{"run_id":"R2"}}`, nil
		}
		return `{}`, nil
	}}
}

// rolesNeeded are the answers that a route must give by who asks, made from the
// table of endpoints.
func rolesNeeded(t *testing.T, endpoint string, ok int) map[string]int {
	t.Helper()
	e, err := engine.EndpointNamed(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{"": http.StatusUnauthorized}
	for _, role := range engine.Roles {
		who := engine.Caller{Role: role, Login: true}
		out[string(role)] = ok
		if who.MayCall(e) != nil {
			out[string(role)] = http.StatusForbidden
		}
	}
	return out
}

// filled puts words in the places of a path.
func filled(path string) string {
	return strings.NewReplacer("{$}", "", "{flow}", "orders", "{run}", "R1", "{task}", "a", "{token}", "t", "{user}", "u", "{breaker}", "b").Replace(path)
}

// TestPages_EachWithEachRole: every page and action of the pages, by the one
// table of endpoints: who may, sees or does it; who may not reads why, on a
// page; and the node is not asked.
func TestPages_EachWithEachRole(t *testing.T) {
	for _, rt := range ui.Routes() {
		t.Run(rt.Method+" "+rt.Path, func(t *testing.T) {
			ok := http.StatusOK
			var asked atomic.Int32
			node := shown()
			answers := node.call
			node.call = func(who engine.Caller, endpoint, payload string) (string, error) {
				asked.Add(1)
				return answers(who, endpoint, payload)
			}
			if rt.Method == http.MethodPost && rt.Path != "/tokens" && rt.Path != "/users" {
				ok = http.StatusSeeOther
			}
			s := door(t, node, func(c *Config) { c.Login = LoginAlways })
			path := filled(rt.Path)
			body := ""
			if path == "/runs/cancel" || path == "/runs/rerun" { // they say first what follows
				ok, body = http.StatusOK, "run=R1"
			}
			if path == "/query" {
				path += "?sql=SELECT+1"
			}
			for role, status := range rolesNeeded(t, rt.Endpoint, ok) {
				if rt.Endpoint == "run.start" && role == string(engine.RoleTrigger) {
					continue // it sees no form, whose fields are read with the flow; it has the API
				}
				headers := []string{"Accept", html, "Content-Type", formType}
				if role != "" {
					headers = append(headers, "Authorization", "Bearer "+role)
				}
				asked.Store(0)
				saved := strings.HasSuffix(path, ".svg") && status == http.StatusOK
				res, text := ask(t, s, rt.Method, path, body, headers...)
				if res.StatusCode != status || status != http.StatusSeeOther && !strings.HasPrefix(text, "<!doctype html>") && !saved {
					t.Errorf("as %q: %d, want %d\n%.300s", role, res.StatusCode, status, text)
				}
				if status >= 400 && asked.Load() > 0 {
					t.Errorf("as %q: the node was asked %d times", role, asked.Load())
				}
				if saved {
					continue
				}
				policy := res.Header.Get("Content-Security-Policy")
				if status != http.StatusSeeOther && (!strings.Contains(policy, "default-src 'none'; script-src 'self'") || !strings.Contains(policy, "require-trusted-types-for 'script'")) {
					t.Errorf("the policy is %q", policy)
				}
			}
		})
	}
}

// TestAPI_EachWithEachRole: the same of every route of the API.
func TestAPI_EachWithEachRole(t *testing.T) {
	for _, rt := range apiRoutes() {
		t.Run(rt.method+" "+rt.path, func(t *testing.T) {
			s := door(t, shown(), func(c *Config) { c.Login = LoginAlways })
			for role, status := range rolesNeeded(t, rt.endpoint, http.StatusOK) {
				var headers []string
				if role != "" {
					headers = append(headers, "Authorization", "Bearer "+role)
				}
				body := ""
				if rt.body != nil {
					headers, body = append(headers, "Content-Type", "application/json"), "{}"
				}
				res, text := ask(t, s, rt.method, apiPrefix+filled(rt.path), body, headers...)
				if got := res.StatusCode; got != status && !(status == http.StatusOK && got/100 == 2) {
					t.Errorf("as %q: %d, want %d\n%.300s", role, got, status, text)
				}
				if status >= 400 && !strings.Contains(text, `"type":"urn:qarion:`) {
					t.Errorf("as %q: %s", role, text)
				}
			}
		})
	}
}

// TestPages_DataIsNoMarkup.
func TestPages_DataIsNoMarkup(t *testing.T) {
	s := door(t, shown())
	_, text := ask(t, s, "GET", "/runs/R1", "", "Accept", html)
	for _, data := range []string{"<script>alert(1)", "<img src=x"} {
		if strings.Contains(text, data) {
			t.Errorf("the page has %s", data)
		}
		if !strings.Contains(text, strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(data)) {
			t.Errorf("the page does not show %s", data)
		}
	}
}

// TestPages_ActionsOfOthersAreRefused: a form on a page from elsewhere, and one
// who may not; the node hears nothing. What is done is told as an audit.
func TestPages_ActionsOfOthersAreRefused(t *testing.T) {
	var asked atomic.Int32
	node := &double{call: func(_ engine.Caller, endpoint, _ string) (string, error) {
		if endpoint == "run.cancel" {
			asked.Add(1)
		}
		return `{"run_id":"R1"}`, nil
	}}
	s := door(t, node, func(c *Config) { c.Login = LoginAlways })
	form := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", html}
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{"Authorization", "Bearer admin", "Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Authorization", "Bearer admin", "Origin", "https://evil.example"}, 403},
		{[]string{"Authorization", "Bearer admin", "Host", "evil.example"}, 421},
		{[]string{"Authorization", "Bearer viewer"}, 403},
		{nil, 401},
	} {
		if res, text := ask(t, s, "POST", "/runs/R1/cancel", "reason=x", append(c.headers, form...)...); res.StatusCode != c.status {
			t.Errorf("%v: %d, want %d\n%.200s", c.headers, res.StatusCode, c.status, text)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the node was asked %d times", n)
	}
	res, _ := ask(t, s, "POST", "/runs/R1/cancel", "reason=x", append(form, "Authorization", "Bearer operator", "Sec-Fetch-Site", "same-origin")...)
	if res.StatusCode != http.StatusSeeOther || asked.Load() != 1 {
		t.Errorf("an operator's own form: %d, asked %d times", res.StatusCode, asked.Load())
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	if n := len(node.audits); n == 0 || node.audits[n-1].Endpoint != "run.cancel" || node.audits[n-1].Result != "ok" {
		t.Errorf("audits: %+v", node.audits)
	}
}

// maxFirstPage bounds what a first page loads, compressed, in bytes.
const maxFirstPage = 60 << 10

// TestPages_AFirstPageIsSmall: page, style and scripts.
func TestPages_AFirstPageIsSmall(t *testing.T) {
	s := door(t, shown())
	_, page := ask(t, s, "GET", "/runs", "", "Accept", html)
	total := len(page)
	build, _, found := strings.Cut(page[strings.Index(page, "/assets/")+len("/assets/"):], "/")
	if !found {
		t.Fatalf("no assets in %.300s", page)
	}
	for _, name := range []string{"style.css", "app.js", "morph.js", "live.js", "icon.svg"} {
		res, text := ask(t, s, "GET", "/assets/"+build+"/"+name, "", "Accept-Encoding", "gzip")
		if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
		total += len(text)
	}
	if total > maxFirstPage {
		t.Errorf("a first page takes %d bytes, want at most %d", total, maxFirstPage)
	}
	t.Logf("%d bytes", total)
}
