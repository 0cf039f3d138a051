package fold

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
)

// signal sends word from outside: to a run, by a key, or a decision; now and then
// twice, or to nobody.
func (s *sim) signal() {
	ids := slices.Sorted(maps.Keys(s.state.runs))
	rec := &engine.ControlRecord{Kind: engine.ControlSignal, Name: []string{"a", "b"}[s.rng.IntN(2)], Value: fmt.Appendf(nil, "%d", s.sent), ID: fmt.Sprint("m", s.sent)}
	s.sent++
	switch {
	case s.rng.IntN(2) == 0:
		rec.Flow, rec.For = "f", []string{"k", "l"}[s.rng.IntN(2)]
	case len(ids) > 0:
		rec.Run = ids[s.rng.IntN(len(ids))]
	}
	if s.rng.IntN(4) == 0 {
		rec.Value = append([]byte(`"`), append(make([]byte, keepCarry), '"')...)
	}
	s.append(rec)
	if s.rng.IntN(3) == 0 {
		s.append(rec)
	}
}

// wakeUp lets something happen that a waiting cell waits for, if there is one: its
// time comes, or the word does. What is stored twice wakes once.
func (s *sim) wakeUp() bool {
	type place struct {
		r   *Run
		ref CellRef
	}
	var all []place
	for _, id := range slices.Sorted(maps.Keys(s.state.runs)) {
		r := s.state.runs[id]
		for ref, c := range r.Cells() {
			if c.Status == engine.Waiting && !strings.HasPrefix(c.await, "run:") {
				all = append(all, place{r, ref})
			}
		}
	}
	if len(all) == 0 {
		return false
	}
	p := all[s.rng.IntN(len(all))]
	t := p.r.Cell(p.ref)
	name, key, isSignal := engine.AwaitedSignal(t.await)
	rec := &engine.ControlRecord{Kind: engine.ControlWake, Run: p.r.ID, Key: p.r.KeyOf(p.ref)}
	switch {
	case t.NotBefore != 0 && s.rng.IntN(2) == 0, t.await == engine.AwaitTime:
	case t.await == engine.AwaitApproval:
		rec.Kind, rec.Task, rec.As = engine.ControlSignal, rec.Key.Task, "approve"
	case isSignal:
		rec = &engine.ControlRecord{Kind: engine.ControlSignal, Name: name, ID: fmt.Sprint("m", s.sent)}
		s.sent++
		if rec.Run = p.r.ID; key != "" && s.rng.IntN(2) == 0 {
			rec.Run, rec.Flow, rec.For = "", "f", key
		}
	}
	s.append(rec)
	if s.rng.IntN(2) == 0 {
		s.append(rec)
	}
	return true
}

