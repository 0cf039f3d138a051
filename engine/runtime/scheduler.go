package runtime

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/failpoint"
)

// maxBundle is how many tasks travel in one READY message under load.
const maxBundle = 32

// scheduler follows the ledger, folds it, and carries out the effects. One
// goroutine (loop) owns the state and everything in this struct; others reach
// it by ask.
type scheduler struct {
	cfg     *Config
	log     *slog.Logger
	state   *fold.State
	inbox   chan engine.Entry
	asks    chan func()
	ended   chan struct{} // closed when the loop has ended
	views   *projector
	calls   *waiters
	worker  *worker
	journal *journal
	stops   *closer // writes the records of tasks that a cancel met before their call

	current  bool // folded up to where the ledger ended at start: effects go out
	timers   timers
	ticks    *ticks
	parking  *parking
	limits   *limits
	due      *lines     // may start now
	emitted  int        // given out, no record yet
	askRoom  []chan int // the intake waits for room for more runs
	own      map[engine.RunID]bool
	waiting  seqWaiters
	changes  []engine.Change  // of the entries just folded, for the views
	ends     []*engine.Change // of those, what somebody waits for
	since    int              // records since the last checkpoint
	draining bool
}

func newScheduler(cfg *Config, state *fold.State, views *projector, calls *waiters, w *worker, stops *closer) *scheduler {
	return &scheduler{
		cfg: cfg, log: engine.Logger(cfg.Log), state: state, views: views, calls: calls, worker: w, stops: stops,
		journal: newJournal(engine.Logger(cfg.Log)), inbox: make(chan engine.Entry, 256), asks: make(chan func(), 64), ended: make(chan struct{}),
		parking: newParking(cfg.Slots), limits: newLimits(cfg.Limits), due: newLines(), own: map[engine.RunID]bool{}, ticks: newTicks(cfg, state, newStarter(cfg)),
	}
}

// loop runs until ctx ends. target is the ledger's last sequence at start: up
// to there effects are only collected.
func (s *scheduler) loop(ctx context.Context, target uint64, caughtUp func()) error {
	defer close(s.ended)
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		if !s.current && s.state.Seq >= target {
			s.current = true
			s.limits.restore(s.state)
			s.resume()
			caughtUp()
		}
		s.fire()
		s.dispatch(ctx)
		s.answerRoom()
		s.sleepUntilNext(clock)
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.inbox:
			if err := s.take(e); err != nil {
				return err
			}
		case ask := <-s.asks:
			ask()
		case <-clock.C:
		}
	}
}

// take folds an entry, and whatever else has arrived by now, so that the tasks
// that follow go out together.
func (s *scheduler) take(e engine.Entry) error {
	defer s.showAll()
	for n := 0; ; n++ {
		s.fold(e)
		if len(s.changes) >= maxHanded {
			s.showAll()
		}
		if n == cap(s.inbox) {
			return nil
		}
		select {
		case e = <-s.inbox:
		default:
			return nil
		}
	}
}

func (s *scheduler) fold(e engine.Entry) {
	effects := s.state.Apply(e)
	s.since += len(e.Records)
	for i := range effects {
		s.carryOut(&effects[i])
	}
	s.waiting.reached(s.state.Seq)
}

// maxHanded is how many changes are collected before the views get them.
const maxHanded = 1024

// showAll hands the collected changes to the views.
func (s *scheduler) showAll() {
	s.views.add(s.changes, s.state.Seq)
	s.changes = nil
	for _, c := range s.ends {
		s.views.whenShown(c.Pos.Seq, func() { s.calls.shown(c) })
	}
	s.ends = s.ends[:0]
}

