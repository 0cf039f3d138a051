package fold

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

// A task with for_each is done once for each item of a list. Its first turn
// records the list; then its items are cells of their own, so many at once as
// there are lanes; when all have ended, its last turn joins what they have left.
// Only the items in flight are cells: of one that has ended stays a place.

// fan is the items of a task.
type fan struct {
	at      engine.Pos // of the record that has the list
	n       int
	next    int           // the first that may not have begun, from 1
	open    map[int]*Cell // by number, from 1
	lanes   int           // that are taken
	ended   []itemPlace   // by number less 1; as long as n
	success int
	failed  int
	skipped int
	joining bool // all have ended: the task's own cell takes its last turn

	failures []engine.ItemFailure // of the first that failed, by number
}

// itemPlace says how an item ended, and where its record stands.
type itemPlace struct {
	seq   uint64
	start engine.Micros // lastStart of its cell
	n     int32
	how   engine.ItemEnd
}

// spread reports whether the task's items are worked on, instead of its own cell.
func (t *TaskState) spread() bool {
	return t.fan != nil && !t.fan.joining && !t.Status.Final() && t.Status != engine.Pending
}

// has reports whether the task has an item of a number.
func (t *TaskState) has(item int) bool {
	return item == 0 || t.fan != nil && item > 0 && item <= t.fan.n
}

// lastStartOf is when the last record began that was taken of a cell.
func (t *TaskState) lastStartOf(item int) engine.Micros {
	switch {
	case item == 0:
		return t.lastStart
	case t.fan.open[item] != nil:
		return t.fan.open[item].lastStart
	}
	return t.fan.ended[item-1].start
}

// numbers are the items in flight, in order.
func (f *fan) numbers() []int { return slices.Sorted(maps.Keys(f.open)) }

// how is how an item ended; of one that is done again, how it ended before.
func (f *fan) how(item int) engine.ItemEnd { return f.ended[item-1].how }

func (f *fan) interrupted() (n int) {
	for _, it := range f.open {
		if it.Status == engine.Interrupted {
			n++
		}
	}
	return n
}

// spreadOut begins the items of a task: its first turn has read the list.
func (s *step) spreadOut(r *Run, i int, items *engine.Items) {
	t := &r.Tasks[i]
	r.InFlight--
	t.Status, t.NotBefore, t.Parked, t.reason = engine.Running, 0, "", ""
	t.turn, t.attempt, t.dispatch, t.waited = t.turn+1, 1, 0, 0
	t.fan = newFan(s.pos, items.N)
	s.fill(r, i)
}

func newFan(at engine.Pos, n int) *fan {
	n = min(max(n, 0), engine.MaxItems)
	return &fan{at: at, n: n, next: 1, open: map[int]*Cell{}, ended: make([]itemPlace, n)}
}

// fill gives the free lanes away: to items whose retry is due, then to new ones,
// then to those whose retry comes first. When nothing is left it ends the task's
// items.
func (s *step) fill(r *Run, i int) {
	t, task := &r.Tasks[i], &r.Graph.Flow.Tasks[i]
	f := t.fan
	if r.Ending == "" {
		for f.lanes < task.Lanes() {
			item := f.waiting()
			if item == 0 || f.open[item].NotBefore > s.at {
				if fresh := f.fresh(task); fresh != 0 {
					item = fresh
					f.open[item] = &Cell{Status: engine.Ready, attempt: 1, Held: true}
					r.InFlight++
				}
			}
			if item == 0 {
				break
			}
			f.lanes++
			f.open[item].Held = false
			s.emit(r, CellRef{i, item})
		}
	}
	if len(f.open) > 0 {
		return
	}
	if r.Ending != "" {
		s.closeTask(r, i, engine.Cancelled, r.endReason)
		s.showClosed(r, i)
		return
	}
	f.joining, f.open = true, nil
	t.Status = engine.Ready
	r.InFlight++
	s.emit(r, CellRef{Task: i})
}

// spareCells is how many items may be open for each lane.
const spareCells = 5

// fresh is the next item that has not begun; 0: none begins any more, or now.
func (f *fan) fresh(task *engine.Task) int {
	if task.OnItemFailure == engine.ItemsStop && f.failed > task.TolerableItems(f.n) || len(f.open) >= spareCells*task.Lanes() {
		return 0
	}
	for f.next <= f.n && done(f.ended[f.next-1].how) {
		f.next++
	}
	if f.next > f.n {
		return 0
	}
	f.next++
	return f.next - 1
}

// done reports whether an item need not be done again.
func done(how engine.ItemEnd) bool { return how == engine.ItemSuccess || how == engine.ItemSkipped }

