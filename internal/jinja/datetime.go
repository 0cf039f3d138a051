package jinja

import (
	"math"
	"math/big"
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, wherever the program runs

	"github.com/itchyny/timefmt-go"
)

// moment is a point in time in a zone. It prints as RFC 3339, and goes into a
// body as such text.
type moment struct{ t time.Time }

// span of time, as timedelta(days=1) makes it and two moments differ by.
type timedelta struct{ d time.Duration }

func (m moment) String() string { return m.t.Format(time.RFC3339Nano) }

// String writes a span as Python does: "1 day, 2:03:04".
func (d timedelta) String() string {
	day := 24 * time.Hour
	days := d.d / day
	rest := d.d % day
	if rest < 0 {
		days, rest = days-1, rest+day
	}
	var b strings.Builder
	if days != 0 {
		b.WriteString(big.NewInt(int64(days)).String() + " day")
		if days != 1 && days != -1 {
			b.WriteString("s")
		}
		b.WriteString(", ")
	}
	clock := time.Time{}.Add(rest)
	layout := "15:04:05"
	if rest%time.Second != 0 {
		layout = "15:04:05.000000"
	}
	b.WriteString(strings.TrimPrefix(clock.Format(layout), "0"))
	return b.String()
}

// dateLayouts are the texts that are read as a point in time; what names no
// zone is UTC.
var dateLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02", "20060102T150405Z07:00", "20060102T150405", "20060102",
	time.RFC1123, time.RFC1123Z,
}

func parseDate(t string) (moment, bool) {
	t = strings.TrimSpace(t)
	if len(t) > 64 {
		return moment{}, false
	}
	for _, layout := range dateLayouts {
		if got, err := time.ParseInLocation(layout, t, time.UTC); err == nil {
			return moment{got}, true
		}
	}
	return moment{}, false
}

// toDatetimeFilter reads a point in time: a text, in a format of strptime where
// one is given, or seconds since 1970.
func toDatetimeFilter(s *state, v any, a *args) any {
	p := a.bind(s, 0, "format")
	if m, ok := v.(moment); ok {
		return m
	}
	if n, ok := number(v); ok {
		return s.epoch(a.what, n)
	}
	t := s.wantText(a.what, v)
	if given(p[0]) && p[0] != nil {
		format := s.wantText(a.what, p[0])
		s.step(len(format))
		got, err := timefmt.Parse(t, format)
		if err != nil {
			s.fail("%s: the text is not of the format", a.what)
		}
		return s.inYears(a.what, got)
	}
	m, ok := parseDate(t)
	if !ok {
		s.fail("%s: the text is no date that is known, such as 2026-01-31 or 2026-01-31T12:00:00Z; give a format such as '%%d.%%m.%%Y'", a.what)
	}
	return m
}

func (s *state) epoch(what string, n any) moment {
	f := s.float(what, n)
	if math.IsNaN(f) || math.Abs(f) > 253402300800 {
		s.fail("%s: %v seconds since 1970 are beyond the year 9999", what, "so many")
	}
	whole := math.Floor(f)
	return s.inYears(what, time.Unix(int64(whole), int64((f-whole)*1e9)).UTC())
}

// float is a number as a float.
func (s *state) float(what string, v any) float64 {
	switch n := v.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	case *big.Int:
		f, _ := new(big.Float).SetInt(n).Float64()
		return f
	}
	n, ok := number(v)
	if !ok {
		s.fail("%s takes a number, got a %s", what, typeName(v))
	}
	return s.float(what, n)
}

// inYears refuses what RFC 3339 cannot write.
func (s *state) inYears(what string, t time.Time) moment {
	if t.Year() < 1 || t.Year() > 9999 {
		s.fail("%s: the year is not between 1 and 9999", what)
	}
	return moment{t}
}

func toTimestampFilter(s *state, v any, a *args) any {
	a.bind(s, 0)
	return unixSeconds(s.moment(a.what, v))
}

// moment is a point in time, or a text that is one.
func (s *state) moment(what string, v any) moment {
	switch v := v.(type) {
	case moment:
		return v
	case string:
		if m, ok := parseDate(v); ok {
			return m
		}
	}
	s.fail("%s takes a date, got a %s; to_datetime makes one", what, typeName(v))
	return moment{}
}

