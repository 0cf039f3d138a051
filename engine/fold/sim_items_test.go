package fold

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/qarion/qarion/engine"
)

// randomItems makes a task one that is done for each item of a list, now and then.
func (s *sim) randomItems(t *engine.Task) {
	if s.rng.IntN(3) != 0 {
		return
	}
	t.ForEach, t.MaxParallel = "{{ x }}", 1+s.rng.IntN(3)
	t.OnItemFailure = []string{"", engine.ItemsStop, engine.ItemsIgnore}[s.rng.IntN(3)]
	t.Tolerate = s.rng.IntN(3)
}

// listed makes the record of a first turn, or of the last one, what a worker would
// write of a task with for_each; false: it is no such record.
func (s *sim) listed(rec *engine.AttemptRecord) bool {
	r := s.state.runs[rec.Run]
	if r == nil || rec.Item > 0 {
		return false
	}
	i := r.Graph.Index[rec.Task]
	if r.Graph.Flow.Tasks[i].ForEach == "" || rec.Outcome != engine.OutcomeSuccess && rec.Outcome != engine.OutcomeAgain {
		return false
	}
	rec.End = rec.Start + 1
	if f := r.Tasks[i].fan; f != nil {
		if rec.Outcome = engine.OutcomeSuccess; f.end(&r.Graph.Flow.Tasks[i]).Fails {
			rec.Outcome, rec.Class, rec.Error = engine.OutcomeFailed, "items", "items failed"
		}
		return true
	}
	rec.Outcome, rec.Items = engine.OutcomeAgain, &engine.Items{N: s.rng.IntN(12)}
	return true
}

// checkItems holds what is given out of a task with items against what may be: no
// item after it has ended well, no more at once than there are lanes, and the last
// turn only when all have ended.
func (s *sim) checkItems(r *Run, ref CellRef, rt *engine.ReadyTask) {
	t, task := &r.Tasks[ref.Task], &r.Graph.Flow.Tasks[ref.Task]
	f := t.fan
	if f == nil {
		if ref.Item > 0 || rt.ItemsEnd != nil {
			s.t.Errorf("%s is given out, and the list is not known", rt.OperationID())
		}
		return
	}
	if ref.Item == 0 {
		e := rt.ItemsEnd
		if e == nil || len(f.open) > 0 || e.Success+e.Failed+e.Skipped != e.N {
			s.t.Errorf("%s ends the items %+v, %d are open", rt.OperationID(), e, len(f.open))
		}
		if e != nil && task.OnItemFailure != engine.ItemsStop {
			for n := 1; n <= f.n; n++ {
				if f.how(n) == engine.ItemOpen {
					s.t.Errorf("%s: item %d was never begun", rt.OperationID(), n)
				}
			}
		}
		return
	}
	if rt.ItemsAt != f.at || done(f.how(ref.Item)) || r.Floor() > rt.ItemsAt.Seq {
		s.t.Errorf("%s is given out with the list at %v, want %v; it ended as %d", rt.OperationID(), rt.ItemsAt, f.at, f.how(ref.Item))
	}
	lanes := 0
	for _, c := range f.open {
		if !c.Held {
			lanes++
		}
	}
	if lanes != f.lanes || lanes > task.Lanes() || len(f.open) > spareCells*task.Lanes() {
		s.t.Errorf("%s: %d of %d lanes are taken, counted %d, %d items are open", rt.OperationID(), lanes, task.Lanes(), f.lanes, len(f.open))
	}
}

// checkCounts holds the counts of items against the places.
func (s *sim) checkCounts() {
	for _, r := range s.state.runs {
		for i := range r.Tasks {
			f := r.Tasks[i].fan
			if f == nil {
				continue
			}
			d := f.doc(r.Tasks[i].Status)
			if !r.Tasks[i].spread() && !r.Tasks[i].Status.Final() {
				continue
			}
			good := 0
			for n := range f.ended {
				if f.ended[n].how == engine.ItemSuccess {
					good++
				}
			}
			if good != d.Success || d.Success+d.Failed+d.Skipped > d.Total || len(f.open) > 0 && r.Tasks[i].Status.Final() {
				s.t.Errorf("%s/%s: %+v, %d have succeeded", r.ID, r.Graph.Flow.Tasks[i].ID, d, good)
			}
		}
	}
}

