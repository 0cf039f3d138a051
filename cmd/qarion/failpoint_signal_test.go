//go:build failpoints

package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestFailpoints_SignalsAndDeadlines stops the program before, at and after a
// signal and a deadline. Whatever was stored counts once: what follows the wait is
// called once, with what came.
func TestFailpoints_SignalsAndDeadlines(t *testing.T) {
	for _, c := range []struct {
		name, points string
		timeout      string
		early        bool // the signal comes by key, before the run
		late         bool // no signal comes
		sum          string
	}{
		{name: "signal before it is stored", points: "signal.before=kill", timeout: "1h", sum: "7"},
		{name: "signal stored, and the caller never heard so", points: "signal.stored=kill", timeout: "1h", sum: "7"},
		{name: "signal folded, the turn that reads it not given out", points: "dispatch=kill@2", timeout: "1h", sum: "7"},
		{name: "signal read, the record of the turn not stored", points: "attempt.made=kill@2", timeout: "1h", sum: "7"},
		{name: "early signal stored", points: "signal.stored=kill", timeout: "1h", early: true, sum: "7"},
		{name: "deadline before it is stored", points: "wake.due=kill", timeout: "500ms", late: true, sum: "0"},
		{name: "deadline folded, the turn not given out", points: "dispatch=kill@2", timeout: "500ms", late: true, sum: "0"},
		{name: "deadline twice", points: "timer.twice=fail", timeout: "500ms", late: true, sum: "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := testkit.NewUpstream(t)
			u.Handle("/after", testkit.OK(`{}`))
			dir := t.TempDir()
			flow := fmt.Sprintf(`
[[tasks]]
id = "payment"
type = "wait"
properties = { signal = "paid", key = "order-1", timeout = %q, on_timeout = "continue" }

[[tasks]]
id = "after"
type = "api_call"
properties = { url = "%s/after", params = { sum = "{{ xcom_payment.sum if xcom_payment else 0 }}" } }
`, c.timeout, u.URL)
			if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "flows", "pay.toml"), []byte(flow), 0o644); err != nil {
				t.Fatal(err)
			}
			p := testkit.Serve(t, dir, "QARION_FAILPOINTS="+c.points)
			dies := c.points != "timer.twice=fail"
			// ask asks until a node answers: the first one may die of it.
			ask := func(name string, in, out any) error {
				client, err := bus.Dial(p.Access, p.Access.URL)
				if err != nil {
					return err
				}
				defer client.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				if name == "run.signal" {
					return client.Admin(ctx, name, in, out)
				}
				return client.Call(ctx, name, in, out)
			}
			again := func() {
				p.Ended(t)
				p = testkit.Serve(t, dir)
				dies = false
			}
			signal := bus.SendSignal{Signal: "paid", Flow: "pay", Key: "order-1", Value: []byte(`{"sum": 7}`), ID: "m1"}
			send := func() {
				t.Helper()
				if err := ask("run.signal", signal, nil); err == nil {
					return
				}
				again() // nobody knows whether it was stored: the same message is sent again
				if err := ask("run.signal", signal, nil); err != nil {
					t.Fatal(err)
				}
			}
			start := bus.StartRun{Flow: "pay", ID: "one"}
			doc := new(engine.RunDoc)
			if c.early {
				send()
			}
			if err := ask("run.start", start, doc); err != nil {
				t.Fatal(err)
			}
			if !c.early && !c.late {
				for ctx, got := t.Context(), doc; got.Counts[engine.Waiting] == 0; {
					if err := ask("run.get", bus.RunRef{Run: string(doc.RunID)}, got); err != nil || ctx.Err() != nil {
						t.Fatal(errors.Join(err, ctx.Err()))
					}
				}
				send()
			}
			if dies {
				again()
			}
			if err := ask("run.get", bus.RunRef{Run: string(doc.RunID), Wait: 30}, doc); err != nil || doc.Status != engine.Success {
				t.Fatalf("the run is %s, %+v, %v", doc.Status, doc.Error, err)
			}
			reqs := u.Requests("/after")
			if len(reqs) != 1 || reqs[0].Query.Get("sum") != c.sum {
				t.Errorf("what follows was called %d times, want once with sum=%s: %+v", len(reqs), c.sum, reqs)
			}
			if err := ask("run.signal", signal, &engine.Signalled{}); err != nil {
				t.Error(err)
			}
		})
	}
}