// unixSeconds are whole where they are whole.
func unixSeconds(m moment) any {
	if m.t.Nanosecond() == 0 {
		return m.t.Unix()
	}
	return float64(m.t.UnixMicro()) / 1e6
}

// timezoneFilter shows a point in time in a zone, such as Europe/Berlin.
func timezoneFilter(s *state, v any, a *args) any {
	return s.inZone(a.what, s.moment(a.what, v), a.bind(s, 1, "name")[0])
}

func (s *state) inZone(what string, m moment, name any) moment {
	t := s.wantText(what, name)
	if t == "Local" || len(t) > 64 {
		t = "?"
	}
	zone, err := time.LoadLocation(t)
	if err != nil {
		s.fail("%s: no such time zone; they have names such as Europe/Berlin", what)
	}
	return s.inYears(what, m.t.In(zone))
}

// strftimeFilter writes a point in time in a format of strftime.
func strftimeFilter(s *state, v any, a *args) any {
	return s.strftime(a.what, s.moment(a.what, v), a.bind(s, 1, "format")[0])
}

func (s *state) strftime(what string, m moment, format any) string {
	f := s.wantText(what, format)
	s.step(len(f))
	s.made(16 * len(f))
	return timefmt.Format(m.t, f)
}

// clock is a context that knows the time at which an attempt began.
type clock interface{ Now() time.Time }

// nowFunc is the time at which the attempt began: the same at every place of a
// template, and on every replay.
func nowFunc(s *state, a *args) any {
	p := a.bind(s, 0, "timezone")
	t := s.started
	if c, ok := s.vars.(clock); ok {
		t = c.Now()
	}
	m := moment{t.UTC().Truncate(time.Microsecond)}
	if given(p[0]) && p[0] != nil {
		return s.inZone(a.what, m, p[0])
	}
	return m
}

// longestSpan is the longest span of time, either way: some 290 years.
const longestSpan = 290 * 365 * 24 * time.Hour

func timedeltaFunc(s *state, a *args) any {
	names := []string{"days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"}
	units := []time.Duration{24 * time.Hour, time.Second, time.Microsecond, time.Millisecond, time.Minute, time.Hour, 7 * 24 * time.Hour}
	total := 0.0
	var exact time.Duration
	for i, v := range a.bind(s, 0, names...) {
		if !given(v) {
			continue
		}
		f := s.float(a.what, v) * float64(units[i])
		total += f
		exact += time.Duration(math.Round(max(min(f, float64(longestSpan)), -float64(longestSpan))))
	}
	return s.span(a.what, total, exact)
}

func (s *state) span(what string, f float64, exact time.Duration) timedelta {
	if math.IsNaN(f) || math.Abs(f) > float64(longestSpan) {
		s.fail("%s: a span of more than 290 years", what)
	}
	return timedelta{exact}
}

// timeArithmetic is a op b where one of them is a time; ok is false where that
// has no meaning.
func (s *state) timeArithmetic(op string, a, b any) (out any, ok bool) {
	const what = "a date"
	if d, isSpan := b.(timedelta); isSpan { // execution_date - timedelta(days=1)
		if t, isText := a.(string); isText {
			if m, isDate := parseDate(t); isDate {
				return s.timeArithmetic(op, m, d)
			}
		}
	}
	switch x := a.(type) {
	case moment:
		switch y := b.(type) {
		case timedelta:
			switch op {
			case "+":
				return s.inYears(what, x.t.Add(y.d)), true
			case "-":
				return s.inYears(what, x.t.Add(-y.d)), true
			}
		case moment:
			if op == "-" {
				return s.span(what, x.t.Sub(y.t).Seconds()*1e9, x.t.Sub(y.t)), true
			}
		}
	case timedelta:
		switch y := b.(type) {
		case moment:
			if op == "+" {
				return s.inYears(what, y.t.Add(x.d)), true
			}
		case timedelta:
			switch op {
			case "+":
				return s.span(what, float64(x.d)+float64(y.d), x.d+y.d), true
			case "-":
				return s.span(what, float64(x.d)-float64(y.d), x.d-y.d), true
			}
		default:
			if n, isNumber := number(b); isNumber && (op == "*" || op == "/") {
				f := s.float(what, n)
				if op == "/" {
					if f == 0 {
						s.fail("division by zero")
					}
					f = 1 / f
				}
				f *= float64(x.d)
				return s.span(what, f, time.Duration(math.Round(max(min(f, float64(longestSpan)), -float64(longestSpan))))), true
			}
		}
	default:
		if y, isSpan := b.(timedelta); isSpan && op == "*" {
			return s.timeArithmetic(op, y, a)
		}
	}
	return nil, false
}

