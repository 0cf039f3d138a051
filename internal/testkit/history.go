package testkit

import (
	"fmt"
	"slices"
	"time"
)

// History is what an Upstream saw of one or more runs, and what a node wrote
// down of them. Check holds the one against the other and finds where a
// promise was broken:
//
//	R2  every task is attempted, and what was begun has an outcome
//	R3  no call after a recorded success, and none before those of the tasks it needs
//	R4  a call is repeated after a crash exactly if that is safe
//	R5  all calls of a task carry the same idempotency key
//	H2  a call is repeated only where the retry table allows, as often and as late as was planned
//
// The runs must have ended, or wait for a person. The checker knows the rules
// by itself and shares no code with those who keep them.
type History struct {
	Requests []Request
	Log      []Logged
	Tasks    []Planned   // nil: nothing is known but what Requests and Log say
	Kills    []time.Time // when the node died
}

// Logged is an entry of the operation log, without those that came too late
// and changed nothing.
type Logged struct {
	Run, Task string
	Attempt   int
	Outcome   string // success, failed, retry, deferred, interrupted or cancelled; Resumed
	Unknown   bool   // the attempt may have been sent before, by a process that has died
	Key       string
	Method    string
	Class     string // of a failure; "": not known
	Status    int
	NotBefore time.Time // of a retry: the next one comes no earlier
	At        time.Time // when it was recorded
}

// Resumed is the outcome of an entry that is not one: a person had the task
// done again, and it starts anew.
const Resumed = "resumed"

// Planned is what the flow says about a task of a run.
type Planned struct {
	Run, Task         string
	After             []string // the tasks that must have succeeded
	Retries           int      // retry_count
	RetryOn, FailOn   []int    // retry_on_status, fail_on_status
	RefreshOn         []int    // refresh_on_status; nil: 401
	RetryOnValidation bool
	RepeatUnknown     bool // on_interrupted = "retry"
}

// Violation is a broken promise.
type Violation struct {
	Promise   string
	Run, Task string
	Text      string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s.%s %s", v.Promise, v.Run, v.Task, v.Text)
}

// slack is how far two clocks of one machine may seem to differ: the log has
// whole milliseconds.
const slack = 2 * time.Millisecond

// Check is History.Check where nothing is known of the flow and of crashes.
func Check(requests []Request, log []Logged) []Violation {
	return (&History{Requests: requests, Log: log}).Check()
}

// Check returns every broken promise, by run and task.
func (h *History) Check() []Violation {
	c := &checker{kills: h.Kills, traces: map[[2]string]*trace{}}
	for i := range h.Tasks {
		p := &h.Tasks[i]
		c.trace(p.Run, p.Task).plan = p
	}
	for _, r := range h.Requests {
		t := c.trace(r.Run, r.Task)
		t.calls = append(t.calls, r)
	}
	for _, e := range h.Log {
		t := c.trace(e.Run, e.Task)
		t.log = append(t.log, e)
	}
	ids := make([][2]string, 0, len(c.traces))
	for id := range c.traces {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		c.at = c.traces[id]
		c.at.sort()
		c.task()
	}
	return c.found
}

// trace is all that is known of one task of one run.
type trace struct {
	run, task string
	plan      *Planned
	calls     []Request
	log       []Logged
}

func (t *trace) sort() {
	slices.SortStableFunc(t.calls, func(a, b Request) int { return a.At.Compare(b.At) })
	slices.SortStableFunc(t.log, func(a, b Logged) int { return a.At.Compare(b.At) })
}

// success is when the task's success was recorded.
func (t *trace) success() (time.Time, bool) {
	for _, e := range t.log {
		if e.Outcome == "success" {
			return e.At, true
		}
	}
	return time.Time{}, false
}

type checker struct {
	kills  []time.Time
	traces map[[2]string]*trace
	at     *trace
	found  []Violation
}

func (c *checker) trace(run, task string) *trace {
	id := [2]string{run, task}
	if c.traces[id] == nil {
		c.traces[id] = &trace{run: run, task: task}
	}
	return c.traces[id]
}

func (c *checker) breach(promise, format string, args ...any) {
	c.found = append(c.found, Violation{promise, c.at.run, c.at.task, fmt.Sprintf(format, args...)})
}

func (c *checker) task() {
	t := c.at
	c.keys()
	c.order()
	calls, from := t.calls, 0
	for i := 0; i <= len(t.log); i++ {
		if i < len(t.log) && t.log[i].Outcome != Resumed {
			continue
		}
		e := &epoch{checker: c, log: t.log[from:i], last: i == len(t.log)}
		e.calls = calls
		if !e.last {
			n := slices.IndexFunc(calls, func(r Request) bool { return r.At.After(t.log[i].At.Add(-slack)) })
			if n < 0 {
				n = len(calls)
			}
			e.calls, calls = calls[:n], calls[n:]
		}
		e.check()
		from = i + 1
	}
}

// keys: R5.
func (c *checker) keys() {
	var first string
	for i, r := range c.at.calls {
		if i == 0 {
			first = r.Key
		}
		if r.Key != first && !seeOther(c.at.calls[:i]) {
			c.breach("R5", "was called with the keys %q and %q", first, r.Key)
			return
		}
	}
	for _, e := range c.at.log {
		if e.Key != "" && e.Key != first && len(c.at.calls) > 0 {
			c.breach("R5", "was called with the key %q, and %q was recorded", first, e.Key)
			return
		}
	}
}

// seeOther reports whether the last call was answered by a redirect: what
// follows is another request.
func seeOther(calls []Request) bool {
	return len(calls) > 0 && redirected(calls[len(calls)-1].Status)
}

func redirected(status int) bool { return status > 300 && status < 400 && status != 304 }

// order: R2 and R3, as to the tasks that this one needs.
func (c *checker) order() {
	t := c.at
	if t.plan == nil {
		return
	}
	ready := true
	for _, name := range t.plan.After {
		at, ok := c.trace(t.run, name).success()
		ready = ready && ok
		switch {
		case len(t.calls) == 0:
		case !ok:
			c.breach("R3", "was called, though %s did not succeed", name)
		case t.calls[0].At.Before(at.Add(-slack)):
			c.breach("R3", "was called at %s, before the success of %s was recorded at %s", stamp(t.calls[0].At), name, stamp(at))
		}
	}
	if ready && len(t.calls) == 0 && len(t.log) == 0 {
		c.breach("R2", "was never attempted")
	}
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05.000000") }

func latest[T any](list []T) *T {
	if len(list) == 0 {
		return nil
	}
	return &list[len(list)-1]
}

// unsafeCall reports whether a call may have a second effect when it is made a
// second time.
func unsafeCall(method, key string) bool {
	return key == "" && (method == "POST" || method == "PATCH")
}

// died reports whether the node died between two moments.
func (c *checker) died(from, to time.Time) bool {
	return slices.ContainsFunc(c.kills, func(k time.Time) bool { return k.After(from) && k.Before(to) })
}
