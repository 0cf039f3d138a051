package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// entries reads the whole ledger as it stands, up to a record of its own.
func entries(t *testing.T, n *testkit.Node) (all []engine.Entry) {
	t.Helper()
	last, err := n.Ledger.Append(t.Context(), &engine.ControlRecord{Kind: engine.ControlCancel, Run: "none"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err = n.Ledger.Follow(ctx, 1, func(e engine.Entry) error {
		if e.Seq >= last {
			stop()
			return nil
		}
		all = append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLedger_APurgeIsToldFromALoss(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: value}}})
	put(t, n, flow("f", nil, "a"))
	runToEnd(t, n, "f")
	last, err := n.Ledger.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := engine.At(time.Now())
	for _, c := range []struct {
		older engine.Micros
		want  uint64
	}{{now - engine.Micros(time.Hour/time.Microsecond), 1}, {now + engine.Micros(time.Hour/time.Microsecond), 4}} {
		if got, err := n.Ledger.Since(t.Context(), c.older, 4); err != nil || got != c.want {
			t.Errorf("entries since %s begin at %d, want %d: %v", c.older.Format(), got, c.want, err)
		}
	}
	purged := func(want uint64) {
		t.Helper()
		if got, err := n.Ledger.Purged(t.Context()); err != nil || got != want {
			t.Errorf("purged before %d, want %d: %v", got, want, err)
		}
	}
	purged(0)
	for range 2 { // again: nothing happens
		if err := n.Ledger.Purge(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		purged(4)
	}
	if all := entries(t, n); all[0].Seq != 4 || all[len(all)-1].Seq < last {
		t.Errorf("the ledger begins at %d", all[0].Seq)
	}
	if _, err := n.Bus.Ledger(t.Context(), bus.LedgerConfig{Node: "again"}); err != nil { // opening it again forgets nothing
		t.Fatal(err)
	}
	purged(4)
}

func TestLedger_UnreadableRecordsAreCountedAndSkipped(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: value}}})
	put(t, n, flow("f", nil, "a"))
	for _, subject := range []string{"qarion.attempt.x", "qarion.submit.x", "qarion.control.x", "qarion.flow.x"} {
		if _, err := n.Bus.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte("\xff\x00 not a bundle")}); err != nil {
			t.Fatal(err)
		}
	}
	if doc := runToEnd(t, n, "f"); doc.Status != engine.Success {
		t.Errorf("run: %s", doc.Status)
	}
	st, err := n.Engine.Status(t.Context())
	if err != nil || st.BadRecords != 4 {
		t.Errorf("%d bad records, %v", st.BadRecords, err)
	}
}

func TestLedger_RecordThatDoesNotFitIsAPermanentFailure(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(context.Context, *engine.TaskInput) engine.TaskOutput {
			return engine.TaskOutput{Details: engine.Details{RequestBody: strings.Repeat("x", 200<<10)}}
		},
	}}})
	put(t, n, flow("f", nil, "a"))
	doc := runToEnd(t, n, "f")
	if doc.Status != engine.Failed || doc.Error == nil || !strings.HasPrefix(doc.Error.Message, "record too large: ") || doc.Calls != 1 {
		t.Errorf("run: %s, %+v", doc.Status, doc.Error)
	}
}

func TestEngine_RunTimeoutEndsCallsInFlight(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(ctx context.Context, _ *engine.TaskInput) engine.TaskOutput {
			<-ctx.Done()
			return engine.TaskOutput{Err: &engine.TaskError{Class: "closed", Message: "cut off"}}
		},
	}}})
	f := flow("f", map[string][]string{"b": {"a"}}, "a", "b")
	f.Timeout = 200 * time.Millisecond
	put(t, n, f)
	doc := runToEnd(t, n, "f")
	if doc.Status != engine.Failed || doc.Error.Class != "run_timeout" || doc.Error.Message != "run timeout after 200ms" {
		t.Errorf("run: %s, %+v", doc.Status, doc.Error)
	}
}

func TestEngine_PanicInATaskIsItsFailureNotTheNodes(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{
		Do: func(context.Context, *engine.TaskInput) engine.TaskOutput { panic("oh") },
	}}})
	put(t, n, flow("f", nil, "a"))
	doc := runToEnd(t, n, "f")
	if doc.Status != engine.Failed || doc.Error.Class != "panic" {
		t.Errorf("run: %s, %+v", doc.Status, doc.Error)
	}
}

func TestEngine_RefusesWhatItDoesNotKnow(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: value}}})
	put(t, n, flow("orders", nil, "a"))
	_, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "order"})
	if !errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), `no flow "order" (did you mean "orders"?)`) {
		t.Errorf("unknown flow: %v", err)
	}
	_, err = n.Engine.Start(t.Context(), engine.StartRequest{Flow: "orders", Variables: make([]byte, engine.MaxTriggerPayload+1)})
	if !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
	if err := n.Engine.Cancel(t.Context(), "01M84BFBV1N8Q6D2T4XW9B7C5E", ""); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("cancel of nothing: %v", err)
	}
}
