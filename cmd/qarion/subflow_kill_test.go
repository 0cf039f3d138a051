package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestCrash_ARunOfAnotherFlowGoesOn kills the node while tasks wait for runs that
// they have opened: each has opened one, and gets its end.
func TestCrash_ARunOfAnotherFlowGoesOn(t *testing.T) {
	t.Parallel()
	const runs = 20
	u := testkit.NewUpstream(t)
	sending := make(chan struct{})
	var held atomic.Bool
	u.Handle("POST /send", testkit.Do(func(w http.ResponseWriter, c *testkit.Call) {
		if held.CompareAndSwap(false, true) {
			close(sending)
			c.Wait(-1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(c.Seen.Body)
	}))
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"invoice": fmt.Sprintf(`
max_active_runs = 3

[variables]
order = 0

[[tasks]]
id = "send"
type = "api_call"
properties = { url = "%s/send", operation = "post", idempotency_key = true, body = { order = "{{ order }}" } }
`, u.URL), "orders": `
[variables]
order = 0

[[tasks]]
id = "invoice"
type = "flow"
properties = { flow = "invoice", variables = { order = "{{ order }}" }, xcom = "send" }
`} {
		if err := os.WriteFile(filepath.Join(dir, "flows", name+".toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := testkit.Serve(t, dir)
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
		ask("run.start", bus.StartRun{Flow: "orders", Variables: fmt.Appendf(nil, `{"order": %d}`, i)}, doc)
		ids[i] = doc.RunID
	}
	<-sending
	p.Kill()
	p = testkit.Serve(t, dir)
	for i, id := range ids {
		doc := new(engine.RunDoc)
		ask("run.get", bus.RunRef{Run: string(id), Wait: 50}, doc)
		var left struct{ Order int }
		if doc.Status != engine.Success {
			t.Errorf("run %s: %s %+v", id, doc.Status, doc.Error)
			continue
		}
		if ask("xcom.get", bus.XComRef{Run: string(id), Task: "invoice"}, &left); left.Order != i {
			t.Errorf("run %s got the end of order %d, want %d", id, left.Order, i)
		}
	}
	var list bus.RunList
	if ask("run.list", bus.ListRuns{Flow: "invoice", Limit: 100}, &list); len(list.Runs) != runs {
		t.Errorf("%d runs were opened, want %d", len(list.Runs), runs)
	}
	keys := map[string]bool{}
	for _, r := range u.Requests("/send") {
		keys[r.Header.Get("Idempotency-Key")] = true
	}
	if len(keys) != runs {
		t.Errorf("%d invoices were sent, want %d", len(keys), runs)
	}
}
