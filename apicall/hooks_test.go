package apicall_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// hooksFunc answers calls of hooks as a test says.
type hooksFunc func(c *apicall.HookCall) apicall.HookAnswer

func (f hooksFunc) Prepare(_ context.Context, ref apicall.HookRef, _ bool) (string, error) {
	return strings.Repeat("a", 64), nil
}
func (f hooksFunc) Call(_ context.Context, c *apicall.HookCall) apicall.HookAnswer { return f(c) }

func hooked(cfg apicall.Config, f hooksFunc) apicall.Config {
	cfg.Hooks = f
	return cfg
}

// hookTask makes one attempt of a task with hooks.
func hookTask(t *testing.T, cfg apicall.Config, hooks *value.Map, pairs ...any) engine.TaskOutput {
	t.Helper()
	return hookAttempts(t, cfg, hooks, pairs...)()
}

// hookAttempts reads a task with hooks and returns what makes an attempt of it.
func hookAttempts(t *testing.T, cfg apicall.Config, hooks *value.Map, pairs ...any) func() engine.TaskOutput {
	t.Helper()
	kind, err := apicall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: value.MapOf(pairs...), Hooks: hooks}}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if wrong := engine.Refused(problems); wrong != nil {
		t.Fatal(wrong.Message)
	}
	in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)
	in.Key.Run = "01M84BFBV1N8Q6D2T4XW9B7C5E"
	return func() engine.TaskOutput { return prog.Execute(t.Context(), in) }
}

// lateHooks has a module from the third time on that it is asked for.
type lateHooks struct {
	hooksFunc
	asked int
}

func (l *lateHooks) Prepare(_ context.Context, ref apicall.HookRef, _ bool) (string, error) {
	if l.asked++; l.asked < 3 {
		return ref.SHA256, &apicall.HookError{Class: "hook_load", Message: "the store cannot be reached", Retry: true}
	}
	return ref.SHA256, nil
}

// TestHooks_AModuleThatComesLater: a pinned module that cannot be had when its task is read
// is asked for again by each attempt, until it is there.
func TestHooks_AModuleThatComesLater(t *testing.T) {
	s, _ := recorder(t)
	hooks := &lateHooks{hooksFunc: func(*apicall.HookCall) apicall.HookAnswer { return apicall.HookAnswer{} }}
	attempt := hookAttempts(t, apicall.Config{Hooks: hooks}, value.MapOf("validate", value.MapOf("file", "h.wasm", "sha256", strings.Repeat("a", 64))), "url", s.URL)
	if out := attempt(); out.Err == nil || out.Err.Class != "hook_load" || !out.Err.Retryable {
		t.Errorf("before it is there: %+v", out.Err)
	}
	for range 2 {
		if out := attempt(); out.Err != nil {
			t.Errorf("when it is there: %+v", out.Err)
		}
	}
	if hooks.asked != 3 {
		t.Errorf("asked for %d times, want 3", hooks.asked)
	}
	hooks.asked = 0
	attempt = hookAttempts(t, apicall.Config{Hooks: hooks}, value.MapOf("validate", value.MapOf("file", "h.wasm", "sha256", strings.Repeat("a", 64), "on_failure", "skip")), "url", s.URL)
	if out := attempt(); out.Err != nil || !strings.Contains(string(out.Details.Hooks), `"verdict":"skipped"`) {
		t.Errorf("one that may be skipped: %+v, %s", out.Err, out.Details.Hooks)
	}
}

// TestHooks_AreToldWhatTheyMayKnow: meta is JSON with everything that the page says,
// and without secrets that the flow does not name.
func TestHooks_AreToldWhatTheyMayKnow(t *testing.T) {
	s, _ := recorder(t)
	var metas []map[string]any
	cfg := hooked(apicall.Config{Credentials: credential("shop", "custom", "token", secret, "key", "signing-key-1")}, func(c *apicall.HookCall) apicall.HookAnswer {
		m := map[string]any{}
		if err := json.Unmarshal(c.Meta, &m); err != nil {
			t.Errorf("%s: %v", c.Meta, err)
		}
		metas = append(metas, m)
		return apicall.HookAnswer{Lines: []apicall.HookLine{{Level: slog.LevelInfo, Text: "said"}}}
	})
	hooks := value.MapOf("transform_request", value.MapOf("file", "a.wasm", "secrets", []any{"shop.key"}, "config", value.MapOf("q", `a"b`)), "validate", "b.wasm")
	out := hookTask(t, cfg, hooks, "url", s.URL+"/x?token="+secret, "operation", "post", "auth_type", "bearer", "credential_id", "shop", "body", value.MapOf("a", int64(1)))
	if out.Err != nil || len(metas) != 2 {
		t.Fatalf("%v, %d calls", out.Err, len(metas))
	}
	request, response := metas[0], metas[1]
	for k, want := range map[string]any{"v": 1.0, "hook": "transform", "phase": "request", "flow": "f", "task": "t", "run_id": "01M84BFBV1N8Q6D2T4XW9B7C5E", "attempt": 1.0} {
		if request[k] != want {
			t.Errorf("%s is %v, want %v", k, request[k], want)
		}
	}
	if s, _ := request["secrets"].(map[string]any); s["shop.key"] != "signing-key-1" || len(s) != 1 {
		t.Errorf("secrets: %v", request["secrets"])
	}
	if c, _ := request["config"].(map[string]any); c["q"] != `a"b` {
		t.Errorf("config: %v", request["config"])
	}
	text, _ := json.Marshal(response)
	if response["hook"] != "validate" || response["secrets"] != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), "signing-key") {
		t.Errorf("the response hook is told %s", text)
	}
	if r, _ := response["response"].(map[string]any); r["status"] != 200.0 {
		t.Errorf("response: %v", response["response"])
	}
}

