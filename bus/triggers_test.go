package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
)

// publish sends plain triggers without waiting for acknowledgements, as `nats
// pub` does.
func publish(t testing.TB, n *testkit.Node, flow string, count int) {
	t.Helper()
	for range count {
		if err := n.Bus.Conn().Publish("qarion.trigger."+flow, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Bus.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
}

// turnstile is a task type whose tasks end when the test lets them.
type turnstile struct {
	open chan struct{}
	done atomic.Int32
}

func (g *turnstile) kind() engine.TaskType {
	return testkit.TaskFunc{Do: func(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
		if in.Flow.ID != "big" {
			return engine.TaskOutput{Value: []byte("1")}
		}
		select {
		case <-g.open:
		case <-ctx.Done():
			return engine.TaskOutput{Err: &engine.TaskError{Class: "cancelled", Message: "cancelled"}}
		}
		g.done.Add(1)
		return engine.TaskOutput{Value: []byte("1")}
	}}
}

func status(t testing.TB, n *testkit.Node) engine.NodeStatus {
	t.Helper()
	st, err := n.Engine.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestTriggers_ABacklogWaitsInItsStreamAndDelaysNobody(t *testing.T) {
	g := &turnstile{open: make(chan struct{})}
	const slots, triggers, mostOpen = 2, 3000, 40
	n := testkit.StartNode(t, testkit.NodeConfig{Slots: slots, Types: []engine.TaskType{g.kind()},
		Change: func(c *runtime.Config) { c.MaxOpenRuns = mostOpen }})
	put(t, n, flow("big", nil, "a"))
	put(t, n, flow("small", nil, "a"))
	publish(t, n, "big", triggers)
	waitFor(t, func() bool { return status(t, n).Triggers > 0 && status(t, n).InFlight == slots })
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "small"})
	if err != nil {
		t.Fatal(err)
	}
	// The slots are taken: as soon as tasks that were given out before have
	// gone, the other flow has its turn.
	ended := make(chan error, 1)
	go func() {
		end, err := n.Engine.Wait(context.WithoutCancel(t.Context()), doc.RunID)
		if err == nil && end.Status != engine.Success {
			err = fmt.Errorf("run: %s", end.Status)
		}
		if errors.Is(err, engine.ErrNotFound) {
			err = nil
		}
		ended <- err
	}()
	released := 0
	for wait := true; wait; {
		select {
		case g.open <- struct{}{}:
			released++
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			wait = false
		}
		if st := status(t, n); st.OpenRuns > mostOpen+1 {
			t.Fatalf("%d runs are open, at most %d may be", st.OpenRuns, mostOpen+1)
		}
	}
	if released > 40*slots {
		t.Errorf("the other flow waited for %d tasks of the big one", released)
	}
	close(g.open)
	waitFor(t, func() bool { return g.done.Load() == triggers && status(t, n).OpenRuns == 0 })
	waitFor(t, func() bool { return status(t, n).Triggers == 0 })
}

// forgetful loses what it is told to remove, as a crash between the ledger's
// write and the removal does.
type forgetful struct{ engine.Triggers }

func (forgetful) Taken(context.Context) error { return errors.New("lost") }

func TestTriggers_ThoseThatComeAgainAfterACrashStartNothing(t *testing.T) {
	rec := &testkit.Recorder{}
	cfg := testkit.NodeConfig{
		Dir: t.TempDir(), Types: []engine.TaskType{testkit.TaskFunc{Do: value}},
		Views: func(*busT) []engine.Projection { return []engine.Projection{rec} },
	}
	lossy := cfg
	lossy.Change = func(c *runtime.Config) { c.Triggers = forgetful{c.Triggers} }
	const triggers = 700
	n := testkit.StartNode(t, lossy)
	put(t, n, flow("f", nil, "a"))
	publish(t, n, "f", triggers)
	ended := func() (k int) {
		for _, c := range rec.Changes() {
			if c.Kind == engine.RunDone && !c.Replay {
				k++
			}
		}
		return k
	}
	waitFor(t, func() bool { return ended() == triggers })
	n.Stop(t)
	n = testkit.StartNode(t, cfg)
	publish(t, n, "f", 1)
	waitFor(t, func() bool { return ended() == triggers+1 && status(t, n).Triggers == 0 })
	if got := status(t, n).OpenRuns; got != 0 {
		t.Errorf("%d runs are open", got)
	}
}

// A store that was written when triggers stood in the ledger itself goes on:
// what stands there is folded, what comes goes to the new stream.
func TestTriggers_AStoreOfTheFormerLayoutGoesOn(t *testing.T) {
	rec := &testkit.Recorder{}
	cfg := testkit.NodeConfig{
		Dir: t.TempDir(), Types: []engine.TaskType{testkit.TaskFunc{Do: value}},
		Views: func(*busT) []engine.Projection { return []engine.Projection{rec} },
	}
	n := testkit.StartNode(t, cfg)
	put(t, n, flow("f", nil, "a"))
	js := n.Bus.JetStream()
	if err := js.DeleteStream(t.Context(), bus.StreamTriggers); err != nil {
		t.Fatal(err)
	}
	ledger, err := js.Stream(t.Context(), bus.StreamLedger)
	if err != nil {
		t.Fatal(err)
	}
	former := ledger.CachedInfo().Config
	former.Subjects = append(former.Subjects, "qarion.trigger.>")
	if _, err := js.UpdateStream(t.Context(), former); err != nil {
		t.Fatal(err)
	}
	n.Stop(t)

	b, err := bus.Open(t.Context(), bus.Config{Dir: cfg.Dir + "/nats", SyncInterval: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().Publish(t.Context(), "qarion.trigger.f", []byte(`{"n": 1}`)); err != nil {
		t.Fatal(err)
	}
	b.Close()

	n = testkit.StartNode(t, cfg)
	publish(t, n, "f", 1)
	done := func() (k int) {
		for _, c := range rec.Changes() {
			if c.Kind == engine.RunDone {
				k++
			}
		}
		return k
	}
	waitFor(t, func() bool { return done() == 2 })
}

func TestTriggers_AFullStreamIsToldToThePublisher(t *testing.T) {
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: value}},
		Change: func(c *runtime.Config) { c.Triggers = nil }})
	js := n.Bus.JetStream()
	s, err := js.Stream(t.Context(), bus.StreamTriggers)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if cfg.MaxMsgs != bus.MaxTriggers || cfg.MaxBytes > bus.MaxTriggerBytes || cfg.Retention != jetstream.WorkQueuePolicy || cfg.Discard != jetstream.DiscardNew {
		t.Errorf("the stream of triggers is not as documented: %+v", cfg)
	}
	cfg.MaxMsgs = 2
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, err = js.Publish(t.Context(), "qarion.trigger.f", []byte(`{}`))
		if i < 2 && err != nil {
			t.Fatal(err)
		}
	}
	if err == nil {
		t.Error("a trigger that was not stored was acknowledged")
	}
}
