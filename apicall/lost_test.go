package apicall_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// TestOnLost_Ask: a call that was sent and got no answer waits for a person,
// whatever the method, the key and retry_count say; one that got an answer, or
// was never sent, does not.
func TestOnLost_Ask(t *testing.T) {
	u := testkit.NewUpstream(t)
	for _, row := range []struct {
		name, path string
		asks       bool
		more       []any
	}{
		{"timeout", "/silent", true, []any{"timeout", "80ms"}},
		{"dropped", "/drop", true, nil},
		{"half an answer", "/half", true, nil},
		{"500", "/status/500", false, nil},
		{"404", "/status/404", false, nil},
		{"no connection", "", false, nil},
	} {
		for _, kind := range []struct {
			op    string
			keyed bool
		}{{"post", false}, {"post", true}, {"get", false}, {"put", false}} {
			t.Run(row.name+"/"+kind.op, func(t *testing.T) {
				url := u.URL + row.path
				if row.path == "" {
					url = "http://127.0.0.1:1/"
				}
				props := plus(value.MapOf(row.more...), "url", url, "operation", kind.op, "idempotency_key", kind.keyed, "retry_count", int64(2), "on_lost", "ask", "breaker", false)
				outs := tried(t, apicall.Config{}, props)
				e := outs[0].Err
				if e == nil || e.Ask != row.asks || e.Ask && (e.Retryable || len(outs) != 1 || outs[0].Details.URL == "" || outs[0].Details.Method != strings.ToUpper(kind.op)) {
					t.Errorf("got %+v %+v in %d attempts", e, outs[0].Details, len(outs))
				}
			})
		}
	}
	prog, problems := prepare(t, with("operation", "put", "on_lost", "ask", "retry_count", int64(2)))
	if len(problems) != 0 || !prog.Needs().Unrepeatable {
		t.Errorf("a crash must not repeat it either: %+v, %+v", prog.Needs(), problems)
	}
	if _, problems := prepare(t, with("on_lost", "ask", "on_interrupted", "retry")); len(problems) != 1 ||
		problems[0].Message != `on_interrupted = "retry" and on_lost = "ask" exclude each other` {
		t.Errorf("got %+v", problems)
	}
}

// TestSending_SaysWhatIsSent: what the ledger keeps of a request that is about
// to leave is the whole request, without its secrets; a success shows none of it.
func TestSending_SaysWhatIsSent(t *testing.T) {
	s, _ := recorder(t)
	var told engine.Details
	out := call(t, value.MapOf("url", s.URL+"/pay?token=verysecret", "operation", "post", "headers", value.MapOf("Authorization", "Bearer verysecret", "X-Order", "7"),
		"body", value.MapOf("amount", int64(5))), func(in *engine.TaskInput) {
		in.OnSending(func(_ context.Context, what func() engine.Details) error { told = what(); return nil })
	})
	text, _ := json.Marshal(told)
	if told.Method != "POST" || told.URL != s.URL+"/pay?token=***" || told.RequestHeaders["X-Order"] != "7" || told.RequestBody != `{"amount":5}` || strings.Contains(string(text), "verysecret") {
		t.Errorf("got %s", text)
	}
	if out.Err != nil || out.Details.URL != s.URL+"/pay?token=***" && out.Details.URL != "" || out.Details.RequestBody != "" || out.Details.RequestHeaders != nil {
		t.Errorf("a success: %+v", out.Details)
	}
}