// TestHooks_WhatTheyAnswer goes through the answers and what becomes of them.
func TestHooks_WhatTheyAnswer(t *testing.T) {
	trap := &apicall.HookError{Class: "hook_trap", Message: "it trapped: " + secret}
	for name, c := range map[string]struct {
		point     string
		answer    apicall.HookAnswer
		more      []any
		err, sent string
		value     string
		verdict   string
		retry     bool
	}{
		"unchanged":            {"transform_request", apicall.HookAnswer{}, nil, "", `{"a":1}`, `{}`, "unchanged", false},
		"a new request":        {"transform_request", apicall.HookAnswer{Changed: true, Body: []byte("new")}, nil, "", "new", `{}`, "changed", false},
		"an empty one":         {"transform_request", apicall.HookAnswer{Changed: true, Body: []byte{}}, nil, "", "", `{}`, "changed", false},
		"a new response":       {"transform_response", apicall.HookAnswer{Changed: true, Body: []byte(`{"b":2}`)}, nil, "", `{"a":1}`, `{"b":2}`, "changed", false},
		"valid":                {"validate", apicall.HookAnswer{}, nil, "", `{"a":1}`, `{}`, "valid", false},
		"invalid":              {"validate", apicall.HookAnswer{Violations: []string{"/a: wrong", "/b: too"}}, nil, "200 OK, 2 checks failed: /a: wrong", `{"a":1}`, `{}`, "invalid", false},
		"try again":            {"validate", apicall.HookAnswer{Violations: []string{"/a: wrong"}, Retry: true}, nil, "200 OK, 1 check failed: /a: wrong", `{"a":1}`, `{}`, "invalid", true},
		"a trap before":        {"transform_request", apicall.HookAnswer{Err: trap}, nil, "hook h.wasm: it trapped: ***", "", "", "failed", false},
		"a trap after":         {"validate", apicall.HookAnswer{Err: trap}, nil, "hook h.wasm: it trapped: ***", `{"a":1}`, `{}`, "failed", false},
		"skipped":              {"validate", apicall.HookAnswer{Err: trap}, []any{"on_failure", "skip"}, "", `{"a":1}`, `{}`, "skipped", false},
		"a trap that may pass": {"transform_request", apicall.HookAnswer{Err: trap}, []any{"on_trap", "retry"}, "hook h.wasm: it trapped: ***", "", "", "failed", true},
		"busy":                 {"transform_request", apicall.HookAnswer{Err: &apicall.HookError{Class: "hook_busy", Message: "none is free", Retry: true}}, nil, "hook h.wasm: none is free", "", "", "failed", true},
		"busy after a POST": {"validate", apicall.HookAnswer{Err: &apicall.HookError{Class: "hook_busy", Message: "none is free", Retry: true}}, nil,
			"hook h.wasm: none is free", `{"a":1}`, `{}`, "failed", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, got := recorder(t)
			c.answer.Took = time.Millisecond
			cfg := hooked(apicall.Config{Credentials: credential("c", "custom", "token", secret)}, func(*apicall.HookCall) apicall.HookAnswer { return c.answer })
			hooks := value.MapOf(c.point, plus(value.MapOf("file", "h.wasm", "secrets", []any{"c.token"}), c.more...))
			out := hookTask(t, cfg, hooks, "url", s.URL, "operation", "post", "retry_count", int64(1), "body", value.MapOf("a", int64(1)))
			message := ""
			if out.Err != nil {
				message = out.Err.Message
				if out.Err.Retryable != c.retry {
					t.Errorf("retryable: %v", out.Err.Retryable)
				}
			}
			if message != c.err || got.body != c.sent || string(out.Value) != c.value {
				t.Errorf("got %q, sent %q, value %s\nwant %q, %q, %s", message, got.body, out.Value, c.err, c.sent, c.value)
			}
			if !strings.Contains(string(out.Details.Hooks), `"verdict":"`+c.verdict+`"`) || strings.Contains(string(out.Details.Hooks), secret) {
				t.Errorf("the log says %s", out.Details.Hooks)
			}
		})
	}
}

