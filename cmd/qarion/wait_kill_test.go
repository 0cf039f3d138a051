package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestCrash_WaitsGoOn kills the node while more runs wait than it has slots. Each
// goes on at the time that it had, and what came before is not done again; other
// runs are not held up meanwhile.
func TestCrash_WaitsGoOn(t *testing.T) {
	t.Parallel()
	const runs = 40
	u := testkit.NewUpstream(t)
	u.Handle("/before", testkit.OK(`{}`))
	u.Handle("/after", testkit.OK(`{}`))
	dir := t.TempDir()
	until := time.Now().Add(8 * time.Second).UTC()
	text := fmt.Sprintf(`
[variables]
at = "2020-01-01T00:00:00Z"

[[tasks]]
id = "before"
type = "api_call"
properties = { url = "%[1]s/before" }

[[tasks]]
id = "wait"
type = "wait"
dependencies = ["before"]
properties = { until = "{{ at }}" }

[[tasks]]
id = "after"
type = "api_call"
properties = { url = "%[1]s/after", params = { since = "{{ xcom_wait }}" } }
`, u.URL)
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "later.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir, "QARION_WORKER_SLOTS=2")
	ask := func(name string, in, out any) {
		t.Helper()
		c, err := bus.Dial(p.Access, p.Access.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Call(t.Context(), name, in, out); err != nil {
			t.Fatal(err)
		}
	}
	ids := make([]engine.RunID, runs)
	for i := range ids {
		doc := new(engine.RunDoc)
		ask("run.start", bus.StartRun{Flow: "later", Variables: fmt.Appendf(nil, `{"at": %q}`, until.Format(time.RFC3339Nano))}, doc)
		ids[i] = doc.RunID
	}
	other := new(engine.RunDoc)
	ask("run.start", bus.StartRun{Flow: "later", Wait: []byte("30")}, other)
	if other.Status != engine.Success {
		t.Errorf("a run beside them: %s %+v", other.Status, other.Error)
	}
	p.Kill()
	p = testkit.Serve(t, dir, "QARION_WORKER_SLOTS=2")
	for _, id := range ids {
		doc := new(engine.RunDoc)
		ask("run.get", bus.RunRef{Run: string(id), Wait: 50}, doc)
		if doc.Status != engine.Success {
			t.Errorf("run %s: %s %+v", id, doc.Status, doc.Error)
		}
	}
	if n := u.Count("/before"); n != runs+1 {
		t.Errorf("what came before was called %d times, want %d", n, runs+1)
	}
	early := 0
	for _, r := range u.Requests("/after") {
		if r.Query.Get("since") == engine.FormatTime(until) && r.At.Before(until) {
			early++
		}
	}
	if n := u.Count("/after"); n != runs+1 || early > 0 {
		t.Errorf("what came after was called %d times, want %d; %d of them too early", n, runs+1, early)
	}
}
