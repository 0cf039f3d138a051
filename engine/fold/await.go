package fold

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/qarion/qarion/engine"
)

// A cell may wait for something from outside: a signal, a decision, its time. It is
// waiting then and holds nothing: whatever wakes it is a record, so signal and
// deadline come in the order of the ledger, and the first one counts. A signal that
// comes before anybody waits for it is kept.

// early is a signal that nobody has waited for so far. No list of them is changed
// in place.
type early struct {
	Name string        `cbor:"1,keyasint"`
	For  string        `cbor:"2,keyasint,omitempty"`
	Wake engine.Wake   `cbor:"3,keyasint"`
	At   engine.Micros `cbor:"4,keyasint"`
}

// Heard is what the fold made of a signal or a decision.
type Heard struct {
	Token string // of its record
	Run   engine.RunID
	Task  engine.TaskID // that it woke
	Item  int           // of its items
	Kept  bool
	Known bool
	Err   error // why it changed nothing
}

// signalled is a flow's signals by key: who waits for one.
type signalled struct {
	flow engine.FlowID
	name string
	key  string
}

// awaitOutside lets a cell wait, unless what it waits for is there already.
func (s *step) awaitOutside(r *Run, ref CellRef, rec *engine.AttemptRecord) {
	t := r.Cell(ref)
	t.await, t.NotBefore, t.Parked, t.reason = rec.Await, rec.NotBefore, "", rec.Note
	if w := s.takeEarly(r, rec.Await); w != nil {
		r.reads(w.At)
		t.Status, t.wake, t.NotBefore, t.await = engine.Ready, w, 0, ""
		s.showReadyCell(r, ref)
		s.emit(r, ref)
		return
	}
	t.Status = engine.Waiting
	r.InFlight--
	s.beginWait(r, ref)
	s.emit(r, ref) // sets its timer
	if rec.Open != nil && rec.Open.Parent != nil {
		s.openChild(r, ref, rec.Open)
	}
}

// beginWait counts a waiting cell in; endWait counts it out.
func (s *State) beginWait(r *Run, ref CellRef) {
	r.Awaiting++
	if name, key, ok := engine.AwaitedSignal(r.Cell(ref).await); ok && key != "" {
		k := signalled{r.Graph.Flow.ID, name, key}
		if s.awaits[k] == nil {
			if s.awaits == nil {
				s.awaits = map[signalled]map[*Run]int{}
			}
			s.awaits[k] = map[*Run]int{}
		}
		s.awaits[k][r]++
	}
}

func (s *State) endWait(r *Run, ref CellRef) {
	r.Awaiting--
	t := r.Cell(ref)
	if name, key, ok := engine.AwaitedSignal(t.await); ok && key != "" {
		k := signalled{r.Graph.Flow.ID, name, key}
		if s.awaits[k][r]--; s.awaits[k][r] <= 0 {
			delete(s.awaits[k], r)
		}
		if len(s.awaits[k]) == 0 {
			delete(s.awaits, k)
		}
	}
	t.await = ""
}

// wake lets a waiting cell take its next turn.
func (s *step) wake(r *Run, ref CellRef, w *engine.Wake) {
	s.touch(r)
	r.reads(w.At)
	t := r.Cell(ref)
	s.endWait(r, ref)
	r.InFlight++
	t.Status, t.wake, t.NotBefore, t.reason = engine.Ready, w, 0, ""
	s.showReadyCell(r, ref)
	s.emit(r, ref)
	s.clock(r)
}

// reads notes that the run may read an entry of the ledger.
func (r *Run) reads(at engine.Pos) {
	if at.Seq != 0 && at.Seq < cmp.Or(r.since, r.Seq) {
		r.since = at.Seq
	}
}

// timeUp takes the clock's word on a cell that waits.
func (s *step) timeUp(r *Run, rec *engine.ControlRecord) {
	ref, t := r.dispatched(rec.Key)
	if t != nil && t.Status == engine.Waiting && t.NotBefore != 0 {
		s.wake(r, ref, &engine.Wake{Cause: engine.WakeTime, Time: s.at})
	}
}