// waiting is the item without a lane whose retry comes first; 0: there is none.
func (f *fan) waiting() (first int) {
	if f.lanes == len(f.open) {
		return 0
	}
	for n, it := range f.open {
		if !it.Held || it.Status != engine.Ready {
			continue
		}
		if first == 0 || cmp.Or(cmp.Compare(it.NotBefore, f.open[first].NotBefore), cmp.Compare(n, first)) < 0 {
			first = n
		}
	}
	return first
}

// leaveLane frees the lane of an item.
func (f *fan) leaveLane(item int) {
	if it := f.open[item]; !it.Held {
		it.Held = true
		f.lanes--
	}
}

// itemFinished takes the record that ends an attempt of an item.
func (s *step) itemFinished(r *Run, ref CellRef, rec *engine.AttemptRecord) {
	task := &r.Tasks[ref.Task]
	f, t := task.fan, r.Cell(ref)
	t.lastStart, t.Started, t.Again, t.Sent, t.sent = rec.Start, false, false, 0, nil
	if rec.Outcome != engine.OutcomeDeferred && rec.Outcome != engine.OutcomeSkipped {
		r.calls++
		if task.end = rec.End; task.Begin == 0 {
			task.Begin = rec.Start
		}
	}
	s.showAttempt(r, rec, false)
	s.effects[len(s.effects)-1].Change.Given = t.Given != nil
	t.Given = nil
	r.jar(r.Graph.Flow.Tasks[ref.Task].Jar, rec, s.pos)
	switch {
	case rec.Outcome == engine.OutcomeSuccess:
		r.rows += rec.Rows
		s.itemEnds(r, ref, engine.ItemSuccess)
	case r.Ending != "":
		if rec.Outcome == engine.OutcomeCancelled && rec.Class == engine.ClassInterrupted {
			r.leavesUnknown(rec.Task)
		}
		if rec.Outcome == engine.OutcomeFailed {
			s.itemFailed(r, ref, rec)
		} else {
			s.dropItem(r, ref)
		}
	case rec.Outcome == engine.OutcomeSkipped:
		s.itemEnds(r, ref, engine.ItemSkipped)
	case rec.Outcome == engine.OutcomeAgain:
		s.takeTurn(r, ref, rec)
	case rec.Outcome == engine.OutcomeRetry:
		t.retry()
		t.Status, t.NotBefore, t.Parked, t.reason = engine.Ready, rec.NotBefore, rec.Parked, rec.Error
		f.leaveLane(ref.Item)
	case rec.Outcome == engine.OutcomeDeferred:
		t.postpone(rec)
		s.wait(r, ref, rec)
	case rec.Outcome == engine.OutcomeInterrupted:
		s.interrupt(r, ref, rec.Error, rec)
		if t.Status == engine.Interrupted {
			f.leaveLane(ref.Item)
		}
	default:
		s.itemFailed(r, ref, rec)
	}
	s.fill(r, ref.Task)
	s.finishCalls(r)
}

// unknown is how an item ends that failed: whether its answer is known.
func unknown(rec *engine.AttemptRecord) engine.ItemEnd {
	if rec.Status != 0 && rec.Status < 500 {
		return engine.ItemFailed
	}
	return engine.ItemUnknown
}

// itemFailed ends an item for good.
func (s *step) itemFailed(r *Run, ref CellRef, rec *engine.AttemptRecord) {
	f := r.Tasks[ref.Task].fan
	e := engine.ItemFailure{Item: ref.Item, Class: rec.Class, Message: rec.Error, StatusCode: rec.Status, Attempts: rec.Attempt}
	at, _ := slices.BinarySearchFunc(f.failures, e, func(a, b engine.ItemFailure) int { return a.Item - b.Item })
	if at < engine.MaxItemFailures {
		f.failures = slices.Insert(slices.Clip(f.failures), at, e) // a snapshot may have the old list
		f.failures = f.failures[:min(len(f.failures), engine.MaxItemFailures)]
	}
	s.itemEnds(r, ref, unknown(rec))
}

// itemEnds turns an item in flight into a place.
func (s *step) itemEnds(r *Run, ref CellRef, how engine.ItemEnd) {
	f := r.Tasks[ref.Task].fan
	it := f.open[ref.Item]
	switch it.Status {
	case engine.Ready, engine.Running:
		r.InFlight--
	case engine.Interrupted:
		r.Interrupted--
	case engine.Waiting:
		s.letGo(r, ref)
	}
	f.leaveLane(ref.Item)
	f.ended[ref.Item-1] = itemPlace{seq: s.pos.Seq, n: int32(s.pos.N), start: it.lastStart, how: how}
	switch how {
	case engine.ItemSuccess:
		f.success++
	case engine.ItemSkipped:
		f.skipped++
	default:
		f.failed++
	}
	delete(f.open, ref.Item)
}

