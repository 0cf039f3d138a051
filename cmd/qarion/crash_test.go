package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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

// call is one request as the upstream saw it.
type call struct {
	run, task, key string
	at             time.Time
}

// upstream is the server that is never killed: it records every request.
type upstream struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
	flaky map[string]int
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{flaky: map[string]int{}}
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	c := call{run: r.Header.Get("X-Run"), task: r.Header.Get("X-Task"), key: r.Header.Get("Idempotency-Key"), at: time.Now()}
	_, _ = io.Copy(io.Discard, r.Body)
	u.mu.Lock()
	u.calls = append(u.calls, c)
	u.flaky[c.run+c.task]++
	tries := u.flaky[c.run+c.task]
	u.mu.Unlock()
	if d, err := time.ParseDuration(r.URL.Query().Get("slow")); err == nil {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			return
		}
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("flaky")); err == nil && tries <= n {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"task":%q}`, c.task)
}

func (u *upstream) seen() []call {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]call(nil), u.calls...)
}

// task writes a task of a crash-test flow.
func (u *upstream) task(id, query, deps, more string) string {
	return fmt.Sprintf("[[tasks]]\nid = %q\ntype = \"api_call\"\n%s[tasks.properties]\nurl = \"%s/%s\"\nheaders = { X-Run = \"{{ run_id }}\", X-Task = \"{{ node_id }}\" }\n%s\n",
		id, deps, u.URL, query, more)
}

func after(ids ...string) string {
	return "dependencies = [\"" + strings.Join(ids, "\", \"") + "\"]\n"
}

func (u *upstream) flows(t *testing.T, dir string) []string {
	var chain, fan, all strings.Builder
	for i := range 5 {
		deps := ""
		if i > 0 {
			deps = after(fmt.Sprintf("c%d", i-1))
		}
		chain.WriteString(u.task(fmt.Sprintf("c%d", i), "?slow=5ms", deps, ""))
	}
	fan.WriteString(u.task("first", "", "", ""))
	for i := range 10 {
		fan.WriteString(u.task(fmt.Sprintf("f%d", i), "?slow=10ms", after("first"), ""))
		fmt.Fprintf(&all, "f%d ", i)
	}
	fan.WriteString(u.task("last", "", after(strings.Fields(all.String())...), ""))
	files := map[string]string{
		"chain": chain.String(), "fan": fan.String(),
		"diamond": u.task("a", "", "", "") + u.task("b", "?slow=20ms", after("a"), "") + u.task("c", "", after("a"), "") + u.task("d", "", after("b", "c"), ""),
		"retry":   u.task("r", "?flaky=2", "", "retry_count = 5\nretry_delay = 0.05"),
		"keyed":   u.task("k", "?slow=30ms", "", "operation = \"post\"\nidempotency_key = true"),
		"unkeyed": u.task("p", "?slow=30ms", "", "operation = \"post\""),
	}
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
	u := newUpstream(t)
	dir := t.TempDir()
	names := u.flows(t, dir)
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
	for range kills() {
		p := testkit.Serve(t, dir)
		access.Store(p.Access)
		<-time.After(time.Duration(50+rng.IntN(1450)) * time.Millisecond)
		p.Kill()
	}
	stop()
	triggers.Wait()
	p := testkit.Serve(t, dir)
	runs := awaitRuns(t, p, int(sent.Load()))
	t.Logf("%d kills, %d triggers, %d calls", kills(), sent.Load(), len(u.seen()))
	u.check(t, p, runs)
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

// check holds what the upstream saw against what the node recorded.
func (u *upstream) check(t *testing.T, p *testkit.Process, runs []*engine.RunDoc) {
	byTask := map[string][]call{}
	for _, c := range u.seen() {
		byTask[c.run+"."+c.task] = append(byTask[c.run+"."+c.task], c)
	}
	done := u.successes(t, p)
	for _, d := range runs {
		if d.Status != engine.Success && d.Status != engine.Interrupted {
			t.Errorf("run %s of %s: %s: %+v", d.RunID, d.FlowID, d.Status, d.Error)
		}
		if d.Status == engine.Interrupted && d.FlowID != "unkeyed" {
			t.Errorf("run %s of %s is interrupted, though its calls may be repeated", d.RunID, d.FlowID)
		}
		for i := range d.Tasks {
			id := string(d.RunID) + "." + string(d.Tasks[i].TaskID)
			calls := byTask[id]
			if d.Tasks[i].Status == engine.Success && len(calls) == 0 {
				t.Errorf("task %s succeeded without a call", id)
			}
			if d.FlowID == "unkeyed" && len(calls) > 1 {
				t.Errorf("task %s, a POST without key, was called %d times", id, len(calls))
			}
			for _, c := range calls {
				if end, ok := done[id]; ok && c.at.After(end.Add(2*time.Millisecond)) {
					t.Errorf("task %s was called at %s, after its success at %s", id, c.at.Format(time.StampMicro), end.Format(time.StampMicro))
				}
				if d.FlowID == "keyed" && (c.key == "" || c.key != calls[0].key) {
					t.Errorf("task %s was called with the keys %q and %q", id, calls[0].key, c.key)
				}
			}
		}
	}
}

// successes reads from the operation log when each task succeeded.
func (u *upstream) successes(t *testing.T, p *testkit.Process) map[string]time.Time {
	c, err := bus.Dial(p.Access, p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out := map[string]time.Time{}
	err = c.Logs(t.Context(), bus.LogFilter{Status: "success"}, func(raw []byte, op *engine.Operation) error {
		end, err := time.Parse(time.RFC3339, op.EndTime)
		if err != nil {
			return err
		}
		if !json.Valid(raw) {
			return fmt.Errorf("operation %s is not JSON", op.OperationID)
		}
		id := string(op.ExecutionID) + "." + string(op.TaskID)
		if was, ok := out[id]; !ok || end.Before(was) {
			out[id] = end
		}
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
	u := newUpstream(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := u.task("slow", "?slow=17s", "", "operation = \"post\"")
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
	if doc.Status != engine.Success || len(u.seen()) != 1 {
		t.Errorf("run: %s, %d requests", doc.Status, len(u.seen()))
	}
}
