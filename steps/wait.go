package steps

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// NewWait makes the type wait: it lets time pass, and holds nothing meanwhile.
// now is the present, nil for the clock.
func NewWait(now func() time.Time) *TaskType {
	if now == nil {
		now = time.Now
	}
	return &TaskType{
		name: "wait",
		properties: []Property{
			{"duration", "duration", "", "how long, from when the task starts: seconds, or text such as \"2m\""},
			{"until", "string", "", "until when instead: an RFC 3339 time, or seconds since 1970; a time that has passed is waited for no more"},
		},
		words:   map[string]string{"seconds": "duration", "delay": "duration", "for": "duration", "timeout": "duration", "sleep": "duration", "at": "until", "time": "until", "date": "until"},
		prepare: func(r *reader) attempt { return prepareWait(r, now) },
	}
}

func prepareWait(r *reader, now func() time.Time) attempt {
	span, hasSpan := r.get("duration")
	at, hasTime := r.get("until")
	if hasSpan == hasTime {
		r.problem("", "missing", "wait: give one of duration, until")
		return nil
	}
	key, v := "duration", span
	if hasTime {
		key, v = "until", at
	}
	limit := r.flow.Timeout
	if r.task.Stage > engine.StageTasks {
		limit = r.flow.FinallyTimeout
	}
	given := r.tree([]string{"properties", key}, v)
	if fixed, isFixed := literal(&given); isFixed {
		target, err := waitTarget(key, fixed, time.Time{})
		switch {
		case err != nil:
			r.problem(key, "wrong-type", "%s: %v", key, err)
		case hasSpan && limit > 0 && target.Sub(time.Time{}) >= limit:
			r.problem(key, "out-of-range", "a wait of %s, and the run may take %s: raise timeout", target.Sub(time.Time{}), limit)
		}
	}
	return func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput, err error) {
		target, begun, err := goingOn(in)
		if err != nil {
			return out, err
		}
		if !begun {
			var from value.Origin
			v, err := given.render(ctx, in, &from)
			if err != nil {
				return out, err
			}
			if target, err = waitTarget(key, v, now()); err != nil {
				return out, &stepError{"input", fmt.Sprintf("%s: %v", key, err)}
			}
		}
		if left := target.Sub(now()); left > 0 {
			out.Next = &engine.Next{Carry: strconv.AppendInt(nil, target.UnixMicro(), 10), After: left}
			return out, nil
		}
		out.Value, err = value.JSON(engine.FormatTime(target))
		return out, err
	}
}

// goingOn is what the turn before has said, if there was one.
func goingOn(in *engine.TaskInput) (target time.Time, begun bool, err error) {
	carry := in.Carry()
	if len(carry) == 0 {
		return target, false, nil
	}
	n, err := strconv.ParseInt(string(carry), 10, 64)
	return time.UnixMicro(n), true, err
}

// literal is a value without a template.
func literal(t *tree) (any, bool) {
	if t.tpl == nil {
		return t.fixed, t.fixed != nil
	}
	s, plain := t.tpl.Literal()
	return s, plain
}

// longestWait is the longest wait that a task may name.
const longestWait = 366 * 24 * time.Hour

// waitTarget is the time that a duration or a time stands for.
func waitTarget(key string, v any, now time.Time) (time.Time, error) {
	if key == "duration" {
		if s, isText := v.(string); isText {
			if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
				v = f
			}
		}
		d, err := engine.ParseSpan(v)
		if err == nil && (d < 0 || d > longestWait) {
			err = fmt.Errorf("%s is out of range: 0 to a year", d)
		}
		return now.Add(d), err
	}
	if n, ok := value.Float(v); ok && n > 0 && n < 1e11 {
		return time.UnixMicro(int64(n * 1e6)), nil
	}
	s, ok := v.(string)
	if ok {
		if t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(s)); err == nil {
			return t, nil
		}
	}
	return now, fmt.Errorf("%s is no RFC 3339 time such as 2026-01-31T06:00:00Z, nor seconds since 1970", value.Quoted(fmt.Sprint(v)))
}
