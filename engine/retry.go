package engine

import (
	"math"
	"time"
)

// RetryPolicy is when another attempt follows a failed one. Whether a failure
// may be retried at all is the task type's rule (TaskError.Retryable).
type RetryPolicy struct {
	Count    int           // tries after the first
	Delay    time.Duration // before the first retry
	Backoff  float64       // factor per retry; 1 keeps the delay fixed
	MaxDelay time.Duration // the longest planned delay
	Jitter   Jitter
	AfterMax time.Duration // the longest wait a server may ask for
}

// Jitter says which part of a delay is random.
type Jitter string

// The jitters. Equal keeps half of the delay and draws the other half; Full
// draws all of it ("Exponential Backoff And Jitter", AWS Architecture Blog,
// 2015).
const (
	JitterNone  Jitter = "none"
	JitterEqual Jitter = "equal"
	JitterFull  Jitter = "full"
)

// Next is the wait before the attempt that follows the given one (1 is the
// first), and whether one follows at all. random is drawn from [0, 1).
func (p RetryPolicy) Next(attempt int, random float64) (time.Duration, bool) {
	if attempt > p.Count {
		return 0, false
	}
	delay := float64(p.Delay)
	if p.Backoff > 1 {
		delay *= math.Pow(p.Backoff, float64(attempt-1))
	}
	if p.MaxDelay > 0 {
		delay = min(delay, float64(p.MaxDelay))
	}
	switch p.Jitter {
	case JitterEqual:
		delay = delay/2 + delay/2*random
	case JitterFull:
		delay *= random
	}
	return time.Duration(delay), true
}
