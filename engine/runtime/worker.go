package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/failpoint"
)

// signOfLife is how often a worker tells the queue that it still holds a task.
const signOfLife = 5 * time.Second

// errStopped ends attempts that the node's stop cuts off; errCancelled those
// of a run that is ending.
var (
	errStopped   = errors.New("the node is stopping")
	errCancelled = errors.New("the run is ending")
)

// worker takes ready tasks and makes their attempts, each in a slot.
type worker struct {
	cfg   *Config
	log   *slog.Logger
	ask   stillOpen
	slots chan struct{}
	lists itemLists
	hand  chan engine.ReadyTask // to a goroutine that has ended its task
	busy  atomic.Int64

	mu        sync.Mutex
	take      func(rt engine.ReadyTask) // starts a task that came without the queue; nil while none is taken
	life      context.Context           // while tasks are taken; goes with take
	near      int                       // such tasks that have not ended
	calls     map[engine.AttemptKey]context.CancelCauseFunc
	held      map[engine.Delivery]struct{}
	cancelled map[engine.RunID]bool // runs that are ending: their tasks may still be on their way
	wg        sync.WaitGroup
}

// stillOpen is the scheduler's word on a task that was delivered a second time.
type stillOpen interface {
	// stillOpen folds up to the ledger's end and says whether the attempt is
	// open, and whether its request was already about to be sent.
	stillOpen(ctx context.Context, key engine.AttemptKey) (open, started bool, err error)
	// itemPlaces says where the records of a task's items stand, from a number on.
	itemPlaces(ctx context.Context, key engine.AttemptKey, from, most int) ([]engine.ItemPlace, error)
}

func newWorker(cfg *Config) *worker {
	return &worker{
		cfg: cfg, log: engine.Logger(cfg.Log), slots: make(chan struct{}, cfg.Slots), hand: make(chan engine.ReadyTask),
		calls: map[engine.AttemptKey]context.CancelCauseFunc{}, held: map[engine.Delivery]struct{}{}, cancelled: map[engine.RunID]bool{},
	}
}

// run takes tasks until ctx ends; then no new one starts, and calls ending
// cuts off those that are being made. It returns when all have ended.
func (w *worker) run(ctx, calls context.Context) error {
	// Records outlive the stop that may have ended their calls: losing one would
	// mean making its call again.
	save, done := context.WithCancel(context.WithoutCancel(calls))
	defer done()
	defer context.AfterFunc(calls, func() { time.AfterFunc(saveGrace, done) })()
	alive := time.NewTicker(signOfLife)
	defer alive.Stop()
	stopped := make(chan error, 1)
	w.open(ctx, calls, save)
	go func() {
		stopped <- w.cfg.ReadyQueue.Pull(ctx, 2*w.cfg.Slots, func(d engine.Delivery) { w.deliver(ctx, calls, save, d) })
	}()
	for {
		select {
		case err := <-stopped:
			w.shut()
			w.wg.Wait()
			return err
		case <-alive.C:
			w.signs()
		}
	}
}

// open lets tasks in that come straight from a scheduler in the same process.
func (w *worker) open(ctx, calls, save context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.life = ctx
	w.take = func(rt engine.ReadyTask) {
		defer w.left()
		select {
		case w.slots <- struct{}{}:
			w.attempt(calls, save, &rt, false)
		case <-ctx.Done(): // the next start gives it out again
		}
	}
}

func (w *worker) shut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.take = nil
}

func (w *worker) left() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.near--
}

// offer takes a task from the scheduler of the same process, while there is
// room for it: as many as there are slots may wait. It saves the way through
// the queue, which is for what does not fit here.
func (w *worker) offer(rt *engine.ReadyTask) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if failpoint.Fails("worker.offer") || w.take == nil || w.near >= 2*cap(w.slots) {
		return false
	}
	w.near++
	select {
	case w.hand <- *rt:
	default:
		ctx, take, task := w.life, w.take, *rt
		w.wg.Go(func() { w.serve(ctx, take, task) })
	}
	return true
}

// serve takes one task after another. A goroutine that goes on costs less than
// a new one for each task, whose stack has to grow anew every time.
func (w *worker) serve(ctx context.Context, take func(engine.ReadyTask), task engine.ReadyTask) {
	for {
		take(task)
		select {
		case task = <-w.hand:
		case <-ctx.Done():
			return
		}
	}
}

// signs tells the queue that what is held is being worked on.
func (w *worker) signs() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.held {
		d.InProgress()
	}
}

// ended forgets a run: none of its tasks is on its way any more.
func (w *worker) ended(id engine.RunID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.cancelled, id)
}