func TestItems_AnInterruptedOneIsResolvedByItself(t *testing.T) {
	f := flowOf("f", "a:", "b: a")
	f.Tasks[0].ForEach, f.Tasks[0].MaxParallel = "{{ x }}", 1
	h := newHistory(t, f)
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeAgain, func(rec *engine.AttemptRecord) { rec.Items = &engine.Items{N: 3} })
	r := h.state.Run("r1")
	item := func(n int, out engine.Outcome) {
		h.add(&engine.AttemptRecord{AttemptKey: r.KeyOf(CellRef{0, n}), Flow: "f", Outcome: out, Start: h.now, End: h.now + 5, Class: "status", Error: "503"})
	}
	item(1, engine.OutcomeInterrupted)
	if err := r.ItemsWait(0); err == nil || r.Resolvable(0, 1) != nil || r.Resolvable(0, 2) == nil || r.Resolvable(0, 4) == nil {
		t.Errorf("item 1 waits for a person: %v", err)
	}
	item(2, engine.OutcomeSuccess) // the others go on
	item(3, engine.OutcomeFailed)
	h.want("r1", "a=running b=pending")
	h.add(&engine.ControlRecord{Kind: engine.ControlResolve, Run: "r1", Task: "a", Item: 1, As: "retry"})
	if k := r.KeyOf(CellRef{0, 1}); k.Generation != 1 || r.Status != engine.Running {
		t.Errorf("it is given out as %+v, the run is %s", k, r.Status)
	}
	item(1, engine.OutcomeSuccess)
	if e := r.ReadyTask(0).ItemsEnd; e == nil || e.Success != 2 || e.Failed != 1 || e.First != 3 || !e.Fails {
		t.Errorf("the last turn is told %+v", e)
	}
	h.want("r1", "a=ready b=pending")
}

// TestItems_AHundredThousandTakeLittle holds what a full list leaves in memory, in a
// checkpoint, in the run's document and for a rerun against what each may be.
func TestItems_AHundredThousandTakeLittle(t *testing.T) {
	f := flowOf("f", "a:")
	f.Tasks[0].ForEach, f.Tasks[0].MaxParallel, f.Tasks[0].OnItemFailure = "{{ x }}", 64, engine.ItemsIgnore
	h := newHistory(t, f)
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeAgain, func(rec *engine.AttemptRecord) { rec.Items = &engine.Items{N: engine.MaxItems} })
	r := h.state.Run("r1")
	for r.Tasks[0].spread() {
		var recs []engine.Record // as bundles come: those of all lanes
		for ref := range r.Cells() {
			out := engine.OutcomeSuccess
			if ref.Item%1000 == 0 {
				out = engine.OutcomeFailed
			}
			recs = append(recs, &engine.AttemptRecord{AttemptKey: r.KeyOf(ref), Flow: "f", Outcome: out, Start: h.now, End: h.now + 5, Class: "status", Error: strings.Repeat("x", engine.MaxErrorText)})
		}
		h.add(recs...)
	}
	fan := r.Tasks[0].fan
	if size := len(fan.ended) * int(unsafe.Sizeof(itemPlace{})); size > 3<<20 {
		t.Errorf("the places take %d bytes of memory", size)
	}
	if s := fan.snapshot(); len(s.Ended)+len(s.Starts) > 1<<20 {
		t.Errorf("a checkpoint has %d + %d bytes of them", len(s.Ended), len(s.Starts))
	}
	doc, err := r.Now(true).AppendJSON(nil)
	if err != nil || len(doc) > 256<<10 {
		t.Errorf("the document has %d bytes, %v", len(doc), err)
	}
	h.report("r1", "a", engine.OutcomeSuccess)
	done := h.shown(engine.RunDone)
	if done == nil || len(done.Seeds) > engine.MaxItemPlacesBytes+1024 {
		t.Fatalf("what it leaves for a rerun: %+v", done)
	}
	seeds, err := engine.DecodeSeeds(done.Seeds)
	if err != nil || seeds.Tasks[0].ItemsAt.Seq == 0 {
		t.Errorf("its items are not kept: %v", err)
	}
	t.Logf("checkpoint %d, document %d, seeds %d bytes", len(fan.snapshot().Ended)+len(fan.snapshot().Starts), len(doc), len(done.Seeds))
}
