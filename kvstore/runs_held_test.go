package kvstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

// status is what the bucket shows of a run: "" when there is no document.
func status(t *testing.T, r *kvstore.Runs, run engine.RunID) engine.Status {
	t.Helper()
	doc, err := r.Get(t.Context(), run)
	if errors.Is(err, engine.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc.Status
}

// at gives a change a time of the ledger.
func at(d time.Duration, c engine.Change) engine.Change {
	c.At = engine.At(time.Unix(1_800_000_000, 0).Add(d))
	return c
}

func project(t *testing.T, r *kvstore.Runs, changes ...engine.Change) {
	t.Helper()
	if err := r.Project(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// TestRuns_WritesAShortRunOnce: its start is held back until its end comes.
func TestRuns_WritesAShortRunOnce(t *testing.T) {
	nc := openBus(t)
	r := must[*kvstore.Runs](t)(kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: nc}))
	defer r.Close()
	run := runAt(1)
	project(t, r, at(0, runChange(1, run, "orders", engine.Running)))
	if got := status(t, r, run); got != "" {
		t.Errorf("at once the bucket shows it as %s", got)
	}
	project(t, r, at(900*time.Millisecond, runChange(5, run, "orders", engine.Success)))
	if got := status(t, r, run); got != engine.Success {
		t.Errorf("at its end the bucket shows it as %q", got)
	}
	if _, due := r.Due(); due {
		t.Error("something is still held back")
	}
	js := must[jetstream.JetStream](t)(jetstream.New(nc))
	s := must[jetstream.Stream](t)(js.Stream(t.Context(), "KV_"+kvstore.BucketRuns))
	if n := s.CachedInfo().State.LastSeq; n != 1 {
		t.Errorf("%d messages were stored", n)
	}
	if p, err := r.Position(t.Context()); err != nil || p.Seq != 5 {
		t.Errorf("position %v, %v", p, err)
	}
}

// TestRuns_WritesAStartThatIsASecondOld: by the time of the ledger while there
// are changes, by the clock while there are none, and before every mark.
func TestRuns_WritesAStartThatIsASecondOld(t *testing.T) {
	r := openRuns(t)
	long, next, last := runAt(1), runAt(2), runAt(3)
	project(t, r, at(0, runChange(1, long, "orders", engine.Running)))
	project(t, r, at(time.Second, runChange(2, next, "orders", engine.Running)))
	if got := status(t, r, long); got != engine.Running {
		t.Errorf("after a second of the ledger the bucket shows it as %q", got)
	}
	wait, due := r.Due()
	if !due || wait > time.Second {
		t.Fatalf("the next is due in %v, %v", wait, due)
	}
	<-time.After(wait)
	if err := r.WriteDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := status(t, r, next); got != engine.Running {
		t.Errorf("after a second of the clock the bucket shows it as %q", got)
	}
	project(t, r, at(2*time.Second, runChange(3, last, "orders", engine.Running)))
	if err := r.Mark(t.Context(), engine.Pos{Seq: 3, N: 9}); err != nil {
		t.Fatal(err)
	}
	if got := status(t, r, last); got != engine.Running {
		t.Errorf("with a mark behind it the bucket shows it as %q", got)
	}
}

// TestRuns_ReadsAgainWhatItHeldBack: the position is before it, whatever was
// written since, so a crash loses nothing.
func TestRuns_ReadsAgainWhatItHeldBack(t *testing.T) {
	nc := openBus(t)
	open, quick := runAt(1), runAt(2)
	changes := []engine.Change{
		at(0, runChange(7, open, "orders", engine.Running)), at(1, runChange(8, quick, "orders", engine.Running)),
		at(2, runChange(9, quick, "orders", engine.Failed)),
	}
	first := must[*kvstore.Runs](t)(kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: nc}))
	project(t, first, changes...)
	first.Close() // as a crash: nothing is told to it

	r := must[*kvstore.Runs](t)(kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: nc}))
	defer r.Close()
	p, err := r.Position(t.Context())
	if err != nil || !p.Before(changes[0].Pos) {
		t.Fatalf("it goes on from %v, %v", p, err)
	}
	if a, b := status(t, r, open), status(t, r, quick); a != "" || b != engine.Failed {
		t.Errorf("before that the bucket shows %q and %q", a, b)
	}
	project(t, r, changes...)
	project(t, r, at(time.Minute, runChange(10, runAt(3), "orders", engine.Success)))
	if a, b := status(t, r, open), status(t, r, quick); a != engine.Running || b != engine.Failed {
		t.Errorf("after that the bucket shows %q and %q", a, b)
	}
}
