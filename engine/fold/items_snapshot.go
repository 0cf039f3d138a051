package fold

import (
	"encoding/binary"
	"fmt"

	"github.com/qarion/qarion/engine"
)

// fanSnapshot is the items of a task as data: those that have ended in few bytes
// each, those in flight as they are.
type fanSnapshot struct {
	At       engine.Pos           `cbor:"1,keyasint"`
	Next     int                  `cbor:"2,keyasint"`
	Ended    []byte               `cbor:"3,keyasint"` // engine.EncodeItemPlaces
	Starts   []byte               `cbor:"4,keyasint"` // of each that has ended: the distance from the one before
	Success  int                  `cbor:"5,keyasint,omitempty"`
	Failed   int                  `cbor:"6,keyasint,omitempty"`
	Skipped  int                  `cbor:"7,keyasint,omitempty"`
	Joining  bool                 `cbor:"8,keyasint,omitempty"`
	Failures []engine.ItemFailure `cbor:"9,keyasint,omitempty"`
	Open     []openItem           `cbor:"10,keyasint,omitempty"`
}

type openItem struct {
	Item int          `cbor:"1,keyasint"`
	Cell taskSnapshot `cbor:"2,keyasint"`
}

func (f *fan) snapshot() *fanSnapshot {
	if f == nil {
		return nil
	}
	fs := &fanSnapshot{
		At: f.at, Next: f.next, Ended: engine.EncodeItemPlaces(f.places()),
		Success: f.success, Failed: f.failed, Skipped: f.skipped, Joining: f.joining, Failures: f.failures,
	}
	last := engine.Micros(0)
	for i := range f.ended {
		if p := &f.ended[i]; p.how != engine.ItemOpen {
			fs.Starts = binary.AppendVarint(fs.Starts, int64(p.start-last))
			last = p.start
		}
	}
	for _, n := range f.numbers() {
		t := f.open[n]
		fs.Open = append(fs.Open, openItem{n, taskSnapshot{
			Status: t.Status, Reason: t.reason, Gen: t.gen, Turn: t.turn, Attempt: t.attempt, Dispatch: t.dispatch, Started: t.Started, Again: t.Again,
			NotBefore: t.NotBefore, Parked: t.Parked, Waited: t.waited, Sent: t.Sent, What: t.sent, LastStart: t.lastStart,
			Carry: t.carry, CarryAt: t.carryAt, Prev: t.prev, Held: t.Held, Await: t.await, Wake: t.wake,
		}})
	}
	return fs
}

// restore makes the items that a snapshot was taken of. ErrInvalid.
func (fs *fanSnapshot) restore() (*fan, error) {
	if fs == nil {
		return nil, nil
	}
	places, err := engine.DecodeItemPlaces(fs.Ended)
	if err != nil {
		return nil, err
	}
	f := newFan(fs.At, len(places))
	f.next, f.success, f.failed, f.skipped, f.joining, f.failures = fs.Next, fs.Success, fs.Failed, fs.Skipped, fs.Joining, fs.Failures
	f.take(places)
	starts, last := fs.Starts, int64(0)
	for i := range places {
		if places[i].How == engine.ItemOpen {
			continue
		}
		d, size := binary.Varint(starts)
		if size <= 0 {
			return nil, fmt.Errorf("%w: the starts of items are damaged", engine.ErrInvalid)
		}
		starts, last = starts[size:], last+d
		f.ended[i].start = engine.Micros(last)
	}
	for i := range fs.Open {
		o := &fs.Open[i]
		c := o.Cell.cell()
		if f.open[o.Item] = &c; !c.Held {
			f.lanes++
		}
	}
	return f, nil
}

// take takes places over.
func (f *fan) take(places []engine.ItemPlace) {
	for i, p := range places {
		f.ended[i] = itemPlace{seq: p.At.Seq, n: int32(p.At.N), how: p.How}
	}
}

// itemsSize is about how many tasks the run's items are worth in a snapshot.
func (r *Run) itemsSize() (n int) {
	for i := range r.Tasks {
		if f := r.Tasks[i].fan; f != nil {
			n += len(f.open) + f.n/16
		}
	}
	return n
}
