package bus_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/testkit"
)

// store is a ledger with its checkpoints, without an engine.
type store struct {
	bus         *bus.Bus
	ledger      *bus.Ledger
	checkpoints *bus.Checkpoints
}

func openStore(t testing.TB, dir string) *store {
	return openStoreSync(t, dir, bus.DefaultSyncInterval, bus.LedgerConfig{Node: "test", Version: "test"})
}

func openStoreSync(t testing.TB, dir string, sync time.Duration, cfg bus.LedgerConfig) *store {
	t.Helper()
	cfg.Blobs = &testkit.Blobs{}
	b, err := bus.Open(t.Context(), bus.Config{Dir: filepath.Join(dir, "nats"), SyncInterval: sync, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{bus: b}
	if s.ledger, err = b.Ledger(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if s.checkpoints, err = b.Checkpoints(t.Context(), s.ledger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.ledger.Close()
		b.Close()
	})
	return s
}

// crowd is a fold's state with that many flows, open runs of one of them, and
// caller keys.
func crowd(t testing.TB, flows, runs int) *fold.State {
	t.Helper()
	s := fold.NewState()
	seq, now := uint64(0), engine.At(time.Now())
	apply := func(recs ...engine.Record) {
		seq++
		s.Apply(engine.Entry{Seq: seq, At: now, Records: recs})
	}
	apply(&engine.InstallRecord{ID: "inst"})
	for i := range flows {
		f := &engine.Flow{ID: engine.FlowID(fmt.Sprint("f", i)), Timeout: time.Hour, MaxActiveRuns: 10, OnOverlap: engine.OverlapQueue,
			Tasks: []engine.Task{{ID: "a", Type: "func"}}}
		def, hash, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		apply(&engine.FlowRecord{Flow: f.ID, Hash: hash, Definition: def})
	}
	next := engine.RunIDs()
	for i := 0; i < runs; {
		var recs []engine.Record
		for ; len(recs) < 512 && i < runs; i++ {
			recs = append(recs, &engine.SubmitRecord{Run: next(now.Time()), Flow: "f0", DedupeID: fmt.Sprint("key ", i), TriggerType: "api", Variables: []byte(`{"customer":7}`)})
		}
		apply(recs...)
	}
	return s
}

// save takes a checkpoint of a state.
func (s *store) save(ctx context.Context, state *fold.State) error {
	snap := state.Snapshot("test")
	return s.checkpoints.Save(ctx, snap.Seq, snap.Count(), taken(snap))
}

func taken(snap *fold.Snapshot) iter.Seq2[*fold.Part, error] {
	return func(yield func(*fold.Part, error) bool) {
		for p := snap.Next(); p != nil; p = snap.Next() {
			if !yield(p, p.Fill()) {
				return
			}
		}
	}
}

// known asks whether a caller's key is known to a state, and of which run.
func known(s *fold.State, key string) engine.RunID {
	effects := s.Apply(engine.Entry{Seq: s.Seq + 1, At: engine.At(time.Now()), Records: []engine.Record{
		&engine.SubmitRecord{Run: "01M84BFBV1N8Q6D2T4XW9B7C5E", Flow: "f0", DedupeID: key}}})
	for _, e := range effects {
		if e.Kind == fold.Known {
			return e.Known
		}
	}
	return ""
}

// TestCheckpoint_HoldsWhatTheFoldHolds has more of everything than the CBOR
// library takes in one list (131,072); the race detector gets less.
func TestCheckpoint_HoldsWhatTheFoldHolds(t *testing.T) {
	many := 135_000
	if raceDetector {
		many = 13_500
	}
	s := openStore(t, t.TempDir())
	state := crowd(t, many, many)
	if err := s.save(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	back, err := s.checkpoints.Load(t.Context(), 1<<63)
	if err != nil || back == nil {
		t.Fatalf("the checkpoint: %v, %v", back, err)
	}
	flows := 0
	for range back.Newests() {
		flows++
	}
	if !slices.Equal(back.RunIDs(), state.RunIDs()) || back.Size() != state.Size() || flows != many || back.Active("f0") != 10 {
		t.Errorf("%d runs (%d active), %d flows, size %d; want %d of each", back.Open(), back.Active("f0"), flows, back.Size(), many)
	}
	if run := known(back, "key 13499"); run == "" || run != known(state, "key 13499") {
		t.Errorf("the run of a key: %q", run)
	}
}

func TestCheckpoint_ABadOneIsLeftOutForTheOlder(t *testing.T) {
	s := openStore(t, t.TempDir())
	older, newer := crowd(t, 1, 600), crowd(t, 1, 2000)
	for _, state := range []*fold.State{older, newer} {
		if err := s.save(t.Context(), state); err != nil {
			t.Fatal(err)
		}
	}
	load := func(want uint64) {
		t.Helper()
		back, err := s.checkpoints.Load(t.Context(), 1<<63)
		if err != nil || back == nil || back.Seq != want {
			t.Errorf("loaded: %+v, %v; want sequence %d", back, err, want)
		}
	}
	load(newer.Seq)
	// A crash while one is written: no manifest yet.
	s.write(t, "qarion.checkpoint.999.0", "half")
	load(newer.Seq)
	piece := fmt.Sprintf("qarion.checkpoint.%d.0", newer.Seq)
	whole, err := s.bus.JetStream().Stream(t.Context(), bus.StreamCheckpoints)
	if err != nil {
		t.Fatal(err)
	}
	good, err := whole.GetLastMsgForSubject(t.Context(), piece)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(good.Data)
	bad[len(bad)/2] ^= 1
	s.write(t, piece, string(bad))
	load(older.Seq)
	if err := s.save(t.Context(), newer); err != nil { // at the same place: the bad one is written anew
		t.Error(err)
	}
	load(newer.Seq)
	if err := s.checkpoints.Drop(t.Context(), newer.Seq); err != nil {
		t.Fatal(err)
	}
	if info, err := whole.Info(t.Context()); err != nil || info.State.NumSubjects != 2 {
		t.Errorf("left: %d subjects (%v), want a piece and a manifest", info.State.NumSubjects, err)
	}
}

func (s *store) write(t testing.TB, subject, data string) {
	t.Helper()
	if _, err := s.bus.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpoint_OneThatCannotBeReadBackIsNotSaved: the parts lie about what
// the snapshot holds, as a broken writer would.
func TestCheckpoint_OneThatCannotBeReadBackIsNotSaved(t *testing.T) {
	s := openStore(t, t.TempDir())
	state := crowd(t, 1, 600)
	if err := s.save(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	more := crowd(t, 1, 2000)
	snap := more.Snapshot("test")
	err := s.checkpoints.Save(t.Context(), snap.Seq, snap.Count(), func(yield func(*fold.Part, error) bool) {
		for p := range taken(snap) {
			if len(p.Seen) == 0 && !yield(p, nil) {
				return
			}
		}
	})
	if !errors.Is(err, engine.ErrDamaged) || !strings.Contains(err.Error(), "cannot be read back") {
		t.Errorf("saved: %v", err)
	}
	if kept, err := s.checkpoints.Kept(t.Context()); err != nil || !slices.Equal(kept, []uint64{state.Seq}) {
		t.Errorf("kept: %v, %v", kept, err)
	}
	stopped := errors.New("stopped")
	err = s.checkpoints.Save(t.Context(), 5000, fold.Count{}, func(yield func(*fold.Part, error) bool) { yield(nil, stopped) })
	if !errors.Is(err, stopped) {
		t.Errorf("saved: %v", err)
	}
}

// BenchmarkCheckpoint_Restart is what a start and a checkpoint cost with
// 150,000 queued runs and as many caller keys.
func BenchmarkCheckpoint_Restart(b *testing.B) {
	s := openStore(b, b.TempDir())
	state := crowd(b, 100, 150_000)
	began := time.Now()
	if err := s.save(b.Context(), state); err != nil {
		b.Fatal(err)
	}
	save := time.Since(began)
	for b.Loop() {
		if back, err := s.checkpoints.Load(b.Context(), 1<<63); err != nil || back.Size() != 300_000 {
			b.Fatal(back, err)
		}
	}
	b.ReportMetric(float64(save.Milliseconds()), "ms/save")
	b.ReportMetric(float64(s.bus.Size())/(1<<20), "MiB")
}
