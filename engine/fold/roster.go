package fold

import (
	"iter"

	"github.com/qarion/qarion/engine"
)

// roster is runs in the order in which they came. A run stands in one roster
// at a time and leaves it at no cost, however long it is.
type roster struct {
	first, last *Run
	n           int
}

// place is where a run stands in a roster.
type place struct {
	in         *roster
	prev, next *Run
}

func (l *roster) add(r *Run) {
	r.place = place{in: l, prev: l.last}
	if l.last != nil {
		l.last.place.next = r
	} else {
		l.first = r
	}
	l.last = r
	l.n++
}

// leave takes a run out of the roster that it stands in.
func (r *Run) leave() {
	p := r.place
	if p.in == nil {
		return
	}
	if p.prev != nil {
		p.prev.place.next = p.next
	} else {
		p.in.first = p.next
	}
	if p.next != nil {
		p.next.place.prev = p.prev
	} else {
		p.in.last = p.prev
	}
	p.in.n--
	r.place = place{}
}

// pieces yields the ids of the runs, at most n at a time.
func (l *roster) pieces(n int) iter.Seq[[]engine.RunID] {
	return func(yield func([]engine.RunID) bool) {
		for r := l.first; r != nil; {
			var ids []engine.RunID
			for ; r != nil && len(ids) < n; r = r.place.next {
				ids = append(ids, r.ID)
			}
			if !yield(ids) {
				return
			}
		}
	}
}
