package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/ratelimit"
)

// Defaults of Config.
const (
	DefaultCheckpointEvery = 20_000 // records
	DefaultMaxOpenRuns     = 20_000
	DefaultAnchorAfter     = 24 * time.Hour
)

// Config is what an Engine works with. A zero field means its default.
type Config struct {
	Ledger      engine.Ledger
	Checkpoints Checkpoints
	ReadyQueue  engine.ReadyQueue
	Triggers    engine.Triggers // what clients published; nil takes none
	Blobs       engine.Blobs
	Sealer      engine.Sealer       // of what sensitive tasks leave; nil: they fail
	Projections []engine.Projection // the last one publishes events: it hears of a run's end when the others have shown it
	TaskTypes   []engine.TaskType

	Worker          string           // this worker's name, a subject token
	Version         string           // of the program, written into what it stores
	Slots           int              // attempts at a time
	Grace           time.Duration    // for calls in flight when the engine stops
	Retention       time.Duration    // of closed runs in the ledger
	AnchorAfter     time.Duration    // a run that waits for so long does not keep the ledger from being purged
	CheckpointEvery int              // records between two checkpoints
	AcceptLoss      bool             // go on though the state before a purge cannot be read; see engine.Ledger.Verify
	Runs            engine.Runs      // what is shown of runs: looked through for lost ones after a loss; nil: they stay as shown
	Seeds           engine.SeedStore // what closed runs have left; nil: no run is repeated
	ViewQueue       int              // changes that stay in memory for views that lag
	ViewQueueBytes  int              // and how much they may take
	MaxOpenRuns     int              // clients' triggers wait in their stream while so many runs are open
	Spans           engine.Spans     // of the requests that programs send; nil: they have none
	OnlyOwn         bool             // execute only runs that this engine starts

	Limits *ratelimit.Limiter // of the calls; nil: there are none

	Now   func() time.Time                 // for what gets recorded
	NewID func(now time.Time) engine.RunID // of runs and installations
	Log   *slog.Logger

	programs     *programs
	installation func() string
}

func (c *Config) setDefaults() {
	if c.Slots <= 0 {
		c.Slots = engine.DefaultSlots
	}
	if c.Grace <= 0 {
		c.Grace = engine.DefaultGrace
	}
	if c.Retention <= 0 {
		c.Retention = engine.DefaultRetention
	}
	if c.AnchorAfter <= 0 {
		c.AnchorAfter = DefaultAnchorAfter
	}
	if c.CheckpointEvery <= 0 {
		c.CheckpointEvery = DefaultCheckpointEvery
	}
	if c.ViewQueue <= 0 {
		c.ViewQueue = DefaultViewQueue
	}
	if c.ViewQueueBytes <= 0 {
		c.ViewQueueBytes = DefaultViewQueueBytes
	}
	if c.MaxOpenRuns <= 0 {
		c.MaxOpenRuns = DefaultMaxOpenRuns
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = engine.RunIDs()
	}
	if c.Worker == "" {
		c.Worker = "local"
	}
	c.Log = engine.Logger(c.Log)
}

// Engine runs flows: it folds the ledger, gives tasks to its worker, and keeps
// the projections up to date.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	waiters *waiters
	worker  *worker
	closer  *closer
	sched   *scheduler
	intake  *intake
	views   *projector

	ready chan struct{}
	abort chan struct{}
	stop  sync.Once

	lost          atomic.Bool // this start goes on without entries that the ledger has lost
	id            string      // of the installation; set before ready is closed
	checkpointing sync.Mutex
}

// New prepares an engine; nothing runs before Run.
func New(cfg Config) (*Engine, error) {
	cfg.setDefaults()
	if cfg.Ledger == nil || cfg.Checkpoints == nil || cfg.ReadyQueue == nil || cfg.Blobs == nil {
		return nil, fmt.Errorf("%w: an engine needs a ledger, checkpoints, a ready queue and an object store", engine.ErrInvalid)
	}
	e := &Engine{log: cfg.Log, started: cfg.Now(), waiters: newWaiters(), ready: make(chan struct{}), abort: make(chan struct{})}
	cfg.programs = newPrograms(cfg.TaskTypes)
	cfg.installation = func() string { return e.id }
	e.cfg = cfg
	e.worker, e.closer = newWorker(&e.cfg), newCloser(&e.cfg)
	e.worker.ask = e
	return e, nil
}

// Ready is closed when the engine has folded all that was there at its start
// and takes work.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// Abort ends the grace period of a stop: calls in flight are cut off now.
func (e *Engine) Abort() { e.stop.Do(func() { close(e.abort) }) }

