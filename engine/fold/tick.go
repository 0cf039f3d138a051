package fold

import (
	"fmt"
	"slices"

	"github.com/qarion/qarion/engine"
)

// maxSpans is how many unbroken rows of done times are kept of a schedule; with
// more the two oldest become one.
const maxSpans = 1000

// Ticking is where a schedule stands. When its times are is not known here: the
// zones' rules change, and a replay must not.
type Ticking struct {
	ID     string        `cbor:"1,keyasint"`
	Plan   string        `cbor:"2,keyasint,omitempty"` // engine.TriggerSpec.SchedulePlan; "": the flow has it no more, or it is off
	Since  engine.Micros `cbor:"3,keyasint,omitempty"` // times up to then are not missed
	Paused bool          `cbor:"4,keyasint,omitempty"`
	Done   []TickSpan    `cbor:"5,keyasint,omitempty"` // by time; never changed in place
}

// TickSpan is a row of a schedule's times without one missing.
type TickSpan struct {
	_      struct{} `cbor:",toarray"`
	First  engine.Micros
	Last   engine.Micros
	Before engine.Micros // the time before First; 0: not known
}

// Last is the newest time that is done; 0: none is.
func (t *Ticking) Last() engine.Micros {
	if len(t.Done) == 0 {
		return 0
	}
	return t.Done[len(t.Done)-1].Last
}

// Has reports whether a time is done.
func (t *Ticking) Has(tick engine.Micros) bool {
	i := t.after(tick)
	return i > 0 && tick <= t.Done[i-1].Last
}

// Through is the last time of the row that a done time is in.
func (t *Ticking) Through(tick engine.Micros) engine.Micros {
	if i := t.after(tick); i > 0 && tick <= t.Done[i-1].Last {
		return t.Done[i-1].Last
	}
	return tick
}

// after is the first span that begins after a time.
func (t *Ticking) after(tick engine.Micros) int {
	i, _ := slices.BinarySearchFunc(t.Done, tick, func(s TickSpan, at engine.Micros) int {
		if s.First <= at {
			return -1
		}
		return 1
	})
	return i
}

// add notes a time that is done, with the one before it.
func (t *Ticking) add(tick, prev engine.Micros) {
	i := t.after(tick)
	done := slices.Clone(t.Done)
	if i > 0 && prev != 0 && done[i-1].Last == prev {
		done[i-1].Last = tick
		i--
	} else {
		done = slices.Insert(done, i, TickSpan{First: tick, Last: tick, Before: prev})
	}
	if i+1 < len(done) && done[i+1].Before == done[i].Last {
		done[i].Last = done[i+1].Last
		done = slices.Delete(done, i+1, i+2)
	}
	if len(done) > maxSpans {
		done[1].First, done[1].Before = done[0].First, done[0].Before
		done = done[1:]
	}
	t.Done = done
}

// Ticking are the schedules of a flow, also those that it had; nobody changes
// them.
func (s *State) Ticking(flow engine.FlowID) []Ticking {
	if fs := s.flows[flow]; fs != nil {
		return fs.ticking
	}
	return nil
}

// Scheduled calls fn for each flow that has or had schedules.
func (s *State) Scheduled(fn func(engine.FlowID)) {
	for id, fs := range s.flows {
		if len(fs.ticking) > 0 {
			fn(id)
		}
	}
}

// reschedule takes the schedules of a flow's new version. One that is new, comes
// at other times or was off begins now: nothing was missed.
func (s *step) reschedule(fs *flowState) {
	plans := map[string]string{}
	var order []string
	if g := s.Newest(fs.id); g != nil {
		f := g.Flow
		for i := range f.Triggers {
			if plan := f.Triggers[i].SchedulePlan(); plan != "" {
				plans[f.Triggers[i].ID] = plan
				order = append(order, f.Triggers[i].ID)
			}
		}
	}
	if len(plans) == 0 && len(fs.ticking) == 0 {
		return
	}
	list := slices.Clone(fs.ticking)
	for _, id := range order {
		if !slices.ContainsFunc(list, func(t Ticking) bool { return t.ID == id }) {
			list = append(list, Ticking{ID: id})
		}
	}
	for i := range list {
		if t := &list[i]; t.Plan != plans[t.ID] {
			t.Plan, t.Since = plans[t.ID], s.at
		}
	}
	fs.ticking = list
	s.effects = append(s.effects, Effect{Kind: Ticks, Flow: fs.id})
}

// ticking changes a schedule of a flow; nil: it has none of the name.
func (s *step) ticking(flow engine.FlowID, id string) *Ticking {
	i := slices.IndexFunc(s.Ticking(flow), func(t Ticking) bool { return t.ID == id && t.Plan != "" })
	if i < 0 {
		return nil
	}
	fs := s.flowState(flow)
	fs.ticking = slices.Clone(fs.ticking)
	return &fs.ticking[i]
}

// tick notes that a time of a schedule is done, and reports whether a run may
// follow: each comes once, for ever.
func (s *step) tick(rec *engine.SubmitRecord) bool {
	asked := rec.TriggerType != engine.TriggerSchedule // by a person
	t := s.ticking(rec.Flow, rec.TriggerID)
	switch {
	case t == nil:
		if asked {
			s.reject(rec.Run, string(rec.Flow), fmt.Sprintf("flow %s has no schedule %q", rec.Flow, rec.TriggerID))
		}
		return false
	case t.Has(rec.Tick):
		if asked && s.runs[rec.Run] == nil {
			s.reject(rec.Run, string(rec.Flow), fmt.Sprintf("%s of schedule %s is done", rec.Tick.Format(), t.ID))
		}
		return false
	case t.Paused && !asked:
		return false
	}
	t.add(rec.Tick, rec.PrevTick)
	return true
}

// rest lets a schedule rest, or go on.
func (s *step) rest(rec *engine.ControlRecord) {
	h := Heard{Token: rec.Token}
	if t := s.ticking(rec.Flow, rec.Name); t == nil {
		h.Err = fmt.Errorf("%w: flow %s has no schedule %q", engine.ErrNotFound, rec.Flow, rec.Name)
	} else {
		pause := rec.Kind == engine.ControlPause
		if t.Paused && !pause && rec.As != engine.ResumeCatchUp {
			t.Since = s.at
		}
		t.Paused = pause
		s.effects = append(s.effects, Effect{Kind: Ticks, Flow: rec.Flow})
	}
	s.effects = append(s.effects, Effect{Kind: Told, Heard: &h})
}
