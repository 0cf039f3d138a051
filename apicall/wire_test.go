package apicall_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// program prepares a task that makes many attempts over the same connections.
func program(t *testing.T, cfg apicall.Config, props *value.Map) func(ctx context.Context) engine.TaskOutput {
	t.Helper()
	return programOf(t, cfg, &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: props}}})
}

// programOf prepares the first task of a flow.
func programOf(t *testing.T, cfg apicall.Config, flow *engine.Flow) func(ctx context.Context) engine.TaskOutput {
	t.Helper()
	kind, err := apicall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		t.Fatal(problems)
	}
	return func(ctx context.Context) engine.TaskOutput {
		in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)
		in.Key.Run = "01M84BFBV1N8Q6D2T4XW9B7C5E"
		return prog.Execute(ctx, in)
	}
}

// TestHTTP1_WhatIsOnTheWire holds the bytes of requests without a body: net/http
// is kept from repeating them by means that a server must not see.
func TestHTTP1_WhatIsOnTheWire(t *testing.T) {
	for op, want := range map[string]struct{ has, lacks []string }{
		"get":     {[]string{"GET /x HTTP/1.1\r\n", "User-Agent: qarion\r\n"}, []string{"Content-Length", "Transfer-Encoding", "Content-Type"}},
		"head":    {[]string{"HEAD /x HTTP/1.1\r\n"}, []string{"Content-Length", "Transfer-Encoding"}},
		"delete":  {[]string{"DELETE /x HTTP/1.1\r\n", "Idempotency-Key: "}, []string{"Content-Length", "Transfer-Encoding"}},
		"options": {[]string{"OPTIONS /x HTTP/1.1\r\n"}, []string{"Content-Length", "Transfer-Encoding"}},
		"post":    {[]string{"POST /x HTTP/1.1\r\n", "Content-Length: 0\r\n", "idempotency-key: "}, []string{"Transfer-Encoding", "Idempotency-Key"}},
		"put":     {[]string{"Content-Length: 0\r\n"}, []string{"Transfer-Encoding"}},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			var b strings.Builder
			buf := make([]byte, 4096)
			for !strings.HasSuffix(b.String(), "\r\n\r\n") {
				n, err := c.Read(buf)
				b.Write(buf[:n])
				if err != nil {
					break
				}
			}
			got <- b.String()
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		}()
		out := program(t, apicall.Config{}, value.MapOf("url", "http://"+l.Addr().String()+"/x", "operation", op, "idempotency_key", true))(t.Context())
		if out.Err != nil {
			t.Errorf("%s: %v", op, out.Err)
		}
		text := <-got
		l.Close()
		for _, s := range want.has {
			if !strings.Contains(text, s) {
				t.Errorf("%s: no %q in %q", op, s, text)
			}
		}
		for _, s := range want.lacks {
			if strings.Contains(text, s) {
				t.Errorf("%s: %q in %q", op, s, text)
			}
		}
	}
}

// TestDeadConnection_IsReplaced: a kept connection that the server closed while
// nobody used it must not fail a call of which nothing was sent, even a POST.
func TestDeadConnection_IsReplaced(t *testing.T) {
	for _, op := range []string{"get", "post"} {
		var mu sync.Mutex
		var conns []net.Conn
		requests := 0
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			mu.Lock()
			requests++
			mu.Unlock()
		}))
		s.Config.ConnState = func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		}
		s.Start()
		props := value.MapOf("url", s.URL, "operation", op)
		if op == "post" {
			props.Set("body", value.MapOf("a", int64(1)))
		}
		run := program(t, apicall.Config{Slots: 4}, props)
		const rounds = 30
		for i := range rounds {
			if out := run(t.Context()); out.Err != nil {
				// The one thing that may go wrong: the request left, and met
				// the closing connection on its way.
				if out.Err.Class != "closed" {
					t.Errorf("%s %d: %+v", op, i, out.Err)
				}
			}
			mu.Lock()
			for _, c := range conns {
				c.Close()
			}
			conns = nil
			mu.Unlock()
		}
		mu.Lock()
		if requests > rounds {
			t.Errorf("%s: %d attempts made %d requests", op, rounds, requests)
		}
		mu.Unlock()
		s.Close()
	}
}

func TestHTTP2_AllOperations(t *testing.T) {
	var mu sync.Mutex
	var bodies []int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		bodies = append(bodies, r.ContentLength)
		mu.Unlock()
		_, _ = io.WriteString(w, r.Proto+" "+r.Method+" "+string(b)+" "+r.Header.Get("Idempotency-Key"))
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, op := range []string{"get", "post", "delete"} {
		props := value.MapOf("url", s.URL, "operation", op, "verify_tls", false, "idempotency_key", "k1")
		if op == "post" {
			props.Set("body", value.MapOf("a", int64(1)))
		}
		run := program(t, apicall.Config{Slots: 4}, props)
		for range 2 {
			out := run(t.Context())
			want := map[string]string{"get": "HTTP/2.0 GET  k1", "delete": "HTTP/2.0 DELETE  k1", "post": `HTTP/2.0 POST {"a":1} k1`}[op]
			if out.Err != nil || string(out.Value) != string(value.AppendString(nil, want)) {
				t.Errorf("%s: %v %s", op, out.Err, out.Value)
			}
		}
	}
	if bodies[1] != 0 {
		t.Errorf("a GET to a host that is known to speak HTTP/2 announces a body of %d", bodies[1])
	}
}

func TestCancelled_OutcomeIsUnknownOnlyIfSomethingWasSent(t *testing.T) {
	errStop := errors.New("the node is stopping")
	arrived := make(chan struct{})
	s := handler(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(errStop)
	}()
	out := program(t, apicall.Config{}, value.MapOf("url", s.URL, "operation", "post", "retry_count", int64(3)))(ctx)
	if out.Err == nil || !out.Err.Unknown || out.Err.Retryable || out.Err.Message != "cut off: the node is stopping" {
		t.Errorf("cut off after sending: %+v", out.Err)
	}
	out = program(t, apicall.Config{}, value.MapOf("url", s.URL, "operation", "post"))(ctx)
	if out.Err == nil || out.Err.Unknown || out.Err.Class != "cancelled" {
		t.Errorf("cut off before sending: %+v", out.Err)
	}
}
