package fold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// takeAll takes a snapshot to its end and does something before each step.
func takeAll(t testing.TB, x *Snapshot, before func()) (parts []*Part) {
	t.Helper()
	for {
		before()
		p := x.Next()
		if p == nil {
			return parts
		}
		if err := p.Fill(); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
}

func restoreParts(t testing.TB, parts []*Part) *State {
	t.Helper()
	r := NewRestoring(true)
	for _, p := range parts {
		if err := r.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	s, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// content is a state as text, whatever order its maps have.
func content(s *State) string {
	var out strings.Builder
	fmt.Fprintln(&out, s.Seq, s.Installation, s.Bad, s.seen.len(), slices.Sorted(maps.Keys(s.versions)), s.tally.counts)
	for _, hash := range slices.Sorted(maps.Keys(s.versions)) {
		fmt.Fprintln(&out, hash, s.versions[hash].claims, s.versions[hash].at)
	}
	for _, id := range slices.Sorted(maps.Keys(s.flows)) {
		f := s.flows[id]
		fmt.Fprintln(&out, id, f.current, f.batch, slices.Collect(f.active.pieces(1<<30)), slices.Collect(f.queue.pieces(1<<30)))
	}
	for _, id := range s.RunIDs() {
		r := *s.runs[id]
		r.gen, r.Graph, r.place = 0, nil, place{}
		fmt.Fprintf(&out, "%s %+v\n", s.runs[id].Graph.Hash, r)
	}
	keys := s.seen.keys()
	for _, k := range keys.take(1 << 30) {
		fmt.Fprintf(&out, "%x %s %d\n", k.Hash, k.Run, k.At)
	}
	return out.String()
}

// crowd is a state with many runs, some of which wait behind others, and keys.
func crowd(t testing.TB, runs int) *history {
	t.Helper()
	h := newHistory(t)
	for _, limit := range []int{0, 5} {
		f := &engine.Flow{ID: engine.FlowID(fmt.Sprint("f", limit)), Timeout: 1e12, MaxActiveRuns: limit, OnOverlap: engine.OverlapQueue,
			Tasks: []engine.Task{{ID: "a", Type: "x"}, {ID: "b", Type: "x", Dependencies: []engine.TaskID{"a"}}}}
		def, hash, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		h.add(&engine.FlowRecord{Flow: f.ID, Hash: hash, Definition: def})
	}
	next := engine.RunIDs()
	for i := range runs {
		flow := engine.FlowID([]string{"f0", "f5"}[i%2])
		h.add(&engine.SubmitRecord{Run: next(h.now.Time()), Flow: flow, DedupeID: fmt.Sprint("k", i)})
	}
	return h
}

// TestSnapshot_IsOfOneMomentWhateverComesMeanwhile applies records between the
// steps of a snapshot: successes, failures, cancels, new runs and new versions.
func TestSnapshot_IsOfOneMomentWhateverComesMeanwhile(t *testing.T) {
	h := crowd(t, 6000)
	want := content(h.state)
	x := h.state.Snapshot("test")
	ids := h.state.RunIDs()
	slices.Reverse(ids) // from the other end, so that many are touched before their turn
	n := 0
	parts := takeAll(t, x, func() {
		for range 60 {
			n++
			id := ids[n%len(ids)]
			switch r := h.state.Run(id); {
			case r == nil:
			case n%7 == 0:
				h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: id})
			case r.Tasks[0].Status == engine.Ready:
				h.add(&engine.AttemptRecord{AttemptKey: r.Key(0), Flow: r.Graph.Flow.ID, Outcome: engine.OutcomeSuccess, Start: h.now, End: h.now, Value: []byte("1")})
			}
			h.add(&engine.SubmitRecord{Run: engine.RunID(fmt.Sprintf("01M84BFBV1N8Q6D2T4XW9B%04d", n)), Flow: "f5", DedupeID: fmt.Sprint("new", n)})
		}
		h.add(&engine.FlowRecord{Flow: "f0", Removed: true})
	})
	got := restoreParts(t, parts)
	if text := content(got); text != want {
		t.Errorf("the snapshot is not of the moment in which it began: %d bytes, want %d", len(text), len(want))
	}
	if got.Open() != 6000 || got.seen.len() != 6000 || h.state.taking != nil {
		t.Errorf("%d runs, %d keys", got.Open(), got.seen.len())
	}
	if count := x.Count(); count != (Count{Versions: 2, Runs: 6000, Keys: 6000}) {
		t.Errorf("counted: %+v", count)
	}
}

// flowRecord is a flow of one task, which says which version it is.
func flowRecord(t testing.TB, flow, version int) *engine.FlowRecord {
	t.Helper()
	f := &engine.Flow{ID: engine.FlowID(fmt.Sprint("f", flow)), Timeout: time.Duration(1e12 + version), Tasks: []engine.Task{{ID: "a", Type: "x"}}}
	def, hash, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &engine.FlowRecord{Flow: f.ID, Hash: hash, Definition: def}
}

// TestSnapshot_FlowsMayChangeMeanwhile replaces, removes, claims and adds flow
// versions between the steps.
func TestSnapshot_FlowsMayChangeMeanwhile(t *testing.T) {
	const flows = 3000
	h := newHistory(t)
	for i := range flows {
		h.add(flowRecord(t, i, 0))
	}
	want := content(h.state)
	x := h.state.Snapshot("test")
	n := 0
	parts := takeAll(t, x, func() {
		for range 50 {
			n++
			flow := n * 37 % flows
			switch n % 4 {
			case 0:
				h.add(flowRecord(t, flow, n)) // replaced
			case 1:
				h.add(&engine.FlowRecord{Flow: engine.FlowID(fmt.Sprint("f", flow)), Removed: true})
			case 2:
				rec := flowRecord(t, flow, 0)
				rec.AdHoc = true
				h.add(rec)
			default:
				h.add(flowRecord(t, flows+n, 0)) // a new one
			}
		}
	})
	got := restoreParts(t, parts)
	if text := content(got); text != want {
		t.Errorf("the snapshot is not of the moment in which it began: %d bytes, want %d", len(text), len(want))
	}
	if count := x.Count(); count.Versions != flows || len(got.versions) != flows {
		t.Errorf("%d versions are counted, %d restored", count.Versions, len(got.versions))
	}
}

// TestSnapshot_BeginsWithoutLookingAtEverything: the scheduler's loop stands
// still meanwhile, so what that takes must not grow with the state.
func TestSnapshot_BeginsWithoutLookingAtEverything(t *testing.T) {
	taken := func(flows int) uint64 {
		h := newHistory(t)
		for i := range flows {
			h.add(flowRecord(t, i, 0))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.state.Snapshot("test").Close()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if few, many := taken(10), taken(20_000); many > few+32<<10 {
		t.Errorf("the beginning takes %d bytes with 20,000 flows, %d with 10", many, few)
	}
}

func TestSnapshot_PartsStaySmall(t *testing.T) {
	h := crowd(t, 20_000)
	for _, p := range takeAll(t, h.state.Snapshot("test"), func() {}) {
		size := len(p.Seen)
		for _, r := range p.Runs {
			size += 1 + len(r.Tasks)
		}
		for _, f := range p.Flows {
			size += len(f.Active) + len(f.Queue)
			if len(f.Active) > partSize || len(f.Queue) > partSize {
				t.Errorf("a list of %d and %d ids", len(f.Active), len(f.Queue))
			}
		}
		if size > 4*partSize {
			t.Errorf("a part holds %d", size)
		}
	}
}

func TestSnapshot_ThatDoesNotFitTogetherIsRefused(t *testing.T) {
	h := crowd(t, 10)
	parts := takeAll(t, h.state.Snapshot("test"), func() {})
	for _, keep := range []bool{true, false} {
		r := NewRestoring(keep)
		if err := r.Add(parts[len(parts)-1]); !errors.Is(err, engine.ErrInvalid) { // runs without their versions
			t.Errorf("keep %v: %v", keep, err)
		}
		r = NewRestoring(keep)
		newer := *parts[0]
		newer.Format++
		if err := r.Add(&newer); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("a newer format: %v", err)
		}
	}
}

func TestDedupe_RemembersAMillionKeysForADay(t *testing.T) {
	var d dedupe
	ids := make([]engine.RunID, 100)
	for i := range ids {
		ids[i] = engine.DeriveRunID(engine.Micros(1e15).Time(), "x", uint64(i))
	}
	key := func(i int) (hash [16]byte) {
		binary.LittleEndian.PutUint64(hash[:], uint64(i)*0x9E3779B97F4A7C15)
		hash[15] = byte(i)
		return hash
	}
	find := func(i int) (engine.RunID, bool) {
		cell := d.table[d.slot(key(i))]
		if cell == 0 {
			return "", false
		}
		return d.run(d.number(cell)), true
	}
	const n = MaxDedupe + 5000
	for i := range n {
		d.put(key(i), ids[i%100], engine.Micros(i))
	}
	if d.len() != MaxDedupe || !d.full {
		t.Fatalf("%d keys, full: %v", d.len(), d.full)
	}
	for i := 0; i < n; i += 997 {
		run, ok := find(i)
		if old := i < n-MaxDedupe; ok == old || ok && run != ids[i%100] {
			t.Fatalf("key %d: %s, %v", i, run, ok)
		}
	}
	d.expire(DedupeWindow + n - 10)
	if d.len() != 9 || d.full {
		t.Errorf("%d keys are left after a day, want 9", d.len())
	}
	for i := n - 20; i < n; i++ {
		if _, ok := find(i); ok != (i > n-10) {
			t.Errorf("key %d: %v", i, ok)
		}
	}
}

// TestDedupe_IsAMapThatForgets compares with a plain map, where hashes collide
// often: only some bits of them differ.
func TestDedupe_IsAMapThatForgets(t *testing.T) {
	var d dedupe
	plain := map[[16]byte]engine.RunID{}
	var order [][16]byte
	for i := range 5000 {
		hash := [16]byte{byte(i * 31 % 64), 0, 0, 0, 0, 0, 0, 0, byte(i), byte(i >> 8)}
		run := engine.RunID(fmt.Sprint("odd", i))
		d.put(hash, run, engine.Micros(i))
		plain[hash], order = run, append(order, hash)
		if i%3 == 2 {
			d.drop()
			delete(plain, order[0])
			order = order[1:]
		}
		if i%500 == 0 {
			got := map[[16]byte]engine.RunID{}
			for _, h := range order {
				if cell := d.table[d.slot(h)]; cell != 0 {
					got[h] = d.run(d.number(cell))
				}
			}
			if !reflect.DeepEqual(got, plain) {
				t.Fatalf("after %d: %d keys are found, want %d", i, len(got), len(plain))
			}
		}
	}
}

func BenchmarkSnapshot_Step(b *testing.B) {
	h := crowd(b, 150_000)
	b.Run("begin", func(b *testing.B) {
		for range b.N {
			h.state.Snapshot("test").Close()
		}
	})
	b.Run("next", func(b *testing.B) {
		x := h.state.Snapshot("test")
		for range b.N {
			if x.Next() == nil {
				x = h.state.Snapshot("test")
			}
		}
	})
}

// BenchmarkSnapshot_Flows says for how long a snapshot of many flows holds the
// scheduler's loop: when it begins, on average, and in its longest step.
func BenchmarkSnapshot_Flows(b *testing.B) {
	const flows = 1_000_000
	h := newHistory(b)
	for i := range flows {
		h.add(flowRecord(b, i, 0))
	}
	var begin, longest time.Duration
	for b.Loop() {
		start := time.Now()
		x := h.state.Snapshot("test")
		begin += time.Since(start)
		for {
			start = time.Now()
			p := x.Next()
			longest = max(longest, time.Since(start))
			if p == nil {
				break
			}
		}
	}
	b.ReportMetric(float64(begin.Microseconds())/1000/float64(b.N), "begin-ms")
	b.ReportMetric(float64(longest.Microseconds())/1000, "longest-step-ms")
}
