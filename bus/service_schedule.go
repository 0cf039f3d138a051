package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/qarion/qarion/engine"
)

// NextTicks is the payload of schedule.next.
type NextTicks struct {
	engine.ScheduleRef
	From  string `json:"from,omitempty"` // RFC 3339; "": now
	To    string `json:"to,omitempty"`   // RFC 3339; "": a year later
	Limit int    `json:"limit,omitempty"`
}

// Limits of schedule.next.
const (
	DefaultTicks = 10
	MaxTicks     = 1000
)

// maxSchedules is how many schedules fit into an answer.
const maxSchedules = 3000

// Ticks is the answer of schedule.next.
type Ticks struct {
	FlowID    engine.FlowID     `json:"flow_id"`
	TriggerID string            `json:"trigger_id"`
	Ticks     []engine.TickInfo `json:"ticks"`
	More      bool              `json:"more"` // there are later ones before To
}

// RestSchedule is the payload of schedule.pause and schedule.resume.
type RestSchedule struct {
	engine.ScheduleRef
	CatchUp bool `json:"catchup,omitempty"` // resume: what passed meanwhile counts as missed
}

// schedules are the endpoints for schedules.
func (s *Service) schedules() []Endpoint {
	if s.cfg.Schedules == nil {
		return nil
	}
	return []Endpoint{
		{Name: "schedule.list", Handle: func(ctx context.Context, _ []byte) (any, error) {
			list, err := s.cfg.Schedules.Schedules(ctx)
			n := min(len(list), maxSchedules)
			return map[string]any{"schedules": append([]engine.ScheduleInfo{}, list[:n]...), "more": n < len(list)}, err
		}},
		{Name: "schedule.next", Handle: s.scheduleNext},
		{Name: "schedule.pause", Handle: func(ctx context.Context, data []byte) (any, error) { return s.rest(ctx, data, true) }},
		{Name: "schedule.resume", Handle: func(ctx context.Context, data []byte) (any, error) { return s.rest(ctx, data, false) }},
	}
}

func (s *Service) scheduleNext(ctx context.Context, data []byte) (any, error) {
	var in NextTicks
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	from := time.Now()
	var err error
	if in.From != "" {
		if from, err = time.Parse(time.RFC3339Nano, in.From); err != nil {
			return nil, fmt.Errorf("%w: from: %.64q is not an RFC 3339 time such as 2026-01-31T06:00:00Z", engine.ErrInvalid, in.From)
		}
	}
	to := from.AddDate(1, 0, 0)
	if in.To != "" {
		if to, err = time.Parse(time.RFC3339Nano, in.To); err != nil {
			return nil, fmt.Errorf("%w: to: %.64q is not an RFC 3339 time such as 2026-01-31T06:00:00Z", engine.ErrInvalid, in.To)
		}
	}
	switch {
	case in.Limit == 0:
		in.Limit = DefaultTicks
	case in.Limit < 1 || in.Limit > MaxTicks:
		return nil, fmt.Errorf("%w: limit is %d, want 1 to %d", engine.ErrInvalid, in.Limit, MaxTicks)
	}
	id, ticks, more, err := s.cfg.Schedules.Ticks(ctx, in.ScheduleRef, from, to, in.Limit)
	if err != nil {
		return nil, err
	}
	return Ticks{in.Flow, id, append([]engine.TickInfo{}, ticks...), more}, nil
}

func (s *Service) rest(ctx context.Context, data []byte, pause bool) (any, error) {
	var in RestSchedule
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	who := s.callOf(ctx).who
	if err := who.MayStart(in.Flow); err != nil {
		return nil, err
	}
	if pause {
		return s.cfg.Schedules.Pause(ctx, in.ScheduleRef, who.By())
	}
	return s.cfg.Schedules.Resume(ctx, in.ScheduleRef, in.CatchUp, who.By())
}
