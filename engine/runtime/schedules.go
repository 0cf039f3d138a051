package runtime

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/cron"
)

var _ engine.Schedules = (*Engine)(nil)

// Schedules implements engine.Schedules.
func (e *Engine) Schedules(ctx context.Context) (out []engine.ScheduleInfo, err error) {
	err = e.sched.ask(ctx, func() {
		e.sched.state.Scheduled(func(id engine.FlowID) {
			for _, t := range e.sched.state.Ticking(id) {
				if t.Plan != "" {
					out = append(out, e.sched.scheduleInfo(id, &t))
				}
			}
		})
	})
	slices.SortFunc(out, func(a, b engine.ScheduleInfo) int {
		return cmp.Or(cmp.Compare(a.FlowID, b.FlowID), cmp.Compare(a.TriggerID, b.TriggerID))
	})
	return out, err
}

func (s *scheduler) scheduleInfo(id engine.FlowID, t *fold.Ticking) engine.ScheduleInfo {
	out := engine.ScheduleInfo{FlowID: id, TriggerID: t.ID, Paused: t.Paused, LastTick: t.Last().Format(), DoneRanges: len(t.Done)}
	if g := s.state.Newest(id); g != nil {
		schedule, err := scheduleOf(g.Flow, t.ID, &s.ticks.zones)
		if err != nil {
			out.Problem = err.Error()
			return out
		}
		out.Schedule, out.Timezone, out.CatchUp = schedule.String(), schedule.Zone().String(), schedule.CatchUp
	}
	for _, tk := range s.ticks.flows[id] {
		if tk.id == t.ID {
			out.NextTick, out.Problem = tk.next.Format(), tk.problem
		}
	}
	return out
}

// schedule finds a schedule. It runs on the scheduler's goroutine.
func (s *scheduler) schedule(ref engine.ScheduleRef) (*engine.Flow, *fold.Ticking, error) {
	g := s.state.Newest(ref.Flow)
	if g == nil {
		return nil, nil, s.state.UnknownFlow(ref.Flow)
	}
	var ids []string
	var found *fold.Ticking
	for _, t := range s.state.Ticking(ref.Flow) {
		if t.Plan == "" {
			continue
		}
		ids = append(ids, t.ID)
		if t.ID == ref.Trigger || ref.Trigger == "" {
			found = &t
		}
	}
	switch {
	case len(ids) == 0:
		return nil, nil, fmt.Errorf("%w: flow %s has no schedule", engine.ErrNotFound, ref.Flow)
	case ref.Trigger == "" && len(ids) > 1:
		return nil, nil, fmt.Errorf("%w: flow %s has more than one schedule: name one of %s", engine.ErrInvalid, ref.Flow, strings.Join(ids, ", "))
	case found == nil:
		if near := engine.Nearest(ref.Trigger, ids); near != "" {
			return nil, nil, fmt.Errorf("%w: flow %s has no schedule %q (did you mean %q?)", engine.ErrNotFound, ref.Flow, ref.Trigger, near)
		}
		return nil, nil, fmt.Errorf("%w: flow %s has no schedule %q (there are: %s)", engine.ErrNotFound, ref.Flow, ref.Trigger, strings.Join(ids, ", "))
	}
	return g.Flow, found, nil
}

// Ticks implements engine.Schedules.
func (e *Engine) Ticks(ctx context.Context, ref engine.ScheduleRef, from, to time.Time, n int) (id string, out []engine.TickInfo, more bool, err error) {
	var flow *engine.Flow
	var t *fold.Ticking
	var missing error
	err = e.sched.ask(ctx, func() { flow, t, missing = e.sched.schedule(ref) })
	if err = cmp.Or(err, missing); err != nil {
		return "", nil, false, err
	}
	schedule, err := scheduleOf(flow, t.ID, new(cron.Zones))
	if err != nil {
		return "", nil, false, err
	}
	prev := ""
	for at := schedule.Next(from.Add(-time.Microsecond)); !at.IsZero() && at.Before(to); at = schedule.Next(at) {
		if len(out) == n {
			return t.ID, out, true, nil
		}
		tick := engine.At(at).Format()
		out = append(out, engine.TickInfo{Tick: tick, Prev: prev, Done: t.Has(engine.At(at))})
		prev = tick
	}
	return t.ID, out, false, nil
}

// Pause implements engine.Schedules.
func (e *Engine) Pause(ctx context.Context, ref engine.ScheduleRef, by string) (engine.ScheduleInfo, error) {
	return e.rest(ctx, ref, &engine.ControlRecord{Kind: engine.ControlPause, By: by})
}

// Resume implements engine.Schedules.
func (e *Engine) Resume(ctx context.Context, ref engine.ScheduleRef, catchUp bool, by string) (engine.ScheduleInfo, error) {
	rec := &engine.ControlRecord{Kind: engine.ControlResume, By: by}
	if catchUp {
		rec.As = engine.ResumeCatchUp
	}
	return e.rest(ctx, ref, rec)
}

func (e *Engine) rest(ctx context.Context, ref engine.ScheduleRef, rec *engine.ControlRecord) (out engine.ScheduleInfo, err error) {
	var missing error
	err = e.sched.ask(ctx, func() {
		var t *fold.Ticking
		if _, t, missing = e.sched.schedule(ref); missing == nil {
			rec.Flow, rec.Name = ref.Flow, t.ID
		}
	})
	if err = cmp.Or(err, missing); err != nil {
		return out, err
	}
	if _, err := e.tell(ctx, rec); err != nil {
		return out, err
	}
	err = e.sched.ask(ctx, func() {
		var t *fold.Ticking
		if _, t, missing = e.sched.schedule(engine.ScheduleRef{Flow: rec.Flow, Trigger: rec.Name}); missing == nil {
			out = e.sched.scheduleInfo(rec.Flow, t)
		}
	})
	return out, cmp.Or(err, missing)
}
