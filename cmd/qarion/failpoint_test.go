//go:build failpoints

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// crashPoint is one place at which the program stops, or something is lost, and
// what must be so afterwards. The flow is called "f"; its tasks call the
// upstream under the name of the path.
type crashPoint struct {
	name   string
	tasks  func(u *testkit.Upstream) string
	config string // qarion.toml
	points string // QARION_FAILPOINTS of the first start; FILE stands for a file that during makes
	dies   bool   // the program ends at the point
	calls  map[string]int
	status engine.Status
	// during runs while the first program does, after the run was started, and
	// may release what waits for FILE.
	during func(t *testing.T, n *atPoint)
	// after looks at what the second program shows, or the first that lives on.
	after func(t *testing.T, n *atPoint)
}

// atPoint is a crash point being played.
type atPoint struct {
	u    *testkit.Upstream
	p    *testkit.Process
	run  engine.RunID
	file string
}

func (n *atPoint) client(t *testing.T) *bus.Client {
	t.Helper()
	c, err := bus.Dial(n.p.Access, n.p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// release lets go on what waits for FILE.
func (n *atPoint) release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(n.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// value is what a task has left.
func (n *atPoint) value(t *testing.T, task string) json.RawMessage {
	t.Helper()
	var v json.RawMessage
	if err := n.client(t).Call(t.Context(), "xcom.get", bus.XComRef{Run: string(n.run), Task: task}, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// operations are the outcomes in the operation log, in order.
func (n *atPoint) operations(t *testing.T) (list []string) {
	t.Helper()
	err := n.client(t).Logs(t.Context(), bus.LogFilter{}, func(_ []byte, op *engine.Operation) error {
		text := op.Status
		if op.Superseded {
			text += " superseded"
		}
		list = append(list, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// oneTask is a flow of one task.
func oneTask(path, more string) func(*testkit.Upstream) string {
	return func(u *testkit.Upstream) string { return upstreamTask(u, "a", path, "", more) }
}

const aPost = "operation = \"post\"\n"

// crashPoints are those of the design of the ledger, by their numbers there.
// Point 16, a disk that is really full, is besides a matter of the store; point
// 17, power, of what is synced (TestSync_WhatIsTrueIsSynced).
var crashPoints = []crashPoint{
	{
		name:   "1 stored, and the caller never heard so",
		tasks:  oneTask("ok", ""),
		points: "submit.stored=kill;dispatch=wait:FILE", dies: true,
		calls: map[string]int{"/ok": 1}, status: engine.Success,
	},
	{
		name:   "2 stored, nothing given out",
		tasks:  oneTask("ok", ""),
		points: "dispatch=kill", dies: true,
		calls: map[string]int{"/ok": 1}, status: engine.Success,
	},
	{
		name:   "3 given out, the worker dies before the request",
		tasks:  oneTask("ok", aPost),
		points: "attempt.begin=kill", dies: true,
		calls: map[string]int{"/ok": 1}, status: engine.Success,
	},
	{
		name:   "4 answer not recorded, a call that may be repeated",
		tasks:  oneTask("ok", ""),
		points: "attempt.made=kill", dies: true,
		calls: map[string]int{"/ok": 2}, status: engine.Success,
	},
	{
		name:   "4 answer not recorded, a POST with a key",
		tasks:  oneTask("ok", aPost+"idempotency_key = true"),
		points: "attempt.made=kill", dies: true,
		calls: map[string]int{"/ok": 2}, status: engine.Success,
		after: func(t *testing.T, n *atPoint) {
			if r := n.u.Requests("/ok"); r[0].Key == "" || r[0].Key != r[1].Key {
				t.Errorf("the keys are %q and %q", r[0].Key, r[1].Key)
			}
		},
	},
	{
		name:   "4 answer not recorded, a POST without a key",
		tasks:  oneTask("ok", aPost+"retry_count = 3"),
		points: "attempt.made=kill", dies: true,
		calls: map[string]int{"/ok": 1}, status: engine.Interrupted,
	},
	{
		name:   "5 about to be sent, not sent",
		tasks:  oneTask("ok", aPost+"retry_count = 3"),
		points: "attempt.announced=kill", dies: true,
		calls: map[string]int{"/ok": 0}, status: engine.Interrupted,
	},
	{
		name:   "6 the acknowledgement of the record is lost",
		tasks:  oneTask("ok", ""),
		points: "attempt.unacknowledged=fail",
		calls:  map[string]int{"/ok": 1}, status: engine.Success,
		after: func(t *testing.T, n *atPoint) { wantOperations(t, n, "success") },
	},
	{
		name:   "7 recorded, and the queue never heard so",
		tasks:  oneTask("ok", ""),
		points: "worker.offer=fail@*;delivery.done=fail",
		calls:  map[string]int{"/ok": 1}, status: engine.Success,
		after: func(t *testing.T, n *atPoint) { wantOperations(t, n, "success") },
	},
	{
		name: "8 recorded, the next task not given out",
		tasks: func(u *testkit.Upstream) string {
			return upstreamTask(u, "a", "ok", "", "") + upstreamTask(u, "b", "slow/1ms", after("a"), "")
		},
		points: "dispatch=kill@2", dies: true,
		calls: map[string]int{"/ok": 1, "/slow/1ms": 1}, status: engine.Success,
	},
	{
		name:   "9 given out twice, while the call is being made",
		tasks:  oneTask("slow/300ms", ""),
		points: "dispatch.twice=fail",
		calls:  map[string]int{"/slow/300ms": 1}, status: engine.Success,
		after: func(t *testing.T, n *atPoint) { wantOperations(t, n, "success") },
	},
	{
		name: "9 given out twice, and delivered when it is done",
		tasks: func(u *testkit.Upstream) string { // the second task keeps the run open
			return upstreamTask(u, "a", "ok", "", "") + upstreamTask(u, "b", "slow/2s", "", "")
		},
		points: "dispatch.twice=fail;worker.deliver=wait:FILE",
		calls:  map[string]int{"/ok": 2, "/slow/2s": 1}, status: engine.Success,
		during: func(t *testing.T, n *atPoint) {
			wantOperations(t, n, "success")
			n.release(t)
			n.u.Await(t, "/ok", 2)
			wantOperations(t, n, "success", "success superseded")
		},
		after: func(t *testing.T, n *atPoint) { wantOperations(t, n, "success", "success superseded", "success") },
	},
	{
		name:   "10 a write of a view is lost",
		tasks:  oneTask("ok", ""),
		points: "feed.lost=fail@2",
		calls:  map[string]int{"/ok": 1}, status: engine.Success,
		after: wantShown,
	},
	{
		name:   "10 a view is written, and its process dies",
		tasks:  oneTask("ok", ""),
		points: "view.end=kill", dies: true,
		calls: map[string]int{"/ok": 1}, status: engine.Success,
		after: wantShown,
	},
	{
		name:   "11 a timer fires twice",
		tasks:  oneTask("flaky/2/503", "retry_count = 3\nretry_delay = 0.05"),
		points: "timer.twice=fail",
		calls:  map[string]int{"/flaky/2/503": 3}, status: engine.Success,
		after: func(t *testing.T, n *atPoint) { wantOperations(t, n, "retry", "retry", "success") },
	},
	{
		name:   "12 the value is stored, the record that names it is not",
		tasks:  oneTask("large", ""),
		points: "value.stored=kill", dies: true,
		calls: map[string]int{"/large": 2}, status: engine.Success,
		after: func(t *testing.T, n *atPoint) {
			if v := n.value(t, "a"); len(v) != largeBody {
				t.Errorf("the value has %d bytes, want %d", len(v), largeBody)
			}
		},
	},
	{
		name:   "13 a checkpoint is half written",
		tasks:  oneTask("ok", ""),
		points: "checkpoint.piece=kill", dies: true,
		calls: map[string]int{"/ok": 1}, status: engine.Success,
		during: func(t *testing.T, n *atPoint) {
			n.await(t, engine.Success)
			n.p.Stop()
		},
	},
	{
		name:   "14 cancelled before the result is recorded",
		tasks:  oneTask("ok", ""),
		points: "attempt.made=wait:FILE",
		calls:  map[string]int{"/ok": 1}, status: engine.Cancelled,
		during: func(t *testing.T, n *atPoint) {
			n.u.Await(t, "/ok", 1)
			if err := n.client(t).Call(t.Context(), "run.cancel", bus.RunRef{Run: string(n.run)}, nil); err != nil {
				t.Fatal(err)
			}
			n.release(t)
		},
		after: func(t *testing.T, n *atPoint) { wantOperations(t, n, "success") },
	},
	{
		name:   "15 suspended for longer than the queue waits",
		tasks:  oneTask("slow/500ms", aPost),
		points: "worker.offer=fail@*",
		calls:  map[string]int{"/slow/500ms": 1}, status: engine.Success,
		during: func(t *testing.T, n *atPoint) {
			n.u.Await(t, "/slow/500ms", 1)
			if err := n.p.Suspend(17 * time.Second); err != nil {
				t.Fatal(err)
			}
		},
	},
	{
		name:   "16 the store takes the record only later",
		tasks:  oneTask("ok", aPost),
		points: "attempt.full=fail@2", // the first record says that the request is about to be sent
		calls:  map[string]int{"/ok": 1}, status: engine.Success,
		after: func(t *testing.T, n *atPoint) { wantOperations(t, n, "success") },
	},
}

// largeBody is the size of a value that does not fit into a record.
const largeBody = 200 << 10

func wantOperations(t *testing.T, n *atPoint, want ...string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got := n.operations(t)
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the operation log says %v, want %v", got, want)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// wantShown holds every view against what the run has done.
func wantShown(t *testing.T, n *atPoint) {
	wantOperations(t, n, "success")
	if v := n.value(t, "a"); len(v) == 0 {
		t.Error("the value is not shown")
	}
	ends := map[string]int{}
	c := n.client(t)
	err := c.Events(t.Context(), "f", time.Time{}, false, func(kind string, _ []byte) error {
		ends[kind]++
		return nil
	})
	if err != nil || ends["run.done"] != 1 || ends["run.started"] != 1 {
		t.Errorf("events: %v, %v", ends, err)
	}
}

// await waits until the run has a status.
func (n *atPoint) await(t *testing.T, status engine.Status) *engine.RunDoc {
	t.Helper()
	c := n.client(t)
	deadline := time.Now().Add(40 * time.Second)
	for {
		doc, err := c.Run(t.Context(), n.run)
		if err == nil && doc.Status == status {
			return doc
		}
		if time.Now().After(deadline) {
			t.Fatalf("the run is not %s: %+v, %v", status, doc, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// start asks for the run, always with the same key.
func (n *atPoint) start(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	doc := new(engine.RunDoc)
	err := n.client(t).Call(ctx, "run.start", bus.StartRun{Flow: "f", ID: "the same"}, doc)
	if err == nil {
		n.run = doc.RunID
	}
	return err
}

// TestFailpoints stops the program at each crash point, starts it again, and
// counts exactly how often the upstream was called.
func TestFailpoints(t *testing.T) {
	for _, point := range crashPoints {
		t.Run(point.name, func(t *testing.T) {
			t.Parallel()
			playPoint(t, &point)
		})
	}
}

func playPoint(t *testing.T, point *crashPoint) {
	n := &atPoint{u: testkit.NewUpstream(t), file: filepath.Join(t.TempDir(), "go")}
	n.u.Handle("/large", testkit.Do(func(w http.ResponseWriter, _ *testkit.Call) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "%q", strings.Repeat("x", largeBody-2))
	}))
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flows", "f.toml"), []byte(point.tasks(n.u)), 0o644); err != nil {
		t.Fatal(err)
	}
	if point.config != "" {
		if err := os.WriteFile(filepath.Join(dir, "qarion.toml"), []byte(point.config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.p = testkit.Serve(t, dir, "QARION_FAILPOINTS="+strings.ReplaceAll(point.points, "FILE", n.file))
	err := n.start(t)
	if point.during != nil {
		if err != nil {
			t.Fatal(err)
		}
		point.during(t, n)
	}
	if point.dies {
		n.p.Ended(t)
		n.p = testkit.Serve(t, dir)
		err = n.start(t) // the same key: the same run
	}
	if err != nil {
		t.Fatal(err)
	}
	doc := n.await(t, point.status)
	if point.after != nil {
		point.after(t, n)
	}
	for path, want := range point.calls {
		if got := n.u.Count(path); got != want {
			t.Errorf("%s was called %d times, want %d", path, got, want)
		}
	}
	if point.status == engine.Success && doc.Calls != len(doc.Tasks) && !strings.Contains(point.name, "timer") {
		t.Errorf("the run counts %d calls for %d tasks", doc.Calls, len(doc.Tasks))
	}
	var list bus.RunList
	if err := n.client(t).Call(t.Context(), "run.list", bus.ListRuns{Limit: 10}, &list); err != nil || len(list.Runs) != 1 {
		t.Errorf("%d runs, want 1: %v", len(list.Runs), err)
	}
	if code := n.p.Stop(); code != 0 {
		t.Errorf("the node stopped with exit code %d", code)
	}
}
