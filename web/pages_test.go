package web

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
)

// evil is what data may hold that would like to be a part of the page.
const evil = `<script>alert(1)</script>"><img src=x onerror=alert(1)>`

// shopNode answers with a flow, a failed run and an interrupted one whose texts
// are all evil.
func shopNode() *double {
	quoted := strings.ReplaceAll(evil, `"`, `\"`)
	run := `{"run_id":"01M8DTM18G7W18HV1E09CE6QVX","flow_id":"shop","flow_version":"2f64e804","status":"failed","final":true,"start_time":"2026-11-27T06:20:56.976Z",` +
		`"end_time":"2026-11-27T06:20:57.976Z","task_counts":{"failed":1,"success":1,"interrupted":1},"variables":{"x":"` + quoted + `"},"tasks":[` +
		`{"task_id":"pay","status":"failed","attempts":1,"reason":"` + quoted + `","start_time":"2026-11-27T06:20:56.976Z","end_time":"2026-11-27T06:20:57.976Z"},` +
		`{"task_id":"ask","status":"success","attempts":1},{"task_id":"lost","status":"interrupted","attempts":1,"reason":"` + quoted + `"}],` +
		`"error":{"task_id":"pay","class":"status","message":"` + quoted + `","details":{"method":"POST","url":"http://api/` + quoted + `","response_excerpt":"` + quoted + `"}}}`
	answers := map[string]string{
		"run.get":   run,
		"run.list":  `{"runs":[` + run + `],"more":true}`,
		"run.tasks": `{"tasks":[{"task_id":"pay","status":"failed","attempts":1,"reason":"` + quoted + `"}],"more":true}`,
		"flow.list": `{"flows":[{"flow_id":"shop","name":"` + quoted + `","version":"2f64e804","tasks":2}]}`,
		"flow.get": `{"id":"shop","name":"` + quoted + `","description":"` + quoted + `","variables":{"x":"` + quoted + `","n":7},` +
			`"tasks":[{"id":"ask","type":"api_call","line":2},{"id":"pay","type":"api_call","dependencies":["ask"]}]}`,
		"flow.source":     `{"flow_id":"shop","version":"2f64e804","file":"shop.toml","source":"# ` + quoted + `\nx","current":false,"problems":[{"file":"shop.toml","line":1,"column":1,"severity":"error","message":"` + quoted + `"}]}`,
		"flow.problems":   `{"problems":[{"file":"shop.toml","line":1,"severity":"error","message":"` + quoted + `"}],"files":1}`,
		"log.list":        `{"operations":[{"operation_id":"o","execution_id":"01M8DTM18G7W18HV1E09CE6QVX","flow_id":"shop","task_id":"pay","attempt":1,"status":"failed","start_time":"2026-11-27T06:20:56.976Z","error_message":"` + quoted + `","operation_details":{"url":"` + quoted + `"}}],"first":"1-1","more":true}`,
		"node.status":     `{"engine":{"worker":"` + quoted + `","views":[{"view":"runs"}],"interrupted":[{"run_id":"01M8DTM18G7W18HV1E09CE6QVX","flow_id":"shop","task_id":"lost"}]},"version":"v1"}`,
		"breaker.list":    `{"breakers":[{"key":"` + quoted + `","state":"open"}]}`,
		"query":           `{"columns":["` + quoted + `"],"rows":[["` + quoted + `"]]}`,
		"xcom.get":        `{"x":"` + quoted + `"}`,
		"hook.list":       `{"hooks":[{"name":"` + quoted + `","sha256":"00"}]}`,
		"credential.list": `{"credentials":[{"credential_id":"` + quoted + `","type":"bearer"}]}`,
		"run.start":       `{"run_id":"01M8DTM18G7W18HV1E09CE6QVX"}`,
		"run.cancel":      run, "run.resolve": run, "breaker.reset": `{}`,
	}
	return &double{call: func(who engine.Caller, endpoint, _ string) (string, error) {
		e, err := engine.EndpointNamed(endpoint)
		if err == nil {
			err = who.MayCall(e)
		}
		return answers[endpoint], err
	}}
}

