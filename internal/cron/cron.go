// Package cron says when a schedule comes: five cron fields in a time zone, or
// multiples of a span. It knows no clock.
//
// The expression is read, and counted on in UTC, by netresearch/go-cron. What
// happens when clocks are changed is decided here, in one place (see Next): no
// library does it as people expect.
package cron

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // there may be none on the machine

	gocron "github.com/netresearch/go-cron"
)

// Schedule says when something comes. It never changes.
type Schedule struct {
	expr  string
	spec  gocron.Schedule // asked in UTC alone; nil with every
	zone  *time.Location
	fixed bool // hour and minute are named: each wall time comes once
	every time.Duration
}

// searchYears is how far ahead a time is looked for: a 29th of February may be
// eight years away, one on a Monday forty.
const searchYears = 41

// Parse reads a cron expression of five fields (minute, hour, day of the month,
// month, day of the week), or @hourly and its like. As in other crons, where
// both days are restricted, either makes a day.
func Parse(expr string, zone *time.Location) (*Schedule, error) {
	text := strings.TrimSpace(expr)
	if err := check(text); err != nil {
		return nil, fmt.Errorf("cron %.80q: %w", expr, err)
	}
	spec, err := gocron.MustNewParser(gocron.Minute | gocron.Hour | gocron.Dom | gocron.Month | gocron.Dow | gocron.Descriptor | gocron.DowOrDom).
		WithMaxSearchYears(searchYears).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cron %.80q: %w", expr, err)
	}
	s := &Schedule{expr: text, spec: spec, zone: zone, fixed: fixed(text)}
	if spec.Next(time.Unix(0, 0).UTC()).IsZero() {
		return nil, fmt.Errorf("cron %.80q never comes", expr)
	}
	return s, nil
}

// fixed reports whether an expression names hours and minutes.
func fixed(text string) bool {
	if strings.HasPrefix(text, "@") {
		return text != "@hourly"
	}
	f := strings.Fields(text)
	return !strings.ContainsAny(f[0]+f[1], "*/?")
}

// Every comes at the multiples of a span since the beginning of 1970 in UTC.
func Every(span time.Duration) *Schedule { return &Schedule{every: span, zone: time.UTC} }

// Zone is where the schedule's wall clock hangs.
func (s *Schedule) Zone() *time.Location { return s.zone }

// String is the schedule as it was written.
func (s *Schedule) String() string {
	if s.every > 0 {
		return "every " + strings.TrimSuffix(strings.TrimSuffix(s.every.String(), "0s"), "0m")
	}
	return s.expr
}

// Next is the first time after another; zero: there is none.
//
// Where clocks are put forward or back, a schedule that names its hours and
// minutes comes once for each wall time: for one that is missing at the end of
// the gap, for one that is there twice the first time. Any other schedule goes
// by the instants: it comes in both halves of a doubled hour, and not in a gap.
func (s *Schedule) Next(after time.Time) time.Time {
	if s.every > 0 {
		n := after.UnixNano()
		k := n / int64(s.every)
		if n < 0 && n%int64(s.every) != 0 {
			k--
		}
		return time.Unix(0, (k+1)*int64(s.every)).UTC()
	}
	at := after
	for {
		start, end := at.In(s.zone).ZoneBounds()
		shift := offset(at, s.zone)
		from := at.UTC().Add(shift) // the wall clock, as if it were one of UTC
		if s.fixed && !start.IsZero() {
			if before := offset(start.Add(-1), s.zone); before > shift { // wall times up to there were there already
				if seen := start.UTC().Add(before - time.Second); from.Before(seen) {
					from = seen
				}
			}
		}
		wall := s.spec.Next(from)
		if wall.IsZero() {
			return time.Time{}
		}
		tick := wall.Add(-shift)
		if end.IsZero() || tick.Before(end) {
			return tick
		}
		next := offset(end, s.zone)
		if s.fixed && wall.Before(end.UTC().Add(next)) { // it is missing
			return end.UTC()
		}
		if t := s.first(end, next, shift); !t.IsZero() {
			return t
		}
		at = end
	}
}

// first is a time that comes just when the clocks are changed: Next looks for
// those after an instant.
func (s *Schedule) first(end time.Time, next, shift time.Duration) time.Time {
	if s.fixed && next < shift {
		return time.Time{} // this wall time was there already
	}
	wall := end.UTC().Add(next)
	if s.spec.Next(wall.Add(-time.Second)).Equal(wall) {
		return end.UTC()
	}
	return time.Time{}
}

// offset is how far the clocks of a zone are ahead of UTC.
func offset(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
