package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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

func TestLedger_PurgeKeepsWhatIsInUse(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: value}}})
	old := flow("f", nil, "a")
	_, oldHash, _ := old.Encode()
	put(t, n, old)
	put(t, n, flow("f", nil, "b"))
	put(t, n, flow("f", nil, "c"))
	runToEnd(t, n, "f")
	last, err := n.Ledger.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	later := engine.At(time.Now().Add(time.Hour))
	if err := n.Ledger.Purge(t.Context(), last+1, engine.At(time.Now().Add(-time.Hour)), nil); err != nil {
		t.Fatal(err)
	}
	before := len(entries(t, n))
	if err := n.Ledger.Purge(t.Context(), last+1, later, map[string]bool{oldHash: true}); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, e := range entries(t, n) {
		for _, rec := range e.Records {
			switch rec := rec.(type) {
			case *engine.InstallRecord:
				kept = append(kept, "install")
			case *engine.FlowRecord:
				f, err := engine.DecodeFlow(rec.Definition)
				if err != nil {
					t.Fatal(err)
				}
				kept = append(kept, "flow "+string(f.Tasks[0].ID))
			case *engine.ControlRecord: // what entries wrote
			default:
				t.Errorf("a %T was kept", rec)
			}
		}
	}
	if got := strings.Join(kept, ", "); got != "install, flow a, flow c" || before < 6 {
		t.Errorf("kept %s (before: %d entries)", got, before)
	}
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
	if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), `no flow "order" (did you mean "orders"?)`) {
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
