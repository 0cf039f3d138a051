package runtime

import (
	"slices"

	"github.com/qarion/qarion/engine"
)

// parking holds the tasks that wait for one thing, such as a breaker: one of
// them is sent as a probe when the time comes, one more when that went well,
// and then the rest in steps of the slots. So a host that comes back is not
// met by everyone at once, and a task is postponed once, not once per probe.
type parking struct {
	spots map[string]*spot
	out   map[engine.AttemptKey]string // released and not recorded yet: its spot
	steps int                          // how many go at once when all is well
}

type spot struct {
	tasks []taskPlace
	until engine.Micros
	look  engine.Micros // when a timer is set to look at it; 0: none is
	good  int           // released tasks that were not postponed again, in a row
	away  int           // released, no record yet
}

func newParking(steps int) *parking {
	return &parking{spots: map[string]*spot{}, out: map[engine.AttemptKey]string{}, steps: steps}
}

// park adds a task that was postponed until the given time and returns that
// of the whole spot; later: no timer is set for then.
func (p *parking) park(name string, t taskPlace, until engine.Micros) (at engine.Micros, later bool) {
	s := p.spots[name]
	if s == nil {
		s = &spot{}
		p.spots[name] = s
	}
	s.tasks = append(s.tasks, t)
	s.until = max(s.until, until)
	later = s.look < s.until
	s.look = s.until
	return s.until, later
}

// looked notes that the timer of a spot has fired.
func (p *parking) looked(name string, at engine.Micros) {
	if s := p.spots[name]; s != nil && s.look == at {
		s.look = 0
	}
}

// awaits reports whether a look at a spot at the given time is of use.
func (p *parking) awaits(name string, at engine.Micros) bool {
	s := p.spots[name]
	return s != nil && len(s.tasks) > 0 && s.look == at
}

// tidy forgets the tasks whose runs have ended.
func (p *parking) tidy() {
	for name, s := range p.spots {
		s.tasks = slices.DeleteFunc(s.tasks, func(t taskPlace) bool { return !t.open() })
		if len(s.tasks) == 0 && s.away == 0 {
			delete(p.spots, name)
		}
	}
}

// recorded notes the record of a released task and reports the spot's name if
// the next tasks may go.
func (p *parking) recorded(key engine.AttemptKey, outcome engine.Outcome) (name string, more bool) {
	name, ok := p.out[key]
	if !ok {
		return "", false
	}
	delete(p.out, key)
	s := p.spots[name]
	s.away--
	if outcome == engine.OutcomeDeferred {
		s.good = 0
		return name, false // its new time releases the next probe
	}
	s.good++
	if len(s.tasks) == 0 && s.away == 0 {
		delete(p.spots, name)
		return name, false
	}
	return name, s.away == 0
}

// take releases the tasks of a spot that may go now. force passes over the
// spot's time: what it waited for has let go.
func (p *parking) take(name string, now engine.Micros, force bool) []taskPlace {
	s := p.spots[name]
	if s == nil {
		return nil
	}
	if s.away > 0 || !force && s.good == 0 && now < s.until {
		return nil
	}
	n := 1
	if force || s.good >= 2 {
		n = p.steps
	}
	n = min(n, len(s.tasks))
	out := s.tasks[:n:n]
	s.tasks = s.tasks[n:]
	s.away += n
	for _, t := range out {
		p.out[t.key] = name
	}
	if len(s.tasks) == 0 && s.away == 0 {
		delete(p.spots, name)
	}
	return out
}

// counts are the tasks that wait, by spot.
func (p *parking) counts() map[string]int {
	out := make(map[string]int, len(p.spots))
	for name, s := range p.spots {
		n := 0
		for _, t := range s.tasks {
			if t.open() {
				n++
			}
		}
		if n > 0 {
			out[name] = n
		}
	}
	return out
}