// TestHooks_Pin: a hook that is pinned to nothing asks for the newest version of what it
// names, and the log says which one that was.
func TestHooks_Pin(t *testing.T) {
	s, _ := recorder(t)
	newest := strings.Repeat("b", 64)
	for pin, want := range map[string]string{"run": strings.Repeat("a", 64), "latest": newest} {
		cfg := hooked(apicall.Config{}, func(c *apicall.HookCall) apicall.HookAnswer {
			if want := (apicall.HookRef{File: "h.wasm", SHA256: strings.Repeat("a", 64)}); c.Ref != want {
				t.Errorf("asked for %v", c.Ref)
			}
			if c.Latest {
				return apicall.HookAnswer{SHA256: newest}
			}
			return apicall.HookAnswer{}
		})
		out := hookTask(t, cfg, value.MapOf("validate", value.MapOf("file", "h.wasm", "pin", pin)), "url", s.URL)
		if out.Err != nil || !strings.Contains(string(out.Details.Hooks), `"sha256":"`+want+`"`) {
			t.Errorf("pin = %s: %v, %s", pin, out.Err, out.Details.Hooks)
		}
	}
}

// TestHooks_WhatTheyWereToldIsHidden: a secret that a hook is told stands in nothing
// that it gives or says, however it is written there.
func TestHooks_WhatTheyWereToldIsHidden(t *testing.T) {
	letters := ""
	for _, r := range secret {
		letters += fmt.Sprintf(`\u%04x`, r)
	}
	for name, shown := range map[string]string{
		"as it is": secret, "in base64": base64.StdEncoding.EncodeToString([]byte(secret)), "in longer base64": base64.StdEncoding.EncodeToString([]byte("id:" + secret + ":x")),
		"in hex": hex.EncodeToString([]byte(secret)), "letter by letter": letters, "in JSON in JSON": strings.ReplaceAll(letters, `\`, `\\`), "a short one": "s3cr",
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s, _ := recorder(t)
			body := `{"kept": "yes", "leak": "` + shown + `"}`
			cfg := apicall.Config{Credentials: credential("c", "custom", "token", secret, "pin", "s3cr"), Log: slog.New(slog.NewJSONHandler(&log, nil))}
			for point, answer := range map[string]apicall.HookAnswer{
				"transform_response": {Changed: true, Body: []byte(body), Lines: []apicall.HookLine{{Level: slog.LevelError, Text: "say " + body}, {Level: slog.LevelError, Text: "cut " + secret[:10]}}},
				"validate":           {Violations: []string{"/a: " + body}},
				"transform_request":  {Err: &apicall.HookError{Class: "hook_error", Message: "I say " + body}},
			} {
				told := value.MapOf(point, value.MapOf("file", "h.wasm", "secrets", []any{"c.token", "c.pin"}))
				out := hookTask(t, hooked(cfg, func(*apicall.HookCall) apicall.HookAnswer { return answer }), told, "url", s.URL, "operation", "post")
				all, err := json.Marshal(out)
				if err != nil {
					t.Fatal(err)
				}
				seen := string(all) + string(out.Value) + log.String()
				if out.Err != nil {
					seen += out.Err.Message
				}
				for _, bad := range []string{shown, secret[:10], letters[:24]} {
					if bad != "" && strings.Contains(seen, bad) {
						t.Errorf("%s: %q is shown in %s", point, bad, seen)
					}
				}
				if point == "transform_response" && !strings.Contains(string(out.Value), `"kept":`) {
					t.Errorf("the value is %s", out.Value)
				}
			}
		})
	}
}

// TestHooks_OfACompressedResponse: with other hosts a plugin was told of a compression and
// a length that the body it got no longer had, or got it compressed.
func TestHooks_OfACompressedResponse(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(`{"a":1}`))
		_ = z.Close()
	}))
	defer s.Close()
	for _, expose := range [][]any{nil, {"content-encoding"}} {
		seen := ""
		cfg := hooked(apicall.Config{}, func(c *apicall.HookCall) apicall.HookAnswer {
			seen += string(c.Body) + string(c.Meta)
			return apicall.HookAnswer{Changed: !c.Validate, Body: []byte(`{"b":22}`)}
		})
		hooks := value.MapOf("transform_response", value.MapOf("file", "a.wasm", "expose_headers", expose), "validate", "b.wasm")
		out := hookTask(t, cfg, hooks, "url", s.URL)
		if out.Err != nil || string(out.Value) != `{"b":22}` || !strings.HasPrefix(seen, `{"a":1}`) || !strings.Contains(seen, `}{"b":22}`) {
			t.Errorf("%v, %s: %s", out.Err, out.Value, seen)
		}
		if strings.Contains(seen, "content-length") || strings.Contains(seen, "content-encoding") != (expose != nil) || !strings.Contains(seen, `"content-type":["application/json"]`) {
			t.Errorf("expose %v: the hooks were told %s", expose, seen)
		}
	}
}
