package testkit

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// at is a moment of the hand-made histories, in milliseconds.
func at(ms int) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(ms) * time.Millisecond)
}

// sent is a call of the task r.t.
func sent(ms int, method string, change ...func(*Request)) Request {
	r := Request{Method: method, Path: "/x", Run: "r", Task: "t", At: at(ms), Status: 200, Header: http.Header{}}
	for _, c := range change {
		c(&r)
	}
	return r
}

func key(k string) func(*Request)        { return func(r *Request) { r.Key = k } }
func attempt(n int) func(*Request)       { return func(r *Request) { r.Attempt = n } }
func answered(status int) func(*Request) { return func(r *Request) { r.Status = status } }
func task(id string) func(*Request)      { return func(r *Request) { r.Task = id } }
func asks(ms int) func(*Request)         { return func(r *Request) { r.NotBefore = at(ms) } }
func bearer(token string) func(*Request) {
	return func(r *Request) { r.Header.Set("Authorization", token) }
}
func unknown(e *Logged)                 { e.Unknown = true }
func method(m string) func(*Logged)     { return func(e *Logged) { e.Method = m } }
func of(id string) func(*Logged)        { return func(e *Logged) { e.Task = id } }
func withKey(k string) func(*Logged)    { return func(e *Logged) { e.Key = k } }
func why(c string, n int) func(*Logged) { return func(e *Logged) { e.Class, e.Status = c, n } }
func notBefore(ms int) func(*Logged)    { return func(e *Logged) { e.NotBefore = at(ms) } }
func logged(ms, n int, outcome string, change ...func(*Logged)) Logged {
	e := Logged{Run: "r", Task: "t", Attempt: n, Outcome: outcome, At: at(ms)}
	for _, c := range change {
		c(&e)
	}
	return e
}

