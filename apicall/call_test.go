package apicall_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// call prepares a task of the given properties and makes one attempt.
func call(t *testing.T, props *value.Map, change ...func(*engine.TaskInput)) engine.TaskOutput {
	t.Helper()
	return callIn(t, &engine.Flow{ID: "f"}, props, nil, change...)
}

func callIn(t *testing.T, flow *engine.Flow, props *value.Map, xcom map[engine.TaskID]any, change ...func(*engine.TaskInput)) engine.TaskOutput {
	t.Helper()
	kind, err := apicall.New(apicall.Config{Slots: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	flow.Tasks = []engine.Task{{ID: "t", Type: "api_call", Properties: props}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if prog == nil {
		t.Fatalf("the task was refused: %v", problems)
	}
	in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, xcom)
	in.Key.Run = "01M84BFBV1N8Q6D2T4XW9B7C5E"
	for _, c := range change {
		c(in)
	}
	return prog.Execute(t.Context(), in)
}

// seen is what a server received.
type seen struct {
	method, uri, body string
	header            http.Header
}

// recorder answers 200 with {} and keeps the last request.
func recorder(t *testing.T) (*httptest.Server, *seen) {
	got := &seen{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*got = seen{r.Method, r.RequestURI, string(b), r.Header.Clone()}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(s.Close)
	return s, got
}

func handler(t *testing.T, fn http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(fn)
	t.Cleanup(s.Close)
	return s
}

func TestRequest_IsBuiltFromRenderedValues(t *testing.T) {
	xcom := map[engine.TaskID]any{"up": value.MapOf("id", int64(7), "name", "Ann & Bob/../x", "list", []any{int64(1), "b"}, "nothing", nil)}
	for _, c := range []struct {
		name                    string
		props                   *value.Map
		method, uri, body, kind string
	}{
		{"path value is encoded", value.MapOf("url", "URL/users/{{ xcom_up.name }}"), "GET", "/users/Ann%20&%20Bob%2F..%2Fx", "", ""},
		{"path filter keeps slashes", value.MapOf("url", "URL/{{ 'a/b c' | path }}"), "GET", "/a/b%20c", "", ""},
		{"query value is encoded", value.MapOf("url", "URL/?q={{ xcom_up.name }}"), "GET", "/?q=Ann+%26+Bob%2F..%2Fx", "", ""},
		{"params merge, repeat and leave out", value.MapOf("url", "URL/?a=1", "params", value.MapOf("l", "{{ xcom_up.list }}", "n", "{{ xcom_up.nothing }}", "b", true)), "GET", "/?a=1&l=1&l=b&b=true", "", ""},
		{"json keeps types and order", value.MapOf("url", "URL/", "operation", "POST", "body", value.MapOf("z", "{{ xcom_up.id }}", "a", "n{{ xcom_up.id }}", "f", 7.0, "q", "{{ xcom_up.name }}")), "POST", "/", `{"z":7,"a":"n7","f":7.0,"q":"Ann & Bob/../x"}`, "application/json"},
		{"json text", value.MapOf("url", "URL/", "operation", "put", "body", `{"id": {{ xcom_up.id }}}`), "PUT", "/", `{"id": 7}`, "application/json"},
		{"form", value.MapOf("url", "URL/", "operation", "post", "body_format", "form", "body", value.MapOf("a b", "x&y", "l", []any{int64(1), int64(2)})), "POST", "/", "a+b=x%26y&l=1&l=2", "application/x-www-form-urlencoded"},
		{"raw", value.MapOf("url", "URL/", "operation", "patch", "body_format", "raw", "body", "id {{ xcom_up.id }}"), "PATCH", "/", "id 7", "text/plain; charset=utf-8"},
		{"xml", value.MapOf("url", "URL/", "operation", "post", "body_format", "xml", "body", value.MapOf("order", value.MapOf("@id", int64(7), "item", []any{"a<b", "c"}, "#text", "t"))), "POST", "/", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<order id=\"7\"><item>a&lt;b</item><item>c</item>t</order>", "application/xml"},
		{"delete", value.MapOf("url", "URL/x", "operation", "delete"), "DELETE", "/x", "", ""},
		{"head", value.MapOf("url", "URL/x", "operation", "head"), "HEAD", "/x", "", ""},
		{"options", value.MapOf("url", "URL/x", "operation", "options"), "OPTIONS", "/x", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, got := recorder(t)
			u, _ := c.props.Get("url")
			c.props.Set("url", strings.Replace(u.(string), "URL", s.URL, 1))
			out := callIn(t, &engine.Flow{ID: "f"}, c.props, xcom)
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			if got.method != c.method || got.uri != c.uri || got.body != c.body || got.header.Get("Content-Type") != c.kind {
				t.Errorf("got  %s %s %q %q\nwant %s %s %q %q", got.method, got.uri, got.body, got.header.Get("Content-Type"), c.method, c.uri, c.body, c.kind)
			}
		})
	}
}

func TestRequest_DataCannotBecomeStructure(t *testing.T) {
	s, _ := recorder(t)
	for name, c := range map[string]struct {
		props *value.Map
		data  any
		want  string
	}{
		"dot-dot segment":     {value.MapOf("url", s.URL+"/a/{{ xcom_up }}/b"), "..", "empty, \".\" or \"..\" segment"},
		"empty segment":       {value.MapOf("url", s.URL+"/a/{{ xcom_up }}/b"), "", "empty, \".\" or \"..\" segment"},
		"dot-dot in a path":   {value.MapOf("url", s.URL+"/{{ xcom_up | path }}"), "a/../b", "empty, \".\" or \"..\" segment"},
		"line break":          {value.MapOf("url", s.URL, "headers", value.MapOf("X-A", "{{ xcom_up }}")), "a\r\nX-B: 1", "line break"},
		"host":                {value.MapOf("url", "http://{{ xcom_up }}/"), "a@b", "no host may have"},
		"prefix with a query": {value.MapOf("url", "{{ xcom_up }}/x"), "http://a.example/?q=1", "has a query"},
		"prefix not http":     {value.MapOf("url", "{{ xcom_up }}/x"), "file:///etc", "must give an address"},
		"userinfo":            {value.MapOf("url", "{{ xcom_up }}"), "http://u:secret@a.example/", "use a credential"},
	} {
		t.Run(name, func(t *testing.T) {
			out := callIn(t, &engine.Flow{ID: "f"}, c.props, map[engine.TaskID]any{"up": c.data})
			if out.Err == nil || out.Err.Class != "template" || !strings.Contains(out.Err.Message, c.want) || out.Err.Retryable {
				t.Errorf("got %+v, want %q", out.Err, c.want)
			}
			if out.Err != nil && strings.Contains(out.Err.Message, "secret") {
				t.Errorf("the message quotes a password: %s", out.Err.Message)
			}
		})
	}
}

func TestRequest_PulledKeyIsTheValueAndCanBeReadByItsKey(t *testing.T) {
	s, got := recorder(t)
	xcom := map[engine.TaskID]any{"get_user_id": value.MapOf("user_id", int64(42), "other", "x")}
	for url, want := range map[string]string{"/users/{{ xcom_get_user_id.user_id }}": "/users/42", "/users/{{ xcom_get_user_id }}": "/users/42"} {
		out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", s.URL+url, "xcom_pull", []any{"get_user_id"}, "xcom_pull_key", "user_id"), xcom)
		if out.Err != nil || got.uri != want {
			t.Errorf("%s: %v, sent %s", url, out.Err, got.uri)
		}
	}
	out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", s.URL+"/{{ xcom_get_user_id }}", "xcom_pull", "get_user_id", "xcom_pull_key", "id"), xcom)
	if out.Err == nil || !strings.Contains(out.Err.Message, `has no key "id" (xcom_pull_key; there are: user_id, other)`) {
		t.Errorf("missing key: %+v", out.Err)
	}
}

func TestEgress_HostFromDataReachesPublicAddressesOnly(t *testing.T) {
	s, _ := recorder(t)
	host := strings.TrimPrefix(s.URL, "http://")
	flow := &engine.Flow{ID: "f", Variables: value.MapOf("base", s.URL)}
	if out := callIn(t, flow, value.MapOf("url", "{{ base }}/x"), nil); out.Err != nil {
		t.Errorf("the default of a variable is trusted: %v", out.Err)
	}
	out := callIn(t, &engine.Flow{ID: "f"}, value.MapOf("url", "http://{{ xcom_up }}/x"), map[engine.TaskID]any{"up": host})
	if out.Err == nil || out.Err.Class != "egress" || out.Err.Message != "egress: 127.0.0.1 is not allowed (loopback, and the host comes from data); see [egress] in qarion.toml" {
		t.Errorf("a host from data: %+v", out.Err)
	}
	out = call(t, value.MapOf("url", "http://169.254.169.254/latest/meta-data"))
	if out.Err == nil || out.Err.Message != "egress: 169.254.169.254 is not allowed (link-local); see [egress] in qarion.toml" {
		t.Errorf("cloud metadata: %+v", out.Err)
	}
}

func TestRedirects(t *testing.T) {
	var hits atomic.Int32
	var auth atomic.Value
	other := handler(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		auth.Store(r.Header.Get("Authorization") + r.Header.Get("X-Api-Key") + r.Header.Get("Cookie"))
	})
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		case "/307":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/same":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/end":
			_, _ = w.Write([]byte(r.Header.Get("Authorization")))
		}
	})
	secret := value.MapOf("Authorization", "Bearer verysecret", "X-API-Key", "verysecret", "Cookie", "c=verysecret")
	out := call(t, value.MapOf("url", s.URL+"/same", "headers", secret))
	if out.Err != nil || string(out.Value) != `"Bearer verysecret"` {
		t.Errorf("within one origin: %v %s", out.Err, out.Value)
	}
	out = call(t, value.MapOf("url", s.URL+"/other", "headers", secret))
	if out.Err == nil || out.Err.Class != "egress" || hits.Load() != 0 {
		t.Errorf("a redirect to another host is data: %+v, %d hits", out.Err, hits.Load())
	}
	out = call(t, value.MapOf("url", s.URL+"/loop"))
	if out.Err == nil || out.Err.Class != "redirect" || out.Err.Message != "more than 10 redirects" {
		t.Errorf("loop: %+v", out.Err)
	}
	out = call(t, value.MapOf("url", s.URL+"/file"))
	if out.Err == nil || out.Err.Class != "redirect" {
		t.Errorf("file: %+v", out.Err)
	}
	out = call(t, value.MapOf("url", s.URL+"/307", "operation", "post", "body", value.MapOf("a", int64(1))))
	if out.Err == nil || !strings.Contains(out.Err.Message, "would send the body to another host") {
		t.Errorf("307 with a body: %+v", out.Err)
	}
	out = call(t, value.MapOf("url", s.URL+"/other", "follow_redirects", false))
	if out.Err != nil || out.Details.StatusCode != 302 {
		t.Errorf("not followed: %+v %d", out.Err, out.Details.StatusCode)
	}
}

