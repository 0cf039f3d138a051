package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/qarion/qarion/internal/cron"
	"github.com/qarion/qarion/internal/value"
)

// TriggerSchedule is the type of a trigger that starts runs by the clock.
const TriggerSchedule = "schedule"

// TriggerBackfill is the trigger type of runs for times of a schedule that a
// person asks for.
const TriggerBackfill = "backfill"

// What a schedule does about times that have passed while nobody looked.
const (
	CatchUpNone = "none" // nothing
	CatchUpLast = "last" // one run, for the last of them
	CatchUpAll  = "all"  // one run for each
)

// CatchUps are the words for it, the default first.
var CatchUps = []string{CatchUpLast, CatchUpNone, CatchUpAll}

// Defaults and limits of a schedule.
const (
	DefaultCatchUpWindow = 24 * time.Hour // how old a time may be that is caught up on
	DefaultMaxCatchUp    = 100            // times at once
	MaxCatchUp           = 10_000
	MinEvery             = time.Second
	// ScheduleGrace is how late a run may start that catchup = "none" does not
	// count as missed: a restart loses nothing.
	ScheduleGrace = time.Minute
)

// ResumeCatchUp makes a schedule that goes on look at the times that it rested
// through (ControlRecord.As).
const ResumeCatchUp = "catchup"

// SchedulePlan is what a schedule is made of when it counts as the same as
// before, whatever else its trigger says: its times; "" for a trigger that is no
// schedule or is off.
func (t *TriggerSpec) SchedulePlan() string {
	if t.Type != TriggerSchedule || !t.Enabled {
		return ""
	}
	if every := t.setting("every"); every != "" {
		return "every " + every
	}
	return t.setting("cron") + " " + t.setting("timezone")
}

func (t *TriggerSpec) setting(name string) string {
	v, _ := t.Settings.Get(name)
	text, _ := v.(string)
	return text
}

// Schedule is the trigger of a flow that starts runs by the clock.
type Schedule struct {
	*cron.Schedule
	CatchUp    string
	Window     time.Duration
	MaxCatchUp int
	Jitter     time.Duration // how much later than its time a run may start
	Variables  *value.Map
}

// Schedule reads the settings of a trigger, as the loader has written them.
func (t *TriggerSpec) Schedule(zones *cron.Zones) (*Schedule, error) {
	s := &Schedule{CatchUp: CatchUpLast, Window: DefaultCatchUpWindow, MaxCatchUp: DefaultMaxCatchUp}
	if word := t.setting("catchup"); word != "" {
		s.CatchUp = word
	}
	for name, to := range map[string]*time.Duration{"catchup_window": &s.Window, "jitter": &s.Jitter} {
		text := t.setting(name)
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		*to = d
	}
	if v, ok := t.Settings.Get("max_catchup"); ok {
		switch n := v.(type) {
		case int64:
			s.MaxCatchUp = int(n)
		case float64:
			s.MaxCatchUp = int(n)
		}
	}
	if v, ok := t.Settings.Get("variables"); ok {
		s.Variables, _ = v.(*value.Map)
	}
	if every := t.setting("every"); every != "" {
		span, err := time.ParseDuration(every)
		if err != nil || span < MinEvery {
			return nil, fmt.Errorf("every: %q is not a span of at least a second", every)
		}
		s.Schedule = cron.Every(span)
		return s, nil
	}
	zone, err := zones.Load(t.setting("timezone"))
	if err == nil {
		s.Schedule, err = cron.Parse(t.setting("cron"), zone)
	}
	return s, err
}

// Trigger is a trigger of the flow, by its id. ErrNotFound: there is none.
func (f *Flow) Trigger(id string) (*TriggerSpec, error) {
	for i := range f.Triggers {
		if f.Triggers[i].ID == id {
			return &f.Triggers[i], nil
		}
	}
	return nil, fmt.Errorf("%w: flow %s has no trigger %q", ErrNotFound, f.ID, id)
}

// ScheduleInfo is a schedule as lists show it.
type ScheduleInfo struct {
	FlowID     FlowID `json:"flow_id"`
	TriggerID  string `json:"trigger_id"`
	Schedule   string `json:"schedule"` // cron expression, or "every 15m"
	Timezone   string `json:"timezone"`
	CatchUp    string `json:"catchup"`
	Paused     bool   `json:"paused"`
	LastTick   string `json:"last_tick,omitempty"` // the newest time that is done
	NextTick   string `json:"next_tick,omitempty"` // "" while it is paused
	DoneRanges int    `json:"done_ranges"`         // unbroken rows of times that are done
	Problem    string `json:"problem,omitempty"`   // why it does not come
}

// TickInfo is one time of a schedule.
type TickInfo struct {
	Tick string `json:"tick"`
	Prev string `json:"previous,omitempty"`
	Done bool   `json:"done"`
}

// ScheduleRef names a schedule: a trigger of a flow. Trigger may be left out
// where the flow has one alone.
type ScheduleRef struct {
	Flow    FlowID `json:"flow"`
	Trigger string `json:"trigger,omitempty"`
}

// Schedules is what can be asked of the schedules. An unknown flow or trigger is
// ErrNotFound.
type Schedules interface {
	// Schedules lists them, by flow and trigger.
	Schedules(ctx context.Context) ([]ScheduleInfo, error)
	// Ticks are the times of a schedule in a span, without its end, and at most
	// n of them; whether there are more.
	Ticks(ctx context.Context, ref ScheduleRef, from, to time.Time, n int) (id string, ticks []TickInfo, more bool, err error)
	// Pause lets a schedule rest, by the person named.
	Pause(ctx context.Context, ref ScheduleRef, by string) (ScheduleInfo, error)
	// Resume lets it go on, from now or, with catchUp, from where it stood.
	Resume(ctx context.Context, ref ScheduleRef, catchUp bool, by string) (ScheduleInfo, error)
}