func (s *scheduler) carryOut(e *fold.Effect) {
	switch e.Kind {
	case fold.Show:
		s.show(e.Change)
	case fold.Version:
		s.cfg.programs.add(e.Graph)
	case fold.Known:
		delete(s.own, e.Run)
		s.calls.started(e.Run, startResult{known: e.Known})
	case fold.Refused:
		delete(s.own, e.Run)
		s.calls.started(e.Run, startResult{refused: e.Reason, noFlow: e.NoFlow})
	case fold.Queued:
		s.calls.started(e.Run, startResult{doc: e.Open.Doc(engine.Pending, 0, false)})
	case fold.Emit:
		if e.Freed {
			s.emitted--
		}
		if s.current {
			s.plan(e.Open, fold.CellRef{Task: e.Task, Item: e.Item})
		}
	case fold.End:
		s.worker.cancelRun(e.Run)
		if s.current && e.Open.Ending != "" { // else it goes on with another stage already
			s.closeIdle(e.Open)
		}
	case fold.Told:
		s.calls.told(e.Heard)
	case fold.Ticks:
		if s.current && !s.cfg.OnlyOwn {
			s.ticks.plan(e.Flow, s.now())
		}
	case fold.Reopen:
		s.worker.ended(e.Run)
	}
}

func (s *scheduler) show(c *engine.Change) {
	switch c.Kind {
	case engine.RunStarted:
		s.calls.started(c.Run, startResult{doc: c.Doc})
	case engine.AttemptDone:
		if !c.Superseded {
			s.recorded(c)
		}
	case engine.RunDone:
		delete(s.own, c.Run)
		s.worker.ended(c.Run)
	}
	c.Replay = !s.current
	s.journal.see(c)
	s.changes = append(s.changes, *c)
	if s.calls.waitedFor(c) {
		s.ends = append(s.ends, c)
	}
}

// recorded frees the place of a task that was given out.
func (s *scheduler) recorded(c *engine.Change) {
	if c.Given {
		s.emitted--
	}
	if name, more := s.parking.recorded(c.Attempt.AttemptKey, c.Attempt.Outcome); more {
		s.unpark(name, false)
	}
	s.spent(c.Attempt)
}

// resume plans everything that is open, once the fold has reached the present:
// what was in flight when the process died is given out again, or, where a
// repeat is not safe, becomes interrupted.
func (s *scheduler) resume() {
	if !s.cfg.OnlyOwn {
		s.ticks.planAll(s.now())
	}
	for r := range s.state.Runs() {
		if s.cfg.OnlyOwn && !s.mine(r) {
			continue
		}
		if r.Ending != "" {
			s.closeIdle(r)
		}
		s.plan(r, fold.CellRef{Task: -1})
		for ref, t := range r.Cells() {
			switch {
			case t.Status == engine.Waiting:
				s.plan(r, ref)
			case r.Status == engine.Pending || t.Status != engine.Ready && t.Status != engine.Running:
			case t.Started:
				s.stops.lost(r.KeyOf(ref), cmp.Or(t.Sent, r.Tasks[ref.Task].Begin))
			default:
				t.Again = true
				s.plan(r, ref)
			}
		}
	}
}

// mine reports whether a run is one of this engine's, or was opened by one that is.
func (s *scheduler) mine(r *fold.Run) bool {
	if p := r.Parent(); p != "" && !s.own[r.ID] {
		if parent := s.state.Run(p); parent != nil && s.mine(parent) {
			s.own[r.ID] = true
		}
	}
	return s.own[r.ID]
}

// plan sets a run's timer (task -1), or gives a ready cell its place: due now, at
// its time, or parked with others.
func (s *scheduler) plan(r *fold.Run, ref fold.CellRef) {
	if s.cfg.OnlyOwn && !s.mine(r) {
		return
	}
	if ref.Task < 0 {
		if r.Deadline != 0 && r.Ending == "" {
			s.timers.add(runTimer(r.Deadline, r.ID), s.awaits)
		}
		return
	}
	t := r.Cell(ref)
	place := taskPlace{run: r, cell: ref, key: r.KeyOf(ref)}
	if t.Status == engine.Waiting && t.NotBefore != 0 {
		s.timers.add(taskTimer(t.NotBefore, place), s.awaits)
	}
	if t.Status != engine.Ready || t.Started || t.Held && r.Ending == "" {
		return
	}
	switch {
	case r.Ending != "":
		s.stops.cancelled(place.key, r)
	case t.Parked != "" && strings.HasPrefix(t.Parked, engine.LimitPrefix):
		s.hold(strings.TrimPrefix(t.Parked, engine.LimitPrefix), place, t.NotBefore)
	case t.Parked != "":
		if at, later := s.parking.park(t.Parked, place, t.NotBefore); later {
			s.timers.add(spotTimer(at, t.Parked), s.awaits)
		}
	case t.NotBefore > s.now():
		s.timers.add(taskTimer(t.NotBefore, place), s.awaits)
	default:
		s.due.add(place)
	}
}

