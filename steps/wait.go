package steps

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// NewWait makes the type wait: it lets time pass, or waits for a signal, and holds
// nothing meanwhile. now is the present, nil for the clock.
func NewWait(now func() time.Time) *TaskType {
	if now == nil {
		now = time.Now
	}
	return &TaskType{
		name: "wait",
		properties: []Property{
			{"duration", "duration", "", "how long, from when the task starts: seconds, or text such as \"2m\""},
			{"until", "string", "", "until when instead: an RFC 3339 time, or seconds since 1970; a time that has passed is waited for no more"},
			{"signal", "string", "", "the name of a signal to wait for instead: what comes with it is what the task leaves"},
			{"key", "string", "", "with signal: one that is sent to the flow with this key wakes it too, such as `\"{{ xcom_order.id }}\"`"},
			{"timeout", "duration", "", "with signal: the longest wait; without it there is no end"},
			{"on_timeout", "string", "fail", "with signal: fail, or continue with null"},
		},
		words: map[string]string{"seconds": "duration", "delay": "duration", "for": "duration", "sleep": "duration", "at": "until", "time": "until", "date": "until",
			"event": "signal", "name": "signal", "correlation": "key", "correlation_key": "key", "id": "key", "max_wait": "timeout", "timeout_seconds": "timeout"},
		prepare: func(r *reader) attempt { return prepareWait(r, now) },
	}
}

func prepareWait(r *reader, now func() time.Time) attempt {
	span, hasSpan := r.get("duration")
	at, hasTime := r.get("until")
	_, hasSignal := r.get("signal")
	if n := btoi(hasSpan) + btoi(hasTime) + btoi(hasSignal); n != 1 {
		r.problem("", "missing", "wait: give one of duration, until, signal")
		return nil
	}
	if hasSignal {
		return prepareSignal(r, now)
	}
	for _, key := range []string{"key", "timeout", "on_timeout"} {
		if _, ok := r.get(key); ok {
			r.problem(key, "unused", "%s: only a wait for a signal has one", key)
		}
	}
	key, v := "duration", span
	if hasTime {
		key, v = "until", at
	}
	given := r.tree([]string{"properties", key}, v)
	if fixed, isFixed := literal(&given); isFixed {
		if _, err := waitTarget(key, fixed, time.Time{}); err != nil {
			r.problem(key, "wrong-type", "%s: %v", key, err)
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
		if left := target.Sub(now()); left > 0 && in.Wake() == nil {
			out.Next = &engine.Next{Carry: strconv.AppendInt(nil, target.UnixMicro(), 10), After: left, Await: engine.AwaitTime}
			return out, nil
		}
		out.Value, err = value.JSON(engine.FormatTime(target))
		return out, err
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// prepareSignal prepares a wait for a signal.
func prepareSignal(r *reader, now func() time.Time) attempt {
	name, ok := r.literal("signal")
	if _, err := engine.ParseSignalName(name); ok && err != nil {
		r.problem("signal", "wrong-type", "%v", err)
	}
	r.insensitive("wait", "what comes with a signal")
	key := r.text("key")
	timeout := r.span("timeout", 0)
	onTimeout := r.word("on_timeout", "fail", "continue")
	if _, given := r.get("timeout"); !given && onTimeout == "continue" {
		r.problem("on_timeout", "unused", "on_timeout: without timeout the wait has no end")
	}
	r.needs.Target = "signal " + name
	if text, ok := r.get("key"); ok {
		r.needs.Target += fmt.Sprintf(" (key %v)", text)
	}
	return func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput, err error) {
		if w := in.Wake(); w != nil {
			return heard(w, "signal "+name, onTimeout == "continue", timeout)
		}
		forKey := ""
		if key != nil {
			got, err := key.Value(ctx, in)
			if err != nil {
				return out, err
			}
			if got.Origin.Secret() {
				return out, &stepError{"secret", "key: there is a secret in it, and many see what a task waits for"}
			}
			if forKey, err = caseName(got.Value); err != nil || forKey == "" || forKey == "null" || len(forKey) > engine.MaxSignalKey {
				return out, &stepError{"input", fmt.Sprintf("key: %.80q is no key: text or a number, at most %d bytes", forKey, engine.MaxSignalKey)}
			}
		}
		out.Next = &engine.Next{Carry: startOfWait(now()), After: timeout, Await: engine.AwaitSignal(name, forKey)}
		return out, nil
	}
}

// startOfWait is what the turn that begins a wait leaves: when that was.
func startOfWait(now time.Time) []byte { return strconv.AppendInt(nil, now.UnixMicro(), 10) }

// heard is what a wait for a signal leaves.
func heard(w *engine.Wake, what string, goOn bool, timeout time.Duration) (out engine.TaskOutput, err error) {
	out.Value = []byte("null")
	switch {
	case w.Cause == engine.WakeTime && goOn:
		out.Details.Note = fmt.Sprintf("%s did not come within %s", what, timeout)
	case w.Cause == engine.WakeTime:
		return engine.TaskOutput{}, &stepError{"timeout", fmt.Sprintf("%s did not come within %s", what, timeout)}
	case len(w.Value) > 0:
		out.Value = slices.Clone(w.Value)
	}
	if w.By != "" {
		out.Details.Note = "from " + w.By
	}
	return out, nil
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

// literal reads a property that is a text without a template.
func (r *reader) literal(key string) (string, bool) {
	v, _ := r.get(key)
	s, ok := v.(string)
	if !ok {
		r.problem(key, "wrong-type", "%s is %s, want a string", key, value.Kind(v))
	} else if strings.Contains(s, "{{") || strings.Contains(s, "{%") {
		r.problem(key, "wrong-type", "%s: no template can stand here: what a flow waits for is known when it is loaded", key)
		ok = false
	}
	return s, ok
}

// span reads a property that is a duration without a template.
func (r *reader) span(key string, def time.Duration) time.Duration {
	v, ok := r.get(key)
	if !ok {
		return def
	}
	at, err := waitTarget("duration", v, time.Time{})
	d := at.Sub(time.Time{})
	if err == nil && d == 0 {
		err = fmt.Errorf("0 is no time to wait")
	}
	if err != nil {
		r.problem(key, "wrong-type", "%s: %v", key, err)
		return def
	}
	return d
}

// word reads a property that is one of a few words, of which the first is the
// default.
func (r *reader) word(key string, words ...string) string {
	v, ok := r.get(key)
	if !ok {
		return words[0]
	}
	s, _ := v.(string)
	if !slices.Contains(words, s) {
		r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: []string{"properties", key}, Code: "unknown-word", Value: s,
			Suggestion: engine.Nearest(s, words), Message: fmt.Sprintf("%s is %s, want one of %s", key, value.Quoted(s), strings.Join(words, ", "))})
		return words[0]
	}
	return s
}

// insensitive refuses a task whose value has been seen by others already.
func (r *reader) insensitive(kind, what string) {
	if r.task.Sensitive {
		r.problems = append(r.problems, engine.Problem{Task: r.task.ID, Path: []string{"sensitive"}, Code: "unused",
			Message: fmt.Sprintf("%s: %s is not hidden on its way: the task cannot be sensitive", kind, what)})
	}
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
