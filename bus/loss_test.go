package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// filled is a ledger of n entries, in several files if they are large, and
// closed in good order or as a kill leaves it.
func filled(t *testing.T, n, size int, killed bool) (dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Run("fill", func(t *testing.T) {
		s := openStore(t, dir)
		val := make([]byte, size)
		rng := rand.NewChaCha8([32]byte{1})
		for range n {
			_, _ = rng.Read(val)
			if _, err := s.ledger.Append(t.Context(), &engine.ControlRecord{Kind: engine.ControlCancel, Run: "r", Value: val}); err != nil {
				t.Fatal(err)
			}
		}
		if killed {
			image := (&testkit.Node{Dir: dir}).Image(t)
			t.Cleanup(func() { os.RemoveAll(image) })
			next := dir + "-killed"
			if err := os.Rename(image, next); err != nil {
				t.Fatal(err)
			}
			dir = next
		}
	})
	return dir
}

// openSynced opens a store as a node does by default.
func openSynced(t *testing.T, dir string, acceptLoss bool) *store {
	return openStoreSync(t, dir, 0, bus.LedgerConfig{Node: "test", AcceptLoss: acceptLoss})
}

// read follows the ledger to its end, of which the test knows: the entries
// that came, or the error.
func read(t *testing.T, s *store, last uint64) (seqs []uint64, losses []engine.LossRecord, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	enough := errors.New("enough")
	err = s.ledger.Follow(ctx, 1, func(e engine.Entry) error {
		if len(e.Records) == 0 {
			return nil // a filler
		}
		loss, lost := e.Records[0].(*engine.LossRecord)
		switch {
		case lost && loss.From > 0:
			losses = append(losses, *loss)
		case lost:
			losses = append(losses, engine.LossRecord{From: e.Seq, To: e.Seq})
		default:
			seqs = append(seqs, e.Seq)
		}
		if e.Seq >= last {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	} else if err == nil {
		t.Fatal("the reading stood still")
	}
	return seqs, losses, err
}

// TestLedger_NoticesWhatItHasLost deletes and flips the files of a ledger. It
// says so, by counting or at the latest when it is read; once the loss is
// accepted it goes on, says in the place of each entry that it is lost, and
// gives no sequence out twice.
func TestLedger_NoticesWhatItHasLost(t *testing.T) {
	remove := func(which func(n int) int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			files := testkit.Blocks(t, dir, bus.StreamLedger)
			if err := os.Remove(files[which(len(files))]); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(which func(n int) int, part float64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			files := testkit.Blocks(t, dir, bus.StreamLedger)
			testkit.FlipBytes(t, files[which(len(files))], part)
		}
	}
	first, middle, last := func(int) int { return 0 }, func(n int) int { return n / 2 }, func(n int) int { return n - 1 }
	for name, harm := range map[string]func(*testing.T, string){
		"the first file deleted":     remove(first),
		"a file deleted":             remove(middle),
		"the last file deleted":      remove(last),
		"the first file flipped":     flip(first, 0.5),
		"a file flipped":             flip(middle, 0.3),
		"the last file flipped":      flip(last, 0.5),
		"the last entry flipped":     flip(last, 0.999),
		"the length of an entry":     flip(last, 0),
		"the whole stream is gone":   func(t *testing.T, dir string) { removeStream(t, dir) },
		"the index and a file gone":  func(t *testing.T, dir string) { removeIndex(t, dir); remove(last)(t, dir) },
		"nothing, and no index left": removeIndex,
	} {
		for _, n := range []int{20, 200} {
			for _, killed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d entries, killed %v", name, n, killed), func(t *testing.T) {
					t.Parallel()
					dir := filled(t, n, 100<<10, killed)
					harm(t, dir)
					checkLoss(t, dir, uint64(n), !strings.HasPrefix(name, "nothing"))
				})
			}
		}
	}
}

func removeStream(t *testing.T, dir string) {
	t.Helper()
	file := testkit.Blocks(t, dir, bus.StreamLedger)[0]
	if err := os.RemoveAll(file[:strings.Index(file, bus.StreamLedger)+len(bus.StreamLedger)]); err != nil {
		t.Fatal(err)
	}
}