// hear takes word from outside. Whoever sent it hears what became of it.
func (s *step) hear(rec *engine.ControlRecord) {
	h := Heard{Token: rec.Token, Run: rec.Run}
	r := s.runs[rec.Run]
	switch {
	case rec.Run != "" && r == nil:
		h.Err = fmt.Errorf("%w: run %s has ended", engine.ErrNotFound, rec.Run)
	case rec.Name == "":
		s.decide(r, rec, &h)
	case r == nil && (s.flows[rec.Flow] == nil || rec.For == ""):
		h.Err = s.UnknownFlow(rec.Flow)
	default:
		s.signal(r, rec, &h)
	}
	s.effects = append(s.effects, Effect{Kind: Told, Heard: &h})
}

// decide takes a decision about a task.
func (s *step) decide(r *Run, rec *engine.ControlRecord, h *Heard) {
	if r == nil {
		h.Err = fmt.Errorf("%w: a decision names a run", engine.ErrInvalid)
		return
	}
	if h.Err = r.AwaitsApproval(rec.Task); h.Err != nil {
		return
	}
	i := r.Graph.Index[rec.Task]
	if r.Key(i) != rec.Key {
		h.Err = fmt.Errorf("%w: task %s waits for another approval by now", engine.ErrConflict, rec.Task)
		return
	}
	w := s.wakeOf(engine.WakeApproval, rec)
	w.As, w.Comment = rec.As, rec.Reason
	h.Task = rec.Task
	s.wake(r, CellRef{Task: i}, w)
}

// AwaitsApproval says why a task waits for no approval; nil: it does.
func (r *Run) AwaitsApproval(task engine.TaskID) error {
	i, ok := r.Graph.Index[task]
	switch {
	case !ok:
		return fmt.Errorf("%w: run %s has no task %q", engine.ErrNotFound, r.ID, task)
	case r.Tasks[i].Status != engine.Waiting:
		return fmt.Errorf("%w: task %s waits for no approval: it is %s", engine.ErrConflict, task, r.Tasks[i].shown())
	case r.Tasks[i].await != engine.AwaitApproval:
		return fmt.Errorf("%w: task %s waits for no approval: it waits for %s", engine.ErrConflict, task, engine.AwaitText(r.Tasks[i].await))
	}
	return nil
}

// signal wakes the cell that has waited longest, or keeps the signal.
func (s *step) signal(r *Run, rec *engine.ControlRecord, h *Heard) {
	flow := rec.Flow
	if r != nil {
		flow = r.Graph.Flow.ID
	}
	id := signalID(rec)
	if known, ok := s.seen.find(flow, id, s.at); ok && rec.ID != "" {
		h.Known, h.Run = true, known
		return
	}
	target, ref, found := r, CellRef{}, false
	if r != nil {
		ref, found = r.waitsFor(rec.Name, "")
	} else {
		target, ref, found = s.waitsFor(signalled{flow, rec.Name, rec.For})
	}
	w := s.wakeOf(engine.WakeSignal, rec)
	if found {
		h.Run, h.Task, h.Item = target.ID, target.Graph.Flow.Tasks[ref.Task].ID, ref.Item
		s.wake(target, ref, w)
	} else if h.Err = s.keepEarly(r, flow, early{rec.Name, rec.For, *w, s.at}); h.Err == nil {
		h.Kept = true
	}
	if rec.ID != "" && h.Err == nil {
		s.seen.add(flow, id, h.Run, s.at)
	}
}

// signalID is a signal's message id among the caller keys of its flow.
func signalID(rec *engine.ControlRecord) string {
	return "\x00signal\x00" + string(rec.Run) + "\x00" + rec.Name + "\x00" + rec.For + "\x00" + rec.ID
}

// wakeOf is what a cell gets of a record. A large value stays in the ledger.
func (s *step) wakeOf(cause string, rec *engine.ControlRecord) *engine.Wake {
	w := &engine.Wake{Cause: cause, By: rec.By, Time: s.at}
	if w.Value = rec.Value; len(rec.Value) > keepCarry {
		w.Value, w.At = nil, s.pos
	}
	return w
}

