package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// stored returns the messages of the event stream, apart from marks.
func stored(t *testing.T, n *fullNode) (msgs []*jetstream.RawStreamMsg) {
	t.Helper()
	s, err := n.Bus.JetStream().Stream(t.Context(), bus.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(m.Subject, "qarion.position.") {
			msgs = append(msgs, m)
		}
	}
	return msgs
}

func TestEvents_FourMessagesTellOfARunOfOneTask(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	doc := n.finish(t, "orders")
	want := []string{"qarion.event.orders.run.started", "qarion.event.orders.task.ready", "qarion.log.orders.a", "qarion.event.orders.run.done"}
	last := ""
	for i, m := range stored(t, n) {
		if i >= len(want) || m.Subject != want[i] {
			t.Fatalf("message %d is %s", i, m.Subject)
		}
		if m.Header.Get(bus.HeaderRun) != string(doc.RunID) || m.Header.Get(bus.HeaderReplay) != "" || m.Header.Get(bus.HeaderPos) <= last {
			t.Errorf("%s: headers %v", m.Subject, m.Header)
		}
		last = m.Header.Get(bus.HeaderPos)
		var payload map[string]any
		if err := json.Unmarshal(m.Data, &payload); err != nil {
			t.Fatalf("%s: %v in %s", m.Subject, err, m.Data)
		}
		if id := payload["run_id"]; m.Subject != "qarion.log.orders.a" && id != string(doc.RunID) {
			t.Errorf("%s: %s", m.Subject, m.Data)
		}
		if m.Subject == "qarion.log.orders.a" {
			var op engine.Operation
			if err := json.Unmarshal(m.Data, &op); err != nil || op.ExecutionID != doc.RunID || !op.Success || !strings.Contains(string(op.Details), `"status_code":200`) {
				t.Errorf("operation %s, %v", m.Data, err)
			}
		}
	}
}

func TestEvents_ARejectedTriggerIsToldWithItsReason(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	nc := n.stranger(t)
	for subject, payload := range map[string]string{
		"qarion.trigger.ordres": `{}`, "qarion.trigger.1bad": `{}`, "qarion.trigger.orders": `[1]`,
	} {
		if err := nc.Publish(subject, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return len(stored(t, n)) == 3 })
	var got []string
	for _, m := range stored(t, n) {
		var e struct {
			Reason string `json:"reason"`
			Seq    uint64 `json:"ledger_seq"`
		}
		if err := json.Unmarshal(m.Data, &e); err != nil || e.Reason == "" || e.Seq == 0 {
			t.Errorf("%s: %s, %v", m.Subject, m.Data, err)
		}
		got = append(got, m.Subject)
	}
	slices.Sort(got)
	want := []string{"qarion.event._.run.rejected", "qarion.event.orders.run.rejected", "qarion.event.ordres.run.rejected"}
	if !slices.Equal(got, want) {
		t.Errorf("events on %v, want %v", got, want)
	}
}

func TestEvents_ALostStreamIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	cfg := testkit.NodeConfig{Dir: dir, Types: []engine.TaskType{echo}}
	n := startFull(t, cfg)
	put(t, n.Node, flow("orders", nil, "a"))
	n.finish(t, "orders")
	before := stored(t, n)
	for _, stream := range []string{bus.StreamEvents, "KV_qarion_xcom", "KV_qarion_runs"} {
		if err := n.Bus.JetStream().DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	n.stopFull(t)

	n = startFull(t, cfg)
	waitFor(t, func() bool { return len(stored(t, n)) == len(before) })
	for i, m := range stored(t, n) {
		if m.Subject != before[i].Subject || string(m.Data) != string(before[i].Data) || m.Header.Get(bus.HeaderPos) != before[i].Header.Get(bus.HeaderPos) {
			t.Errorf("message %d: %s %s, was %s %s", i, m.Subject, m.Data, before[i].Subject, before[i].Data)
		}
		if m.Header.Get(bus.HeaderReplay) != "true" {
			t.Errorf("%s does not say that it is a replay", m.Subject)
		}
	}
	if doc, err := n.client.Run(t.Context(), engine.RunID(before[0].Header.Get(bus.HeaderRun))); err != nil || doc.Status != engine.Success {
		t.Errorf("the run: %+v, %v", doc, err)
	}
	var v map[string]string
	if err := n.client.Call(t.Context(), "xcom.get", bus.XComRef{Run: "last", Task: "a"}, &v); err != nil || v["task"] != "a" {
		t.Errorf("the value: %v, %v", v, err)
	}
}

func TestEvents_LiveOnesAreKeptWithTheOthers(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a"))
	if err := n.events.Live("breaker.open", []byte(`{"breaker":"x"}`)); err != nil {
		t.Fatal(err)
	}
	n.finish(t, "orders")
	if got := stored(t, n); len(got) != 5 || got[0].Subject != "qarion.event._.breaker.open" {
		t.Errorf("%d messages, the first on %s", len(got), got[0].Subject)
	}
	for _, kind := range []string{"", "a b", "a.>"} {
		if err := n.events.Live(kind, nil); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("kind %q: %v", kind, err)
		}
	}
}

