package engine

import "context"

// ReadyTask is everything a worker needs to make one attempt, so that it never
// waits for a projection.
type ReadyTask struct {
	AttemptKey
	Flow          FlowID        `cbor:"7,keyasint"`
	Version       string        `cbor:"8,keyasint"` // hash of the flow version
	BatchID       int64         `cbor:"9,keyasint,omitempty"`
	ExecutionDate Micros        `cbor:"10,keyasint,omitempty"`
	Variables     []byte        `cbor:"11,keyasint,omitempty"` // what the trigger gave, JSON object
	VariablesAt   Pos           `cbor:"12,keyasint,omitempty"` // instead, when large
	Inputs        []ReadyInput  `cbor:"13,keyasint,omitempty"`
	Again         bool          `cbor:"14,keyasint,omitempty"` // may have been sent before a crash
	Waited        Micros        `cbor:"15,keyasint,omitempty"` // since when it is being postponed
	Trace         *TraceContext `cbor:"17,keyasint,omitempty"` // of the run
	Jar           []Pos         `cbor:"16,keyasint,omitempty"` // of the records that hold its cookie jar
	Carry         []byte        `cbor:"18,keyasint,omitempty"` // what the turn before has left for this one
	CarryAt       Pos           `cbor:"19,keyasint,omitzero"`  // of the record that holds it, when it is not here
	Prev          Pos           `cbor:"20,keyasint,omitzero"`  // of the record that holds the last part
	KeyRun        RunID         `cbor:"21,keyasint,omitempty"` // whose idempotency keys it sends; "" for its own run's
	Wake          *Wake         `cbor:"30,keyasint,omitempty"` // what has ended the wait of the turn before
	ItemsAt       Pos           `cbor:"31,keyasint,omitzero"`  // of an item: of the record that has the list
	ItemsEnd      *ItemsEnd     `cbor:"32,keyasint,omitempty"` // the last turn of a task with for_each: how its items ended
	Limit         string        `cbor:"50,keyasint,omitempty"` // key of the rate limit that a call was taken of for it
	RunSoFar      []byte        `cbor:"22,keyasint,omitempty"` // how the run stands, JSON object, where the task reads it
}

// ReadyInput is the XCom value of one upstream task, or where it stands.
type ReadyInput struct {
	Task     TaskID `cbor:"1,keyasint"`
	None     bool   `cbor:"2,keyasint,omitempty"` // it stored nothing
	Value    []byte `cbor:"3,keyasint,omitempty"`
	Response []byte `cbor:"4,keyasint,omitempty"`
	At       Pos    `cbor:"5,keyasint,omitempty"` // of the attempt record, when not inline
	Attempts int    `cbor:"6,keyasint,omitempty"`
	Lacks    string `cbor:"7,keyasint,omitempty"` // why there is none: "check was skipped (when is false)"
}

// ReadyQueue carries tasks from the scheduler to workers. It is derived: what
// it loses, the scheduler emits again from the fold.
type ReadyQueue interface {
	// Push publishes one bundle without waiting; accepted is called with its
	// sequence, or with an error when it was not stored: once, or for each
	// piece of a bundle that is too large for one message.
	Push(ctx context.Context, bundle []ReadyTask, accepted func(seq uint64, err error))
	// Pull hands deliveries to fn until ctx ends; at most ahead bundles are
	// delivered and not yet finished. fn must not block for long.
	Pull(ctx context.Context, ahead int, fn func(Delivery)) error
	// Holds reports whether a bundle is still in the queue.
	Holds(ctx context.Context, seq uint64) (bool, error)
}

// Delivery is one bundle in a worker's hands.
type Delivery interface {
	Tasks() []ReadyTask
	Redelivered() bool
	Done()       // every record of the bundle is in the ledger
	InProgress() // a sign of life; the queue waits 15 s for one
	Return()     // hand it back for another worker
	Ignore()     // another delivery of the same bundle is being worked on
}
