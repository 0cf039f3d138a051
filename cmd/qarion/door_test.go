package main_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/internal/testkit"
)

// door is a node and a plain NATS client, without a login and with nothing of
// ours.
type door struct {
	u   *testkit.Upstream
	dir string
	nc  *nats.Conn
	js  jetstream.JetStream
}

func openDoor(t *testing.T) *door {
	d := &door{u: testkit.NewUpstream(t), dir: t.TempDir()}
	d.u.Handle("/call", testkit.OK(`{"task":"call"}`))
	if err := os.MkdirAll(filepath.Join(d.dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.write(t, "orders", upstreamTask(d.u, "call", "call", "", ""))
	p := testkit.Serve(t, d.dir)
	var err error
	if d.nc, err = nats.Connect(p.Access.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.nc.Close)
	if d.js, err = jetstream.New(d.nc); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *door) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, "flows", name+".toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request to the service and returns answer and error line.
func (d *door) ask(t *testing.T, subject, payload string) (map[string]any, string) {
	t.Helper()
	m, err := d.nc.Request(subject, []byte(payload), 20*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if text := m.Header.Get("Nats-Service-Error"); text != "" {
		return nil, m.Header.Get("Nats-Service-Error-Code") + " " + text
	}
	var out map[string]any
	if err := json.Unmarshal(m.Data, &out); err != nil {
		t.Fatal(err)
	}
	return out, ""
}

// next waits for the next message on a subject that holds a text.
func next(t *testing.T, sub *nats.Subscription, has string) *nats.Msg {
	t.Helper()
	for {
		m, err := sub.NextMsg(15 * time.Second)
		if err != nil {
			t.Fatalf("no message with %q: %v", has, err)
		}
		if strings.Contains(m.Subject+string(m.Data), has) {
			return m
		}
	}
}

func subscribe(t *testing.T, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func TestDoor_PublishStartsARunThatAnyoneCanFollow(t *testing.T) {
	d := openDoor(t)
	logs, events := subscribe(t, d.nc, "qarion.log.>"), subscribe(t, d.nc, "qarion.event.>")
	if err := d.nc.Publish("qarion.trigger.orders", []byte(`{"customer": 7}`)); err != nil {
		t.Fatal(err)
	}
	var op map[string]any
	if err := json.Unmarshal(next(t, logs, "orders.call").Data, &op); err != nil {
		t.Fatal(err)
	}
	if op["success"] != true || op["operation_type"] != "api_call" || op["operation_subtype"] != "get" {
		t.Errorf("operation: %v", op)
	}
	next(t, events, "task.ready")
	done := next(t, events, "run.done")
	run := done.Header.Get("Qarion-Run")

	// XCom is readable as a KV bucket.
	kv, err := d.js.KeyValue(t.Context(), "qarion_xcom")
	if err != nil {
		t.Fatal(err)
	}
	v, err := kv.Get(t.Context(), run+".call")
	if err != nil || !strings.Contains(string(v.Value()), "task") {
		t.Errorf("value: %v %v", v, err)
	}
	// The events can be replayed.
	stream, err := d.js.Stream(t.Context(), "QARION_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	c, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"qarion.log.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := c.Next(jetstream.FetchMaxWait(5 * time.Second)); err != nil || m.Subject() != "qarion.log.orders.call" {
		t.Errorf("replay: %v %v", m, err)
	}
}

func TestDoor_ServiceAnswers(t *testing.T) {
	d := openDoor(t)
	doc, refusal := d.ask(t, "qarion.api.run.start", `{"flow": "orders", "variables": {"customer": 7}, "wait": true, "xcom": ["call"]}`)
	if refusal != "" || doc["status"] != "success" || doc["final"] != true || doc["xcom"] == nil {
		t.Fatalf("run.start: %v %s", doc, refusal)
	}
	run := doc["run_id"].(string)
	if got, _ := d.ask(t, "qarion.api.run.get", `{"run_id": "`+run+`"}`); got["status"] != "success" {
		t.Errorf("run.get: %v", got)
	}
	if got, _ := d.ask(t, "qarion.api.run.list", `{}`); len(got["runs"].([]any)) != 1 {
		t.Errorf("run.list: %v", got)
	}
	if got, _ := d.ask(t, "qarion.api.flow.list", ``); len(got["flows"].([]any)) != 1 {
		t.Errorf("flow.list: %v", got)
	}
	if got, _ := d.ask(t, "qarion.api.xcom.get", `{"run_id": "`+run+`", "task_id": "call"}`); got["task"] != "call" {
		t.Errorf("xcom.get: %v", got)
	}
	for payload, want := range map[string]string{
		`{"flow": "order"}`:                    `no flow "order" (did you mean "orders"?)`,
		`{"flow": "orders", "variables": [1]}`: "want an object of variables",
		`{"flow": "a b"}`:                      "may have only letters",
		`{"flow": "orders", "vars": {}}`:       "vars",
		`{`:                                    "JSON",
		`{"flow": "orders", "wait": "sometimes"}`: "wait",
	} {
		if _, refusal := d.ask(t, "qarion.api.run.start", payload); !strings.Contains(refusal, want) {
			t.Errorf("%s: refused with %q, want %q in it", payload, refusal, want)
		}
	}
	if _, refusal := d.ask(t, "qarion.api.run.cancel", `{"run_id": "`+run+`"}`); !strings.Contains(refusal, "ended") && !strings.Contains(refusal, "no open run") {
		t.Errorf("cancel of an ended run: %q", refusal)
	}
}

func TestDoor_RefusedTriggersSayWhy(t *testing.T) {
	d := openDoor(t)
	events := subscribe(t, d.nc, "qarion.event.>")
	for subject, c := range map[string]struct{ payload, want string }{
		"qarion.trigger.nothing": {`{}`, `no flow \"nothing\"`},
		"qarion.trigger.orders":  {`[1]`, "want an object of variables"},
		"qarion.trigger.or-ders": {`{}`, "no flow"},
	} {
		if err := d.nc.Publish(subject, []byte(c.payload)); err != nil {
			t.Fatal(err)
		}
		m := next(t, events, "run.rejected")
		if !strings.Contains(string(m.Data), c.want) || !strings.Contains(string(m.Data), `"ledger_seq":`) {
			t.Errorf("%s: %s", subject, m.Data)
		}
	}
	if err := d.nc.Publish("qarion.trigger.orders", []byte(`{"x":"`+strings.Repeat("x", 300<<10)+`"}`)); err != nil {
		t.Fatal(err)
	}
	if m := next(t, events, "run.rejected"); !strings.Contains(string(m.Data), "is larger than 262144") {
		t.Errorf("too large: %s", m.Data)
	}
}

func TestDoor_AnonymousClientsCannotForge(t *testing.T) {
	d := openDoor(t)
	for _, subject := range []string{
		"qarion.attempt.local", "qarion.flow.orders", "qarion.submit.local", "qarion.control.X", "qarion.checkpoint.1.0",
		"$KV.qarion_xcom.X.call", "qarion.log.orders.call", "qarion.event.orders.run.done",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if ack, err := d.js.Publish(ctx, subject, []byte("forged")); err == nil {
			t.Errorf("%s took a message of an anonymous client at sequence %d", subject, ack.Sequence)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := d.js.DeleteStream(ctx, "QARION_LEDGER"); err == nil {
		t.Error("an anonymous client deleted the ledger")
	}
}

func TestServe_PicksUpChangedFiles(t *testing.T) {
	d := openDoor(t)
	version := func() string {
		got, _ := d.ask(t, "qarion.api.flow.list", ``)
		out := ""
		for _, f := range got["flows"].([]any) {
			m := f.(map[string]any)
			out += m["flow_id"].(string) + "=" + m["version"].(string) + " "
		}
		return out
	}
	await := func(what string, ok func(string) bool) string {
		t.Helper()
		deadline := time.Now().Add(15 * time.Second)
		for {
			if v := version(); ok(v) {
				return v
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", what, version())
			}
		}
	}
	first := version()
	d.write(t, "orders", upstreamTask(d.u, "call", "call?changed", "", ""))
	second := await("a changed file", func(v string) bool { return v != first })
	d.write(t, "orders", "broken =")
	d.write(t, "extra", upstreamTask(d.u, "call", "call", "", ""))
	third := await("a new file beside a broken one", func(v string) bool { return strings.Contains(v, "extra=") })
	if !strings.Contains(third, strings.TrimSpace(second)) {
		t.Errorf("a broken file replaced a good version: %s, before %s", third, second)
	}
	if err := os.Remove(filepath.Join(d.dir, "flows", "extra.toml")); err != nil {
		t.Fatal(err)
	}
	await("a removed file", func(v string) bool { return !strings.Contains(v, "extra=") })
}

func TestRun_CtrlCCancelsTheRun(t *testing.T) {
	for _, c := range []struct {
		operation    string
		want, unwant []string
	}{
		{"get", []string{"run cancelled: by hand\n", "cancelled: by hand\n"}, []string{"outcome unknown", "may have"}},
		{"post", []string{
			"run cancelled: by hand; outcome unknown: slow\n",
			"outcome unknown: under way when the run ended; the server may have carried it out\n",
			"qarion: hint: the server may have carried out slow: look there before you start it again\n",
		}, nil},
	} {
		t.Run(c.operation, func(t *testing.T) {
			dir := t.TempDir()
			shown := interrupted(t, dir, c.operation)
			task, _, _ := qarion(t, dir, "runs", "show", "last", "--task", "slow")
			list, _, _ := qarion(t, dir, "runs", "list")
			for _, want := range c.want {
				if !strings.Contains(shown, want) {
					t.Errorf("not shown: %q in\n%s", want, shown)
				}
			}
			for _, no := range c.unwant {
				if strings.Contains(shown+task+list, no) {
					t.Errorf("shown: %q in\n%s%s%s", no, shown, task, list)
				}
			}
			if c.operation != "post" {
				return
			}
			for _, want := range []string{"task slow was cancelled: outcome unknown: ", "final: it was cut off", "hint: the server may have carried it out: look there before it is sent again"} {
				if !strings.Contains(task, want) {
					t.Errorf("not shown of the task: %q in\n%s", want, task)
				}
			}
			if !strings.Contains(list, "by hand; outcome unknown: slow") {
				t.Errorf("not in the list:\n%s", list)
			}
		})
	}
}

// interrupted runs a flow of two tasks, gives Ctrl-C while the first one's call
// is under way, and returns what is on the screen.
func interrupted(t *testing.T, dir, operation string) string {
	t.Helper()
	u := testkit.NewUpstream(t)
	text := upstreamTask(u, "slow", "slow/30s", "", `operation = "`+operation+`"`) + upstreamTask(u, "next", "ok", after("slow"), "")
	if err := os.WriteFile(filepath.Join(dir, "f.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testkit.Binary(t), "run", "f.toml", "--data-dir", "data")
	cmd.Dir = dir
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for len(u.Requests()) == 0 { // the call is in flight
		runtime.Gosched()
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	return out.String() + problems.String()
}
