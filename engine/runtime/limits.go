package runtime

import (
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/ratelimit"
)

// limits are the tasks that wait for a rate limit: a line for each key, in which
// flows and runs take turns as they do for slots. A task whose flow file says where
// it goes waits here before it is given out, at no cost but its place; one whose host
// is made of data is postponed once by its worker, and waits here then. The
// scheduler takes the call for whoever is next, so nobody asks twice.
type limits struct {
	limiter *ratelimit.Limiter // nil: there are none
	keys    map[string]*limitLine
	taken   map[engine.AttemptKey]string // calls that were taken and have no record yet: their keys
}

type limitLine struct {
	rest *lines
	next *taskPlace // whose turn it is, before the rest
	look engine.Micros
}

func newLimits(l *ratelimit.Limiter) *limits {
	return &limits{limiter: l, keys: map[string]*limitLine{}, taken: map[engine.AttemptKey]string{}}
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
	if key, ok := l.taken[p.key]; ok {
		return key, true
	}
	if key = s.limitOf(p); key == "" {
		return "", true
	}
	if line := l.keys[key]; line != nil && line.len() > 0 {
		s.hold(key, p, 0)
		return "", false
	}
	switch s.takeLimit(key, p) {
	case limitTaken:
		return key, true
	case limitTooLong:
		return "", true // its worker asks again, and says so
	}
	return "", false
}

type limitAnswer int

const (
	limitTaken   limitAnswer = iota
	limitLater               // it waits, and is looked at again
	limitTooLong             // longer than it may
)

// takeLimit takes a call of a key for a task, or lets it wait.
func (s *scheduler) takeLimit(key string, p taskPlace) limitAnswer {
	now := s.cfg.Now()
	wait, ok := s.limits.limiter.Take(key, now, p.key.Attempt > 1)
	switch {
	case ok:
		s.limits.taken[p.key] = key
		return limitTaken
	case wait.For > s.limits.limiter.MaxWait(key):
		return limitTooLong
	case wait.Why == ratelimit.ByRetries: // others need not wait for that
		s.timers.add(taskTimer(engine.At(now.Add(wait.For)), p), s.awaits)
	default:
		s.hold(key, p, engine.At(now.Add(wait.For)))
	}
	return limitLater
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

// freed looks at the line of a key: its time has come, or a call has ended.
func (s *scheduler) freed(key string) {
	line := s.limits.keys[key]
	if line == nil {
		return
	}
	for line.len() > 0 {
		p := line.peek()
		if !p.open() {
			line.pop()
			continue
		}
		wait, ok := s.limits.limiter.Take(key, s.cfg.Now(), p.key.Attempt > 1)
		switch {
		case ok:
			s.limits.taken[p.key] = key
			s.due.add(line.pop())
		case wait.For > s.limits.limiter.MaxWait(key):
			s.due.add(line.pop()) // its worker asks again, and says so
		case wait.Why == ratelimit.ByRetries:
			s.timers.add(taskTimer(engine.At(s.cfg.Now().Add(wait.For)), line.pop()), s.awaits)
		default:
			s.lookAt(key, line, engine.At(s.cfg.Now().Add(wait.For)))
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
		if line.open() == 0 {
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
