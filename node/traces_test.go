package node_test

import (
	"encoding/json"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/traces"
)

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan  = "00f067aa0ba902b7"
	parent      = "00-" + parentTrace + "-" + parentSpan + "-01"
)

// tracedNode opens a node with a flow of two tasks, of which the first is asked
// again once and redirected. to nil: it makes no traces.
func tracedNode(t *testing.T, to *testkit.Collector) (*node.Node, *testkit.Upstream) {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	up := testkit.NewUpstream(t)
	up.Handle("/first", testkit.First(1, testkit.Status(503), testkit.Redirect(307, "/moved")))
	up.Handle("/moved", testkit.OK(`{"n":1}`))
	up.Handle("/second", testkit.OK(`{}`))
	up.Handle("/bad", testkit.Reply(422, `{"error":"no"}`))
	flows := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(flows, name), []byte(strings.ReplaceAll(text, "API", up.URL)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("orders.toml", `[[tasks]]
id = "first"
type = "api_call"
[tasks.properties]
url = "API/first"
operation = "put"
body = { token = "{{ token }}" }
retry_count = 1
retry_delay = 0.01
[[tasks]]
id = "second"
type = "api_call"
dependencies = ["first"]
properties = { url = "API/second?api_key=${credential:shop.api_key}" }
[variables]
token = ""
`)
	write("bad.toml", `[[tasks]]
id = "only"
type = "api_call"
properties = { url = "API/bad", headers = { traceparent = "00-11111111111111111111111111111111-2222222222222222-00" } }
[[tasks]]
id = "never"
type = "api_call"
dependencies = ["only"]
properties = { url = "API/second" }
`)
	cfg := node.Config{DataDir: filepath.Join(t.TempDir(), "data"), Listen: "127.0.0.1:0", Flows: flows, Version: "v1.2.3"}
	if to != nil {
		cfg.Traces = &traces.Config{Collector: traces.Collector{Endpoint: to.URL + "/v1/traces", Headers: map[string]string{"x-key": "k"}, Gzip: true}}
	}
	n, err := node.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	c, err := n.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Admin(t.Context(), "credential.store", json.RawMessage(`{"credential_id":"shop","type":"api_key","data":{"api_key":"canary-credential-4711"}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := n.Flows.Found(); len(d.Flows) != 2 {
		t.Fatalf("flows: %v", d.Found)
	}
	return n, up
}

func start(t *testing.T, n *node.Node, trace *engine.TraceContext, in bus.StartRun) *engine.RunDoc {
	t.Helper()
	c, err := n.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Trace, in.Wait = trace, json.RawMessage("60")
	doc := new(engine.RunDoc)
	if err := c.Call(t.Context(), "run.start", in, doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// await waits for the spans of a run, by name.
func await(t *testing.T, c *testkit.Collector, n int) []testkit.Span {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list := c.Spans()
		if len(list) >= n {
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d spans have come, want %d: %+v", len(list), n, list)
		}
	}
}

func named(list []testkit.Span, name string) (out []testkit.Span) {
	for _, s := range list {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

// TestTraces_OfARun: the run belongs to its trigger's trace, tasks to the run,
// attempts to the tasks, requests to the attempts; and what the server is sent
// names the request's span.
func TestTraces_OfARun(t *testing.T) {
	collector := testkit.NewCollector(t)
	n, up := tracedNode(t, collector)
	doc := start(t, n, engine.ParseTrace(parent, "shop=1"), bus.StartRun{Flow: "orders", Variables: json.RawMessage(`{"token":"canary-variable"}`)})
	if doc.Status != engine.Success {
		t.Fatalf("run: %+v", doc.Error)
	}
	list := await(t, collector, 10) // run, 2 tasks, 3 attempts, 4 requests
	if len(list) != 10 {
		t.Errorf("%d spans: %+v", len(list), list)
	}
	byID := map[string]testkit.Span{}
	for _, s := range list {
		if s.Trace != parentTrace || s.Service != "qarion" || s.End.Before(s.Start) {
			t.Errorf("span %+v", s)
		}
		byID[s.ID] = s
	}
	run := named(list, "run orders")
	if len(run) != 1 || run[0].Parent != parentSpan || run[0].Failed || run[0].Attrs["qarion.run_id"] != string(doc.RunID) || run[0].Attrs["qarion.status"] != "success" {
		t.Fatalf("run: %+v", run)
	}
	for name, attempts := range map[string]int{"task first": 2, "task second": 1} {
		task := named(list, name)
		if len(task) != 1 || task[0].Parent != run[0].ID || task[0].Failed {
			t.Fatalf("%s: %+v", name, task)
		}
		mine := 0
		for _, a := range named(list, "attempt") {
			if a.Parent == task[0].ID {
				mine++
				if a.Start.Before(task[0].Start) || a.End.After(task[0].End) {
					t.Errorf("%s lasts %s to %s, attempt %s to %s", name, task[0].Start, task[0].End, a.Start, a.End)
				}
			}
		}
		if mine != attempts {
			t.Errorf("%s has %d attempts, want %d", name, mine, attempts)
		}
	}
	var statuses []string
	for _, r := range up.Requests() {
		c := engine.ParseTrace(r.Header.Get("traceparent"), r.Header.Get("tracestate"))
		if c == nil || c.State != "shop=1" || !strings.HasSuffix(c.Parent, "-01") {
			t.Fatalf("%s was sent with %v", r.Path, r.Header)
		}
		s, known := byID[c.Parent[36:52]]
		if !known || s.Kind != "SPAN_KIND_CLIENT" || s.Name != r.Method || byID[s.Parent].Name != "attempt" || s.Trace != c.Parent[3:35] {
			t.Errorf("%s belongs to %+v", r.Path, s)
		}
		delete(byID, s.ID)
		statuses = append(statuses, s.Attrs["http.response.status_code"])
		if failed := r.Status >= 400; s.Failed != failed {
			t.Errorf("%s answered %d, its span failed: %v", r.Path, r.Status, s.Failed)
		}
	}
	if got := strings.Join(statuses, ","); got != "int_value:503,int_value:307,int_value:200,int_value:200" {
		t.Errorf("statuses %s", got)
	}
	for _, secret := range []string{"canary", "shop.api_key", "shop=1\x00"} {
		if strings.Contains(collector.Raw(), secret) {
			t.Errorf("%q is in what was sent", secret)
		}
	}
	if collector.Headers().Get("x-key") != "k" {
		t.Errorf("headers %v", collector.Headers())
	}
}

// TestTraces_OfARunThatFails has a trace of its own; the flow's own
// traceparent is what its server gets.
func TestTraces_OfARunThatFails(t *testing.T) {
	collector := testkit.NewCollector(t)
	collector.Refuse(1, 503) // it comes again
	n, up := tracedNode(t, collector)
	start(t, n, nil, bus.StartRun{Flow: "bad"})
	list := await(t, collector, 4) // run, task, attempt, request: what was skipped took no time
	for _, s := range list {
		if s.Trace != list[0].Trace || s.Trace == parentTrace || !s.Failed {
			t.Errorf("span %+v", s)
		}
	}
	if run := named(list, "run bad"); len(run) != 1 || run[0].Parent != "" || !strings.Contains(run[0].Message, "422") {
		t.Errorf("run: %+v", run)
	}
	if got := up.Requests()[0].Header.Get("traceparent"); got != "00-11111111111111111111111111111111-2222222222222222-00" {
		t.Errorf("sent %s", got)
	}
}

// TestTraces_FromEveryDoor: a trigger that was published, and one that is not to
// be sampled.
func TestTraces_FromEveryDoor(t *testing.T) {
	collector := testkit.NewCollector(t)
	n, up := tracedNode(t, collector)
	nc, err := nats.Connect(n.Bus.Access().URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	publish := func(header nats.Header) {
		t.Helper()
		if err := nc.PublishMsg(&nats.Msg{Subject: "qarion.trigger.orders", Header: header, Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	publish(nats.Header{"traceparent": {parent}})
	for _, s := range await(t, collector, 10) {
		if s.Trace != parentTrace {
			t.Errorf("span %+v", s)
		}
	}
	before, calls := len(collector.Spans()), len(up.Requests())
	publish(nats.Header{"Traceparent": {"00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00"}})
	up.Await(t, "/second", 2)
	for _, r := range up.Requests()[calls:] {
		if c := r.Header.Get("traceparent"); !strings.HasPrefix(c, "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-") || !strings.HasSuffix(c, "-00") {
			t.Errorf("%s was sent with %s", r.Path, c)
		}
	}
	publish(nats.Header{"traceparent": {"nonsense"}}) // starts a run all the same
	for _, s := range await(t, collector, before+8)[before:] {
		if s.Trace == parentTrace || s.Trace == "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
			t.Errorf("span %+v", s)
		}
	}
}

// TestTraces_Off: nothing is made, and what a trigger brought is passed on.
func TestTraces_Off(t *testing.T) {
	n, up := tracedNode(t, nil)
	start(t, n, nil, bus.StartRun{Flow: "orders"})
	start(t, n, engine.ParseTrace(parent, ""), bus.StartRun{Flow: "orders"})
	for i, r := range up.Requests() {
		want := ""
		if i >= 4 {
			want = parent
		}
		if got := r.Header.Get("traceparent"); got != want {
			t.Errorf("request %d, %s, was sent with %q, want %q", i, r.Path, got, want)
		}
	}
}

// A collector that is gone, or takes connections and says nothing, holds nothing
// up, and what waits for it is bounded.
func TestTraces_ACollectorThatIsGone(t *testing.T) {
	t.Run("gone", func(t *testing.T) {
		collector := testkit.NewCollector(t)
		collector.Close()
		goesOn(t, collector)
	})
	t.Run("silent", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // nobody accepts: the system takes the connections
		goesOn(t, &testkit.Collector{Server: &httptest.Server{URL: "http://" + l.Addr().String()}})
	})
}

func goesOn(t *testing.T, collector *testkit.Collector) {
	n, _ := tracedNode(t, collector)
	began := time.Now()
	for range 20 {
		start(t, n, nil, bus.StartRun{Flow: "orders"})
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 runs took %s", took)
	}
	began = time.Now()
	if err := n.Close(); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("closing took %s: %v", time.Since(began), err)
	}
}
