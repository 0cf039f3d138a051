package apicall

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Defaults of the circuit breakers.
const (
	DefaultBreakerFailures = 5                // in a row
	DefaultBreakerOpen     = 30 * time.Second // doubling with each opening
	DefaultBreakerOpenMax  = 5 * time.Minute
)

// The rules that are not settings.
const (
	breakerWindow  = 30 * time.Second // in which the share of failures counts
	breakerBuckets = 10
	breakerCalls   = 10 // finished in the window, before the share counts
	breakerProbes  = 2  // successes that close it
	breakerRecheck = time.Second
	breakerIdle    = 10 * time.Minute // after which a closed one is forgotten
	breakerSweep   = 1024             // breakers beyond which the idle ones are looked for
)

// BreakerConfig is how breakers work. A zero field means its default.
type BreakerConfig struct {
	Failures int           // in a row, that open a breaker
	Open     time.Duration // how long it stays open the first time
	OpenMax  time.Duration // the longest that it stays open

	// OnChange is told when a breaker opens, half-opens or closes; outside of
	// all locks, by the attempt that made it so.
	OnChange func(BreakerStatus)
}

// BreakerState is one of the three states.
type BreakerState string

// The states.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half_open"
)

// BreakerStatus is what a breaker shows of itself.
type BreakerStatus struct {
	Key      string        `json:"key"` // scheme, host and port, or the name that the flow gave
	State    BreakerState  `json:"state"`
	Failures int           `json:"failures"`              // in a row
	Until    time.Time     `json:"open_until,omitzero"`   // when the next probe may go
	Paused   time.Time     `json:"paused_until,omitzero"` // until when a 429 keeps calls back
	Open     time.Duration `json:"open,omitempty"`        // how long it stays open this time
}

// BreakerOutcome is what a call says about its host.
type BreakerOutcome int

// The outcomes. An answer of any kind, a refusal too, is a success of the host.
const (
	BreakerIgnored BreakerOutcome = iota // nothing was learned
	BreakerSuccess
	BreakerFailure
)

var (
	errBreakerFailure = errors.New("failure")
	errBreakerIgnored = errors.New("ignored")
)

// Breakers holds a circuit breaker per host. Their state is this node's, lives
// in memory, and starts closed.
type Breakers struct {
	cfg   BreakerConfig
	mu    sync.RWMutex
	byKey map[string]*breaker
}

// NewBreakers makes an empty set.
func NewBreakers(cfg BreakerConfig) *Breakers {
	cfg.Failures = cmp.Or(cfg.Failures, DefaultBreakerFailures)
	cfg.Open, cfg.OpenMax = cmp.Or(cfg.Open, DefaultBreakerOpen), cmp.Or(cfg.OpenMax, DefaultBreakerOpenMax)
	return &Breakers{cfg: cfg, byKey: map[string]*breaker{}}
}

// BreakerWait is why a call may not go now, and when asking again makes sense.
type BreakerWait struct {
	For    time.Duration
	Paused bool // by a 429, and not by failures
}

// Allow asks whether a call may go. If so, done must be called with what became
// of it, and until then no other probe goes; if not, done is nil.
func (b *Breakers) Allow(key string) (done func(BreakerOutcome), wait BreakerWait) {
	one := b.of(key)
	one.mu.Lock()
	finish, wait := one.allow(time.Now())
	b.unlock(one)
	if finish == nil {
		return nil, wait
	}
	return func(o BreakerOutcome) {
		one.mu.Lock()
		finish(o)
		b.unlock(one)
	}, wait
}

// Pause keeps calls back for a while: the host has answered 429.
func (b *Breakers) Pause(key string, d time.Duration) {
	one := b.of(key)
	one.mu.Lock()
	defer one.mu.Unlock()
	if until := time.Now().Add(d); until.After(one.paused) {
		one.paused = until
	}
}

// Reset closes a breaker and ends its pause; false when there is none.
func (b *Breakers) Reset(key string) bool {
	b.mu.RLock()
	one := b.byKey[key]
	b.mu.RUnlock()
	if one == nil {
		return false
	}
	one.mu.Lock()
	was := one.state
	one.paused = time.Time{}
	one.close()
	one.changed = was != BreakerClosed
	b.unlock(one)
	return true
}

// List shows all breakers that are known, by key.
func (b *Breakers) List() []BreakerStatus {
	b.mu.RLock()
	all := slices.SortedFunc(maps.Values(b.byKey), func(x, y *breaker) int { return cmp.Compare(x.key, y.key) })
	b.mu.RUnlock()
	out := make([]BreakerStatus, len(all))
	for i, one := range all {
		one.mu.Lock()
		out[i] = one.status()
		one.mu.Unlock()
	}
	return out
}

// unlock ends the work on a breaker and tells of a change.
func (b *Breakers) unlock(one *breaker) {
	changed, status := one.changed, one.status()
	one.changed = false
	one.mu.Unlock()
	if changed && b.cfg.OnChange != nil {
		b.cfg.OnChange(status)
	}
}

