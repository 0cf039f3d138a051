package runtime

import (
	"sort"

	"github.com/qarion/qarion/engine"
)

// DefaultViewQueue is how many changes stay in memory for views that lag, and
// DefaultViewQueueBytes how much they may take, as changeSize counts.
const (
	DefaultViewQueue      = 100_000
	DefaultViewQueueBytes = 64 << 20
)

// changeQueue is the newest changes, numbered from 1 on, for every view that
// keeps up: each reads at its own place. It is bounded: the oldest go first,
// whether every view has taken them or not, and whoever needed them reads them
// again from the ledger.
type changeQueue struct {
	max      int // changes, and
	maxBytes int
	segments []segment
	next     uint64 // the number that the next change gets
	count    int
	bytes    int
	gone     engine.Pos // of the newest change that is not there any more
}

// segment is changes that came together. They never change.
type segment struct {
	first   uint64
	changes []engine.Change
	bytes   int
}

func newChangeQueue(max, maxBytes int, from engine.Pos) *changeQueue {
	return &changeQueue{max: max, maxBytes: maxBytes, next: 1, gone: from}
}

// add appends changes; they belong to the queue from now on.
func (q *changeQueue) add(changes []engine.Change) {
	s := segment{first: q.next, changes: changes}
	for i := range changes {
		s.bytes += changeSize(&changes[i])
	}
	q.segments = append(q.segments, s)
	q.next += uint64(len(changes))
	q.count += len(changes)
	q.bytes += s.bytes
	for (q.count > q.max || q.bytes > q.maxBytes) && len(q.segments) > 0 {
		q.drop()
	}
}

func (q *changeQueue) drop() {
	s := q.segments[0]
	q.gone = s.changes[len(s.changes)-1].Pos
	q.segments[0] = segment{}
	q.segments = q.segments[1:]
	q.count -= len(s.changes)
	q.bytes -= s.bytes
	if len(q.segments) == 0 {
		q.segments = nil
	}
}

// first is the number of the oldest change that is there.
func (q *changeQueue) first() uint64 {
	if len(q.segments) == 0 {
		return q.next
	}
	return q.segments[0].first
}

// trim forgets what stands before a number, as far as whole segments go.
func (q *changeQueue) trim(before uint64) {
	for len(q.segments) > 0 && q.segments[0].first+uint64(len(q.segments[0].changes)) <= before {
		q.drop()
	}
}

// from returns changes from a number on, in parts that follow each other: at
// most max of them, and no more bytes than a segment above the given. left is
// the change that comes next; nil: there is none.
func (q *changeQueue) from(at uint64, max, bytes int) (parts [][]engine.Change, left *engine.Change) {
	i := sort.Search(len(q.segments), func(i int) bool {
		return q.segments[i].first+uint64(len(q.segments[i].changes)) > at
	})
	for ; i < len(q.segments); i++ {
		s := &q.segments[i]
		part := s.changes
		if at > s.first {
			part = part[at-s.first:]
		}
		if max == 0 || bytes < 0 {
			return parts, &part[0]
		}
		if len(part) > max {
			return append(parts, part[:max]), &part[max]
		}
		parts = append(parts, part)
		max, bytes = max-len(part), bytes-s.bytes
	}
	return parts, nil
}

// after is the number of the first change of an entry behind a sequence.
func (q *changeQueue) after(seq uint64) uint64 {
	i := sort.Search(len(q.segments), func(i int) bool {
		c := q.segments[i].changes
		return c[len(c)-1].Pos.Seq > seq
	})
	if i == len(q.segments) {
		return q.next
	}
	s := q.segments[i]
	return s.first + uint64(sort.Search(len(s.changes), func(i int) bool { return s.changes[i].Pos.Seq > seq }))
}

// changeSize is about what a change takes in memory, in bytes.
func changeSize(c *engine.Change) int {
	n := 256 + len(c.Reason) + len(c.Value) + len(c.Seeds)
	if a := c.Attempt; a != nil {
		n += 512 + len(a.Value) + len(a.Response) + len(a.Details) + len(a.Error) + len(a.Reason) + len(a.Parked)
	}
	if d := c.Doc; d != nil {
		n += 1024 + 384*len(d.Tasks) + 128*d.Variables.Len()
		if d.Error != nil {
			n += len(d.Error.Message) + len(d.Error.ResponseExcerpt) + len(d.Error.Details)
		}
	}
	return n
}