// Run runs the engine until ctx ends, then stops it in good order: nothing new
// starts, calls in flight get the grace period, and what is known is written
// down. It returns after everything that it started has ended.
func (e *Engine) Run(ctx context.Context) error {
	base, stopAll := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopAll(nil)
	target, err := e.open(base)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	spawn := func(name string, fn func() error) {
		all.Go(func() {
			if err := fn(); err != nil && base.Err() == nil {
				stopAll(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	from := e.sched.state.Seq + 1
	spawn("follow the ledger", func() error { return e.follow(base, from) })
	spawn("project", func() error { return e.views.run(base) })
	spawn("write control records", func() error { return e.closer.run(base) })
	spawn("start the runs of schedules", func() error { return e.sched.ticks.out.run(base) })
	spawn("schedule", func() error {
		return e.sched.loop(base, target, func() {
			e.id = e.sched.state.Installation // known once its record is folded
			close(e.ready)
		})
	})
	spawn("tell the operator", func() error { return e.sched.journal.run(base) })
	spawn("keep house", func() error { return e.keepHouse(base) })
	spawn("purge", func() error { return e.purgeNowAndThen(base) })
	spawn("end lost runs", func() error { return e.endLost(base) })

	select {
	case <-e.ready:
		err = e.work(ctx, base)
	case <-ctx.Done():
	case <-base.Done():
	}
	if base.Err() == nil {
		err = errors.Join(err, e.settle(base))
	}
	failed := context.Cause(base)
	stopAll(nil)
	all.Wait()
	return errors.Join(failed, err)
}

// work takes triggers and runs the worker until ctx ends or the engine has
// failed, and waits for calls in flight, at most for the grace period.
func (e *Engine) work(ctx, base context.Context) error {
	calls, cutOff := context.WithCancelCause(base)
	defer cutOff(nil)
	take, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(base, stop)()
	done := make(chan error, 1)
	go func() {
		var intake sync.WaitGroup
		var err error
		intake.Go(func() {
			if err = e.intake.run(take); err != nil {
				stop()
			}
		})
		failed := e.worker.run(take, calls)
		intake.Wait()
		done <- errors.Join(failed, err)
	}()
	select {
	case err := <-done:
		return err
	case <-take.Done():
	}
	e.sched.tell(base, func() { e.sched.draining = true })
	select {
	case err := <-done:
		return err
	case <-time.After(e.cfg.Grace):
	case <-e.abort:
	case <-base.Done():
	}
	cutOff(errStopped)
	return <-done
}

// settle waits, for a moment, until fold and views have everything, and writes
// a checkpoint, so that the next start has little to do.
func (e *Engine) settle(base context.Context) error {
	ctx, cancel := context.WithTimeout(base, 3*time.Second)
	defer cancel()
	last, err := e.cfg.Ledger.Last(ctx)
	if err == nil {
		err = e.sched.reached(ctx, last)
	}
	if err == nil {
		err = e.Checkpoint(ctx)
	}
	if err == nil {
		err = e.views.settle(ctx, last)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		e.log.Warn("stopped without a checkpoint; the next start folds more", engine.LogErr, err)
	}
	return nil
}

// follow hands the ledger's entries to the scheduler.
func (e *Engine) follow(ctx context.Context, from uint64) error {
	return e.cfg.Ledger.Follow(ctx, from, func(entry engine.Entry) error {
		for _, rec := range entry.Records {
			if _, lost := rec.(*engine.LossRecord); lost {
				e.lost.Store(true)
			}
		}
		select {
		case e.sched.inbox <- entry:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// open loads the newest checkpoint, looks whether the ledger is whole, and
// returns its last sequence. A new ledger gets its installation record.
func (e *Engine) open(ctx context.Context) (target uint64, err error) {
	positions, reached, err := e.positions(ctx)
	if err != nil {
		return 0, err
	}
	state, err := e.restoreNewest(ctx)
	if err != nil {
		return 0, err
	}
	lost, err := e.cfg.Ledger.Verify(ctx, max(reached, state.Seq))
	if err != nil {
		return 0, err
	}
	if lost {
		e.lost.Store(true)
	}
	if target, err = e.cfg.Ledger.Last(ctx); err != nil {
		return 0, fmt.Errorf("read the ledger's end: %w", err)
	}
	if target == 0 || lost && state.Installation == "" { // where there is one already it counts
		install := &engine.InstallRecord{ID: string(e.cfg.NewID(e.cfg.Now())), Version: e.cfg.Version}
		if target, err = e.cfg.Ledger.Append(ctx, install); err != nil {
			return 0, fmt.Errorf("write the installation record: %w", err)
		}
	}
	for g := range state.Graphs() {
		e.cfg.programs.add(g)
	}
	e.views = newProjector(&e.cfg, e.restore, state.Seq, target)
	e.openViews(positions)
	e.sched = newScheduler(&e.cfg, state, e.views, e.waiters, e.worker, e.closer)
	e.intake = &intake{cfg: &e.cfg, log: e.log, sched: e.sched}
	return target, nil
}

// positions asks every view how far it is, and says which entry of the ledger
// at least one of them has seen last.
func (e *Engine) positions(ctx context.Context) (list []engine.Pos, newest uint64, err error) {
	for _, v := range e.cfg.Projections {
		at, err := v.Position(ctx)
		if err != nil {
			return nil, 0, fmt.Errorf("read the position of %s: %w", v.Name(), err)
		}
		list = append(list, at)
		newest = max(newest, at.Seq)
	}
	return list, newest, nil
}

// openViews makes every view go on where it is. The last one tells of a run's
// end: it follows the others.
func (e *Engine) openViews(positions []engine.Pos) {
	for i, v := range e.cfg.Projections {
		var follows []*view
		if i == len(e.cfg.Projections)-1 {
			follows = e.views.toFollow()
		}
		e.views.addView(v, positions[i], follows...)
	}
}
