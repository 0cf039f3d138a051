package apicall_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

func TestSelect_IsAppliedBeforeStoring(t *testing.T) {
	for _, c := range []struct{ kind, body, expr, want, fails string }{
		{"application/json", `{"data":{"items":[{"id":7,"x":1},{"id":8,"x":2}]}}`, "[.data.items[].id]", "[7,8]", ""},
		{"application/json", `{"b":1,"a":{"n":123456789012345678901234567890}}`, ".a.n", "123456789012345678901234567890", ""},
		{"application/json", `{"b":1}`, ".missing", "null", ""},
		{"text/plain", "a,b", `split(",")`, `["a","b"]`, ""},
		{"application/json", `{"b":"${credential:x} {{ y }}"}`, ".b", `"${credential:x} {{ y }}"`, ""},
		{"application/json", `[1,2]`, ".[]", "", "select gave more than one result; write [...] around it for a list"},
		{"application/json", `[1,2]`, "empty", "", "select gave no result; write (...) // null if that may be"},
		{"application/json", `{"a":1}`, ".a.b", "", `select: expected an object but got: number (1)`},
		{"application/json", `{}`, "env | length", "0", ""},
	} {
		s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			_, _ = io.WriteString(w, c.body)
		})
		out := call(t, value.MapOf("url", s.URL, "select", c.expr, "retry_count", int64(1)))
		switch {
		case c.fails == "" && (out.Err != nil || string(out.Value) != c.want):
			t.Errorf("%s: %v %s, want %s", c.expr, out.Err, out.Value, c.want)
		case c.fails != "" && (out.Err == nil || out.Err.Class != "select" || out.Err.Retryable || !strings.HasPrefix(out.Err.Message, c.fails)):
			t.Errorf("%s: got %+v, want %s", c.expr, out.Err, c.fails)
		}
	}
}

func TestSelect_EndsEvenIfTheExpressionDoesNot(t *testing.T) {
	s, _ := recorder(t)
	start := time.Now()
	out := call(t, value.MapOf("url", s.URL, "select", "last(repeat(1))"))
	if out.Err == nil || out.Err.Message != "select did not end within 2s" || time.Since(start) > 10*time.Second {
		t.Errorf("got %+v after %s", out.Err, time.Since(start))
	}
}

func TestResponseDocument_IsMadeForThoseWhoReadIt(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Total", "3")
		w.Header().Set("Set-Cookie", "session=verysecret")
		w.Header().Set("X-Huge", strings.Repeat("x", 20<<10))
	})
	props := value.MapOf("url", s.URL+"/a?token=verysecret")
	if out := call(t, props); out.Response != nil {
		t.Errorf("nobody reads it: %s", out.Response)
	}
	prog := programOf(t, apicall.Config{}, &engine.Flow{ID: "f", Tasks: []engine.Task{
		{ID: "t", Type: "api_call", Properties: props, Answers: true},
		{ID: "reader", Type: "api_call", Properties: value.MapOf("url", s.URL+"/{{ resp_t.status_code }}")},
	}})
	out := prog(t.Context())
	doc, err := value.ParseJSON(out.Response)
	if err != nil {
		t.Fatal(err)
	}
	m := doc.(*value.Map)
	headers, _ := m.Get("headers")
	total, _ := headers.(*value.Map).Get("x-total")
	status, _ := m.Get("status_code")
	_, hasTime := m.Get("elapsed_ms")
	if total != "3" || status != int64(200) || !hasTime || strings.Contains(string(out.Response), "verysecret") || len(out.Response) > engine.MaxResponseDoc {
		t.Errorf("got %.400s (%d bytes)", out.Response, len(out.Response))
	}
}
