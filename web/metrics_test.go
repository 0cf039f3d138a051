package web

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// changes of two runs, one of which failed after a retry.
func changes() []engine.Change {
	at := func(seq uint64) engine.Pos { return engine.Pos{Seq: seq} }
	attempt := func(o engine.Outcome, status int, class string, ms int64) *engine.AttemptRecord {
		return &engine.AttemptRecord{Outcome: o, Status: status, Class: class, Start: 1_000_000, End: 1_000_000 + engine.Micros(ms)*1000}
	}
	return []engine.Change{
		{Pos: at(10), Kind: engine.RunStarted, Flow: "orders"},
		{Pos: at(11), Kind: engine.AttemptDone, Flow: "orders", Attempt: attempt(engine.OutcomeStarted, 0, "", 0)},
		{Pos: at(12), Kind: engine.AttemptDone, Flow: "orders", Attempt: attempt(engine.OutcomeRetry, 503, "status", 40)},
		{Pos: at(13), Kind: engine.AttemptDone, Flow: "orders", Attempt: attempt(engine.OutcomeSuccess, 200, "", 20)},
		{Pos: at(14), Kind: engine.RunDone, Flow: "orders", Doc: &engine.RunDoc{Status: engine.Success, DurationMS: 1500}},
		{Pos: at(15), Kind: engine.RunStarted, Flow: "orders"},
		{Pos: at(16), Kind: engine.AttemptDone, Flow: "orders", Attempt: attempt(engine.OutcomeFailed, 0, "connect", 5)},
		{Pos: at(17), Kind: engine.TaskClosed, Flow: "orders", Status: engine.Skipped},
		{Pos: at(18), Kind: engine.AttemptDone, Flow: "orders", Superseded: true, Attempt: attempt(engine.OutcomeSuccess, 200, "", 20)},
		{Pos: at(19), Kind: engine.RunDone, Flow: "orders", Doc: &engine.RunDoc{Status: engine.Failed, DurationMS: 100}},
		{Pos: at(20), Kind: engine.RunRejected, Flow: "any text \n at all", Untold: 4},
		{Pos: at(21), Kind: engine.AttemptDone, Flow: "orders", Attempt: attempt(engine.OutcomeDeferred, 0, "breaker", 0)},
	}
}