// deliver takes one bundle. The queue hears of it when every task in it has
// its record in the ledger.
func (w *worker) deliver(ctx, calls, save context.Context, d engine.Delivery) {
	failpoint.Here("worker.deliver")
	tasks := d.Tasks()
	if d.Redelivered() && w.holdsAny(tasks) {
		d.Ignore() // a slow call is not a lost one: the first delivery will answer
		return
	}
	w.mu.Lock()
	w.held[d] = struct{}{}
	w.mu.Unlock()
	w.wg.Go(func() {
		var all sync.WaitGroup
		var undone atomic.Bool
		for i := range tasks {
			select {
			case w.slots <- struct{}{}:
			case <-ctx.Done():
				undone.Store(true)
				continue
			}
			all.Go(func() {
				if !w.attempt(calls, save, &tasks[i], d.Redelivered()) {
					undone.Store(true)
				}
			})
		}
		all.Wait()
		w.mu.Lock()
		delete(w.held, d)
		w.mu.Unlock()
		if undone.Load() || failpoint.Fails("delivery.done") {
			d.Return()
		} else {
			d.Done()
		}
	})
}

func (w *worker) holdsAny(tasks []engine.ReadyTask) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range tasks {
		if w.calls[tasks[i].AttemptKey] != nil {
			return true
		}
	}
	return false
}

// cancelRun ends the calls of a run that is ending and keeps those that are
// still on their way from being made.
func (w *worker) cancelRun(id engine.RunID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancelled[id] = true
	for key, cancel := range w.calls {
		if key.Run == id {
			cancel(errCancelled)
		}
	}
}

// attempt makes one attempt in the slot that it was given, and gives the slot
// back before the record is written. It reports whether the task is done with:
// false hands it back to the queue.
func (w *worker) attempt(calls, save context.Context, rt *engine.ReadyTask, redelivered bool) bool {
	slot := true
	release := func() {
		if slot {
			slot = false
			<-w.slots
		}
	}
	defer release()
	ctx, cancel := context.WithCancelCause(calls)
	defer cancel(nil)
	if !w.enter(rt, cancel) {
		return true // the same attempt is being made already
	}
	defer w.leave(rt)
	if redelivered {
		if proceed, ok := w.second(ctx, rt); !proceed {
			return ok
		}
	}
	w.busy.Add(1)
	failpoint.Here("attempt.begin")
	rec := w.make(ctx, rt)
	failpoint.Here("attempt.made")
	w.busy.Add(-1)
	release()
	if rec == nil {
		return false
	}
	return appendPatiently(save, w.cfg.Ledger, w.log, rec) == nil
}

// saveGrace is how long a record may take to be stored while the node stops.
const saveGrace = 3 * time.Second

func (w *worker) enter(rt *engine.ReadyTask, cancel context.CancelCauseFunc) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls[rt.AttemptKey] != nil {
		return false
	}
	w.calls[rt.AttemptKey] = cancel
	if w.cancelled[rt.Run] {
		cancel(errCancelled)
	}
	return true
}

func (w *worker) leave(rt *engine.ReadyTask) {
	w.mu.Lock()
	delete(w.calls, rt.AttemptKey)
	w.mu.Unlock()
}

// second asks about a task that was delivered before, perhaps to a worker that
// is gone. ok is what attempt reports when it does not proceed.
func (w *worker) second(ctx context.Context, rt *engine.ReadyTask) (proceed, ok bool) {
	open, started, err := w.ask.stillOpen(ctx, rt.AttemptKey)
	switch {
	case err != nil:
		return false, false
	case !open:
		return false, true
	case started:
		rec := &engine.ControlRecord{
			Kind: engine.ControlInterrupt, Run: rt.Run, Task: rt.Task, Key: rt.AttemptKey,
			Reason: engine.UnknownOutcome + "may have been sent by a worker that is gone, no answer recorded",
		}
		return false, appendPatiently(ctx, w.cfg.Ledger, w.log, rec) == nil
	}
	rt.Again = true
	return true, true
}

// make runs the task's program and turns its output into the attempt's record;
// nil when the stop of the node cut it off and it may be made again.
func (w *worker) make(ctx context.Context, rt *engine.ReadyTask) *engine.AttemptRecord {
	rec := &engine.AttemptRecord{
		AttemptKey: rt.AttemptKey, Flow: rt.Flow, Start: engine.At(w.cfg.Now()), Worker: w.cfg.Worker, BatchID: rt.BatchID,
	}
	if context.Cause(ctx) == errCancelled {
		rec.Outcome, rec.Class, rec.Error, rec.End = engine.OutcomeCancelled, "cancelled", "cancelled before it was sent", rec.Start
		return rec
	}
	in, prog, err := w.prepare(ctx, rt)
	if err != nil {
		rec.End = engine.At(w.cfg.Now())
		failRecord(rec, &engine.TaskError{Class: "input", Message: err.Error()}, "")
		return rec
	}
	in.Started = rec.Start.Time()
	rec.Type, rec.Subtype, rec.Prev = in.Task.Type, in.Task.Subtype, rt.Prev
	if w.skips(ctx, rec, prog, in) {
		return rec
	}
	if prog.each != nil && in.Key.Item == 0 {
		rec.Subtype = "for_each"
		out, items := w.listOf(ctx, rt, prog, in)
		rec.End = engine.At(w.cfg.Now())
		if ctx.Err() != nil && out.Err != nil && !errors.Is(context.Cause(ctx), errCancelled) {
			return nil
		}
		if w.fill(ctx, rec, &out, prog.Retry, in); items != nil && rec.Outcome == engine.OutcomeSuccess {
			rec.Outcome, rec.Items = engine.OutcomeAgain, items
		}
		return rec
	}
	var sent engine.Micros
	in.OnSending(func(ctx context.Context, what func() engine.Details) error {
		if !in.Task.UnrepeatableIn(in.Key.Turn) || sent != 0 {
			return nil
		}
		sent = engine.At(w.cfg.Now())
		return w.announce(ctx, rec, sent, what)
	})
	out := execute(ctx, prog.Program, in)
	rec.End = engine.At(w.cfg.Now())
	if spent := in.LimitSpent(); out.Err == nil || out.Err.Defer == 0 { // else nothing was sent
		rec.Limit = spent
	}
	stopped := ctx.Err() != nil
	if stopped && out.Err != nil && !errors.Is(context.Cause(ctx), errCancelled) && !(in.Task.UnrepeatableIn(in.Key.Turn) && out.Err.Unknown) {
		return nil
	}
	w.fill(ctx, rec, &out, prog.Retry, in)
	return rec
}

