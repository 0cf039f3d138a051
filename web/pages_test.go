package web

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/engine"
)

const html = "text/html,application/xhtml+xml"

// shown is a node for pages: a failed run whose message is no markup.
func shown() *double {
	return &double{call: func(_ engine.Caller, endpoint, _ string) (string, error) {
		if endpoint == "run.get" {
			return `{"run_id":"R1","flow_id":"orders","status":"failed","task_counts":{"failed":1},"tasks":[{"task_id":"a","status":"failed"}],
				"error":{"task_id":"a","class":"http","message":"<script>alert(1)</script>","details":{"response_excerpt":"<img src=x onerror=alert(2)>"}}}`, nil
		}
		return `{}`, nil
	}}
}

// TestPages_EachWithEachRole: a page shows itself to who may ask what it asks;
// who may not reads why, on a page.
func TestPages_EachWithEachRole(t *testing.T) {
	s := door(t, shown(), func(c *Config) { c.Login = LoginAlways })
	all := map[string]int{"": 401, "trigger": 403, "viewer": 200, "operator": 200, "admin": 200}
	for path, want := range map[string]map[string]int{
		"/": all, "/runs": all, "/runs/R1": all, "/runs/R1?view=timeline": all, "/runs/R1?view=log": all, "/flows": all, "/flows/orders": all,
		"/runs/R1/xcom/a": all, "/log": all, "/query?sql=SELECT+1": all, "/breakers": all, "/node": all,
		"/hooks":       {"": 401, "trigger": 403, "viewer": 403, "operator": 200, "admin": 200},
		"/credentials": {"": 401, "trigger": 403, "viewer": 403, "operator": 403, "admin": 200},
	} {
		for role, status := range want {
			headers := []string{"Accept", html}
			if role != "" {
				headers = append(headers, "Authorization", "Bearer "+role)
			}
			res, text := ask(t, s, "GET", path, "", headers...)
			if res.StatusCode != status || !strings.HasPrefix(text, "<!doctype html>") {
				t.Errorf("%s as %q: %d, want %d\n%.200s", path, role, res.StatusCode, status, text)
			}
			policy := res.Header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'; script-src 'self'") || !strings.Contains(policy, "require-trusted-types-for 'script'") {
				t.Errorf("%s: the policy is %q", path, policy)
			}
		}
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