// TestRetryTable walks the table of docs/api-call.md.
func TestRetryTable(t *testing.T) {
	const yes, no = true, false
	for _, c := range []struct {
		status             int
		get, keyed, posted bool // GET; POST with key; POST without, retry_count > 0
	}{
		{429, yes, yes, yes}, {503, yes, yes, yes}, {408, yes, yes, no}, {425, yes, yes, no},
		{500, yes, yes, yes}, {502, yes, yes, yes}, {504, yes, yes, yes}, {501, no, no, yes}, {507, no, no, yes},
		{400, no, no, no}, {401, no, no, no}, {403, no, no, no}, {404, no, no, no}, {409, no, no, no}, {422, no, no, no},
	} {
		s := handler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) })
		for kind, want := range map[string]bool{"get": c.get, "keyed": c.keyed, "posted": c.posted} {
			props := value.MapOf("url", s.URL, "retry_count", int64(3))
			if kind != "get" {
				props.Set("operation", "post")
			}
			if kind == "keyed" {
				props.Set("idempotency_key", true)
			}
			out := call(t, props)
			if out.Err == nil || out.Err.Class != "status" || out.Err.Retryable != want {
				t.Errorf("%d %s: %+v, want retryable %v", c.status, kind, out.Err, want)
			}
		}
	}
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	if out := call(t, value.MapOf("url", s.URL, "retry_on_status", []any{int64(404)})); !out.Err.Retryable {
		t.Error("retry_on_status does not override")
	}
	s = handler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	if out := call(t, value.MapOf("url", s.URL, "fail_on_status", int64(503))); out.Err.Retryable {
		t.Error("fail_on_status does not override")
	}
}