// TestCheck_RejectsBadHistories: each breach of a promise has a history, made
// by hand, that must be found, and for that promise only.
func TestCheck_RejectsBadHistories(t *testing.T) {
	for name, c := range map[string]struct {
		h    History
		want string // the promise, and a part of what is said
	}{
		"R2: a success that nobody called": {History{
			Log: []Logged{logged(10, 1, "success")},
		}, "R2: r.t succeeded without a call"},
		"R2: the retry succeeded without a call": {History{
			Requests: []Request{sent(0, "GET", attempt(1), answered(503))},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503)), logged(10, 2, "success")},
		}, "R2: r.t succeeded without a call"},
		"R2: a task that could begin never did": {History{
			Requests: []Request{sent(0, "GET")}, Log: []Logged{logged(5, 1, "success")},
			Tasks: []Planned{{Run: "r", Task: "t"}, {Run: "r", Task: "next", After: []string{"t"}}},
		}, "R2: r.next was never attempted"},
		"R2: a call without an outcome": {History{
			Requests: []Request{sent(0, "GET")},
		}, "R2: r.t was called at"},
		"R2: a retry that never came": {History{
			Requests: []Request{sent(0, "GET", answered(503))}, Log: []Logged{logged(5, 1, "retry", why("status", 503))},
		}, "R2: r.t was to be tried again, and was not"},
		"R2: postponed for ever": {History{
			Log: []Logged{logged(5, 1, "deferred")},
		}, "R2: r.t was postponed and never attempted"},
		"R2: nothing recorded of the second attempt": {History{
			Requests: []Request{sent(0, "GET", attempt(1), answered(503)), sent(20, "GET", attempt(2))},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503))},
		}, "R2: r.t was called at"},

		"R3: called after its success": {History{
			Requests: []Request{sent(0, "GET"), sent(50, "GET")}, Log: []Logged{logged(10, 1, "success")},
		}, "R3: r.t was called at"},
		"R3: called after its success, by the number of the attempt": {History{
			Requests: []Request{sent(0, "GET", attempt(1)), sent(50, "GET", attempt(1))},
			Log:      []Logged{logged(10, 1, "success", unknown)}, Kills: []time.Time{at(20)},
		}, "R3: r.t was called at"},
		"R3: called before what it needs was done": {History{
			Requests: []Request{sent(0, "GET"), sent(20, "GET", task("next"))},
			Log:      []Logged{logged(30, 1, "success"), logged(40, 1, "success", of("next"))},
			Tasks:    []Planned{{Run: "r", Task: "next", After: []string{"t"}}},
		}, "R3: r.next was called at"},
		"R3: called though what it needs has failed": {History{
			Requests: []Request{sent(0, "GET", answered(404)), sent(20, "GET", task("next"))},
			Log:      []Logged{logged(10, 1, "failed", why("status", 404)), logged(40, 1, "success", of("next"))},
			Tasks:    []Planned{{Run: "r", Task: "next", After: []string{"t"}}},
		}, "R3: r.next was called, though t did not succeed"},

		"R4: a POST without key twice after a crash": {History{
			Requests: []Request{sent(0, "POST", answered(0)), sent(50, "POST")},
			Log:      []Logged{logged(60, 1, "success", unknown)}, Kills: []time.Time{at(10)},
		}, "R4: r.t is a POST without key and was sent at"},
		"R4: a PATCH without key twice, and nobody has died": {History{
			Requests: []Request{sent(0, "PATCH", answered(0)), sent(50, "PATCH")}, Log: []Logged{logged(60, 1, "success")},
		}, "R4: r.t is a PATCH without key and was sent at"},
		"R4: tried again while a person was to decide": {History{
			Requests: []Request{sent(0, "POST", attempt(1), answered(0)), sent(50, "POST", attempt(2))},
			Log:      []Logged{logged(20, 1, "interrupted"), logged(60, 2, "success")}, Tasks: []Planned{{Run: "r", Task: "t", Retries: 3}},
		}, "R4: r.t was tried again, though its outcome was unknown"},
		"R4: a GET was left to a person": {History{
			Requests: []Request{sent(0, "GET", answered(0))}, Log: []Logged{logged(50, 1, "interrupted")}, Kills: []time.Time{at(10)},
		}, "R4: r.t was left to a person, though a GET may be repeated"},
		"R4: a POST with a key was left to a person, by the log alone": {History{
			Log: []Logged{logged(50, 1, "interrupted", method("POST"), withKey("k"))},
		}, "R4: r.t was left to a person, though a POST with a key may be repeated"},

		"R5: two keys": {History{
			Requests: []Request{sent(0, "POST", key("a"), answered(503)), sent(50, "POST", key("b"))},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503)), logged(60, 2, "success")},
		}, `R5: r.t was called with the keys "a" and "b"`},
		"R5: a key, and then none": {History{
			Requests: []Request{sent(0, "PUT", key("a"), answered(503)), sent(50, "PUT")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503)), logged(60, 2, "success")},
		}, `R5: r.t was called with the keys "a" and ""`},
		"R5: another key after a person has resumed it": {History{
			Requests: []Request{sent(0, "POST", key("a"), answered(400)), sent(50, "POST", key("b"))},
			Log:      []Logged{logged(5, 1, "failed", why("status", 400)), logged(40, 0, Resumed), logged(60, 1, "success")},
		}, `R5: r.t was called with the keys "a" and "b"`},
		"R5: another key in the log": {History{
			Requests: []Request{sent(0, "POST", key("a"))}, Log: []Logged{logged(5, 1, "success", withKey("b"))},
		}, `R5: r.t was called with the key "a", and "b" was recorded`},

		"H2: a 400 was retried": {History{
			Requests: []Request{sent(0, "GET", answered(400)), sent(50, "GET")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 400)), logged(60, 2, "success")},
		}, "H2: r.t was tried again after status 400 of a GET"},
		"H2: a POST without key was retried after a timeout": {History{
			Requests: []Request{sent(0, "POST", answered(0)), sent(50, "POST")},
			Log:      []Logged{logged(5, 1, "retry", why("timeout", 0)), logged(60, 2, "success")},
		}, "H2: r.t was tried again after timeout 0 of a POST"},
		"H2: a GET was retried after 501": {History{
			Requests: []Request{sent(0, "GET", answered(501)), sent(50, "GET")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 501)), logged(60, 2, "success")},
		}, "H2: r.t was tried again after status 501"},
		"H2: a status of fail_on_status was retried": {History{
			Requests: []Request{sent(0, "GET", answered(503)), sent(50, "GET")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503)), logged(60, 2, "success")},
			Tasks:    []Planned{{Run: "r", Task: "t", Retries: 1, FailOn: []int{503}}},
		}, "H2: r.t was tried again after status 503"},
		"H2: a failed check was retried": {History{
			Requests: []Request{sent(0, "GET"), sent(50, "GET")},
			Log:      []Logged{logged(5, 1, "retry", why("validation", 200)), logged(60, 2, "success")},
		}, "H2: r.t was tried again after validation 200"},
		"H2: a refused certificate was tried again": {History{
			Requests: []Request{sent(50, "GET", attempt(2))},
			Log:      []Logged{logged(5, 1, "retry", why("tls", 0), method("GET")), logged(60, 2, "success")},
		}, "H2: r.t was tried again after tls"},
		"H2: a POST that was answered by a redirect was sent again": {History{
			Requests: []Request{sent(0, "POST", answered(303)), sent(1, "GET", answered(503)), sent(50, "POST")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503)), logged(60, 2, "success")},
		}, "H2: r.t was tried again after status 503 of a POST"},
		"H2: more often than retry_count": {History{
			Requests: []Request{sent(0, "GET", answered(503)), sent(50, "GET", answered(503)), sent(100, "GET")},
			Log: []Logged{
				logged(5, 1, "retry", why("status", 503)), logged(55, 2, "retry", why("status", 503)), logged(105, 3, "success"),
			},
			Tasks: []Planned{{Run: "r", Task: "t", Retries: 1}},
		}, "H2: r.t attempt 3 was made, with a retry_count of 1"},
		"H2: earlier than the recorded delay": {History{
			Requests: []Request{sent(0, "GET", answered(503)), sent(50, "GET")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503), notBefore(1000)), logged(60, 2, "success")},
		}, "H2: r.t was called 950ms before the delay that was recorded was over"},
		"H2: earlier than Retry-After, whatever was recorded": {History{
			Requests: []Request{sent(0, "GET", answered(503), asks(2000)), sent(50, "GET")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503), notBefore(40)), logged(60, 2, "success")},
		}, "H2: r.t was called 1.95s before Retry-After was over"},
		"H2: twice in one attempt without a crash": {History{
			Requests: []Request{sent(0, "GET", answered(0)), sent(5, "GET")}, Log: []Logged{logged(60, 1, "success")},
		}, "H2: r.t was sent at"},
		"H2: twice in one attempt, and the crash was later": {History{
			Requests: []Request{sent(0, "GET", answered(0)), sent(5, "GET")}, Log: []Logged{logged(60, 1, "success")},
			Kills: []time.Time{at(80)},
		}, "H2: r.t was sent at"},
		"H2: two repeats for one crash": {History{
			Requests: []Request{sent(0, "GET"), sent(50, "GET"), sent(55, "GET")}, Log: []Logged{logged(60, 1, "success")},
			Kills: []time.Time{at(20)},
		}, "H2: r.t was sent at"},
		"H2: a refused token was replayed twice": {History{
			Requests: []Request{
				sent(0, "GET", answered(401), bearer("a")), sent(5, "GET", answered(401), bearer("b")), sent(9, "GET", bearer("c")),
			},
			Log: []Logged{logged(60, 1, "success")},
		}, "H2: r.t was sent at"},
		"H2: refused, and sent again with the same token": {History{
			Requests: []Request{sent(0, "GET", answered(401), bearer("a")), sent(5, "GET", answered(401), bearer("a"))},
			Log:      []Logged{logged(60, 1, "failed", why("status", 401))},
		}, "H2: r.t was sent at"},
		"H2: after the failure was final": {History{
			Requests: []Request{sent(0, "GET", answered(404)), sent(50, "GET")}, Log: []Logged{logged(5, 1, "failed", why("status", 404))},
		}, "H2: r.t was called at"},
		"H2: after it was cancelled": {History{
			Requests: []Request{sent(0, "GET"), sent(50, "GET")}, Log: []Logged{logged(5, 1, "cancelled")},
		}, "H2: r.t was called at"},
		"H2: a second attempt that nobody has asked for": {History{
			Requests: []Request{sent(0, "GET", attempt(1)), sent(50, "GET", attempt(2))}, Log: []Logged{logged(60, 2, "success")},
		}, "H2: r.t attempt 2 was made, and no record of attempt 1 asks for it"},
	} {
		found := c.h.Check()
		if len(found) == 0 {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, v := range found {
			if v.Promise != name[:2] {
				t.Errorf("%s: found %s", name, v)
			}
		}
		if !strings.HasPrefix(found[0].String(), c.want) {
			t.Errorf("%s: found %s, want %s", name, found[0], c.want)
		}
	}
}

