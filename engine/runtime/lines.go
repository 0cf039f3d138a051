package runtime

import (
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

// lines are the tasks that may start now, as people stand in line: one line
// per flow, and in it one per run. They are given out in turns, over the flows
// and within a flow over its runs, so that a flow with a hundred thousand
// ready tasks delays another by one task and not by all of them. Flows of higher
// priority have more turns, and none has no turn.
type lines struct {
	flows [len(weights)]queue[*flowLine] // by their priorities
	turns [len(weights)]int              // what each has had less than its share
	byID  map[engine.FlowID]*flowLine
	n     int

	// Lines that were emptied, to be used again: a task that waits for nobody
	// comes and goes without allocating.
	spareFlows []*flowLine
	spareRuns  []*runLine
}

// weights are how many turns flows of each priority have.
var weights = [...]int{priorityLow: 1, priorityNormal: 4, priorityHigh: 16}

const (
	priorityLow = iota
	priorityNormal
	priorityHigh
)

func priorityOf(f *engine.Flow) int {
	switch f.Priority {
	case "low":
		return priorityLow
	case "high":
		return priorityHigh
	}
	return priorityNormal
}

// maxSpare is how many emptied lines are kept.
const maxSpare = 256

type flowLine struct {
	id   engine.FlowID
	rank int // its priority
	runs queue[*runLine]
	byID map[engine.RunID]*runLine
}

type runLine struct {
	id    engine.RunID
	tasks queue[taskPlace]
}

// taskPlace names a dispatch of a cell of an open run.
type taskPlace struct {
	run  *fold.Run
	cell fold.CellRef
	key  engine.AttemptKey
}

func newLines() *lines { return &lines{byID: map[engine.FlowID]*flowLine{}} }

// add puts a task at the end of its run's line.
func (l *lines) add(p taskPlace) {
	id := p.run.Graph.Flow.ID
	f := l.byID[id]
	if f == nil {
		if f = spare(&l.spareFlows); f == nil {
			f = &flowLine{byID: map[engine.RunID]*runLine{}}
		}
		f.id, f.rank, l.byID[id] = id, priorityOf(p.run.Graph.Flow), f
		l.flows[f.rank].push(f)
	}
	r := f.byID[p.run.ID]
	if r == nil {
		if r = spare(&l.spareRuns); r == nil {
			r = &runLine{}
		}
		r.id = p.run.ID
		f.byID[p.run.ID] = r
		f.runs.push(r)
	}
	r.tasks.push(p)
	l.n++
}

// next takes the task whose turn it is.
func (l *lines) next() (p taskPlace, ok bool) {
	f, ok := l.flows[l.turn()].pop()
	if !ok {
		return p, false
	}
	r, _ := f.runs.pop()
	p, _ = r.tasks.pop()
	l.n--
	if r.tasks.len() > 0 {
		f.runs.push(r)
	} else {
		delete(f.byID, r.id)
		keepSpare(&l.spareRuns, r)
	}
	if f.runs.len() > 0 {
		l.flows[f.rank].push(f)
	} else {
		delete(l.byID, f.id)
		keepSpare(&l.spareFlows, f)
	}
	return p, true
}

// turn is the priority whose turn it is, by smooth weighted round-robin: turns are
// spread, not given in rows.
func (l *lines) turn() (next int) {
	all := 0
	next = priorityNormal
	for rank := range weights {
		if l.flows[rank].len() == 0 {
			l.turns[rank] = 0
			continue
		}
		l.turns[rank] += weights[rank]
		if all == 0 || l.turns[rank] > l.turns[next] {
			next = rank
		}
		all += weights[rank]
	}
	l.turns[next] -= all
	return next
}

// all yields every task, in no order that means anything.
func (l *lines) all(yield func(taskPlace) bool) {
	for _, f := range l.byID {
		for _, r := range f.runs.waiting() {
			for _, p := range r.tasks.waiting() {
				if !yield(p) {
					return
				}
			}
		}
	}
}

func spare[T any](list *[]*T) (v *T) {
	if n := len(*list); n > 0 {
		v, *list = (*list)[n-1], (*list)[:n-1]
	}
	return v
}

func keepSpare[T any](list *[]*T, v *T) {
	if len(*list) < maxSpare {
		*list = append(*list, v)
	}
}

// queue is a first-in first-out list that gives its memory back as it empties.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) waiting() []T { return q.items[q.head:] }

func (q *queue[T]) push(v T) { q.items = append(q.items, v) }

func (q *queue[T]) pop() (v T, ok bool) {
	if q.len() == 0 {
		return v, false
	}
	var none T
	v, q.items[q.head] = q.items[q.head], none
	q.head++
	if q.head == len(q.items) && cap(q.items) <= 32 {
		q.items, q.head = q.items[:0], 0
	}
	if q.head >= 32 && 2*q.head >= len(q.items) { // half of it is behind us
		q.items = append([]T(nil), q.items[q.head:]...)
		q.head = 0
	}
	return v, true
}
