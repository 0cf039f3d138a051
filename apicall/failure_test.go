package apicall_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
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

// TestRetryTable walks the table of docs/api-call.md.
func TestRetryTable(t *testing.T) {
	const yes, no = true, false
	for _, c := range []struct {
		status             int
		get, keyed, posted bool // GET; POST with key; POST without, retry_count > 0
	}{
		{429, yes, yes, yes}, {503, yes, yes, yes}, {408, yes, yes, yes}, {425, yes, yes, yes},
		{500, yes, yes, yes}, {502, yes, yes, yes}, {504, yes, yes, yes}, {501, no, no, no}, {505, no, no, no}, {507, no, no, no},
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
		case "/refused": // what it says is clear, though it never ends
			w.WriteHeader(422)
			_, _ = w.Write(make([]byte, 11<<20))
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
		{"/headers", "too_large", "the response's header is larger than 65536 bytes", false, false},
		{"/refused", "status", "422 Unprocessable Entity", false, false},
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
	if out.Err == nil || out.Err.Class != "connect" || !strings.HasPrefix(out.Err.Message, "connection refused: 127.0.0.1:") || !out.Err.Retryable || out.Err.Unknown || out.Details.Hint != "nothing was sent" {
		t.Errorf("refused: %+v, %s", out.Err, out.Details.Hint)
	}
	tls := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(tls.Close)
	out = call(t, value.MapOf("url", tls.URL, "retry_count", int64(1)))
	if out.Err == nil || out.Err.Class != "tls" || out.Err.Retryable {
		t.Errorf("untrusted certificate: %+v", out.Err)
	}
	plain, _ := recorder(t)
	out = call(t, value.MapOf("url", strings.Replace(plain.URL, "http:", "https:", 1), "retry_count", int64(1)))
	if out.Err == nil || out.Err.Class != "tls" || out.Err.Retryable {
		t.Errorf("no TLS there: %+v", out.Err)
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
		if engine.Refused(problems) != nil {
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
