package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// ask sends a request as a plain NATS client does and returns the answer with
// its error code and line.
func ask(t testing.TB, nc *nats.Conn, endpoint, payload string) (answer []byte, code, line string) {
	t.Helper()
	m, err := nc.Request("qarion.api."+endpoint, []byte(payload), 20*time.Second)
	if err != nil {
		t.Fatalf("%s %s: %v", endpoint, payload, err)
	}
	return m.Data, m.Header.Get("Nats-Service-Error-Code"), m.Header.Get("Nats-Service-Error")
}

func askRun(t testing.TB, nc *nats.Conn, endpoint, payload string) *engine.RunDoc {
	t.Helper()
	answer, code, line := ask(t, nc, endpoint, payload)
	if code != "" {
		t.Fatalf("%s %s: %s %s", endpoint, payload, code, line)
	}
	doc := new(engine.RunDoc)
	if err := json.Unmarshal(answer, doc); err != nil {
		t.Fatalf("%v in %s", err, answer)
	}
	return doc
}

func TestService_StartsRunsAndWaits(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", map[string][]string{"b": {"a"}}, "a", "b"))
	nc := n.stranger(t)

	doc := askRun(t, nc, "run.start", `{"flow":"orders","variables":{"customer":7},"id":"k1","batch_id":42,"wait":true,"xcom":["b","nothing"]}`)
	if doc.Status != engine.Success || !doc.Final || doc.BatchID != 42 || len(doc.Tasks) != 2 || doc.TriggerType != "api" {
		t.Errorf("run: %+v", doc)
	}
	if v, ok := doc.XCom["b"].(map[string]any); !ok || v["task"] != "b" || len(doc.XCom) != 1 {
		t.Errorf("values: %v", doc.XCom)
	}
	if v, _ := doc.Variables.Get("customer"); v != int64(7) {
		t.Errorf("variables: %v", v)
	}
	again := askRun(t, nc, "run.start", `{"flow":"orders","id":"k1","wait":5}`)
	if again.RunID != doc.RunID || again.Status != engine.Success {
		t.Errorf("the same key gave %s %s, want %s", again.RunID, again.Status, doc.RunID)
	}
	if known := askRun(t, nc, "run.start", `{"flow":"orders","id":"k1"}`); known.RunID != doc.RunID || known.StartTime == "" {
		t.Errorf("the same key without waiting: %+v", known)
	}
	for _, name := range []string{string(doc.RunID), "last", string(doc.RunID[20:]), strings.ToLower(string(doc.RunID[20:]))} {
		if got := askRun(t, nc, "run.get", name); got.RunID != doc.RunID {
			t.Errorf("run.get %s: %s", name, got.RunID)
		}
	}
	if answer, code, line := ask(t, nc, "xcom.get", "last b"); string(answer) != `{"task":"b"}` {
		t.Errorf("xcom.get: %s %s %s", answer, code, line)
	}
}

func TestService_RefusesWithACodeAndOneLine(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	nc := n.stranger(t)
	done := askRun(t, nc, "run.start", `{"flow":"orders","wait":true}`)
	for _, c := range []struct{ endpoint, payload, code, line string }{
		{"run.start", `{"flow":"ordres"}`, "404", `no flow "ordres" (did you mean "orders"?)`},
		{"run.start", `{"flow":"a.b"}`, "400", `flow id "a.b" may have only letters, digits, _ and -, and starts with a letter or _`},
		{"run.start", ``, "400", "flow id is empty"},
		{"run.start", `{"flow":"orders","variables":[1]}`, "400", ""},
		{"run.start", `{"flow":"orders","waits":1}`, "400", `unknown field "waits"; there are batch_id, environment, execution_date, flow, id, trigger_id, trigger_type, variables, wait, xcom`},
		{"run.start", `{"flow":7}`, "400", `field "flow" is a JSON number, want string`},
		{"run.start", `{"flow":"orders"`, "400", "the request's JSON ends too early"},
		{"run.start", `{"flow":"orders"} {}`, "400", "more after the request's JSON object"},
		{"run.start", `17`, "400", "the request is a JSON number, want an object"},
		{"run.start", `{"flow":"orders","wait":"soon"}`, "400", `wait is "soon": want true, or seconds`},
		{"run.start", `{"flow":"orders","wait":3601}`, "400", "wait is 3601 seconds: want at most 3600"},
		{"run.start", `{"flow":"orders","environment":"prod"}`, "409", `the node serves no environment, the run is for "prod": qarion serve --env prod`},
		{"run.start", `{"flow":"orders","execution_date":"today"}`, "400", `execution_date "today" is not an RFC 3339 time such as 2026-01-31T06:00:00Z`},
		{"run.get", `{"run_id":"01M84BFBV1N8Q6D2T4XW9B7C5E"}`, "404", "no run 01M84BFBV1N8Q6D2T4XW9B7C5E"},
		{"run.get", `x`, "400", `"x" names no run: give "last", a run id, or at least its last 4 characters`},
		{"run.get", `ZZZZZZ`, "404", "no run ends in ZZZZZZ"},
		{"run.list", `{"since":"yesterday"}`, "400", "time \"yesterday\": want an age such as 90s, 2h or 30d, or a time such as 2026-01-31T12:00:00Z"},
		{"run.cancel", string(done.RunID), "409", "run " + string(done.RunID) + " has ended already: success"},
		{"run.resolve", `{"run_id":"last","task_id":"a","as":"done"}`, "400", `"done" is not success, failed or retry`},
		{"flow.get", "ordres", "404", `no flow "ordres" (did you mean "orders"?)`},
		{"xcom.get", "last aa", "404", ""},
	} {
		answer, code, line := ask(t, nc, c.endpoint, c.payload)
		if code != c.code || c.line != "" && line != c.line || line == "" || strings.Contains(line, "\n") {
			t.Errorf("%s %s: got %s %q %s, want %s %q", c.endpoint, c.payload, code, line, answer, c.code, c.line)
		}
	}
}

