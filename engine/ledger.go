package engine

import (
	"cmp"
	"context"
)

// Pos is a place in the ledger: the sequence of a message and the index of a
// record in its bundle. As a projection's position it is the index of a change.
type Pos struct {
	Seq uint64 `cbor:"1,keyasint"`
	N   int    `cbor:"2,keyasint"`
}

// Before reports whether p comes before q.
func (p Pos) Before(q Pos) bool { return p.Seq < q.Seq || p.Seq == q.Seq && p.N < q.N }

// Compare orders places: negative when p comes before q.
func (p Pos) Compare(q Pos) int { return cmp.Or(cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.N, q.N)) }

// Entry is one message of the ledger: a bundle of records with one sequence.
type Entry struct {
	Seq     uint64
	At      Micros // when it was stored
	Records []Record
}

// Ledger is the truth: an ordered, durable sequence of records.
type Ledger interface {
	// Append returns when the record is as durable as configured. It groups
	// what is waiting into one write, so call it from many goroutines. After
	// an error the record may or may not be there; appending it again is safe,
	// since the fold takes the first. ErrUnavailable: the store refuses now
	// (full disk), try later. ErrInvalid: the record is too large.
	Append(ctx context.Context, rec Record) (seq uint64, err error)
	// AppendTogether stores submit records as one entry, in order: all of them
	// or none. After an error they may or may not be there. The intake alone
	// calls it, one call at a time.
	AppendTogether(ctx context.Context, recs []*SubmitRecord) (seq uint64, err error)
	// Verify looks for entries that are missing, up to the ledger's end and up
	// to a sequence that it is known to have reached. ErrDamaged names stream
	// and sequences. When the ledger was opened to go on without them, they are
	// noted instead, lost is true, and readings have a LossRecord in their
	// place.
	Verify(ctx context.Context, reached uint64) (lost bool, err error)
	// Follow delivers entries in order, from the given sequence, until ctx
	// ends (nil) or fn or the store fails. Missing entries are as in Verify.
	Follow(ctx context.Context, from uint64, fn func(Entry) error) error
	// Last is the newest sequence.
	Last(ctx context.Context) (uint64, error)
	// Read returns one record, of a copy (Kept) what was kept; ErrNotFound when it
	// was purged.
	Read(ctx context.Context, at Pos) (Record, error)
	// Since is the first sequence, from what is there up to a given one, whose
	// entry is not older than a time; the given one when all are older.
	Since(ctx context.Context, t Micros, upTo uint64) (uint64, error)
	// Purge removes every entry before a sequence. That it does is stored
	// first, so that a gap which a purge left can be told from a loss.
	Purge(ctx context.Context, before uint64) error
	// Purged is the sequence before which everything has been purged, or may
	// have been; 1 or less when nothing was.
	Purged(ctx context.Context) (uint64, error)
}