func TestBrokenAnswers(t *testing.T) {
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/drop":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/silent":
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		case "/drip":
			for i := 0; i < 1000 && r.Context().Err() == nil; i++ {
				_, _ = w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				select {
				case <-time.After(20 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		case "/headers":
			for i := range 5000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100))
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			zeros := make([]byte, 1<<20)
			for range 64 {
				if _, err := z.Write(zeros); err != nil {
					return
				}
			}
			z.Close()
		case "/badgzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("this is not gzip at all"))
		case "/encoding":
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("something"))
		}
	})
	for _, c := range []struct {
		path, class, want string
		get, post         bool // retryable
	}{
		{"/drop", "closed", "connection closed before the answer was complete", true, true},
		{"/half", "closed", "connection closed before the answer was complete", true, true},
		{"/silent", "timeout", "timeout after 150ms, no response headers", true, false},
		{"/drip", "timeout", "timeout after 150ms, the response body is incomplete", true, false},
		{"/headers", "closed", "", true, true},
		{"/bomb", "too_large", "the response is larger than max_response_bytes (10485760)", false, false},
		{"/badgzip", "response", "the response's gzip data is damaged", false, false},
		{"/encoding", "response", `Content-Encoding "br"`, false, false},
	} {
		for _, op := range []string{"get", "post"} {
			timeout := "150ms"
			if c.class != "timeout" {
				timeout = "10s"
			}
			out := call(t, value.MapOf("url", s.URL+c.path, "operation", op, "timeout", timeout, "retry_count", int64(1)))
			want := c.get
			if op == "post" {
				want = c.post
			}
			if out.Err == nil || out.Err.Class != c.class || !strings.Contains(out.Err.Message, c.want) || out.Err.Retryable != want {
				t.Errorf("%s %s: got %+v, want %s %q, retryable %v", op, c.path, out.Err, c.class, c.want, want)
			}
		}
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	out := call(t, value.MapOf("url", s.URL, "operation", "post"))
	if out.Err == nil || out.Err.Class != "connect" || !strings.HasPrefix(out.Err.Message, "connection refused: 127.0.0.1:") || !out.Err.Retryable || out.Err.Unknown {
		t.Errorf("refused: %+v", out.Err)
	}
	tls := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(tls.Close)
	out = call(t, value.MapOf("url", tls.URL, "retry_count", int64(1)))
	if out.Err == nil || out.Err.Class != "tls" || out.Err.Retryable {
		t.Errorf("untrusted certificate: %+v", out.Err)
	}
	if out = call(t, value.MapOf("url", tls.URL, "verify_tls", false)); out.Err != nil {
		t.Errorf("verify_tls = false: %v", out.Err)
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"2": 2 * time.Second, "": 0, "soon": 0, "-1": 0,
		time.Now().Add(time.Minute).UTC().Format(http.TimeFormat): time.Minute,
	} {
		s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(429)
		})
		out := call(t, value.MapOf("url", s.URL, "retry_count", int64(1)))
		if d := out.Err.RetryAfter - want; d > 2*time.Second || d < -2*time.Second || !out.Err.Retryable {
			t.Errorf("%q: %+v, want %s", header, out.Err, want)
		}
	}
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(429)
	})
	out := call(t, value.MapOf("url", s.URL, "retry_count", int64(1)))
	if out.Err.Retryable || out.Err.Message != "429 Too Many Requests, Retry-After 2h" || out.Details.Hint == "" {
		t.Errorf("longer than retry_after_max: %+v", out.Err)
	}
}