func TestLogs_FilterAndEnd(t *testing.T) {
	n := startFull(t, testkit.NodeConfig{Types: []engine.TaskType{echo}})
	put(t, n.Node, flow("orders", nil, "a", "b"))
	put(t, n.Node, flow("stock", nil, "a"))
	first := n.finish(t, "orders")
	n.finish(t, "stock")
	n.finish(t, "orders")
	for name, c := range map[string]struct {
		filter bus.LogFilter
		want   int
	}{
		"all":    {bus.LogFilter{}, 5},
		"flow":   {bus.LogFilter{Flow: "orders"}, 4},
		"task":   {bus.LogFilter{Task: "a"}, 3},
		"run":    {bus.LogFilter{Run: first.RunID}, 2},
		"status": {bus.LogFilter{Status: "failed"}, 0},
		"since":  {bus.LogFilter{Since: time.Now().Add(time.Hour)}, 0},
		"none":   {bus.LogFilter{Flow: "nothing"}, 0},
	} {
		got := 0
		err := n.client.Logs(t.Context(), c.filter, func([]byte, *engine.Operation) error { got++; return nil })
		if err != nil || got != c.want {
			t.Errorf("%s: %d operations, %v; want %d", name, got, err, c.want)
		}
	}
	enough := errors.New("enough")
	if err := n.client.Logs(t.Context(), bus.LogFilter{}, func([]byte, *engine.Operation) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("the function's error is lost: %v", err)
	}
	var kinds []string
	err := n.client.Events(t.Context(), "stock", time.Time{}, false, func(kind string, _ []byte) error { kinds = append(kinds, kind); return nil })
	if want := []string{"run.started", "task.ready", "run.done"}; err != nil || !slices.Equal(kinds, want) {
		t.Errorf("events %v, %v; want %v", kinds, err, want)
	}
}

// TestLogs_FollowThroughARestart restarts the node under a reader, once in good
// order and once with the end of the stream lost, as after a crash.
func TestLogs_FollowThroughARestart(t *testing.T) {
	cfg := testkit.NodeConfig{Dir: t.TempDir(), Types: []engine.TaskType{echo}}
	n := startFull(t, cfg)
	put(t, n.Node, flow("orders", nil, "a"))
	cfg.Listen = strings.TrimPrefix(n.Bus.Access().URL, "nats://")

	// A client without a login: its access outlives the restart.
	reader, err := bus.Dial(bus.Access{URL: n.Bus.Access().URL}, "the test's node")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	lines := make(chan string, 100)
	done := make(chan error, 1)
	go func() {
		done <- reader.Logs(ctx, bus.LogFilter{Follow: true}, func(_ []byte, op *engine.Operation) error {
			lines <- op.OperationID
			return nil
		})
	}()
	var want []string
	run := func() {
		doc := n.finish(t, "orders")
		want = append(want, fmt.Sprintf("%s.a.0.0.1.0", doc.RunID))
	}
	read := func(k int) (got []string) {
		for range k {
			select {
			case l := <-lines:
				got = append(got, l)
			case <-time.After(30 * time.Second):
				t.Fatalf("after %v no more lines came; want %d", got, k)
			}
		}
		return got
	}
	run()
	run()
	got := read(2)
	n.stopFull(t)

	n = startFull(t, cfg)
	run()
	got = append(got, read(1)...)
	if err := n.Bus.JetStream().DeleteStream(t.Context(), bus.StreamEvents); err != nil {
		t.Fatal(err)
	}
	n.stopFull(t)

	n = startFull(t, cfg) // writes the first three again
	run()
	got = append(got, read(1)...)
	stop()
	if err := <-done; err != nil {
		t.Errorf("the reading ended with %v", err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("lines:\n got %v\nwant %v", got, want)
	}
}

func TestWatch_ShowsARunUntilItsEnd(t *testing.T) {
	types, open := gate()
	defer open()
	n := startFull(t, testkit.NodeConfig{Types: types})
	put(t, n.Node, flow("slow", nil, "a"))
	doc := askRun(t, n.stranger(t), "run.start", `{"flow":"slow"}`)
	var seen []engine.Status
	end, err := n.client.Watch(t.Context(), doc.RunID, func(d *engine.RunDoc) {
		seen = append(seen, d.Status)
		open()
	})
	if err != nil || end.Status != engine.Success {
		t.Fatalf("the end: %+v, %v", end, err)
	}
	if seen[0] != engine.Running || seen[len(seen)-1] != engine.Success {
		t.Errorf("seen: %v", seen)
	}
}