func removeIndex(t *testing.T, dir string) {
	t.Helper()
	file := testkit.Blocks(t, dir, bus.StreamLedger)[0]
	err := os.Remove(file[:strings.LastIndex(file, "/")] + "/index.db")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func checkLoss(t *testing.T, dir string, last uint64, lost bool) {
	t.Helper()
	began := time.Now()
	refused := func(s *store) error {
		_, err := s.ledger.Verify(t.Context(), 0)
		if err == nil {
			_, _, err = read(t, s, last)
		}
		return err
	}
	closeNow := func(s *store) {
		s.ledger.Close()
		s.bus.Close()
	}
	s := openSynced(t, dir, false)
	err := refused(s)
	closeNow(s)
	var loss *bus.LossError
	if !lost {
		if err != nil {
			t.Fatalf("nothing is lost: %v", err)
		}
		return
	}
	if !errors.Is(err, engine.ErrDamaged) || !errors.As(err, &loss) || !strings.HasPrefix(loss.Error(), "stream QARION_LEDGER has lost entr") {
		t.Fatalf("the loss was not noticed: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second && !raceDetector {
		t.Errorf("it took %s to notice", took)
	}

	s = openSynced(t, dir, true)
	if _, err := s.ledger.Verify(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	seq, err := s.ledger.Append(t.Context(), &engine.ControlRecord{Kind: engine.ControlCancel, Run: "r"})
	if err != nil || seq <= last {
		t.Fatalf("sequence %d is given out again: %v", seq, err)
	}
	seqs, losses, err := read(t, s, seq)
	if err != nil {
		t.Fatal(err)
	}
	closeNow(s)
	seen := map[uint64]int{}
	for _, q := range seqs {
		seen[q]++
	}
	missing := 0
	for _, l := range losses {
		for q := l.From; q <= l.To; q++ {
			seen[q]++
			missing++
		}
	}
	for q := range seq {
		if seen[q+1] != 1 {
			t.Fatalf("entry %d came %d times: %v", q+1, seen[q+1], losses)
		}
	}
	if missing == 0 {
		t.Fatal("the loss was not told")
	}

	s = openSynced(t, dir, false) // it is known now
	if err := refused(s); err != nil {
		t.Errorf("an accepted loss was refused: %v", err)
	}
	again, told, err := read(t, s, seq)
	if err != nil || len(again) != len(seqs) || fmt.Sprint(told) != fmt.Sprint(losses) {
		t.Errorf("read again: %d entries and %v, were %d and %v (%v)", len(again), told, len(seqs), losses, err)
	}
}

// TestLedger_APurgeIsNoLoss: what was purged is missing by right, also when
// the node died between noting it and doing it.
func TestLedger_APurgeIsNoLoss(t *testing.T) {
	dir := filled(t, 60, 10<<10, false)
	s := openStore(t, dir)
	if err := s.ledger.Purge(t.Context(), 31); err != nil {
		t.Fatal(err)
	}
	if lost, err := s.ledger.Verify(t.Context(), 60); lost || err != nil {
		t.Fatalf("lost %v, %v", lost, err)
	}
	if seqs, losses, err := read(t, s, 60); err != nil || len(seqs) != 30 || len(losses) > 0 {
		t.Fatalf("%d entries, %v, %v", len(seqs), losses, err)
	}
	whole, err := s.bus.JetStream().Stream(t.Context(), bus.StreamLedger)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{35, 45} {
		if err := whole.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	lost := func(want string) {
		t.Helper()
		var loss *bus.LossError
		if _, err := s.ledger.Verify(t.Context(), 61); !errors.As(err, &loss) || fmt.Sprint(loss.Lost) != want {
			t.Errorf("lost: %v, want %s", err, want)
		}
	}
	lost("[{35 35} {45 45} {61 61}]")
	cfg := whole.CachedInfo().Config // the node noted the next purge and died
	cfg.Metadata = map[string]string{"qarion_whole_from": "1", "qarion_purged_before": "41"}
	if _, err := s.bus.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	lost("[{45 45} {61 61}]")
}

// TestLedger_GoesOnAfterAPowerLossThatSyncAllows: with a sync now and then the
// end of the ledger may be lost with the power. That is no reason not to start,
// but sequences are not given out twice, and anything beyond is a loss.
func TestLedger_GoesOnAfterAPowerLossThatSyncAllows(t *testing.T) {
	cut := func() (dir string) {
		dir = filled(t, 200, 100<<10, true)
		files := testkit.Blocks(t, dir, bus.StreamLedger)
		file := files[len(files)-1]
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, info.Size()-250<<10); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := cut()
	s := openStore(t, dir)
	if lost, err := s.ledger.Verify(t.Context(), 0); lost || err != nil {
		t.Fatalf("lost %v, %v", lost, err)
	}
	seq, err := s.ledger.Append(t.Context(), &engine.ControlRecord{Kind: engine.ControlCancel, Run: "r"})
	if err != nil || seq != 201 {
		t.Errorf("sequence %d, %v", seq, err)
	}
	seqs, losses, err := read(t, s, seq)
	if err != nil || len(losses) > 0 || len(seqs) != 198 {
		t.Errorf("%d entries, %v, %v; want 197 and the new one", len(seqs), losses, err)
	}

	dir = cut()
	late := time.Now().Add(time.Hour) // the end file was written long after the last entry that is left
	if err := os.Chtimes(dir+"/nats/ledger.end", late, late); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	if _, err := s.ledger.Verify(t.Context(), 0); !errors.Is(err, engine.ErrDamaged) {
		t.Errorf("more is lost than lies between two syncs: %v", err)
	}
	s.ledger.Close()
	s.bus.Close()
	s = openSynced(t, cut(), false)
	if _, err := s.ledger.Verify(t.Context(), 0); !errors.Is(err, engine.ErrDamaged) {
		t.Errorf("where every write is synced nothing may be missing: %v", err)
	}
}