// shownPages are the pages with the endpoint that each cannot do without.
var shownPages = map[string]string{
	"/": "node.status", "/flows": "flow.list", "/flows/shop": "flow.get", "/runs": "run.list", "/runs?status=failed&flow=shop": "run.list",
	"/runs/01M8DTM18G7W18HV1E09CE6QVX": "run.get", "/runs/01M8DTM18G7W18HV1E09CE6QVX?only=failed": "run.tasks",
	"/runs/01M8DTM18G7W18HV1E09CE6QVX?task=pay&attempt=1": "log.list", "/runs/01M8DTM18G7W18HV1E09CE6QVX?view=graph&task=pay": "flow.get",
	"/runs/01M8DTM18G7W18HV1E09CE6QVX?view=timeline": "run.get", "/runs/01M8DTM18G7W18HV1E09CE6QVX?view=log": "log.list",
	"/runs/01M8DTM18G7W18HV1E09CE6QVX/xcom/ask": "xcom.get", "/log": "log.list", "/query": "query", "/query?sql=select+1": "query",
	"/breakers": "breaker.list", "/node": "node.status", "/hooks": "hook.list", "/credentials": "credential.list",
}

func TestPages_EachWithEachRole(t *testing.T) {
	s := door(t, shopNode())
	for path, endpoint := range shownPages {
		for _, role := range engine.Roles {
			e, err := engine.EndpointNamed(endpoint)
			if err != nil {
				t.Fatal(err)
			}
			who := engine.Caller{Role: role, Login: true}
			want := http.StatusOK
			if who.MayCall(e) != nil && path != "/query" { // the form alone asks nothing
				want = http.StatusForbidden
			}
			res, text := ask(t, s, "GET", path, "", "Authorization", "Bearer "+string(role))
			if res.StatusCode != want || !strings.Contains(text, "</html>") {
				t.Errorf("%s as %s: %d, want %d\n%.300s", path, role, res.StatusCode, want, text)
			}
		}
	}
}

// TestPages_DataIsNeverMarkup: texts of flows, answers and people stand on the
// page as they are, and nothing on it runs but its own script.
func TestPages_DataIsNeverMarkup(t *testing.T) {
	s := door(t, shopNode())
	allowed := regexp.MustCompile(`<script type="module" src="/assets/[0-9a-f]+/app.js"></script>`)
	for path := range shownPages {
		res, text := ask(t, s, "GET", path, "", "Authorization", "Bearer admin")
		rest := allowed.ReplaceAllString(text, "")
		for _, bad := range []string{"<script", "<img", "style=", " onerror=alert(1)>"} {
			if strings.Contains(rest, bad) {
				t.Errorf("%s has %s in it", path, bad)
			}
		}
		csp := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %s", path, csp, want)
			}
		}
	}
}

func TestPages_AskAgainAndGetOnlyWhatIsNew(t *testing.T) {
	s := door(t, shopNode())
	res, _ := ask(t, s, "GET", "/runs", "")
	tag := res.Header.Get("ETag")
	if res, text := ask(t, s, "GET", "/runs", "", "If-None-Match", tag); tag == "" || res.StatusCode != http.StatusNotModified || text != "" {
		t.Errorf("with the tag %q: %d and %d bytes, want 304 and none", tag, res.StatusCode, len(text))
	}
}