// compareTimes orders two times of one kind; ok is false for anything else.
func compareTimes(a, b any) (c int, ok bool) {
	switch x := a.(type) {
	case moment:
		if y, same := b.(moment); same {
			return x.t.Compare(y.t), true
		}
	case timedelta:
		if y, same := b.(timedelta); same {
			return int(max(-1, min(1, x.d-y.d))), true
		}
	}
	return 0, false
}

// timeAttribute is what can be read of a time; nil where there is no such.
func (s *state) timeAttribute(x any, name string) any {
	switch x := x.(type) {
	case moment:
		return s.momentAttribute(x, name)
	case timedelta:
		day := 24 * time.Hour
		days := x.d / day
		if x.d%day < 0 {
			days--
		}
		switch name {
		case "days":
			return int64(days)
		case "seconds":
			return int64((x.d - days*day) / time.Second)
		case "total_seconds":
			return s.timeMethod(name, func() any { return x.d.Seconds() })
		}
	}
	return nil
}

func (s *state) timeMethod(name string, of func() any) *function {
	return &function{name, func(s *state, a *args) any {
		a.bind(s, 0)
		return of()
	}}
}

func (s *state) momentAttribute(m moment, name string) any {
	switch name {
	case "year":
		return int64(m.t.Year())
	case "month":
		return int64(m.t.Month())
	case "day":
		return int64(m.t.Day())
	case "hour":
		return int64(m.t.Hour())
	case "minute":
		return int64(m.t.Minute())
	case "second":
		return int64(m.t.Second())
	case "microsecond":
		return int64(m.t.Nanosecond() / 1000)
	case "weekday": // Monday is 0
		return s.timeMethod(name, func() any { return int64((m.t.Weekday() + 6) % 7) })
	case "isoweekday":
		return s.timeMethod(name, func() any { return int64((m.t.Weekday()+6)%7) + 1 })
	case "isoformat":
		return s.timeMethod(name, func() any { return m.String() })
	case "timestamp":
		return s.timeMethod(name, func() any { return unixSeconds(m) })
	case "date":
		return s.timeMethod(name, func() any { return m.t.Format("2006-01-02") })
	case "strftime":
		return &function{name, func(s *state, a *args) any { return s.strftime(a.what, m, a.bind(s, 1, "format")[0]) }}
	case "astimezone":
		return &function{name, func(s *state, a *args) any { return s.inZone(a.what, m, a.bind(s, 1, "tz")[0]) }}
	case "replace":
		return &function{name, func(s *state, a *args) any { return s.replaceInMoment(m, a) }}
	}
	return nil
}

// replaceInMoment sets parts of a date: replace(day=1) is the month's first.
func (s *state) replaceInMoment(m moment, a *args) any {
	parts := []int{m.t.Year(), int(m.t.Month()), m.t.Day(), m.t.Hour(), m.t.Minute(), m.t.Second(), m.t.Nanosecond() / 1000}
	for i, v := range a.bind(s, 0, "year", "month", "day", "hour", "minute", "second", "microsecond") {
		if given(v) {
			parts[i] = s.int(a.what, v)
		}
	}
	t := time.Date(parts[0], time.Month(parts[1]), parts[2], parts[3], parts[4], parts[5], parts[6]*1000, m.t.Location())
	if t.Year() != parts[0] || int(t.Month()) != parts[1] || t.Day() != parts[2] || parts[3] > 23 || parts[4] > 59 || parts[5] > 59 {
		s.fail("%s: there is no such date", a.what)
	}
	return s.inYears(a.what, t)
}