// fire looks at every timer whose time has come.
func (s *scheduler) fire() {
	now := s.now()
	if s.current && !s.draining {
		s.ticks.fire(now)
	}
	for {
		t, ok := s.timers.due(now)
		if !ok {
			return
		}
		if failpoint.Fails("timer.twice") {
			s.timers.add(t, s.awaits)
		}
		switch r := s.state.Run(t.run); {
		case t.limit:
			if line := s.limits.keys[t.spot]; line != nil && line.look == t.at {
				line.look = 0
				s.freed(t.spot)
			}
		case t.spot != "":
			s.parking.looked(t.spot, t.at)
			s.unpark(t.spot, false)
		case r == nil:
		case t.task < 0:
			if r.Ending == "" && !r.Still() && r.Deadline <= now {
				s.stops.timeout(r)
			}
		default:
			place := t.place(r)
			switch {
			case !place.there() || !t.of(place.key):
			case place.waits():
				failpoint.Here("wake.due")
				s.stops.timeUp(place.key)
			case place.open():
				s.due.add(place)
			}
		}
	}
}

// awaits reports whether anything waits for a timer still.
func (s *scheduler) awaits(t *timer) bool {
	if t.limit {
		line := s.limits.keys[t.spot]
		return line != nil && line.look == t.at
	}
	if t.spot != "" {
		return s.parking.awaits(t.spot, t.at)
	}
	r := s.state.Run(t.run)
	switch {
	case r == nil:
		return false
	case t.task < 0:
		return r.Ending == "" && r.Deadline == t.at
	}
	place := t.place(r)
	return place.there() && t.of(place.key) && (place.open() || place.waits())
}

// tidy forgets what runs have left behind that have ended since.
func (s *scheduler) tidy() {
	s.parking.tidy()
	s.tidyLimits()
	s.timers.tidy(s.awaits)
}