func TestPages_Actions(t *testing.T) {
	node := shopNode()
	var asked []string
	inner := node.call
	node.call = func(who engine.Caller, endpoint, payload string) (string, error) {
		if e, err := engine.EndpointNamed(endpoint); err == nil && e.Role != engine.RoleViewer {
			asked = append(asked, endpoint+" "+payload)
		}
		return inner(who, endpoint, payload)
	}
	s := door(t, node)
	post := func(path, form string, headers ...string) *http.Response {
		t.Helper()
		res, _ := ask(t, s, "POST", path, form, append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
		return res
	}
	const run = "/runs/01M8DTM18G7W18HV1E09CE6QVX"
	for _, c := range []struct{ path, form, to, payload string }{
		{"/flows/shop/runs", "var.x=hello&var.n=8", run, `run.start {"flow":"shop","trigger_type":"ui","variables":{"n":8,"x":"hello"}}`},
		{"/flows/shop/runs", "var.n=7", run, `run.start {"flow":"shop","trigger_type":"ui","variables":{}}`},
		{run + "/cancel", "reason=wrong", run, `run.cancel {"reason":"wrong","run_id":"01M8DTM18G7W18HV1E09CE6QVX"}`},
		{run + "/resolve", "task=lost&as=success&value=%7B%22id%22%3A7%7D", run, `run.resolve {"as":"success","run_id":"01M8DTM18G7W18HV1E09CE6QVX","task_id":"lost","value":{"id":7}}`},
		{"/breakers/reset", "key=https://a:443", "/breakers", `breaker.reset {"key":"https://a:443"}`},
	} {
		asked = nil
		res := post(c.path, c.form, "Authorization", "Bearer admin")
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != c.to || fmt.Sprint(asked) != "["+c.payload+"]" {
			t.Errorf("%s %s: %d to %s, asked %s; want 303 to %s, asked [%s]", c.path, c.form, res.StatusCode, res.Header.Get("Location"), asked, c.to, c.payload)
		}
	}
	asked = nil
	for name, headers := range map[string][]string{
		"a page from elsewhere": {"Origin", "https://evil.example"}, "another site": {"Sec-Fetch-Site", "cross-site"},
	} {
		if res := post(run+"/cancel", "", headers...); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", name, res.StatusCode)
		}
	}
	if res := post(run+"/cancel", "", "Authorization", "Bearer viewer"); res.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer cancels: %d, want 403", res.StatusCode)
	}
	if res := post(run+"/resolve", "task=lost&as=success&value=nonsense"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a value that is no JSON: %d, want 400", res.StatusCode)
	}
	if res := post("/flows/shop/runs", "var.x="+strings.Repeat("a", 600<<10)); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a form of 600 KiB: %d, want 400", res.StatusCode)
	}
	if len(asked) > 0 {
		t.Errorf("the node was asked all the same: %s", asked)
	}
	node.mu.Lock()
	defer node.mu.Unlock()
	if len(node.audits) < 5 || node.audits[0].Endpoint != "run.start" || node.audits[0].Who != "token admin" {
		t.Errorf("the audit has %+v", node.audits)
	}
}

// TestPages_SizesAndAssets: the first page with all that it needs is at most
// 60 KB on the wire, and the assets come compressed and are kept.
func TestPages_SizesAndAssets(t *testing.T) {
	s := door(t, shopNode())
	_, page := ask(t, s, "GET", "/", "")
	total := len(page)
	for _, path := range regexp.MustCompile(`/assets/[^"]+`).FindAllString(page, -1) {
		res, text := ask(t, s, "GET", path, "", "Accept-Encoding", "gzip")
		total += len(text)
		plain, err := gzip.NewReader(strings.NewReader(text))
		if err != nil || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") || res.Header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %v %v", path, err, res.Header)
		}
		unzipped, err := io.ReadAll(plain)
		if _, asIs := ask(t, s, "GET", path, ""); err != nil || asIs != string(unzipped) {
			t.Errorf("%s is not the same compressed: %v", path, err)
		}
	}
	if total > 60<<10 {
		t.Errorf("the first page takes %d bytes, want at most %d", total, 60<<10)
	}
	if res, _ := ask(t, s, "GET", "/assets/old/app.js", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("an asset of another build: %d, want 404", res.StatusCode)
	}
}

func TestPages_WhatThereIsNot(t *testing.T) {
	s := door(t, nil)
	if res, text := ask(t, s, "GET", "/runs", ""); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "the node is starting") {
		t.Errorf("before the node: %d %.200s", res.StatusCode, text)
	}
	if res, text := ask(t, s, "GET", "/nothing", "", "Accept", "text/html"); res.StatusCode != http.StatusNotFound || !strings.Contains(text, "nothing is at /nothing") || !strings.Contains(text, "</html>") {
		t.Errorf("nowhere: %d %.200s", res.StatusCode, text)
	}
	locked := door(t, shopNode(), func(c *Config) { c.Login = LoginAlways })
	if res, text := ask(t, locked, "GET", "/runs", ""); res.StatusCode != http.StatusUnauthorized || strings.Contains(text, "01M8DTM18G7W18HV1E09CE6QVX") {
		t.Errorf("without a login: %d", res.StatusCode)
	}
}
