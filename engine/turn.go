package engine

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Limits of turns.
const (
	MaxTurns       = 10_000    // of a task in a run
	MaxRunAttempts = 1_000_000 // of all tasks of a run
)

// Next is what one turn of a task leaves for the following one. A task whose
// work is more than one call takes turns: each is planned, retried, recorded and
// survives a restart as a task of one call does, and none holds a worker while
// it waits for its time.
type Next struct {
	Carry []byte        // at most MaxCarry bytes that the next turn gets; the engine never reads them
	After time.Duration // the shortest wait before it; 0: it starts at once
	// Await, when set, is what it waits for (AwaitSignal, AwaitApproval,
	// AwaitTime); After is then the longest wait, 0: for ever. The task's status is
	// waiting meanwhile, and the run's time does not pass while it has nothing else
	// to do.
	Await string
	Open  *Child // instead of Await: open a run, and wait for its end
}

// Good reports whether an attempt did what it was made for.
func (o Outcome) Good() bool { return o == OutcomeSuccess || o == OutcomeAgain }

// Turning is what a turn knows of those before it.
type Turning struct {
	Carry []byte // what the last one left; nil in the first turn
	Prev  Pos    // of the record that holds the last part; zero: there is none
}

// SetTurn gives the input what the turns before have left.
func (in *TaskInput) SetTurn(t Turning) {
	if t.Carry != nil || t.Prev.Seq != 0 {
		in.values.more().turn = t
	}
}

// Carry is what the turn before has left for this one; nil in the first turn.
func (in *TaskInput) Carry() []byte {
	if in.values.rare == nil {
		return nil
	}
	return in.values.rare.turn.Carry
}

// maxHeldParts is how many bytes of parts stay in memory between finding where
// they are, from the last to the first, and reading them in order.
const maxHeldParts = 4 << 20

// Parts yields the values that the turns before this one have left, in order, as
// JSON text. They are read from the ledger one by one: all of them never are in
// memory at once. It ends with the first error.
func (in *TaskInput) Parts(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if in.values.rare == nil {
			return
		}
		var places []Pos // from the last to the first
		held := map[Pos]Upstream{}
		room := maxHeldParts
		for at := in.values.rare.turn.Prev; at.Seq != 0; {
			if len(places) > MaxTurns {
				yield(nil, fmt.Errorf("%w: the parts of task %s do not end", ErrInvalid, in.Key.Task))
				return
			}
			part, err := in.values.store.Load(ctx, ReadyInput{Task: in.Key.Task, At: at})
			if err != nil {
				yield(nil, fmt.Errorf("read part %d from the end of task %s: %w", len(places)+1, in.Key.Task, err))
				return
			}
			places = append(places, at)
			if room -= len(part.Value); room >= 0 {
				held[at] = part
			}
			at = part.Prev
		}
		for i := len(places) - 1; i >= 0; i-- {
			text, err := in.part(ctx, places[i], held)
			if !yield(text, err) || err != nil {
				return
			}
		}
	}
}

func (in *TaskInput) part(ctx context.Context, at Pos, held map[Pos]Upstream) ([]byte, error) {
	part, ok := held[at]
	if delete(held, at); !ok {
		var err error
		if part, err = in.values.store.Load(ctx, ReadyInput{Task: in.Key.Task, At: at}); err != nil {
			return nil, err
		}
	}
	if part.Blob != nil {
		return ReadValue(ctx, in.values.store, part.Blob, MaxPart)
	}
	return in.unseal(ctx, part.Run, in.Key.Task, PartValue, part.Value)
}

// MaxPart is the largest part of a task's value, in bytes.
const MaxPart = 64 << 20