// skips evaluates the condition of a task, before anything else is done for it.
// It reports whether that has ended the attempt: the task is skipped, or fails.
func (w *worker) skips(ctx context.Context, rec *engine.AttemptRecord, prog *taskProgram, in *engine.TaskInput) bool {
	if prog.when == nil || in.Key.Turn > 0 || in.Key.Item > 0 {
		return false
	}
	holds, err := prog.when.Truth(ctx, in)
	switch {
	case ctx.Err() != nil || err == nil && holds:
		return false
	case err != nil:
		message := err.Error()
		if len(in.Task.Secrets) > 0 {
			message = "when: it cannot be evaluated, and reads what a sensitive task has left"
		}
		failRecord(rec, &engine.TaskError{Class: "template", Message: message}, "")
	default:
		rec.Outcome, rec.Reason = engine.OutcomeSkipped, engine.WhenFalse
	}
	rec.End = engine.At(w.cfg.Now())
	return true
}

// announce writes that an unrepeatable request is about to be sent, and what it
// is: if its outcome is lost, a person has to find out.
func (w *worker) announce(ctx context.Context, rec *engine.AttemptRecord, at engine.Micros, what func() engine.Details) error {
	var details []byte
	if what != nil {
		details, _ = json.Marshal(what())
	}
	started := &engine.AttemptRecord{
		AttemptKey: rec.AttemptKey, Flow: rec.Flow, Outcome: engine.OutcomeStarted, Start: at, End: at,
		Type: rec.Type, Subtype: rec.Subtype, Worker: rec.Worker, BatchID: rec.BatchID, Details: details,
	}
	if _, err := w.cfg.Ledger.Append(ctx, started); err != nil {
		return fmt.Errorf("record that the request is about to be sent: %w", err)
	}
	failpoint.Here("attempt.announced")
	return nil
}

// execute runs a program; a panic in it is a permanent failure of the task,
// not of the node.
func execute(ctx context.Context, p engine.Program, in *engine.TaskInput) (out engine.TaskOutput) {
	defer func() {
		if r := recover(); r != nil {
			if in.Task.Sensitive {
				r = "it does not say how, since the task is sensitive"
			}
			out = engine.TaskOutput{Err: &engine.TaskError{Class: "panic", Message: fmt.Sprintf("the task type panicked: %v", r)}}
		}
	}()
	return p.Execute(ctx, in)
}

// prepare finds the task's program and collects its input.
func (w *worker) prepare(ctx context.Context, rt *engine.ReadyTask) (*engine.TaskInput, *taskProgram, error) {
	prog, err := w.cfg.programs.get(rt.Version, rt.Task)
	if err != nil {
		return nil, nil, err
	}
	in := &engine.TaskInput{
		Key: rt.AttemptKey, Flow: prog.flow, Task: prog.task, Installation: w.cfg.installation(),
		BatchID: rt.BatchID, ExecutionDate: rt.ExecutionDate.Time(), Worker: w.cfg.Worker,
		KeyRun: rt.KeyRun, Again: rt.Again, WaitingSince: rt.Waited.Time(),
	}
	if err := w.sealable(ctx, prog.task); err != nil {
		return nil, nil, err
	}
	variables := rt.Variables
	if rt.VariablesAt.Seq != 0 {
		if variables, err = w.loadVariables(ctx, rt.VariablesAt); err != nil {
			return nil, nil, err
		}
	}
	in.SetValues(variables, rt.Inputs, w)
	in.Tracing(rt.Trace, w.cfg.Spans)
	in.SetJar(rt.Jar)
	in.SetRunSoFar(rt.RunSoFar)
	in.SetLimits(w.cfg.Limits, rt.Limit)
	turn, err := w.turnOf(ctx, rt, prog.task)
	in.SetTurn(turn)
	if err != nil {
		return in, prog, err
	}
	if err := w.itemOf(ctx, rt, in); err != nil {
		return in, prog, err
	}
	wake, err := w.wakeOf(ctx, rt)
	in.SetWake(wake)
	return in, prog, err
}

// random draws from [0, 1) for jitter.
func random() float64 { return rand.Float64() }