// gate is a task type whose tasks wait until the test opens it.
func gate() (types []engine.TaskType, open func()) {
	hold := make(chan struct{})
	return []engine.TaskType{testkit.TaskFunc{Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
		select {
		case <-hold:
			return engine.TaskOutput{}
		case <-ctx.Done():
			return engine.TaskOutput{Err: &engine.TaskError{Class: "closed", Message: "cut off"}}
		}
	}}}, sync.OnceFunc(func() { close(hold) })
}

func TestService_WhenTheTimeIsUpTheRunGoesOn(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", nil, "a"))
	nc := n.stranger(t)
	doc := askRun(t, nc, "run.start", `{"flow":"slow","wait":0.05}`)
	if doc.Final || doc.Status != engine.Running {
		t.Fatalf("run: %s, final %v", doc.Status, doc.Final)
	}
	open()
	if end := askRun(t, nc, "run.get", `{"run_id":"last","wait":10}`); end.RunID != doc.RunID || end.Status != engine.Success {
		t.Errorf("run: %+v", end)
	}
}

func TestService_CancelsARun(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", map[string][]string{"b": {"a"}}, "a", "b"))
	nc := n.stranger(t)
	doc := askRun(t, nc, "run.start", `{"flow":"slow"}`)
	askRun(t, nc, "run.cancel", fmt.Sprintf(`{"run_id":%q,"reason":"by hand"}`, doc.RunID))
	if end := askRun(t, nc, "run.get", fmt.Sprintf(`{"run_id":%q,"wait":10}`, doc.RunID)); end.Status != engine.Cancelled {
		t.Errorf("run: %+v", end)
	}
}

func TestService_OneTooManyIsToldSo(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", nil, "a"))
	nc := n.stranger(t)
	run := askRun(t, nc, "run.start", `{"flow":"slow"}`).RunID

	answers, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	wait := fmt.Appendf(nil, `{"run_id":%q,"wait":600}`, run)
	const callers = 1024
	for range callers + 1 {
		if err := nc.PublishRequest("qarion.api.run.get", answers.Subject, wait); err != nil {
			t.Fatal(err)
		}
	}
	m, err := answers.NextMsg(10 * time.Second)
	if err != nil || m.Header.Get("Nats-Service-Error-Code") != "429" {
		t.Fatalf("the first answer is %v, %v; want that one caller is too many", m, err)
	}
	if got := askRun(t, nc, "run.get", string(run)); got.Status != engine.Running {
		t.Errorf("who does not wait: %+v", got)
	}
	open()
	for i := range callers {
		m, err := answers.NextMsg(10 * time.Second)
		if err != nil || m.Header.Get("Nats-Service-Error-Code") != "" {
			t.Fatalf("caller %d: %v, %v", i, m, err)
		}
	}
}

func TestService_StoppingEndsTheWaiting(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", nil, "a"))
	run := askRun(t, n.stranger(t), "run.start", `{"flow":"slow"}`).RunID
	failed := make(chan error, 1)
	go func() {
		failed <- n.client.Call(context.Background(), "run.get", bus.RunRef{Run: string(run), Wait: 600}, nil)
	}()
	info := func() bool { // the request has arrived
		m, err := n.client.Conn().Request("$SRV.STATS.qarion", nil, 5*time.Second)
		return err == nil && strings.Contains(string(m.Data), `"name":"run-get","subject":"qarion.api.run.get","queue_group":"q","num_requests":1`)
	}
	waitFor(t, info)
	n.service.Close()
	if err := <-failed; !errors.Is(err, engine.ErrUnavailable) || err.Error() != "the node is stopping" {
		t.Errorf("the caller hears: %v", err)
	}
}

