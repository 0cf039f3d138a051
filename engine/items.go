package engine

import (
	"encoding/binary"
	"fmt"
)

// Limits of for_each.
const (
	MaxItems           = 100_000
	MaxItemList        = 64 << 20 // bytes of the list, as JSON text
	MaxParallelItems   = 1000     // max_parallel
	MaxItemFailures    = 20       // that a run's document tells of
	MaxItemChunk       = 256 << 10
	MaxItemPlacesBytes = 400 << 10 // of all that a run leaves for another one
)

// DefaultMaxParallel is how many items of a task are worked on at once when its
// flow does not say.
const DefaultMaxParallel = 16

// What follows the failure of an item (on_item_failure).
const (
	ItemsFinish = "finish" // the others are done, then the task fails
	ItemsStop   = "stop"   // no other begins
	ItemsIgnore = "ignore" // the task succeeds all the same
)

// ItemFailureWords are all of them, the default first.
var ItemFailureWords = []string{ItemsFinish, ItemsStop, ItemsIgnore}

// Items is the list that a task with for_each works on, as the record of its
// first turn has it: whole, so that a task is expanded or not, never half.
type Items struct {
	N      int         `cbor:"1,keyasint"`
	List   []byte      `cbor:"2,keyasint,omitempty"` // an item a line, JSON text
	Chunks []ItemChunk `cbor:"3,keyasint,omitempty"` // instead: objects that were stored before the record
	Origin uint8       `cbor:"4,keyasint,omitempty"` // value.Origin of the list
	Sealed bool        `cbor:"5,keyasint,omitempty"` // it holds what a sensitive task has left
}

// ItemChunk is an object with some of the items, one a line.
type ItemChunk struct {
	Object string `cbor:"1,keyasint"`
	Items  int    `cbor:"2,keyasint"`
	Size   int64  `cbor:"3,keyasint"`
}

// ItemEnd is how an item ended.
type ItemEnd uint8

// The ends of an item.
const (
	ItemOpen    ItemEnd = iota // it has not ended
	ItemSuccess                //
	ItemSkipped                // its condition was false
	ItemFailed                 // the answer is known
	ItemUnknown                // it failed, and nobody knows what became of its request
)

// ItemPlace says how an item ended, and where its record stands.
type ItemPlace struct {
	At  Pos
	How ItemEnd
}

// EncodeItemPlaces writes places in few bytes: three or so for an item.
func EncodeItemPlaces(places []ItemPlace) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 8+3*len(places)), uint64(len(places)))
	last := uint64(0)
	for _, p := range places {
		if p.How == ItemOpen {
			b = append(b, 0)
			continue
		}
		d := int64(p.At.Seq - last)
		b = binary.AppendUvarint(b, uint64(d<<1^d>>63)<<3|uint64(p.How))
		b = binary.AppendUvarint(b, uint64(p.At.N))
		last = p.At.Seq
	}
	return b
}

// DecodeItemPlaces reads what EncodeItemPlaces wrote. ErrInvalid.
func DecodeItemPlaces(b []byte) ([]ItemPlace, error) {
	bad := false
	uint := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[size:]
		return n
	}
	n := uint()
	if n > MaxItems || n > uint64(len(b)) {
		return nil, fmt.Errorf("%w: the places of %d items", ErrInvalid, n)
	}
	places, last := make([]ItemPlace, n), uint64(0)
	for i := range places {
		head := uint()
		if head == 0 {
			continue
		}
		d := head >> 3
		last += uint64(int64(d>>1) ^ -int64(d&1))
		places[i] = ItemPlace{At: Pos{Seq: last, N: int(uint() & (1<<31 - 1))}, How: ItemEnd(head & 7)}
		if places[i].How > ItemUnknown {
			bad = true
		}
	}
	if bad || len(b) > 0 {
		return nil, fmt.Errorf("%w: the places of items are damaged", ErrInvalid)
	}
	return places, nil
}

// ItemsEnd is what the last turn of a task with for_each is told: how its items
// ended.
type ItemsEnd struct {
	N       int    `cbor:"1,keyasint"`
	Success int    `cbor:"2,keyasint,omitempty"`
	Failed  int    `cbor:"3,keyasint,omitempty"`
	Skipped int    `cbor:"4,keyasint,omitempty"`
	First   int    `cbor:"5,keyasint,omitempty"` // the first that failed, from 1
	Error   string `cbor:"6,keyasint,omitempty"` // what was wrong with it
	FirstAt Pos    `cbor:"7,keyasint,omitzero"`  // its record
	Fails   bool   `cbor:"8,keyasint,omitempty"` // more have failed than may
}

// ItemsDoc are a task's items in a document.
type ItemsDoc struct {
	Total       int           `json:"total"`
	Success     int           `json:"success"`
	Failed      int           `json:"failed"`
	Skipped     int           `json:"skipped"` // by their condition, or never begun in a task that has ended
	Running     int           `json:"running,omitempty"`
	Interrupted int           `json:"interrupted,omitempty"`
	Failures    []ItemFailure `json:"failures,omitempty"` // the first MaxItemFailures, and those that wait for a person
}

// ItemFailure is an item that failed, or waits for a person.
type ItemFailure struct {
	Item        int    `json:"item" cbor:"1,keyasint"` // from 1
	Class       string `json:"class" cbor:"2,keyasint,omitempty"`
	Message     string `json:"message" cbor:"3,keyasint,omitempty"`
	StatusCode  int    `json:"status_code,omitempty" cbor:"4,keyasint,omitempty"`
	Attempts    int    `json:"attempts" cbor:"5,keyasint,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty" cbor:"-"`
}

// TolerableItems is how many of n items may fail.
func (t *Task) TolerableItems(n int) int {
	if t.TolerateShare > 0 {
		return int(t.TolerateShare * float64(n) / 100)
	}
	return t.Tolerate
}

// Lanes is how many items are worked on at once.
func (t *Task) Lanes() int {
	if t.MaxParallel == 0 {
		return DefaultMaxParallel
	}
	return t.MaxParallel
}