// checkWaits holds what waits against what was said: each word woke at most one
// cell, what waits is counted and found by its key, and the time of a run stands
// still exactly while it has nothing else to do.
func (s *sim) checkWaits(recs []engine.Record) {
	for _, e := range s.last {
		if e.Kind != Told {
			continue
		}
		word := recs[0].(*engine.ControlRecord)
		if e.Heard.Task != "" && word.Name != "" {
			s.taken[word.ID]++
			r := s.state.runs[e.Heard.Run]
			if w := r.Cell(CellRef{r.Graph.Index[e.Heard.Task], e.Heard.Item}).wake; w == nil || w.Cause != engine.WakeSignal {
				s.t.Errorf("%s was woken by %+v", e.Heard.Task, w)
			}
		}
	}
	byKey := 0
	for _, r := range s.state.runs {
		if p := r.parent; p != nil && p.Waits && r.Ending == "" && r.stage == 0 {
			if parent := s.state.runs[p.Run]; parent == nil {
				s.t.Errorf("run %s goes on, and %s, which had opened it, has ended", r.ID, p.Run)
			} else if _, c := parent.dispatched(p.Key); c == nil || c.Status != engine.Waiting || c.await != engine.AwaitRun(r.ID) {
				s.t.Errorf("run %s goes on, and nobody in %s waits for it", r.ID, p.Run)
			}
		}
		waiting, moving := 0, 0
		for ref, t := range r.Cells() {
			switch t.Status {
			case engine.Waiting:
				waiting++
				if _, key, _ := engine.AwaitedSignal(t.await); key != "" {
					byKey++
				}
				if id, isRun := strings.CutPrefix(t.await, "run:"); isRun && s.state.runs[engine.RunID(id)] == nil {
					s.t.Errorf("%s waits for run %s, which is not open", r.KeyOf(ref).OperationID(), id)
				}
			case engine.Ready, engine.Running:
				moving++
			}
			if t.Status != engine.Waiting && t.await != "" || t.Status.Final() && t.wake != nil {
				s.t.Errorf("%s is %s and awaits %q, woken by %+v", r.KeyOf(ref).OperationID(), t.Status, t.await, t.wake)
			}
		}
		if waiting != r.Awaiting || moving != r.InFlight {
			s.t.Errorf("run %s counts %d waiting and %d in flight, there are %d and %d", r.ID, r.Awaiting, r.InFlight, waiting, moving)
		}
		if still := r.Interrupted > 0 || moving == 0 && waiting > 0 && r.stage < engine.StageFinally; r.Deadline != 0 && still != r.Still() {
			s.t.Errorf("run %s: %d in flight, %d waiting, %d interrupted, and its time stands still: %t", r.ID, moving, waiting, r.Interrupted, r.Still())
		}
	}
	indexed := 0
	for k, runs := range s.state.awaits {
		for r, n := range runs {
			indexed += n
			if s.state.runs[r.ID] != r {
				s.t.Errorf("run %s is kept as one that waits for %v", r.ID, k)
			}
		}
	}
	if indexed != byKey {
		s.t.Errorf("%d cells wait by key, %d are known", byKey, indexed)
	}
}

// anchor copies what a run needs that stands still, and moves it there. Now and
// then the run has gone on by then, or the process dies in between.
func (s *sim) anchor() bool {
	for _, id := range slices.Sorted(maps.Keys(s.state.runs)) {
		need, ok := s.state.runs[id].Needs(s.now)
		if !ok {
			continue
		}
		moved := map[engine.Pos]engine.Pos{}
		keep := func(at, prev engine.Pos) engine.Pos {
			if to, done := moved[at]; done {
				return to
			}
			kept := new(engine.Kept)
			switch rec := s.log[at.Seq-s.log[0].Seq].Records[at.N].(type) {
			case *engine.AttemptRecord:
				with := *rec
				with.Prev = prev
				kept.Attempt = &with
			case *engine.ControlRecord:
				if kept.Control = rec; rec.Kept != nil {
					with := *rec.Kept
					if kept = &with; with.Attempt != nil {
						part := *with.Attempt
						part.Prev = prev
						kept.Attempt = &part
					}
				}
			}
			s.append(&engine.ControlRecord{Kind: engine.ControlKeep, Run: id, Kept: kept})
			moved[at] = engine.Pos{Seq: s.seq}
			need.Anchor.Moves = append(need.Anchor.Moves, engine.Move{From: at, To: moved[at]})
			return moved[at]
		}
		for _, last := range need.Parts {
			var chain []engine.Pos
			for at := last; at.Seq != 0; at = s.recordAt(at).Prev {
				chain = append(chain, at)
			}
			prev := engine.Pos{}
			for _, at := range slices.Backward(chain) {
				prev = keep(at, prev)
			}
		}
		for _, at := range need.Places {
			keep(at, engine.Pos{})
		}
		switch s.rng.IntN(4) {
		case 0:
			s.restart()
			return true
		case 1:
			s.wakeUp()
		}
		before := s.state.runs[id]
		s.append(&engine.ControlRecord{Kind: engine.ControlAnchor, Run: id, Anchor: &need.Anchor})
		if r := s.state.runs[id]; r == before && r.paused == need.Anchor.Still && r.calls == need.Anchor.Calls && r.InFlight == 0 && len(moved) > 0 {
			for from := range moved {
				if from.Seq >= r.Floor() && from.Seq < s.seq-uint64(len(moved)) {
					s.t.Errorf("run %s needs the ledger from %d, and what it needed at %d was copied", id, r.Floor(), from.Seq)
				}
			}
			s.anchored++
		}
		return true
	}
	return false
}