func (b *Breakers) of(key string) *breaker {
	b.mu.RLock()
	one := b.byKey[key]
	b.mu.RUnlock()
	if one != nil {
		return one
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if one = b.byKey[key]; one == nil {
		b.sweep()
		one = &breaker{key: key, cfg: &b.cfg}
		one.close()
		b.byKey[key] = one
	}
	return one
}

// sweep forgets breakers that nobody has asked for long: of hosts made of data
// there is no end.
func (b *Breakers) sweep() {
	if len(b.byKey) < breakerSweep {
		return
	}
	now := time.Now()
	maps.DeleteFunc(b.byKey, func(_ string, one *breaker) bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.state == BreakerClosed && now.Sub(one.asked) > breakerIdle && now.After(one.paused)
	})
}

// breaker is the breaker of one host. The state machine is gobreaker's; its
// time to stay open is fixed, and its number of probes is that of successes, so
// this wrapper replaces it at each opening and lets one probe go at a time.
type breaker struct {
	key string
	cfg *BreakerConfig

	mu      sync.Mutex
	gate    *gobreaker.TwoStepCircuitBreaker[struct{}]
	state   BreakerState
	changed bool
	inRow   int // failures, over any time: gobreaker forgets what is older than its window
	openFor time.Duration
	until   time.Time
	paused  time.Time
	probing bool
	asked   time.Time
}

func (b *breaker) status() BreakerStatus {
	s := BreakerStatus{Key: b.key, State: b.state, Failures: b.inRow, Paused: b.paused}
	if b.state != BreakerClosed {
		s.Until, s.Open = b.until, b.openFor
	}
	return s
}

// close starts anew.
func (b *breaker) close() {
	b.state, b.inRow, b.openFor, b.probing = BreakerClosed, 0, 0, false
	b.gate = b.newGate(0, b.tripped)
}

func (b *breaker) newGate(open time.Duration, trip func(gobreaker.Counts) bool) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: breakerProbes, Interval: breakerWindow, BucketPeriod: breakerWindow / breakerBuckets, Timeout: open,
		ReadyToTrip: trip,
		IsExcluded:  func(err error) bool { return errors.Is(err, errBreakerIgnored) },
		// It is called within gobreaker's lock: asking for State here would
		// wait for ever. What has changed is read when the call returns.
	})
}

// tripped is the rule that opens a closed breaker. Calls that are under way
// count for nothing yet.
func (b *breaker) tripped(c gobreaker.Counts) bool {
	finished := c.TotalSuccesses + c.TotalFailures
	return b.inRow >= b.cfg.Failures || finished >= breakerCalls && 2*c.TotalFailures >= finished
}

// open replaces the gate by one that is open, twice as long as the last time.
func (b *breaker) open() {
	b.openFor = min(max(b.cfg.Open, 2*b.openFor), b.cfg.OpenMax)
	b.state, b.changed, b.probing = BreakerOpen, true, false
	b.gate = b.newGate(b.openFor, func(gobreaker.Counts) bool { return true })
	if done, err := b.gate.Allow(); err == nil {
		done(errBreakerFailure)
	}
	b.until = time.Now().Add(b.openFor) // not before the gate's own time
}

func (b *breaker) allow(now time.Time) (done func(BreakerOutcome), wait BreakerWait) {
	b.asked = now
	if left := b.paused.Sub(now); left > 0 {
		return nil, BreakerWait{For: left, Paused: true}
	}
	if b.state == BreakerOpen {
		if left := b.until.Sub(now); left >= 0 {
			return nil, BreakerWait{For: max(left, time.Millisecond)}
		}
		b.state, b.changed = BreakerHalfOpen, true
	}
	probe := b.state == BreakerHalfOpen
	if probe && b.probing {
		return nil, BreakerWait{For: breakerRecheck}
	}
	gate := b.gate
	finish, err := gate.Allow()
	if err != nil {
		return nil, BreakerWait{For: breakerRecheck}
	}
	b.probing = probe
	return func(o BreakerOutcome) {
		if gate == b.gate { // else it was replaced while the call was made
			b.finished(finish, o)
		}
	}, wait
}

// finished takes the outcome of a call.
func (b *breaker) finished(finish func(error), o BreakerOutcome) {
	b.probing = false
	switch o {
	case BreakerSuccess:
		b.inRow = 0
		finish(nil)
	case BreakerFailure:
		b.inRow++
		finish(errBreakerFailure)
	default:
		finish(errBreakerIgnored)
		return
	}
	switch b.gate.State() {
	case gobreaker.StateOpen:
		b.open()
	case gobreaker.StateClosed:
		if b.state != BreakerClosed {
			b.close()
			b.changed = true
		}
	case gobreaker.StateHalfOpen:
	}
}
