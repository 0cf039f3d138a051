package ratelimit

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Spent is what is remembered of a key: the arrival time of the next call by each
// rate, in microseconds since 1970, and until when its server wants none.
type Spent struct {
	Next  []int64
	Until int64
}

// Limiter gives calls out. Its methods may be called from any goroutine. The zero
// time of a method is never used: the caller says what time it is.
type Limiter struct {
	*Rules
	mu   sync.Mutex
	keys map[string]*state
}

// state is a key that has been asked for.
type state struct {
	rule    *Rule
	spent   Spent
	away    int // calls under way
	calls   window
	retries window
}

// MaxKeys bounds the keys that are remembered: hosts are made of data.
const MaxKeys = 10_000

// New makes a limiter. Without rules it is nil, and must not be asked.
func New(rules *Rules) *Limiter {
	if rules == nil || len(rules.list) == 0 {
		return nil
	}
	return &Limiter{Rules: rules, keys: map[string]*state{}}
}

// Restore takes what was spent of a key before this process began.
func (l *Limiter) Restore(key string, spent Spent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.state(key); s != nil && len(spent.Next) == len(s.rule.Rates) {
		s.spent = Spent{slices.Clone(spent.Next), spent.Until}
	}
}

func (l *Limiter) state(key string) *state {
	s := l.keys[key]
	if s != nil {
		return s
	}
	rule := l.rule(key)
	if rule == nil {
		return nil
	}
	s = &state{rule: rule, spent: Spent{Next: make([]int64, len(rule.Rates))}}
	l.keys[key] = s
	return s
}

// tidy forgets keys that hold nothing back any more, once there are many.
func (l *Limiter) tidy(now int64) {
	if len(l.keys) < MaxKeys {
		return
	}
	maps.DeleteFunc(l.keys, func(_ string, s *state) bool {
		return s.away == 0 && s.spent.Until <= now && !slices.ContainsFunc(s.spent.Next, func(at int64) bool { return at > now })
	})
}

// Wait is why a call must wait, and how long at least.
type Wait struct {
	For time.Duration // 0: until another call has ended
	Why string        // one of the reasons
}

// The reasons.
const (
	ByRate        = "rate"
	ByConcurrency = "concurrency"
	ByServer      = "server" // it has said so
	ByRetries     = "retries"
)

// concurrencyCheck is how long a call waits that waits for another one to end,
// where nobody tells it of that.
const concurrencyCheck = time.Second

// Take takes a call of a key, to be given back with Done when it has ended; ok is
// false when it has to wait. retry says that it repeats one that failed.
func (l *Limiter) Take(key string, now time.Time, retry bool) (wait Wait, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now.UnixMicro()
	l.tidy(at)
	s := l.state(key)
	if s == nil {
		return Wait{}, true
	}
	if wait, ok = s.admits(at, retry); !ok {
		return wait, false
	}
	for i, r := range s.rule.Rates {
		s.spent.Next[i] = max(s.spent.Next[i], at) + r.cost()
	}
	s.away++
	s.calls.add(at)
	if retry {
		s.retries.add(at)
	}
	return Wait{}, true
}

func (s *state) admits(now int64, retry bool) (wait Wait, ok bool) {
	if s.rule.Concurrency > 0 && s.away >= s.rule.Concurrency {
		return Wait{concurrencyCheck, ByConcurrency}, false
	}
	var for_ int64
	if s.spent.Until > now {
		for_, wait.Why = s.spent.Until-now, ByServer
	}
	for i, r := range s.rule.Rates {
		slack := int64(s.rule.burst(i)-1) * r.cost()
		if w := s.spent.Next[i] - slack - now; w > for_ {
			for_, wait.Why = w, ByRate
		}
	}
	if retry && s.rule.RetryRatio > 0 {
		if n := s.retries.count(now); n >= freeRetries && float64(n) >= s.rule.RetryRatio*float64(s.calls.count(now)) && for_ < retryPause {
			for_, wait.Why = retryPause, ByRetries
		}
	}
	wait.For = time.Duration(for_) * time.Microsecond
	return wait, for_ <= 0
}

// Done gives a call back that was taken.
func (l *Limiter) Done(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.keys[key]; s != nil {
		s.away = max(0, s.away-1)
	}
}

// Pause keeps calls of a key back: its server has said until when.
func (l *Limiter) Pause(key string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.state(key); s != nil && s.rule.Learn {
		s.spent.Until = max(s.spent.Until, until.UnixMicro())
	}
}

// Costs are how far one call moves each rate of a key, in microseconds.
func (l *Limiter) Costs(key string) []int64 {
	rule := l.rule(key)
	if rule == nil {
		return nil
	}
	out := make([]int64, len(rule.Rates))
	for i, r := range rule.Rates {
		out[i] = r.cost()
	}
	return out
}

// MaxWait is the longest wait that a call of a key takes.
func (l *Limiter) MaxWait(key string) time.Duration {
	if rule := l.rule(key); rule != nil {
		return rule.MaxWait
	}
	return DefaultMaxWait
}

// Learns reports whether answers of a key's server are to be looked at.
func (l *Limiter) Learns(key string) bool {
	rule := l.rule(key)
	return rule != nil && rule.Learn
}

// Retries: so many of a minute are free, and what is too much waits a while and
// asks again.
const (
	freeRetries = 10
	retryPause  = int64(5 * time.Second / time.Microsecond)
	bucket      = int64(10 * time.Second / time.Microsecond)
	buckets     = 6
)

// window counts what happened in the last minute.
type window struct {
	counts [buckets]int
	last   int64 // number of the newest bucket
}

func (w *window) turn(now int64) {
	n := now / bucket
	for range min(n-w.last, buckets) {
		w.last++
		w.counts[w.last%buckets] = 0
	}
	w.last = max(w.last, n)
}

func (w *window) add(now int64) {
	w.turn(now)
	w.counts[w.last%buckets]++
}

func (w *window) count(now int64) (n int) {
	w.turn(now)
	for _, c := range w.counts {
		n += c
	}
	return n
}