func TestMetrics_CountWhatTheLedgerTells(t *testing.T) {
	s := door(t, &double{})
	m := s.metrics
	m.From(9)
	list := changes()
	for _, batch := range [][]engine.Change{{{Pos: engine.Pos{Seq: 5}, Kind: engine.RunStarted, Flow: "before"}}, list[:5], list[3:]} { // some come twice
		if err := m.Project(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Project(t.Context(), []engine.Change{{Pos: engine.Pos{Seq: 30}, Kind: engine.RunStarted, Flow: "replayed", Replay: true}}); err != nil {
		t.Fatal(err)
	}
	m.HookCalled("sign", "ok", 2*time.Millisecond)
	_, text := ask(t, s, "GET", "/metrics", "")
	for _, line := range []string{
		`qarion_runs_started_total{flow="orders"} 2`,
		`qarion_runs_total{flow="orders",status="success"} 1`,
		`qarion_runs_total{flow="orders",status="failed"} 1`,
		`qarion_run_duration_seconds_bucket{flow="orders",le="0.1"} 1`,
		`qarion_run_duration_seconds_sum{flow="orders"} 1.6`,
		`qarion_tasks_total{flow="orders",status="success"} 1`,
		`qarion_tasks_total{flow="orders",status="failed"} 1`,
		`qarion_tasks_total{flow="orders",status="skipped"} 1`,
		`qarion_attempts_total{flow="orders",outcome="retry",status_class="5xx"} 1`,
		`qarion_attempts_total{flow="orders",outcome="success",status_class="2xx"} 1`,
		`qarion_attempts_total{flow="orders",outcome="failed",status_class="none"} 1`,
		`qarion_attempts_total{flow="orders",outcome="deferred",status_class="none"} 1`,
		`qarion_attempt_duration_seconds_count{flow="orders"} 3`,
		`qarion_attempt_failures_total{class="connect"} 1`,
		`qarion_attempt_failures_total{class="status"} 1`,
		`qarion_triggers_rejected_total 5`,
		`qarion_hook_calls_total{hook="sign",outcome="ok"} 1`,
		`qarion_ready 1`,
		`qarion_info{version="v1.2.3"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, word := range []string{"before", "replayed", "any text"} {
		if strings.Contains(text, word) {
			t.Errorf("there is something about %q", word)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestMetrics_LabelsAreBounded(t *testing.T) {
	s := door(t, &double{figures: func() (*Figures, error) {
		f := &Figures{}
		for i := range 500 {
			f.Open = append(f.Open, fmt.Sprintf("https://h%d", i))
		}
		return f, nil
	}})
	var list []engine.Change
	for i := range 3000 {
		list = append(list, engine.Change{Pos: engine.Pos{Seq: uint64(i + 1)}, Kind: engine.RunStarted, Flow: engine.FlowID(fmt.Sprintf("flow%d", i))})
		s.metrics.HookCalled(fmt.Sprintf("hook%d", i), "ok", 0)
	}
	if err := s.metrics.Project(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		ask(t, s, "GET", fmt.Sprintf("/nothing/%d", i), "")
	}
	_, text := ask(t, s, "GET", "/metrics", "")
	for pattern, want := range map[string]int{
		`(?m)^qarion_runs_started_total\{`: maxFlows + 1, `(?m)^qarion_hook_calls_total\{`: maxHooks + 1, `(?m)^qarion_breaker_open\{`: maxHosts,
		`(?m)^qarion_http_requests_total\{method="_other",route="_other",status="404"\} 50`: 1,
	} {
		if got := len(regexp.MustCompile(pattern).FindAllString(text, -1)); got != want {
			t.Errorf("%s: %d lines, want %d", pattern, got, want)
		}
	}
	if !strings.Contains(text, `qarion_runs_started_total{flow="_other"} 2000`) {
		t.Error("the others are not counted together")
	}
}

func TestMetrics_ThereAreSomeWithoutTheNode(t *testing.T) {
	s := door(t, nil)
	if res, text := ask(t, s, "GET", "/metrics", ""); res.StatusCode != 200 || !strings.Contains(text, "\nqarion_ready 0\n") || strings.Contains(text, "qarion_slots") {
		t.Errorf("before the node: %d %s", res.StatusCode, text)
	}
	s.Use(&double{figures: func() (*Figures, error) { return nil, errors.New("no") }, notReady: func() string { return "closed" }})
	if res, text := ask(t, s, "GET", "/metrics", ""); res.StatusCode != 200 || !strings.Contains(text, "\nqarion_ready 0\n") || !strings.Contains(text, "go_goroutines") {
		t.Errorf("the node does not answer: %d %s", res.StatusCode, text)
	}
}

// BenchmarkMetrics_Project is what a run of one task costs the view: three
// changes.
func BenchmarkMetrics_Project(b *testing.B) {
	m := NewMetrics()
	list := []engine.Change{
		{Kind: engine.RunStarted, Flow: "orders"},
		{Kind: engine.AttemptDone, Flow: "orders", Attempt: &engine.AttemptRecord{Outcome: engine.OutcomeSuccess, Status: 200, Start: 1, End: 20_000}},
		{Kind: engine.RunDone, Flow: "orders", Doc: &engine.RunDoc{Status: engine.Success, DurationMS: 30}},
	}
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		for i := range list {
			seq++
			list[i].Pos = engine.Pos{Seq: seq}
		}
		if err := m.Project(b.Context(), list); err != nil {
			b.Fatal(err)
		}
	}
}
