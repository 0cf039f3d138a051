package apicall

import (
	"fmt"
	"net/url"
	"time"

	"github.com/qarion/qarion/engine"
)

// hostKey names the breaker of an address: scheme, host and port.
func hostKey(u *url.URL) string {
	return u.Scheme + "://" + u.Hostname() + ":" + portOf(u)
}

// breakerKey names the breaker that an attempt asks; "" for none.
func (a *attempt) breakerKey() string {
	p := a.props()
	switch {
	case p.noBreaker || a.prog.t.cfg.Breakers == nil:
		return ""
	case p.breaker != "":
		return p.breaker
	case a.target.key != "":
		return a.target.key
	}
	return hostKey(a.target.url)
}

// admitted asks the host's breaker. done must be called with what was learned;
// it is nil when the attempt has to wait, and out says so.
func (a *attempt) admitted() (done func(BreakerOutcome), out engine.TaskOutput) {
	key := a.breakerKey()
	if key == "" {
		return func(BreakerOutcome) {}, out
	}
	done, wait := a.prog.t.cfg.Breakers.Allow(key)
	if done != nil {
		return done, out
	}
	return nil, a.postponed(key, wait)
}

// postponed is an attempt that waits as data: nothing is held and no retry is
// spent. After breaker_max_wait it fails.
func (a *attempt) postponed(key string, wait BreakerWait) engine.TaskOutput {
	a.describe()
	a.out.Details.Breaker = key
	limit := a.props().breakerMaxWait
	left := limit
	if !a.in.WaitingSince.IsZero() {
		left = limit - time.Since(a.in.WaitingSince)
	}
	why := "circuit open"
	if wait.Paused {
		why = "paused by 429"
	}
	e := &engine.TaskError{Class: classBreaker, Message: why + ": " + key, Defer: min(wait.For, left), DeferKey: key}
	if left <= 0 {
		e.Message, e.Defer, e.DeferKey = fmt.Sprintf("%s for %s: %s", why, limit, key), 0, ""
		a.out.Details.NotRetried = "breaker_max_wait is over"
		a.out.Details.Hint = "qarion breakers list"
	}
	a.out.Err = e
	return a.out
}

// learned is what an attempt says about its host. Any answer is a success of
// the host, but for those that mean trouble there; 429 asks for a pause and
// says nothing else.
func learned(out *engine.TaskOutput) BreakerOutcome {
	if out.Err == nil {
		return BreakerSuccess
	}
	switch out.Err.Class {
	case classTimeout, classClosed, classConnect, classDNS, classTLS:
		return BreakerFailure
	case classStatus:
		switch out.Details.StatusCode {
		case 500, 502, 503, 504:
			return BreakerFailure
		case 429:
			return BreakerIgnored
		}
		return BreakerSuccess
	case classValidation, classResponse, classTooLarge, classSelect, classRedirect, classStore, classPage, classPoll:
		return BreakerSuccess
	}
	return BreakerIgnored
}

// pause keeps other calls back from a host that has answered 429, for as long
// as it asks, or until the first retry.
func (a *attempt) pause() {
	key := a.breakerKey()
	if a.out.Details.StatusCode != 429 || a.out.Err == nil || key == "" {
		return
	}
	d := a.out.Err.RetryAfter
	if d == 0 {
		d = a.props().retry.Delay
	}
	a.prog.t.cfg.Breakers.Pause(key, min(d, a.props().retry.AfterMax))
}
