package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestTraces_GoOnAfterAKill kills the node between two attempts of a task: what
// it does after its start belongs to the same trace, task and run.
func TestTraces_GoOnAfterAKill(t *testing.T) {
	up, collector := testkit.NewUpstream(t), testkit.NewCollector(t)
	up.Handle("/a", testkit.First(1, testkit.Status(503), testkit.OK(`{}`)))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	flow := "[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"" + up.URL + "/a\", retry_count = 1, retry_delay = 2.0 }\n"
	if err := os.WriteFile(filepath.Join(dir, "flows", "f.toml"), []byte(flow), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_SERVICE_NAME=shop"}
	p := testkit.Serve(t, dir, env...)
	ask := func(endpoint string, in any) (doc engine.RunDoc) {
		t.Helper()
		c, err := bus.Dial(p.Access, p.Access.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Call(t.Context(), endpoint, in, &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	run := ask("run.start", bus.StartRun{Flow: "f"}).RunID
	spans := func(n int) []testkit.Span {
		t.Helper()
		for until := time.Now().Add(30 * time.Second); len(collector.Spans()) < n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("spans: %+v", collector.Spans())
			}
		}
		return collector.Spans()
	}
	before := spans(2) // the first attempt and its request
	p.Kill()
	p = testkit.Serve(t, dir, env...)
	if doc := ask("run.get", json.RawMessage(`{"run_id":"`+string(run)+`","wait":30}`)); doc.Status != engine.Success || doc.Calls != 2 {
		t.Fatalf("run: %+v", doc)
	}
	all := spans(6)
	if len(all) != 6 {
		t.Errorf("%d spans: %+v", len(all), all)
	}
	ids := map[string]testkit.Span{}
	for _, s := range all {
		if _, twice := ids[s.ID]; twice || s.Trace != before[0].Trace || s.Service != "shop" {
			t.Errorf("span %+v", s)
		}
		ids[s.ID] = s
	}
	for _, s := range all {
		switch parent := ids[s.Parent]; s.Name {
		case "run f":
			if s.Parent != "" || s.Attrs["qarion.run_id"] != string(run) {
				t.Errorf("run %+v", s)
			}
		case "task a":
			if parent.Name != "run f" || s.Start.After(before[0].End) {
				t.Errorf("task %+v begins after the kill", s)
			}
		case "attempt":
			if parent.Name != "task a" {
				t.Errorf("attempt %+v belongs to %+v", s, parent)
			}
		default:
			if parent.Name != "attempt" {
				t.Errorf("request %+v belongs to %+v", s, parent)
			}
		}
	}
	for _, r := range up.Requests("/a") {
		if c := engine.ParseTrace(r.Header.Get("traceparent"), ""); c == nil || c.Parent[3:35] != before[0].Trace {
			t.Errorf("sent with %q, the trace is %s", r.Header.Get("traceparent"), before[0].Trace)
		}
	}
}
