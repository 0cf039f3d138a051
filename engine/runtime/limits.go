package runtime

import (
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/ratelimit"
)

// limits are the tasks that wait for a rate limit: a line for each key, in which
// flows and runs take turns as they do for slots. A task whose flow file says where
// it goes waits here before it is given out, at no cost but its place; one whose host
// is made of data is postponed once by its worker, and waits here then. Of each line
// the first one stands in the line for the slots when its time has come; its call is
// taken when a slot is there for it, not before, or those that were taken while all
// slots were busy would go out together.
type limits struct {
	limiter *ratelimit.Limiter // nil: there are none
	keys    map[string]*limitLine
	turn    map[engine.AttemptKey]string // the first of a line, that stands in the line for the slots: its key
	taken   map[engine.AttemptKey]string // calls that were taken and have no record yet: their keys
}

type limitLine struct {
	rest *lines
	next *taskPlace // whose turn it is, before the rest
	out  bool       // the one before it stands in the line for the slots
	look engine.Micros
}

func newLimits(l *ratelimit.Limiter) *limits {
	return &limits{limiter: l, keys: map[string]*limitLine{}, turn: map[engine.AttemptKey]string{}, taken: map[engine.AttemptKey]string{}}
}

// restore takes what the ledger says was spent.
func (l *limits) restore(state *fold.State) {
	if l.limiter == nil {
		return
	}
	for key, spent := range state.Limits() {
		l.limiter.Restore(key, ratelimit.Spent{Next: spent.Next, Until: int64(spent.Until)})
	}
}

// limitOf is the key of the limit that a task's call falls under, as far as the flow
// file tells.
func (s *scheduler) limitOf(p taskPlace) string {
	prog, err := s.cfg.programs.get(p.run.Graph.Hash, p.key.Task)
	if err != nil {
		return "" // its worker says so
	}
	switch {
	case prog.each != nil && p.key.Item == 0:
		return "" // it reads the list, or joins what the items have left
	case prog.when != nil && p.key.Turn == 0:
		return "" // perhaps nothing is sent: its worker asks when it knows
	}
	call := prog.limit
	if p.key.Turn > 0 {
		call.Host = "" // where a page or a poll leads to is made of data
	}
	return s.limits.limiter.Key(call)
}

// admitted reports whether a task may be given out now, and the key that a call was
// taken of for it. Otherwise it has its place in a line.
func (s *scheduler) admitted(p taskPlace) (key string, ok bool) {
	l := s.limits
	if l.limiter == nil {
		return "", true
	}
	key, first := l.turn[p.key]
	if first {
		s.steps(p.key)
	} else if key = s.limitOf(p); key == "" {
		return "", true
	}
	line := l.keys[key]
	if line != nil && !first && (line.out || line.len() > 0) {
		s.hold(key, p, 0)
		return "", false
	}
	now := s.cfg.Now()
	wait, taken := l.limiter.Take(key, now, p.key.Attempt > 1)
	later := engine.At(now.Add(wait.For))
	switch {
	case taken:
		l.taken[p.key] = key
		s.freed(key)
		return key, true
	case wait.For > l.limiter.MaxWait(key):
		s.freed(key)
		return "", true // its worker asks again, and says so
	case wait.Why == ratelimit.ByRetries: // others need not wait for that
		s.timers.add(taskTimer(later, p), s.awaits)
		s.freed(key)
	case line != nil && line.next == nil:
		line.next = &p // it stays the first
		s.lookAt(key, line, later)
	default:
		s.hold(key, p, later)
	}
	return "", false
}

// steps takes the first of a line out of the line for the slots.
func (s *scheduler) steps(k engine.AttemptKey) {
	if line := s.limits.keys[s.limits.turn[k]]; line != nil {
		line.out = false
	}
	delete(s.limits.turn, k)
}

// gone looks after the line of a task that was to be given out and is open no longer.
func (s *scheduler) gone(p taskPlace) {
	if key, first := s.limits.turn[p.key]; first {
		s.steps(p.key)
		s.freed(key)
	}
}

// hold puts a task into the line of a key. at is when to look at it; 0: it has been
// set.
func (s *scheduler) hold(key string, p taskPlace, at engine.Micros) {
	if s.limits.limiter == nil { // the configuration has changed
		s.timers.add(taskTimer(max(at, s.now()), p), s.awaits)
		return
	}
	line := s.limits.keys[key]
	if line == nil {
		line = &limitLine{rest: newLines()}
		s.limits.keys[key] = line
	}
	line.rest.add(p)
	s.lookAt(key, line, at)
}

func (s *scheduler) lookAt(key string, line *limitLine, at engine.Micros) {
	if at != 0 && (line.look == 0 || at < line.look) {
		line.look = at
		s.timers.add(limitTimer(at, key), s.awaits)
	}
}

// freed lets the first of a key's line stand in the line for the slots: its time has
// come, or a call has ended.
func (s *scheduler) freed(key string) {
	line := s.limits.keys[key]
	if line == nil || line.out {
		return
	}
	for line.len() > 0 {
		if p := line.pop(); p.open() {
			line.out = true
			s.limits.turn[p.key] = key
			s.due.add(p)
			return
		}
	}
	delete(s.limits.keys, key)
}

// spent notes the record of an attempt: a call that was taken for it has ended.
func (s *scheduler) spent(rec *engine.AttemptRecord) {
	key, taken := s.limits.taken[rec.AttemptKey]
	switch {
	case taken:
		delete(s.limits.taken, rec.AttemptKey)
		s.limits.limiter.Done(key)
	case rec.Limit != nil && s.limits.limiter != nil:
		key = rec.Limit.Key
	default:
		return
	}
	s.freed(key)
}

// tidyLimits gives back calls that were taken for what is open no longer.
func (s *scheduler) tidyLimits() {
	for k, key := range s.limits.taken {
		r := s.state.Run(k.Run)
		if r != nil {
			if i, ok := r.Graph.Index[k.Task]; ok && r.KeyOf(fold.CellRef{Task: i, Item: k.Item}) == k {
				continue
			}
		}
		delete(s.limits.taken, k)
		s.limits.limiter.Done(key)
		s.freed(key)
	}
	for key, line := range s.limits.keys {
		if line.open() == 0 && !line.out {
			delete(s.limits.keys, key)
		}
	}
}

// counts are the tasks that wait, by limit.
func (l *limits) counts(into map[string]int) {
	for key, line := range l.keys {
		if n := line.open(); n > 0 {
			into["limit "+ratelimit.NameOf(key)] += n
		}
	}
}

func (l *limitLine) len() int {
	if l.next != nil {
		return l.rest.n + 1
	}
	return l.rest.n
}

// open is how many of the tasks still wait.
func (l *limitLine) open() (n int) {
	if l.next != nil && l.next.open() {
		n++
	}
	for p := range l.rest.all {
		if p.open() {
			n++
		}
	}
	return n
}

func (l *limitLine) peek() taskPlace {
	if l.next == nil {
		p, _ := l.rest.next()
		l.next = &p
	}
	return *l.next
}

func (l *limitLine) pop() taskPlace {
	p := l.peek()
	l.next = nil
	return p
}