// TestCheck_AcceptsGoodHistories: what the rules allow, however odd it looks.
func TestCheck_AcceptsGoodHistories(t *testing.T) {
	for name, h := range map[string]History{
		"nothing": {},
		"a chain": {
			Requests: []Request{sent(0, "GET"), sent(20, "POST", task("next"))},
			Log:      []Logged{logged(10, 1, "success"), logged(30, 1, "success", of("next"))},
			Tasks:    []Planned{{Run: "r", Task: "t"}, {Run: "r", Task: "next", After: []string{"t"}}},
		},
		"what needs a failure is not called": {
			Requests: []Request{sent(0, "GET", answered(404))}, Log: []Logged{logged(10, 1, "failed", why("status", 404))},
			Tasks: []Planned{{Run: "r", Task: "t"}, {Run: "r", Task: "next", After: []string{"t"}}},
		},
		"a log whose clock is cut to milliseconds": {
			Requests: []Request{sent(10, "GET")}, Log: []Logged{logged(9, 1, "success")},
		},
		"two tasks and two runs do not mix": {
			Requests: []Request{sent(0, "GET"), sent(1, "GET", task("u")), sent(50, "GET", func(r *Request) { r.Run = "s" })},
			Log: []Logged{logged(5, 1, "success"), logged(6, 1, "success", of("u")),
				logged(60, 1, "success", func(e *Logged) { e.Run = "s" })},
		},
		"retries, each when it was due": {
			Requests: []Request{
				sent(0, "POST", attempt(1), key("k"), answered(503), asks(20)), sent(50, "POST", attempt(2), key("k"), answered(0)),
				sent(150, "POST", attempt(3), key("k")),
			},
			Log: []Logged{
				logged(5, 1, "retry", why("status", 503), notBefore(50), withKey("k")),
				logged(90, 2, "retry", why("timeout", 0), notBefore(140), withKey("k")), logged(155, 3, "success", withKey("k")),
			},
			Tasks: []Planned{{Run: "r", Task: "t", Retries: 2}},
		},
		"a POST without key, retried as its author asked": {
			Requests: []Request{sent(0, "POST", answered(500)), sent(20, "POST", answered(0)), sent(40, "POST", answered(507)), sent(60, "POST")},
			Log: []Logged{
				logged(5, 1, "retry", why("status", 500)), logged(25, 2, "retry", why("closed", 0)),
				logged(45, 3, "retry", why("status", 507)), logged(65, 4, "success"),
			},
			Tasks: []Planned{{Run: "r", Task: "t", Retries: 3}},
		},
		"retries that never reached the server": {
			Requests: []Request{sent(30, "POST", attempt(3))},
			Log: []Logged{
				logged(5, 1, "retry", why("connect", 0)), logged(20, 2, "retry", why("timeout", 0)), logged(35, 3, "success"),
			},
		},
		"what the flow overrides": {
			Requests: []Request{sent(0, "GET", answered(404)), sent(20, "GET"), sent(40, "GET")},
			Log:      []Logged{logged(5, 1, "retry", why("status", 404)), logged(25, 2, "retry", why("validation", 200)), logged(45, 3, "success")},
			Tasks:    []Planned{{Run: "r", Task: "t", Retries: 2, RetryOn: []int{404}, RetryOnValidation: true}},
		},
		"no retries left": {
			Requests: []Request{sent(0, "GET", answered(503)), sent(20, "GET", answered(503))},
			Log:      []Logged{logged(5, 1, "retry", why("status", 503)), logged(25, 2, "failed", why("status", 503))},
			Tasks:    []Planned{{Run: "r", Task: "t", Retries: 1}},
		},
		"a GET, repeated after a crash": {
			Requests: []Request{sent(0, "GET", answered(0)), sent(50, "GET")}, Log: []Logged{logged(60, 1, "success")}, Kills: []time.Time{at(20)},
		},
		"a POST with a key, repeated after two crashes": {
			Requests: []Request{sent(0, "POST", key("k"), answered(0)), sent(50, "POST", key("k")), sent(90, "POST", key("k"))},
			Log:      []Logged{logged(99, 1, "success")}, Kills: []time.Time{at(20), at(70)},
		},
		"a repeat that the log itself explains": {
			Requests: []Request{sent(0, "DELETE", answered(0)), sent(50, "DELETE", answered(404))}, Log: []Logged{logged(60, 1, "success", unknown)},
		},
		"a POST whose outcome is unknown, left to a person": {
			Requests: []Request{sent(0, "POST", answered(0))}, Log: []Logged{logged(50, 1, "interrupted")}, Kills: []time.Time{at(20)},
		},
		"a POST that was to be sent when the node died": {
			Log: []Logged{logged(50, 1, "interrupted")}, Kills: []time.Time{at(20)},
		},
		"a POST that a person had sent again": {
			Requests: []Request{sent(0, "POST", attempt(1), answered(0)), sent(80, "POST", attempt(1))},
			Log:      []Logged{logged(50, 1, "interrupted"), logged(70, 0, Resumed), logged(90, 1, "success")},
		},
		"a failed task that a person had done again": {
			Requests: []Request{sent(0, "GET", answered(404)), sent(80, "GET", answered(503)), sent(100, "GET")},
			Log: []Logged{
				logged(50, 1, "failed", why("status", 404)), logged(70, 0, Resumed),
				logged(85, 1, "retry", why("status", 503)), logged(105, 2, "success"),
			},
		},
		"on_interrupted = retry": {
			Requests: []Request{sent(0, "POST", answered(0)), sent(50, "POST")}, Log: []Logged{logged(60, 1, "success", unknown)},
			Tasks: []Planned{{Run: "r", Task: "t", RepeatUnknown: true}}, Kills: []time.Time{at(20)},
		},
		"cut off by a node that stopped, and taken up by the next": {
			Requests: []Request{sent(0, "GET", answered(0)), sent(50, "GET")},
			Log:      []Logged{logged(20, 1, "interrupted"), logged(60, 1, "success")},
		},
		"a token that was renewed": {
			Requests: []Request{sent(0, "POST", answered(401), bearer("a")), sent(5, "POST", bearer("b"))}, Log: []Logged{logged(60, 1, "success")},
		},
		"a token that was renewed, on another status": {
			Requests: []Request{sent(0, "POST", answered(403), bearer("a")), sent(5, "POST", bearer("b"))}, Log: []Logged{logged(60, 1, "success")},
			Tasks: []Planned{{Run: "r", Task: "t", RefreshOn: []int{403}}},
		},
		"redirects, where the key is left behind": {
			Requests: []Request{sent(0, "POST", key("k"), answered(303)), sent(2, "GET", answered(302)), sent(4, "GET")},
			Log:      []Logged{logged(60, 1, "success", withKey("k"))},
		},
		"held back by a breaker": {
			Requests: []Request{sent(50, "GET")}, Log: []Logged{logged(5, 1, "deferred", notBefore(40)), logged(60, 1, "success")},
		},
		"failed before anything was sent": {
			Log: []Logged{logged(5, 1, "failed", why("template", 0))},
		},
	} {
		if found := h.Check(); len(found) > 0 {
			t.Errorf("%s: found %v", name, found)
		}
	}
}

func TestCheck_KnowsWithoutTheFlow(t *testing.T) {
	requests := []Request{sent(0, "GET"), sent(50, "GET")}
	if found := Check(requests[:1], []Logged{logged(10, 1, "success")}); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	found := Check(requests, []Logged{logged(10, 1, "success")})
	want := "R3: r.t was called at " + stamp(at(50)) + ", after its success was recorded at " + stamp(at(10))
	if len(found) != 1 || found[0].String() != want {
		t.Errorf("found %v, want %s", found, want)
	}
}