func TestService_ListsRunsInPages(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: append(types, named{"echo", echo})})
	quick := flow("quick", nil, "a")
	quick.Tasks[0].Type = "echo"
	put(t, n.Node, quick)
	put(t, n.Node, flow("slow", nil, "a"))
	nc := n.stranger(t)
	var ids []engine.RunID
	for range 5 {
		ids = append(ids, askRun(t, nc, "run.start", `{"flow":"quick","wait":true}`).RunID)
	}
	ids = append(ids, askRun(t, nc, "run.start", `{"flow":"slow"}`).RunID)

	list := func(payload string) (got bus.RunList) {
		t.Helper()
		answer, code, line := ask(t, nc, "run.list", payload)
		if err := json.Unmarshal(answer, &got); err != nil || code != "" {
			t.Fatalf("%s: %s %s %s", payload, answer, code, line)
		}
		return got
	}
	if all := list(``); len(all.Runs) != 6 || all.More || all.Runs[0].Status != engine.Running || len(all.Runs[1].Tasks) != 0 {
		t.Errorf("all: %+v", all)
	}
	first := list(`{"limit":4}`)
	if len(first.Runs) != 4 || !first.More {
		t.Fatalf("first page: %d runs, more %v", len(first.Runs), first.More)
	}
	next := list(fmt.Sprintf(`{"limit":4,"before":%q}`, first.Runs[3].RunID))
	if len(next.Runs) != 2 || next.More || next.Runs[1].RunID != min(ids[0], ids[1], ids[2], ids[3], ids[4]) {
		t.Errorf("second page: %+v", next)
	}
	if got := list(`{"status":"running"}`); len(got.Runs) != 1 || got.Runs[0].FlowID != "slow" {
		t.Errorf("running: %+v", got)
	}
	if got := list(`{"flow":"quick","since":"1h"}`); len(got.Runs) != 5 {
		t.Errorf("quick: %+v", got)
	}
	if got := list(`{"flow":"nothing"}`); got.Runs == nil || len(got.Runs) != 0 {
		t.Errorf("nothing: %+v", got)
	}
}

// named is a task type under another name.
type named struct {
	name string
	testkit.TaskFunc
}

// Name implements engine.TaskType.
func (n named) Name() string { return n.name }

func TestService_LargeValuesGoPastTheMessage(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(context.Context, *engine.TaskInput) engine.TaskOutput {
			return engine.TaskOutput{Large: &engine.LargeValue{Data: []byte(big), ContentType: "text/plain"}}
		},
	}}})
	put(t, n.Node, flow("f", nil, "a"))
	nc := n.stranger(t)
	doc := askRun(t, nc, "run.start", `{"flow":"f","wait":true,"xcom":["a"]}`)
	if ref, ok := doc.XCom["a"].(map[string]any); !ok || ref["size"] != float64(len(big)) {
		t.Errorf("in the run's answer: %v", doc.XCom)
	}
	m, err := nc.Request("qarion.api.xcom.get", []byte("last a"), 10*time.Second)
	if err != nil || m.Header.Get(bus.HeaderBlob) != "1" || !strings.HasPrefix(string(m.Data), `{"object":"`+string(doc.RunID)) {
		t.Errorf("a plain client: %s %v", m.Data, err)
	}
	var got string
	if err := n.client.Call(t.Context(), "xcom.get", bus.XComRef{Run: "last", Task: "a"}, &got); err != nil || got != big {
		t.Errorf("a command got %d bytes, %v", len(got), err)
	}
}

func TestService_AdminRunsAFlowThatComesAlong(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	def, _, err := flow("once", nil, "a").Encode()
	if err != nil {
		t.Fatal(err)
	}
	var doc engine.RunDoc
	in := bus.RunFlow{Flow: def, StartRun: bus.StartRun{Wait: json.RawMessage("true"), TriggerType: "cli"}}
	if err := n.client.Admin(t.Context(), "flow.run", in, &doc); err != nil || doc.Status != engine.Success || doc.TriggerType != "cli" {
		t.Fatalf("run: %+v, %v", doc, err)
	}
	err = n.client.Call(t.Context(), "run.start", bus.StartRun{Flow: "once"}, nil)
	if !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("the flow became a version: %v", err)
	}
	var flows struct{ Flows []engine.FlowInfo }
	if err := n.client.Call(t.Context(), "flow.list", nil, &flows); err != nil || len(flows.Flows) != 0 {
		t.Errorf("flows: %+v, %v", flows, err)
	}
}

func TestService_APanicIsOneRequestsFailure(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := b.Serve(bus.ServiceConfig{Version: "1.0.0", Endpoints: []bus.Endpoint{
		{Name: "credential.list", Handle: func(context.Context, []byte) (any, error) { panic("on purpose") }},
		{Name: "credential.rekey", Handle: func(context.Context, []byte) (any, error) { return 1, nil }},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := bus.NewClient(nc, "the test's bus")
	var call *bus.CallError
	if err := c.Admin(t.Context(), "credential.list", nil, nil); !errors.As(err, &call) || call.Code != "500" {
		t.Errorf("got %v", err)
	}
	if err := c.Admin(t.Context(), "credential.rekey", nil, nil); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := c.Call(t.Context(), "nothing.here", nil, nil); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("an endpoint that is not there: %v", err)
	}
}