// tidyPrograms forgets the programs of flow versions that are no longer in use,
// some at a time: with very many flows the loop would stand still for long.
func (s *scheduler) tidyPrograms(ctx context.Context) error {
	used := 0
	if err := s.ask(ctx, func() { used = s.state.Versions() }); err != nil || s.cfg.programs.count() == used {
		return err
	}
	for some := range slices.Chunk(s.cfg.programs.hashes(), 1024) {
		err := s.ask(ctx, func() {
			s.cfg.programs.drop(slices.DeleteFunc(some, func(hash string) bool { return s.state.Version(hash) != nil }))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unpark lets the next tasks of a spot go; those that remain look again when
// one of them is recorded.
func (s *scheduler) unpark(name string, force bool) {
	for _, place := range s.parking.take(name, s.now(), force) {
		if place.open() {
			s.due.add(place)
		} else if _, more := s.parking.recorded(place.key, engine.OutcomeCancelled); more {
			s.unpark(name, force)
		}
	}
}

// there reports whether the cell is still there: an item is not once it has ended.
func (p taskPlace) there() bool { return p.run.Cell(p.cell) != nil }

// open reports whether the place still waits to be given out.
func (p taskPlace) open() bool {
	t := p.run.Cell(p.cell)
	return t != nil && t.Status == engine.Ready && t.Given == nil && !t.Held && p.run.Ending == "" && p.run.KeyOf(p.cell) == p.key
}

// waits reports whether the place waits for its time, or for what comes before.
func (p taskPlace) waits() bool { return p.run.Cell(p.cell).Status == engine.Waiting }

// ahead is how many tasks are given out per slot: one that runs, and one that
// waits in the worker, so that no slot is empty while the scheduler turns. What
// is beyond stays in the lines, where it does not stand in others' way.
const ahead = 2

// dispatch gives out what is due, in turns: to the worker of this process
// while it takes tasks, otherwise through the queue. There each task travels
// alone while slots are free, so that none sits behind a slow one; what would
// wait for a slot anyway travels in bundles.
func (s *scheduler) dispatch(ctx context.Context) {
	if s.draining || !s.current {
		return
	}
	var bundle []engine.ReadyTask
	var sent *emission
	for s.emitted < ahead*s.cfg.Slots {
		place, more := s.due.next()
		if !more {
			break
		}
		if !place.open() {
			s.gone(place)
			continue
		}
		limit, admitted := s.admitted(place)
		if !admitted {
			continue
		}
		failpoint.Here("dispatch")
		t, rt := place.run.Cell(place.cell), place.run.ReadyCell(place.cell)
		rt.Limit = limit
		s.emitted++
		if s.worker.offer(&rt) {
			t.Given = &emission{at: s.cfg.Now(), near: true}
			if failpoint.Fails("dispatch.twice") {
				s.push(ctx, []engine.ReadyTask{rt}, &emission{})
			}
			continue
		}
		if bundle == nil {
			sent = &emission{at: s.cfg.Now()}
		}
		t.Given = sent
		if bundle = append(bundle, rt); len(bundle) == maxBundle || s.emitted <= s.cfg.Slots {
			s.push(ctx, bundle, sent)
			bundle = nil
		}
	}
	if bundle != nil {
		s.push(ctx, bundle, sent)
	}
}

// emission is what the scheduler remembers of one READY message, or of a task
// that the worker of this process took without one.
type emission struct {
	at   time.Time
	near bool          // in this process: it cannot get lost
	seq  atomic.Uint64 // in the queue; 0 until stored
}

// GivenAt is when the attempt was given out.
func (e *emission) GivenAt() engine.Micros { return engine.At(e.at) }

func (s *scheduler) push(ctx context.Context, bundle []engine.ReadyTask, sent *emission) {
	s.cfg.ReadyQueue.Push(ctx, bundle, func(seq uint64, err error) {
		if err != nil {
			s.log.Warn("ready tasks were not stored and are emitted again", engine.LogErr, err)
			return
		}
		sent.seq.Store(seq)
	})
}

// closeIdle writes the records of an ending run's tasks that no worker has in
// its hands, so that the run can end.
func (s *scheduler) closeIdle(r *fold.Run) {
	for ref, t := range r.Cells() {
		if (t.Status == engine.Ready || t.Status == engine.Running) && t.Given == nil {
			s.stops.cancelled(r.KeyOf(ref), r)
		}
	}
}

// room waits until more runs may be opened and says how many: while the slots
// have enough to do, or so many runs are open that memory is what is short,
// none.
func (s *scheduler) room(ctx context.Context) (int, error) {
	r := make(chan int, 1)
	if err := s.ask(ctx, func() { s.askRoom = append(s.askRoom, r) }); err != nil {
		return 0, err
	}
	select {
	case n := <-r:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// answerRoom lets those go on that wait for room.
func (s *scheduler) answerRoom() {
	if len(s.askRoom) == 0 || s.draining || !s.current {
		return
	}
	n := s.cfg.MaxOpenRuns - s.state.Open()
	if n <= 0 || s.due.n >= ahead*s.cfg.Slots {
		return
	}
	for _, r := range s.askRoom {
		r <- n
	}
	s.askRoom = nil
}

func (s *scheduler) now() engine.Micros { return engine.At(s.cfg.Now()) }

// sleepUntilNext sets the clock to the earliest timer.
func (s *scheduler) sleepUntilNext(clock *time.Timer) {
	d := time.Hour
	if at, ok := s.timers.next(); ok {
		d = max(0, time.Duration(at-s.now())*time.Microsecond)
	}
	if !s.draining {
		d = s.ticks.rest(s.now(), d)
	}
	clock.Reset(d)
}