func TestNothingIsRepeatedByTheTransport(t *testing.T) {
	for _, op := range []string{"get", "post", "delete"} {
		var n atomic.Int32
		s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1) > 1 {
				panic(http.ErrAbortHandler) // on a kept connection, before an answer
			}
		})
		kind, err := apicall.New(apicall.Config{Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: "api_call", Properties: value.MapOf("url", s.URL, "operation", op, "idempotency_key", true)}}}
		prog, problems := kind.Prepare(flow, &flow.Tasks[0])
		if prog == nil {
			t.Fatal(problems)
		}
		for range 2 {
			prog.Execute(t.Context(), engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil))
		}
		kind.Close()
		if n.Load() != 2 {
			t.Errorf("%s: two attempts made %d requests", op, n.Load())
		}
	}
}

func TestResponse_WhatIsStored(t *testing.T) {
	for _, c := range []struct {
		name, kind, body, want string
		large                  bool
	}{
		{"json", "application/json", `{"b":1,"a":[1.0]}`, `{"b":1,"a":[1.0]}`, false},
		{"json by its looks", "text/plain", ` [1, 2]`, ` [1, 2]`, false},
		{"text", "text/plain", "hello", `"hello"`, false},
		{"a template stays text", "text/plain", "{{ 7 * 7 }}", `"{{ 7 * 7 }}"`, false},
		{"empty", "", "", "null", false},
		{"not UTF-8", "image/png", "\x89PNG\xff", "", true},
		{"large", "application/json", `["` + strings.Repeat("x", 70<<10) + `"]`, "", true},
	} {
		s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			_, _ = w.Write([]byte(c.body))
		})
		out := call(t, value.MapOf("url", s.URL))
		if out.Err != nil || string(out.Value) != c.want || (out.Large != nil) != c.large {
			t.Errorf("%s: %v, %q, large %v", c.name, out.Err, out.Value, out.Large != nil)
		}
		if out := call(t, value.MapOf("url", s.URL, "response_handling", "ignore")); out.Value != nil || out.Large != nil {
			t.Errorf("%s: ignored, but stored", c.name)
		}
	}
}

