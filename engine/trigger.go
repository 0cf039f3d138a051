package engine

import "context"

// TriggerPlace is where a client's trigger stood in the stream of triggers. It
// travels with the submit record that the trigger becomes, so that the fold
// takes each trigger once, however often it was written.
type TriggerPlace struct {
	Stream int64  `cbor:"1,keyasint,omitempty"` // when the stream was made: one that was made anew counts from 1 again
	Seq    uint64 `cbor:"2,keyasint,omitempty"`
}

// Trigger is a client's trigger that waits to be taken into the ledger.
type Trigger struct {
	TriggerRecord
	Place  TriggerPlace
	Stored Micros // when the client's publish was stored: the run counts as accepted then
}

// Triggers is the stream in which clients' triggers wait. It keeps a burst of
// them away from the ledger's readers and writers.
type Triggers interface {
	// Next waits for triggers and returns what is there, in order, at most n
	// of them and about half a megabyte. Some may come again that were
	// returned before. The intake calls it once per bundle; it ends with ctx.
	Next(ctx context.Context, n int) ([]Trigger, error)
	// Taken removes what Next has returned so far: it is in the ledger now.
	Taken(ctx context.Context) error
	// Waiting is the number of triggers that wait.
	Waiting(ctx context.Context) (uint64, error)
}