// endItems ends the items of a run that is ending, but for those that are in
// flight: their records follow.
func (s *step) endItems(r *Run, i int) {
	f := r.Tasks[i].fan
	for _, n := range f.numbers() {
		switch f.open[n].Status {
		case engine.Interrupted, engine.Waiting:
			s.dropItem(r, CellRef{i, n})
		}
	}
	s.fill(r, i)
}

// dropItem forgets an item that was cut off: a rerun does it again.
func (s *step) dropItem(r *Run, ref CellRef) {
	s.itemEnds(r, ref, engine.ItemUnknown)
	r.Tasks[ref.Task].fan.failed--
}

// resolveItem is a person's word on an interrupted item.
func (s *step) resolveItem(r *Run, ref CellRef, rec *engine.ControlRecord) {
	switch rec.As {
	case "success":
		s.itemEnds(r, ref, engine.ItemSuccess)
	case "retry":
		s.retryResolved(r, ref) // it gets a lane as a retry does
	default:
		s.itemFailed(r, ref, &engine.AttemptRecord{AttemptKey: r.KeyOf(ref), Class: "resolved", Error: cmp.Or(rec.Reason, engine.ResolvedFailed)})
	}
	s.fill(r, ref.Task)
}

// end is what the last turn of the task is told.
func (f *fan) end(task *engine.Task) *engine.ItemsEnd {
	e := &engine.ItemsEnd{N: f.n, Success: f.success, Failed: f.failed, Skipped: f.n - f.success - f.failed}
	e.Fails = f.failed > task.TolerableItems(f.n) && task.OnItemFailure != engine.ItemsIgnore
	if len(f.failures) > 0 {
		first := &f.failures[0]
		e.First, e.Error = first.Item, first.Message
		e.FirstAt = f.place(first.Item).At
	}
	return e
}

// place is where the record of an item stands.
func (f *fan) place(item int) engine.ItemPlace {
	p := f.ended[item-1]
	return engine.ItemPlace{At: engine.Pos{Seq: p.seq, N: int(p.n)}, How: p.how}
}

// places are all of them.
func (f *fan) places() []engine.ItemPlace {
	out := make([]engine.ItemPlace, f.n)
	for i := range out {
		out[i] = f.place(i + 1)
	}
	return out
}

// ItemPlaces are the places of some of the items of a task, from a number on; nil:
// it has none there.
func (r *Run) ItemPlaces(task, from, most int) []engine.ItemPlace {
	f := r.Tasks[task].fan
	if f == nil || from < 1 || from > f.n {
		return nil
	}
	out := make([]engine.ItemPlace, min(most, f.n-from+1))
	for i := range out {
		out[i] = f.place(from + i)
	}
	return out
}

// ItemsAt is where the list of a task's items stands, and how many there are; the
// zero Pos while it is not known.
func (r *Run) ItemsAt(task int) (at engine.Pos, n int) {
	if f := r.Tasks[task].fan; f != nil {
		return f.at, f.n
	}
	return at, 0
}

// doc is how the items stand.
func (f *fan) doc(status engine.Status) *engine.ItemsDoc {
	d := &engine.ItemsDoc{
		Total: f.n, Success: f.success, Failed: f.failed, Skipped: f.skipped, Running: len(f.open),
		Failures: slices.Clip(f.failures),
	}
	if status.Final() || f.joining {
		d.Skipped = f.n - f.success - f.failed
		return d
	}
	for _, n := range f.numbers() {
		if it := f.open[n]; it.Status == engine.Interrupted {
			d.Interrupted++
			if d.Interrupted <= engine.MaxItemFailures {
				d.Failures = append(d.Failures, engine.ItemFailure{Item: n, Class: engine.ClassInterrupted, Message: it.reason, Attempts: it.attempt, Interrupted: true})
			}
		}
	}
	d.Running -= d.Interrupted
	return d
}

// Resolvable says why no person is asked about an item; nil: one is.
func (r *Run) Resolvable(task, item int) error {
	id := r.Graph.Flow.Tasks[task].ID
	if item < 1 || !r.Tasks[task].has(item) {
		return fmt.Errorf("%w: task %s has no item %d", engine.ErrNotFound, id, item)
	}
	if c := r.Cell(CellRef{task, item}); c == nil || c.Status != engine.Interrupted {
		return fmt.Errorf("%w: item %d of task %s is not interrupted", engine.ErrConflict, item, id)
	}
	return nil
}

// ItemsWait says that items of a task wait for a person, instead of the task; nil:
// none does.
func (r *Run) ItemsWait(task int) error {
	t := &r.Tasks[task]
	if !t.spread() || t.fan.interrupted() == 0 {
		return nil
	}
	for _, n := range t.fan.numbers() {
		if t.fan.open[n].Status == engine.Interrupted {
			return fmt.Errorf("%w: of task %s items wait to be resolved: name one (--item %d)", engine.ErrConflict, r.Graph.Flow.Tasks[task].ID, n)
		}
	}
	return nil
}
