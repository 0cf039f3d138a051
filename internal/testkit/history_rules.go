package testkit

import (
	"cmp"
	"slices"
	"time"
)

// try is one attempt: what was called, and what was recorded.
type try struct {
	n       int
	calls   []Request
	end     *Logged // the last entry
	unknown bool
}

// request is the attempt's own call, before redirects.
func (t *try) request() (method, key string) {
	switch {
	case len(t.calls) > 0:
		return t.calls[0].Method, t.calls[0].Key
	case t.end != nil:
		return t.end.Method, t.end.Key
	}
	return "", ""
}

func (t *try) unsafe() bool { return unsafeCall(t.request()) }

// tries sorts calls and entries by attempt. A call that does not say to which
// it belongs, belongs to the first entry after it.
func (e *epoch) tries() []*try {
	byN := map[int]*try{}
	of := func(n int) *try {
		if byN[n] == nil {
			byN[n] = &try{n: n}
		}
		return byN[n]
	}
	for i := range e.log {
		if entry := &e.log[i]; entry.Outcome != "deferred" { // nothing was called
			t := of(max(entry.Attempt, 1))
			t.end = entry
			t.unknown = t.unknown || entry.Unknown || entry.Outcome == "interrupted"
		}
	}
	for _, r := range e.calls {
		t := of(cmp.Or(r.Attempt, e.attemptAt(r.At)))
		t.calls = append(t.calls, r)
	}
	out := make([]*try, 0, len(byN))
	for _, t := range byN {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *try) int { return cmp.Compare(a.n, b.n) })
	return out
}

func (e *epoch) attemptAt(at time.Time) int {
	for _, entry := range e.log {
		if entry.Outcome != "deferred" && !entry.At.Add(slack).Before(at) {
			return max(entry.Attempt, 1)
		}
	}
	end := latest(e.log)
	switch {
	case end == nil:
		return 1
	case end.Outcome == "retry":
		return end.Attempt + 1
	}
	return max(end.Attempt, 1)
}

// epoch is the part of a task's history between two times that a person had it
// done again.
type epoch struct {
	*checker
	calls []Request
	log   []Logged
	last  bool
}

func (e *epoch) check() {
	e.over()
	tries := e.tries()
	for i, t := range tries {
		if t.end != nil && t.end.Outcome == "success" && len(t.calls) == 0 {
			e.breach("R2", "succeeded without a call")
		}
		e.repeats(t)
		var before *try
		if i > 0 {
			before = tries[i-1]
		}
		e.followed(before, t)
		if t.end != nil && t.end.Outcome == "retry" {
			e.table(t)
		}
	}
	switch n := len(tries); {
	case !e.last:
	case n == 0:
		e.ended(nil)
	default:
		e.ended(tries[n-1])
	}
}

// over finds calls that came when all was over, and leaves them out of what
// follows.
func (e *epoch) over() {
	for _, entry := range e.log {
		var promise, what string
		switch entry.Outcome {
		case "success":
			promise, what = "R3", "its success was recorded"
		case "failed":
			promise, what = "H2", "its failure was final"
		case "cancelled":
			promise, what = "H2", "it was cancelled"
		default:
			continue
		}
		i := slices.IndexFunc(e.calls, func(r Request) bool { return r.At.After(entry.At.Add(slack)) })
		if i < 0 {
			continue
		}
		for _, r := range e.calls[i:] {
			e.breach(promise, "was called at %s, after %s at %s", stamp(r.At), what, stamp(entry.At))
		}
		e.calls = e.calls[:i]
	}
}

// repeats: R4 and H2 within one attempt. Redirects are followed, a refused
// token is renewed once, and a crash may have cut the attempt off.
func (e *epoch) repeats(t *try) {
	replayed := false
	for i := 1; i < len(t.calls); i++ {
		before, r := t.calls[i-1], t.calls[i]
		switch {
		case redirected(before.Status):
		case !replayed && e.refreshes(before.Status) && before.Header.Get("Authorization") != r.Header.Get("Authorization"):
			replayed = true
		case (t.unknown || e.died(before.At, r.At)) && (!t.unsafe() || e.repeatsUnknown()):
		case t.unsafe():
			e.breach("R4", "is a %s without key and was sent at %s and at %s", r.Method, stamp(before.At), stamp(r.At))
		default:
			e.breach("H2", "was sent at %s and, in the same attempt, at %s, and nothing says why", stamp(before.At), stamp(r.At))
		}
	}
}

