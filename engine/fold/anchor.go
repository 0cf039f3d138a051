package fold

import (
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

// Needed is what a run that stands still may yet read of the ledger.
type Needed struct {
	Run    engine.RunID
	Anchor engine.Anchor // without its moves
	Places []engine.Pos  // of records, each of which is read by itself
	Parts  []engine.Pos  // of the last parts of tasks: each names the one before it
}

// Needs says what a run needs; ok is false where it does not stand still, or wait
// behind others, since a time or earlier, with nothing in flight.
func (r *Run) Needs(since engine.Micros) (n Needed, ok bool) {
	from := r.paused
	if r.Status == engine.Pending {
		from = r.accepted
	}
	if from == 0 || from > since || r.InFlight > 0 || r.hasItems() {
		return n, false
	}
	n = Needed{Run: r.ID, Anchor: engine.Anchor{Still: r.paused, Calls: r.calls}}
	r.places(func(p *engine.Pos, isPart bool) {
		switch {
		case p.Seq == 0:
		case isPart:
			n.Parts = append(n.Parts, *p)
		case !slices.Contains(n.Places, *p):
			n.Places = append(n.Places, *p)
		}
	})
	return n, true
}

// hasItems reports whether a task has items: there may be very many, and the
// ledger is kept for them.
func (r *Run) hasItems() bool {
	return slices.ContainsFunc(r.Tasks, func(t TaskState) bool { return t.fan != nil })
}

// places visits where the run's data stand.
func (r *Run) places(visit func(p *engine.Pos, isPart bool)) {
	visit(&r.variablesAt, false)
	for i := range r.Tasks {
		t := &r.Tasks[i]
		visit(&t.at, false)
		visit(&t.carryAt, false)
		visit(&t.prev, true)
		if t.wake != nil {
			visit(&t.wake.At, false)
		}
	}
	for i := range r.early {
		visit(&r.early[i].Wake.At, false)
	}
	for _, name := range slices.Sorted(maps.Keys(r.jars)) {
		for i := range r.jars[name] {
			visit(&r.jars[name][i], false)
		}
	}
}

// anchor lets a run read the copies that were made of what it needs. A run that
// has gone on since needs others.
func (r *Run) anchor(rec *engine.ControlRecord, at engine.Pos) {
	a := rec.Anchor
	if a == nil || a.Still != r.paused || a.Calls != r.calls || r.InFlight > 0 || r.hasItems() {
		return
	}
	moves, floor := make(map[engine.Pos]engine.Pos, len(a.Moves)), at.Seq
	for _, m := range a.Moves {
		moves[m.From] = m.To
		floor = min(floor, m.To.Seq)
	}
	// None of what follows is changed in place: a snapshot may hold it.
	r.early = slices.Clone(r.early)
	jars := make(map[string][]engine.Pos, len(r.jars))
	for name, list := range r.jars {
		jars[name] = slices.Clone(list)
	}
	if len(jars) > 0 {
		r.jars = jars
	}
	for i := range r.Tasks {
		if w := r.Tasks[i].wake; w != nil {
			other := *w
			r.Tasks[i].wake = &other
		}
	}
	r.places(func(p *engine.Pos, _ bool) {
		if to, ok := moves[*p]; ok {
			*p = to
		}
		if p.Seq != 0 {
			floor = min(floor, p.Seq)
		}
	})
	if r.rerun != nil {
		other := *r.rerun
		other.Floor = 0
		r.rerun = &other
	}
	r.since = floor
}
