package engine

import (
	"fmt"
	"time"

	"github.com/qarion/qarion/internal/ratelimit"
)

// LimitSpent is what an attempt has spent of a rate limit. It stands in the
// attempt's record, so that a quota of a day outlives restarts and is the same on
// every replay: the next call may be made Costs after this one, or after the one
// that was due by then.
type LimitSpent struct {
	Key   string  `cbor:"1,keyasint"`
	Costs []int64 `cbor:"2,keyasint,omitempty"` // by the rates of the limit, in microseconds
	Until Micros  `cbor:"3,keyasint,omitempty"` // the server wants no call before
}

// LimitState is what is remembered of a limit's key: when its next call is due by
// each rate, in microseconds since 1970, and until when its server wants none.
type LimitState struct {
	Next  []int64
	Until Micros
}

// MaxLimitKeys bounds the keys that are remembered: hosts are made of data.
const MaxLimitKeys = ratelimit.MaxKeys

// LimitPrefix begins what tasks are parked under that wait for a limit; its key
// follows.
const LimitPrefix = "limit:"

// ClassLimit is the class of an attempt that a rate limit holds back.
const ClassLimit = "limit"

// limiting is an attempt's side of the rate limits.
type limiting struct {
	limiter *ratelimit.Limiter
	key     string // taken: by the scheduler before, or here
	own     bool   // here: it is to be given back
	until   time.Time
}

// SetLimits gives the attempt the limiter; granted is the key that was taken for it
// before it was given out, "" for none.
func (in *TaskInput) SetLimits(l *ratelimit.Limiter, granted string) {
	in.limits = limiting{limiter: l, key: granted}
}

// Limited asks the rate limit that a call falls under; nil: it may be made.
// Otherwise the attempt is postponed, or, where it would take too long, fails.
func (in *TaskInput) Limited(call ratelimit.Call) *TaskError {
	l := &in.limits
	if l.limiter == nil {
		return nil
	}
	key := l.limiter.Key(call)
	if key == "" || key == l.key {
		return nil
	}
	wait, ok := l.limiter.Take(key, time.Now(), in.Key.Attempt > 1)
	if ok {
		l.key, l.own = key, true
		return nil
	}
	return postponedBy(key, wait, l.limiter.MaxWait(key))
}

func postponedBy(key string, wait ratelimit.Wait, longest time.Duration) *TaskError {
	name := "limit " + ratelimit.NameOf(key)
	if wait.For > longest {
		return &TaskError{Class: ClassLimit, Message: fmt.Sprintf("%s: next call in %s, longer than limit_max_wait (%s)", name, wait.For.Round(time.Second), longest)}
	}
	why := map[string]string{
		ratelimit.ByRate: "its rate is used up", ratelimit.ByConcurrency: "as many calls as may be are under way",
		ratelimit.ByServer: "its server wants no more for now", ratelimit.ByRetries: "too many of its calls are retries",
	}[wait.Why]
	return &TaskError{Class: ClassLimit, Message: name + ": " + why, Defer: max(wait.For, time.Millisecond), DeferKey: LimitPrefix + key}
}

// Learns reports whether the limit of the attempt wants to know what its server
// says of its own limits.
func (in *TaskInput) Learns() bool {
	return in.limits.key != "" && in.limits.limiter.Learns(in.limits.key)
}

// HoldBack says that the server wants no call before a time.
func (in *TaskInput) HoldBack(until time.Time) {
	in.limits.until = until
	in.limits.limiter.Pause(in.limits.key, until)
}

// LimitSpent is what the attempt has spent; nil when no limit concerned it. It
// gives back what Limited has taken.
func (in *TaskInput) LimitSpent() *LimitSpent {
	l := &in.limits
	if l.key == "" {
		return nil
	}
	if l.own {
		l.limiter.Done(l.key)
	}
	return &LimitSpent{Key: l.key, Costs: l.limiter.Costs(l.key), Until: At(l.until)}
}
