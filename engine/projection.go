package engine

import (
	"context"
	"time"
)

// Projection is a view that follows the ledger: a bucket, a stream, a table.
// It can be deleted and is rebuilt with the same content.
//
// Every view is fed by a goroutine of its own, at its own speed: nobody waits
// for one that is slow, and it may be as slow as it must. One that falls far
// behind is fed from the ledger, which is kept for it. All calls come from that
// goroutine, one after another, apart from Position.
type Projection interface {
	// Name is a word for status and log, such as "runs".
	Name() string
	// Position is the last change that the view has durably taken, or what
	// Mark stored last, whichever is newer; the zero Pos when it is new. Asked
	// once, at start.
	Position(ctx context.Context) (Pos, error)
	// Project takes a batch of up to some thousand changes, in order, and
	// returns when all of them are stored. A view that writes in transactions
	// stores the last change's Pos as its position in the same one. A batch may
	// begin and end within a ledger entry. After an error, or a restart, the
	// same changes may come again, in other batches, also such as are not after
	// Position: writing one twice must not show. It is repeated until it works;
	// when ctx ends it may return early. What changes points to must not be
	// changed; only a Doc may be kept.
	Project(ctx context.Context, changes []Change) error
	// Mark stores that the view has taken everything up to the position, also
	// where it had nothing to write for it. It comes between batches, after
	// each checkpoint of the ledger, and says what of the ledger the view needs
	// no more.
	Mark(ctx context.Context, at Pos) error
}

// Trailing is a projection into another system, which may be slow or not there
// at all. Nobody who follows events waits for it. Whoever waits for the end of a
// run waits for it too, but for no longer than its patience once all the others
// show the end, and not at all while it cannot be written or reads the ledger
// again.
type Trailing interface {
	Projection
	// Patience is asked once.
	Patience() time.Duration
	// Pause is how long the view is left alone after a batch, so that the next
	// is worth a transaction.
	Pause() time.Duration
}

// Holding is a projection that holds some changes back for a while, since
// something that comes soon may make them needless. Its Position stays before
// the oldest of them, so that they come again after a crash; Mark writes them
// first. Nobody waits for what is held back to be shown.
type Holding interface {
	Projection
	// Due is how long it is until something is to be written that is held back;
	// false: nothing is. It is asked when there are no changes for the view.
	Due() (time.Duration, bool)
	// WriteDue writes what is due, as Project does.
	WriteDue(ctx context.Context) error
}

// Change is one thing that a fold step made visible. The fields hold all that
// a view needs; a view never reads the fold's state.
type Change struct {
	Pos  Pos
	At   Micros // time of the ledger entry
	Kind ChangeKind
	Run  RunID
	Flow FlowID
	Task TaskID

	BatchID    int64          // AttemptDone, TaskReady, TaskClosed, TaskKept
	Attempt    *AttemptRecord // AttemptDone
	Trace      *TraceContext  // RunStarted, RunDone, AttemptDone, TaskClosed: of the run
	Began      Micros         // AttemptDone, TaskClosed, where it ends the task: its first attempt; 0: it does not, or there was none
	Superseded bool           // AttemptDone: it came too late and changed nothing
	Doc        *RunDoc        // RunStarted, RunDone, RunChanged
	Status     Status         // TaskClosed, TaskKept: what the task is now
	Reason     string         // RunRejected, RunChanged, TaskClosed, TaskKept
	Untold     uint64         // RunRejected: how many were refused since the last one that was shown
	Seeds      []byte         // RunDone: what another run can go on with (Seeds.Encode); nil: its document says it
	Value      []byte         // RunChanged: the value that a person gave an interrupted task, JSON text
	Replay     bool           // the change is older than this start of the node

	// Given: this process had given the attempt out (AttemptDone). It is for
	// the scheduler; a view that shows it would differ after a rebuild.
	Given bool
}

// ChangeKind says what a Change is; it is the <kind> of the event subject
// where there is an event for it.
type ChangeKind string

// The kinds of change.
const (
	RunStarted  ChangeKind = "run.started"
	RunRejected ChangeKind = "run.rejected"
	RunChanged  ChangeKind = "run.interrupted" // a task waits for a person, or was resolved
	RunDone     ChangeKind = "run.done"
	TaskReady   ChangeKind = "task.ready"
	TaskClosed  ChangeKind = "task.closed" // final by something else than its attempt; no event
	TaskKept    ChangeKind = "task.kept"   // of a rerun: it was done in an earlier run; no event
	AttemptDone ChangeKind = "task.done"   // published as the operation-log document
)
