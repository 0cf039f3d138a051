package engine

import "context"

// Projection is a view that follows the ledger: a bucket, a stream, a table.
// It can be deleted and is rebuilt with the same content.
type Projection interface {
	Name() string
	// Position is the last change that the view has durably taken; the zero
	// Pos when it is new. Asked once, at start.
	Position(ctx context.Context) (Pos, error)
	// Project takes changes in order and returns when all of them are stored.
	// The same change may come again: writing it twice must not show.
	Project(ctx context.Context, changes []Change) error
	// Mark stores that the view has taken everything up to the position.
	Mark(ctx context.Context, at Pos) error
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

	Attempt    *AttemptRecord // AttemptDone
	Superseded bool           // AttemptDone: it came too late and changed nothing
	Doc        *RunDoc        // RunStarted, RunDone, RunChanged
	Reason     string         // RunRejected, RunChanged
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
	AttemptDone ChangeKind = "task.done" // published as the operation-log document
)
