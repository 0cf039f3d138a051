package kvstore_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// openBus starts an embedded server and connects to it.
func openBus(t testing.TB) *nats.Conn {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), SyncInterval: time.Minute, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		b.Close()
	})
	return nc
}

func bucket(t *testing.T, nc *nats.Conn, name string) jetstream.KeyValue {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// runAt is the n-th run of a series, a second after the one before.
func runAt(n int) engine.RunID {
	base := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return engine.DeriveRunID(base.Add(time.Duration(n)*time.Second), "test", uint64(n))
}

func attempt(seq uint64, run engine.RunID, task engine.TaskID, value string) engine.Change {
	return engine.Change{
		Pos: engine.Pos{Seq: seq}, Kind: engine.AttemptDone, Run: run, Flow: "orders", Task: task,
		Attempt: &engine.AttemptRecord{
			AttemptKey: engine.AttemptKey{Run: run, Task: task, Attempt: 1}, Flow: "orders",
			Outcome: engine.OutcomeSuccess, Value: []byte(value), Type: "func", Worker: "w",
		},
	}
}

func runChange(seq uint64, run engine.RunID, flow engine.FlowID, status engine.Status) engine.Change {
	kind := engine.RunStarted
	if status.Final() {
		kind = engine.RunDone
	}
	return engine.Change{Pos: engine.Pos{Seq: seq}, Kind: kind, Run: run, Flow: flow, Doc: &engine.RunDoc{
		RunID: run, FlowID: flow, Status: status, Final: status.Final(), Counts: map[engine.Status]int{status: 1},
		Tasks: []engine.TaskDoc{{TaskID: "a", Status: engine.Success}},
	}}
}