func (e *epoch) refreshes(status int) bool {
	if e.at.plan != nil && e.at.plan.RefreshOn != nil {
		return slices.Contains(e.at.plan.RefreshOn, status)
	}
	return status == 401
}

func (e *epoch) repeatsUnknown() bool { return e.at.plan != nil && e.at.plan.RepeatUnknown }

// followed: H2 between attempts. Each but the first was asked for by the one
// before, and comes no earlier than that said.
func (e *epoch) followed(before, t *try) {
	if t.n == 1 {
		return
	}
	switch {
	case before == nil || before.n != t.n-1 || before.end == nil:
		e.breach("H2", "attempt %d was made, and no record of attempt %d asks for it", t.n, t.n-1)
		return
	case before.end.Outcome == "interrupted" && before.unsafe() && !e.repeatsUnknown():
		e.breach("R4", "was tried again, though its outcome was unknown and nobody has decided")
		return
	case before.end.Outcome != "retry" && before.end.Outcome != "interrupted":
		e.breach("H2", "attempt %d was made after attempt %d had ended as %s", t.n, t.n-1, before.end.Outcome)
		return
	}
	if p := e.at.plan; p != nil && t.n > p.Retries+1 {
		e.breach("H2", "attempt %d was made, with a retry_count of %d", t.n, p.Retries)
	}
	if len(t.calls) == 0 {
		return
	}
	at := t.calls[0].At
	e.early(at, before.end.NotBefore, "the delay that was recorded")
	if last := latest(before.calls); last != nil {
		e.early(at, last.NotBefore, "Retry-After")
	}
}

func (e *epoch) early(at, due time.Time, what string) {
	if at.Before(due.Add(-slack)) {
		e.breach("H2", "was called %s before %s was over", due.Sub(at).Round(time.Millisecond), what)
	}
}

// table: H2, the retry table.
func (e *epoch) table(t *try) {
	plan := e.at.plan
	if plan == nil {
		plan = &Planned{}
	}
	moved := slices.ContainsFunc(t.calls, func(r Request) bool { return r.Method != t.calls[0].Method })
	if !retried(plan, t, moved) {
		method, _ := t.request()
		e.breach("H2", "was tried again after %s %d of a %s, which is not retried", t.end.Class, t.end.Status, method)
	}
}

// retried is the table of what is retried.
func retried(plan *Planned, t *try, moved bool) bool {
	again := !t.unsafe() // once more does no harm
	if moved && !again {
		return false // it was carried out, and only its answer is missing
	}
	switch t.end.Class {
	case "", "connect", "dns", "closed", "auth", "credential":
		return true
	case "timeout":
		return again || len(t.calls) == 0
	case "store":
		return again
	case "validation":
		return plan.RetryOnValidation
	case "status":
	default:
		return false
	}
	switch status := t.end.Status; {
	case slices.Contains(plan.FailOn, status):
		return false
	case slices.Contains(plan.RetryOn, status), status == 429, status == 503:
		return true
	case status == 408, status == 425:
		return again
	case status == 500, status == 502, status == 504:
		return true
	default:
		return status > 500 && !again
	}
}

// ended: R2 and R4, as to how it all ended.
func (e *epoch) ended(t *try) {
	end := latest(e.log)
	switch {
	case t == nil && end == nil:
	case t == nil:
		e.breach("R2", "was postponed and never attempted")
	case t.end == nil && (end == nil || end.Outcome == "retry" || end.Outcome == "deferred"):
		e.breach("R2", "was called at %s, and no outcome was recorded", stamp(t.calls[0].At))
	case end != nil && (end.Outcome == "retry" || end.Outcome == "deferred"):
		e.breach("R2", "was to be tried again, and was not")
	case t.end != nil && t.end.Outcome == "interrupted":
		if method, key := t.request(); method != "" && !unsafeCall(method, key) {
			e.breach("R4", "was left to a person, though a %s may be repeated", what(method, key))
		}
	}
}

func what(method, key string) string {
	if key != "" {
		return method + " with a key"
	}
	return method
}