// waitsFor is the cell of a run that waits for a signal, of several the one that
// has waited longest. Without a key it may have any.
func (r *Run) waitsFor(name, key string) (first CellRef, ok bool) {
	if r.Awaiting == 0 {
		return first, false
	}
	for ref, t := range r.Cells() {
		if t.Status != engine.Waiting || ok && !t.carryAt.Before(r.Cell(first).carryAt) {
			continue
		}
		if n, k, is := engine.AwaitedSignal(t.await); is && n == name && (key == "" || k == key) {
			first, ok = ref, true
		}
	}
	return first, ok
}

// waitsFor is the same among all runs of a flow.
func (s *State) waitsFor(k signalled) (run *Run, first CellRef, ok bool) {
	for r := range s.awaits[k] {
		if ref, is := r.waitsFor(k.name, k.key); is && (!ok || r.Cell(ref).carryAt.Before(run.Cell(first).carryAt)) {
			run, first, ok = r, ref, true
		}
	}
	return run, first, ok
}

// keepEarly keeps a signal that nobody waits for: with its run, or with the flow
// that its key is of.
func (s *step) keepEarly(r *Run, flow engine.FlowID, e early) error {
	if r != nil {
		s.touch(r)
		r.early = s.fresh(r.early)
		if len(r.early) >= engine.MaxRunSignals {
			return fmt.Errorf("%w: run %s keeps %d signals that it has not waited for, and no more", engine.ErrConflict, r.ID, engine.MaxRunSignals)
		}
		r.early = append(r.early, e)
		return nil
	}
	fs := s.flowState(flow)
	fs.early = s.fresh(fs.early)
	if len(fs.early) >= engine.MaxFlowSignals {
		return fmt.Errorf("%w: flow %s keeps %d signals that no run has waited for, and no more", engine.ErrConflict, flow, engine.MaxFlowSignals)
	}
	fs.early = append(fs.early, e)
	return nil
}

// fresh is a copy of the signals that are not too old.
func (s *step) fresh(list []early) []early {
	out := make([]early, 0, len(list)+1)
	for _, e := range list {
		if e.At+engine.SignalWindow > s.at {
			out = append(out, e)
		}
	}
	return out
}

// takeEarly takes the oldest signal that was kept and is waited for; nil: there is
// none.
func (s *step) takeEarly(r *Run, await string) *engine.Wake {
	name, key, ok := engine.AwaitedSignal(await)
	if !ok {
		return nil
	}
	take := func(list []early, is func(*early) bool) ([]early, *engine.Wake) {
		for n := range list {
			if e := &list[n]; e.At+engine.SignalWindow > s.at && is(e) {
				return slices.Concat(list[:n], list[n+1:]), &e.Wake
			}
		}
		return list, nil
	}
	var w *engine.Wake
	if r.early, w = take(r.early, func(e *early) bool { return e.Name == name }); w != nil || key == "" {
		return w
	}
	if fs := s.flows[r.Graph.Flow.ID]; fs != nil && len(fs.early) > 0 {
		s.touchFlow(fs)
		fs.early, w = take(fs.early, func(e *early) bool { return e.Name == name && e.For == key })
	}
	return w
}

// clock lets the run's time pass, or stand still: it does while a person is asked,
// and while nothing is in flight and something is waited for, but for what follows in
// any case: a run that has ended otherwise does not wait for long.
func (s *step) clock(r *Run) {
	still := r.Interrupted > 0 || r.InFlight == 0 && r.Awaiting > 0 && r.stage < engine.StageFinally
	switch {
	case s.runs[r.ID] != r || r.Deadline == 0:
	case still && r.paused == 0:
		r.paused = s.at
	case !still && r.paused != 0:
		r.Deadline += s.at - r.paused
		r.paused = 0
		s.effects = append(s.effects, Effect{Kind: Emit, Run: r.ID, Task: -1, Open: r}) // the deadline has moved
	}
}

// Still reports whether the run's time does not pass now.
func (r *Run) Still() bool { return r.paused != 0 }

// SignalFloor is the first entry of the ledger that a kept signal needs; 0: none
// does.
func (s *State) SignalFloor() (floor uint64) {
	for _, fs := range s.flows {
		for i := range fs.early {
			if at := fs.early[i].Wake.At.Seq; at != 0 && (floor == 0 || at < floor) {
				floor = at
			}
		}
	}
	return floor
}
