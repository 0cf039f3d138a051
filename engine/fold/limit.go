package fold

import (
	"cmp"
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

// limitSnapshot is what was spent of a rate limit.
type limitSnapshot struct {
	_     struct{} `cbor:",toarray"`
	Key   string
	Next  []int64
	Until engine.Micros
}

// spend adds what an attempt has spent of a rate limit. What it leaves depends on
// the records alone, not on the configuration: a quota survives restarts, and every
// replay comes to the same.
func (s *step) spend(rec *engine.AttemptRecord) {
	l := rec.Limit
	if l == nil {
		return
	}
	before, known := s.limits[l.Key]
	if !known && len(s.limits) >= engine.MaxLimitKeys { // hosts are made of data
		maps.DeleteFunc(s.limits, func(_ string, spent engine.LimitState) bool { return over(spent, s.at) })
		if len(s.limits) >= engine.MaxLimitKeys {
			return
		}
	}
	after := engine.LimitState{Next: make([]int64, len(l.Costs)), Until: max(before.Until, l.Until)}
	for i, cost := range l.Costs {
		at := int64(rec.Start)
		if i < len(before.Next) {
			at = max(at, before.Next[i])
		}
		after.Next[i] = at + cost
	}
	s.limits[l.Key] = after
}

// over reports whether what was spent holds nothing back any more.
func over(spent engine.LimitState, now engine.Micros) bool {
	return spent.Until <= now && !slices.ContainsFunc(spent.Next, func(at int64) bool { return at > int64(now) })
}

// Limits are what was spent of rate limits, by their keys.
func (s *State) Limits() map[string]engine.LimitState { return maps.Clone(s.limits) }

func (s *State) limitSnapshots() []limitSnapshot {
	list := make([]limitSnapshot, 0, len(s.limits))
	for key, spent := range s.limits {
		list = append(list, limitSnapshot{Key: key, Next: spent.Next, Until: spent.Until}) // never changed in place
	}
	slices.SortFunc(list, func(a, b limitSnapshot) int { return cmp.Compare(a.Key, b.Key) })
	return list
}
