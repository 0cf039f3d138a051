package apicall_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/internal/value"
)

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

// TestRedirect_MethodAndBody walks RFC 9110, 15.4, within one origin.
func TestRedirect_MethodAndBody(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		if status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/")); err == nil {
			w.Header().Set("Location", "/end")
			w.WriteHeader(status)
			return
		}
		b, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+string(b)+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Idempotency-Key"))
	})
	for _, c := range []struct {
		op, status, want string
	}{
		{"post", "301", "GET   "}, {"post", "302", "GET   "}, {"post", "303", "GET   "},
		{"post", "307", `POST {"a":1} application/json k`}, {"post", "308", `POST {"a":1} application/json k`},
		{"put", "302", `PUT {"a":1} application/json k`}, {"put", "303", "GET   "}, {"patch", "308", `PATCH {"a":1} application/json k`},
	} {
		out := call(t, value.MapOf("url", s.URL+"/"+c.status, "operation", c.op, "body", value.MapOf("a", int64(1)), "idempotency_key", "k"))
		if out.Err != nil || string(out.Value) != string(value.AppendString(nil, c.want)) {
			t.Errorf("%s %s: %v %s, want %q", c.op, c.status, out.Err, out.Value, c.want)
		}
	}
	for op, want := range map[string]string{"get": `"GET   "`, "delete": `"DELETE   "`} {
		if out := call(t, value.MapOf("url", s.URL+"/302", "operation", op)); out.Err != nil || string(out.Value) != want {
			t.Errorf("%s: %v %s", op, out.Err, out.Value)
		}
	}
	if out := call(t, value.MapOf("url", s.URL+"/302", "response_validation", value.MapOf("expected_status_code", int64(302)))); out.Err != nil || out.Details.StatusCode != 302 {
		t.Errorf("a redirect that is expected was followed: %v %d", out.Err, out.Details.StatusCode)
	}
}

// TestRedirect_AnsweredPostIsNotSentAgain: a POST that was answered with "see
// there" has been carried out; trouble on the way there must not repeat it.
func TestRedirect_AnsweredPostIsNotSentAgain(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Redirect(w, r, "/result", http.StatusSeeOther)
			return
		}
		w.WriteHeader(503)
	})
	out := call(t, value.MapOf("url", s.URL, "operation", "post", "retry_count", int64(3)))
	if out.Err == nil || out.Err.Retryable || out.Details.NotRetried != "the post was answered by a redirect and has no idempotency_key" {
		t.Errorf("got %+v, %s", out.Err, out.Details.NotRetried)
	}
	if out = call(t, value.MapOf("url", s.URL, "operation", "post", "retry_count", int64(3), "idempotency_key", true)); !out.Err.Retryable {
		t.Errorf("with a key: %+v", out.Err)
	}
}

func TestProxy_IsUsedBySettingAndGuarded(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var seen []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.String())
		_, _ = io.WriteString(w, "from the proxy")
	}))
	t.Cleanup(proxy.Close)
	direct := handler(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "direct") })
	if out := call(t, value.MapOf("url", direct.URL)); out.Err != nil || string(out.Value) != `"direct"` {
		t.Errorf("HTTP_PROXY was heeded: %v %s", out.Err, out.Value)
	}
	if out := call(t, value.MapOf("url", direct.URL+"/x", "proxy", proxy.URL)); out.Err != nil || string(out.Value) != `"from the proxy"` || seen[0] != direct.URL+"/x" {
		t.Errorf("the proxy was not used: %v %s %v", out.Err, out.Value, seen)
	}
	out := call(t, value.MapOf("url", "http://169.254.169.254/", "proxy", proxy.URL))
	if out.Err == nil || out.Err.Class != "egress" || len(seen) != 1 {
		t.Errorf("the proxy was asked for what is not allowed: %+v %v", out.Err, seen)
	}
}

func TestEgress_AllowList(t *testing.T) {
	for _, bad := range []string{"10.0.0.0/99", "", "a b", "user@host"} {
		if _, err := apicall.New(apicall.Config{Egress: apicall.Egress{Allow: []string{bad}}}); err == nil || !strings.Contains(err.Error(), "[egress] allow") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
