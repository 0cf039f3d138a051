package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// upstreamTask writes a task of a crash-test flow. The request says to which
// attempt it belongs.
func upstreamTask(u *testkit.Upstream, id, path, deps, more string) string {
	return fmt.Sprintf("[[tasks]]\nid = %q\ntype = \"api_call\"\n%s[tasks.properties]\nurl = \"%s/%s\"\n"+
		"headers = { X-Run = \"{{ run_id }}\", X-Task = \"{{ node_id }}\", X-Attempt = \"{{ attempt }}\" }\n%s\n", id, deps, u.URL, path, more)
}

func after(ids ...string) string {
	return "dependencies = [\"" + strings.Join(ids, "\", \"") + "\"]\n"
}

// crashFlows writes the flows of the crash test and returns their names.
func crashFlows(t *testing.T, u *testkit.Upstream, dir string) []string {
	task := func(id, path, deps, more string) string { return upstreamTask(u, id, path, deps, more) }
	var chain, fan, all strings.Builder
	for i := range 5 {
		deps := ""
		if i > 0 {
			deps = after(fmt.Sprintf("c%d", i-1))
		}
		chain.WriteString(task(fmt.Sprintf("c%d", i), "slow/5ms", deps, ""))
	}
	fan.WriteString(task("first", "ok", "", ""))
	for i := range 10 {
		fan.WriteString(task(fmt.Sprintf("f%d", i), "slow/10ms", after("first"), ""))
		fmt.Fprintf(&all, "f%d ", i)
	}
	fan.WriteString(task("last", "ok", after(strings.Fields(all.String())...), ""))
	files := map[string]string{
		"chain": chain.String(), "fan": fan.String(),
		"diamond": task("a", "ok", "", "") + task("b", "slow/20ms", after("a"), "") + task("c", "ok", after("a"), "") + task("d", "ok", after("b", "c"), ""),
		"retry":   task("r", "flaky/2/503", "", "retry_count = 5\nretry_delay = 0.05"),
		"keyed":   task("k", "slow/30ms", "", "operation = \"post\"\nidempotency_key = true"),
		"unkeyed": task("p", "slow/30ms", "", "operation = \"post\""),
	}
	maps.Copy(files, jarFlows(u))
	var names []string
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		names = append(names, name)
		if err := os.WriteFile(filepath.Join(dir, "flows", name+".toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// kills is how often the crash test kills the node.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("QARION_CRASH_KILLS")); err == nil && n > 0 {
		return n
	}
	return 10
}

// TestCrash kills the node at random moments while triggers arrive. Afterwards
// no run may be lost, every run must be final (or wait for a person, where an
// answer was lost), no task may lack its call, none may be called again after
// its success was recorded, and what must not be repeated was not.
func TestCrash(t *testing.T) {
	u := testkit.NewUpstream(t)
	dir := t.TempDir()
	names := crashFlows(t, u, dir)
	rng := rand.New(rand.NewPCG(7, uint64(kills())))
	var access atomic.Value
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sent atomic.Int64
	var triggers sync.WaitGroup
	triggers.Go(func() {
		pace := time.NewTicker(time.Duration(kills()) * 2 * time.Millisecond) // at most 900 runs in all
		defer pace.Stop()
		for i := 0; ctx.Err() == nil && sent.Load() < 900; i++ {
			<-pace.C
			flow := names[i%len(names)]
			if publish(ctx, &access, flow, fmt.Sprintf("%s-%d", flow, i)) {
				sent.Add(1)
			}
		}
	})
	var died []time.Time
	for range kills() {
		p := testkit.Serve(t, dir)
		access.Store(p.Access)
		<-time.After(time.Duration(50+rng.IntN(1450)) * time.Millisecond)
		p.Kill()
		died = append(died, time.Now())
	}
	stop()
	triggers.Wait()
	p := testkit.Serve(t, dir)
	runs := awaitRuns(t, p, int(sent.Load()))
	t.Logf("%d kills, %d triggers, %d calls", kills(), sent.Load(), len(u.Requests()))
	checkRuns(t, u, runs)
	h := testkit.History{Requests: u.Requests(), Log: logged(t, p), Tasks: planned(runs), Kills: died}
	for _, v := range h.Check() {
		t.Error(v)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("the node stopped with exit code %d", code)
	}
}

// publish triggers a flow, again and again with the same key until it is
// acknowledged; false when the test ended before it was.
func publish(ctx context.Context, access *atomic.Value, flow, key string) bool {
	for ctx.Err() == nil {
		a, ok := access.Load().(bus.Access)
		if !ok {
			continue
		}
		if nc, err := nats.Connect(a.URL, nats.NoReconnect(), nats.Timeout(time.Second)); err == nil {
			js, err := jetstream.New(nc)
			if err == nil {
				try, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				_, err = js.PublishMsg(try, &nats.Msg{Subject: "qarion.trigger." + flow, Data: []byte(`{}`), Header: nats.Header{"Nats-Msg-Id": {key}}})
				cancel()
			}
			nc.Close()
			if err == nil {
				return true
			}
		}
	}
	return false
}

// awaitRuns waits until every run has ended, or waits for a person.
func awaitRuns(t *testing.T, p *testkit.Process, triggers int) []*engine.RunDoc {
	t.Helper()
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	deadline := time.Now().Add(60 * time.Second)
	for {
		var st struct {
			Engine engine.NodeStatus `json:"engine"`
		}
		if err := c.Call(t.Context(), "node.status", nil, &st); err != nil {
			t.Fatal(err)
		}
		e := st.Engine
		if e.InFlight == 0 && e.ReadyTasks == 0 && e.Waiting == 0 && e.ProjectedSeq >= e.LedgerSeq {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("runs are still going: %+v", e)
		}
		<-time.After(20 * time.Millisecond)
	}
	var list bus.RunList
	if err := c.Call(t.Context(), "run.list", bus.ListRuns{Limit: 999}, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Runs) < triggers || len(list.Runs) > triggers+1 { // the last one may have been stored unacknowledged
		t.Errorf("%d acknowledged triggers, %d runs", triggers, len(list.Runs))
	}
	docs := make([]*engine.RunDoc, len(list.Runs))
	for i, r := range list.Runs {
		if docs[i], err = c.Run(t.Context(), r.RunID); err != nil {
			t.Fatal(err)
		}
	}
	return docs
}

// checkRuns holds how the runs ended against what their flows allow.
func checkRuns(t *testing.T, u *testkit.Upstream, runs []*engine.RunDoc) {
	t.Helper()
	calls := map[string]int{}
	for _, r := range u.Requests() {
		calls[r.Run]++
	}
	for _, d := range runs {
		if d.Status != engine.Success && d.Status != engine.Interrupted {
			t.Errorf("run %s of %s: %s: %+v", d.RunID, d.FlowID, d.Status, d.Error)
		}
		if d.Status == engine.Interrupted && d.FlowID != "unkeyed" {
			t.Errorf("run %s of %s is interrupted, though its calls may be repeated", d.RunID, d.FlowID)
		}
		if d.FlowID == "unkeyed" && calls[string(d.RunID)] > 1 {
			t.Errorf("run %s: a POST without key was called %d times", d.RunID, calls[string(d.RunID)])
		}
	}
}

// planned is what the flows say, for the checker of histories.
func planned(runs []*engine.RunDoc) (out []testkit.Planned) {
	for _, d := range runs {
		for i := range d.Tasks {
			task := &d.Tasks[i]
			p := testkit.Planned{Run: string(d.RunID), Task: string(task.TaskID)}
			if d.FlowID == "retry" {
				p.Retries = 5
			}
			p.After = needs(string(d.FlowID), string(task.TaskID))
			out = append(out, p)
		}
	}
	return out
}

// needs are the tasks that a task of crashFlows waits for.
func needs(flow, task string) []string {
	switch {
	case flow == "chain" && task != "c0":
		return []string{"c" + string(task[1]-1)}
	case flow == "fan" && task == "last":
		return strings.Fields("f0 f1 f2 f3 f4 f5 f6 f7 f8 f9")
	case flow == "fan" && task != "first":
		return []string{"first"}
	case flow == "diamond" && task == "d":
		return []string{"b", "c"}
	case flow == "diamond" && task != "a":
		return []string{"a"}
	case flow == "session" && task == "all":
		return []string{"u0", "u1", "u2"}
	case flow == "session" && task != "login":
		return []string{"login"}
	case flow == "object" && task == "up":
		return []string{"down"}
	}
	return nil
}

// logged reads the operation log, for the checker of histories.
func logged(t *testing.T, p *testkit.Process) (out []testkit.Logged) {
	t.Helper()
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Logs(t.Context(), bus.LogFilter{}, func(_ []byte, op *engine.Operation) error {
		if op.Superseded {
			return nil
		}
		var d engine.Details
		if err := json.Unmarshal(op.Details, &d); err != nil {
			return err
		}
		end, err := time.Parse(time.RFC3339, op.EndTime)
		if err != nil {
			return err
		}
		e := testkit.Logged{
			Run: string(op.ExecutionID), Task: string(op.TaskID), Attempt: op.Attempt, Outcome: op.Status, Unknown: d.Repeated,
			Key: d.IdempotencyKey, Method: d.Method, Class: d.ErrorClass, Status: d.StatusCode, At: end,
		}
		if d.RetryAt != "" {
			if e.NotBefore, err = time.Parse(time.RFC3339, d.RetryAt); err != nil {
				return err
			}
		}
		out = append(out, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSlowCall_IsNotTakenForALostWorker lets a call take longer than the
// queue waits for a sign of life: exactly one request may leave.
func TestSlowCall_IsNotTakenForALostWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 18 s: left out with -short")
	}
	t.Parallel()
	u := testkit.NewUpstream(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := upstreamTask(u, "slow", "slow/17s", "", "operation = \"post\"")
	if err := os.WriteFile(filepath.Join(dir, "flows", "slow.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := testkit.Serve(t, dir)
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	doc := new(engine.RunDoc)
	if err := c.Call(ctx, "run.start", bus.StartRun{Flow: "slow", Wait: json.RawMessage("50")}, doc); err != nil {
		t.Fatal(err)
	}
	if doc.Status != engine.Success || len(u.Requests()) != 1 {
		t.Errorf("run: %s, %d requests", doc.Status, len(u.Requests()))
	}
}