func TestValidation_ReportsEveryViolation(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"pending","n":5,"items":[{"sku":"A"}],"s":"abc"}`))
	})
	rules := value.MapOf(
		"expected_status_code", []any{int64(200), int64(201)},
		"required_fields", []any{"status", "items.0.id", "items.3", "missing.x"},
		"field_checks", value.MapOf(
			"status", value.MapOf("type", "str", "value", "success"), "n", value.MapOf("type", "bool", "min", 6.0),
			"s", value.MapOf("pattern", "^x", "min_length", int64(4), "one_of", []any{"x", "y"}),
			"items", value.MapOf("type", "array", "max_length", int64(0)),
		))
	out := call(t, value.MapOf("url", s.URL, "response_handling", "validate", "response_validation", rules, "retry_count", int64(2)))
	want := []string{
		"items.0.id: missing (keys: sku)", "items.3: missing (a list of 1)", "missing.x: missing (keys: status, n, items, s)",
		`status: "pending", expected "success"`, "n: an int, expected bool", "n: 5 is less than 6",
		`s: "abc" does not match ^x`, `s: "abc" is none of ["x","y"]`, "s: length 3, at least 4 expected", "items: length 1, at most 0 expected",
	}
	if out.Err == nil || out.Err.Class != "validation" || out.Err.Retryable {
		t.Fatalf("got %+v", out.Err)
	}
	if got, exp := strings.Join(out.Details.Validation, "\n"), strings.Join(want, "\n"); got != exp {
		t.Errorf("got\n%s\nwant\n%s", got, exp)
	}
	out = call(t, value.MapOf("url", s.URL, "response_validation", value.MapOf("expected_status_code", int64(204))))
	if out.Err == nil || out.Err.Message != "200 OK, expected 204" {
		t.Errorf("status: %+v", out.Err)
	}
}

func TestFailure_ShowsWhyAndHidesSecrets(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "session=verysecret1")
		w.WriteHeader(422)
		_, _ = w.Write([]byte(`{"error":"bad currency","token":"verysecret2","nested":{"client_secret": "verysecret3"}}`))
	})
	out := call(t, value.MapOf("url", s.URL+"/x?api_key=verysecret4&q=1", "operation", "post",
		"headers", value.MapOf("Authorization", "Bearer verysecret5", "X-Trace", "t1"),
		"body", value.MapOf("password", "verysecret6", "amount", 129.9)))
	data, err := json.Marshal(out.Details)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bad currency", "amount", "129.9", "X-Trace", "422 is not retried", "q=1"} {
		if !strings.Contains(string(data)+out.Err.Message, want) {
			t.Errorf("the details lack %q: %s", want, data)
		}
	}
	if strings.Contains(string(data)+out.Err.Message, "verysecret") {
		t.Errorf("a secret is shown: %s", data)
	}
}

func TestSending_IsAnnouncedBeforeAnythingLeaves(t *testing.T) {
	s, got := recorder(t)
	out := call(t, value.MapOf("url", s.URL, "operation", "post"), func(in *engine.TaskInput) {
		in.OnSending(func(context.Context) error { return errors.New("the ledger refuses") })
	})
	if out.Err == nil || got.method != "" {
		t.Errorf("a request left though it could not be announced: %+v %s", out.Err, got.method)
	}
}

func TestUndefinedName_SendsNothing(t *testing.T) {
	s, got := recorder(t)
	out := call(t, value.MapOf("url", s.URL+"/{{ nothing }}"))
	if out.Err == nil || !strings.Contains(out.Err.Message, "nothing is undefined") || got.method != "" {
		t.Errorf("got %+v, sent %q", out.Err, got.method)
	}
}
