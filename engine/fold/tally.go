package fold

import "github.com/qarion/qarion/engine"

// tallySpan is how much time one count covers, in the ledger's time, and
// tallySpans how many of them are kept: a day and what has begun of the next.
const (
	tallySpan  = 5 * 60 * 1_000_000 // microseconds
	tallySpans = 24*12 + 1
)

// tally counts how runs began and ended, for the last day.
type tally struct {
	counts []spanCount // by time; without those in which nothing happened
}

// spanCount is what happened in one span.
type spanCount struct {
	_     struct{} `cbor:",toarray"`
	Span  int64    // number of the span since 1970
	Count engine.RunCounts
}

// at returns the count of a time.
func (t *tally) at(now engine.Micros) *engine.RunCounts {
	span := int64(now) / tallySpan
	last := len(t.counts) - 1
	if last >= 0 && t.counts[last].Span >= span { // the clock may have stepped back
		return &t.counts[last].Count
	}
	first := 0
	for first <= last && t.counts[first].Span <= span-tallySpans {
		first++
	}
	t.counts = append(t.counts[first:], spanCount{Span: span})
	return &t.counts[len(t.counts)-1].Count
}

// ended counts the end of a run.
func (t *tally) ended(now engine.Micros, status engine.Status) {
	c := t.at(now)
	switch status {
	case engine.Success:
		c.Success++
	case engine.Failed:
		c.Failed++
	default:
		c.Cancelled++
	}
}

// since adds up the spans that have not ended a number of spans ago.
func (t *tally) since(now engine.Micros, spans int64) (sum engine.RunCounts) {
	for _, c := range t.counts {
		if c.Span > int64(now)/tallySpan-spans {
			sum.Started += c.Count.Started
			sum.Success += c.Count.Success
			sum.Failed += c.Count.Failed
			sum.Cancelled += c.Count.Cancelled
			sum.Rejected += c.Count.Rejected
		}
	}
	return sum
}

// LastHour counts what began and ended in the last hour, LastDay in the last 24
// hours, by the ledger's time and to within five minutes.
func (s *State) LastHour(now engine.Micros) engine.RunCounts { return s.tally.since(now, 12) }

// LastDay is like LastHour.
func (s *State) LastDay(now engine.Micros) engine.RunCounts { return s.tally.since(now, 24*12) }
