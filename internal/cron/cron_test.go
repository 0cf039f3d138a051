package cron_test

import (
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/cron"
)

func schedule(t *testing.T, expr, zone string) *cron.Schedule {
	t.Helper()
	var zones cron.Zones
	loc, err := zones.Load(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cron.Parse(expr, loc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNext_ClocksAreChanged: what comes around both changes of a year, where they
// are at two, at midnight, and by half an hour. Wants are in UTC, written down
// from the zones' published changes.
func TestNext_ClocksAreChanged(t *testing.T) {
	for _, c := range []struct{ zone, expr, from, want string }{
		// Berlin: 2026-03-29 02:00 -> 03:00 (01:00Z), 2026-10-25 03:00 -> 02:00 (01:00Z).
		{"Europe/Berlin", "30 2 * * *", "2026-03-28T00:00", "2026-03-28T01:30 2026-03-29T01:00 2026-03-30T00:30"},
		{"Europe/Berlin", "0 3 * * *", "2026-03-28T00:00", "2026-03-28T02:00 2026-03-29T01:00 2026-03-30T01:00"},
		{"Europe/Berlin", "15,45 2 * * *", "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:15 2026-03-30T00:45"},
		{"Europe/Berlin", "0 * * * *", "2026-03-28T23:30", "2026-03-29T00:00 2026-03-29T01:00 2026-03-29T02:00"},
		{"Europe/Berlin", "*/30 2 * * *", "2026-03-28T12:00", "2026-03-30T00:00 2026-03-30T00:30"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00", "2026-10-25T00:30 2026-10-26T01:30"},
		{"Europe/Berlin", "0 2 * * *", "2026-10-24T12:00", "2026-10-25T00:00 2026-10-26T01:00"},
		{"Europe/Berlin", "0 3 * * *", "2026-10-24T12:00", "2026-10-25T02:00 2026-10-26T02:00"},
		{"Europe/Berlin", "30 * * * *", "2026-10-24T23:45", "2026-10-25T00:30 2026-10-25T01:30 2026-10-25T02:30"},
		{"Europe/Berlin", "0 * * * *", "2026-10-24T23:30", "2026-10-25T00:00 2026-10-25T01:00 2026-10-25T02:00"},
		// New York: 2026-03-08 02:00 -> 03:00 (07:00Z), 2026-11-01 02:00 -> 01:00 (06:00Z).
		{"America/New_York", "30 2 * * *", "2026-03-07T12:00", "2026-03-08T07:00 2026-03-09T06:30"},
		{"America/New_York", "*/20 * * * *", "2026-03-08T06:30", "2026-03-08T06:40 2026-03-08T07:00 2026-03-08T07:20"},
		{"America/New_York", "30 1 * * *", "2026-10-31T12:00", "2026-11-01T05:30 2026-11-02T06:30"},
		{"America/New_York", "30 1 * * *", "2026-11-01T06:10", "2026-11-02T06:30"}, // asked within the second half
		{"America/New_York", "@hourly", "2026-11-01T04:30", "2026-11-01T05:00 2026-11-01T06:00 2026-11-01T07:00"},
		// Sao Paulo: 2018-11-04 00:00 -> 01:00 (03:00Z), 2019-02-17 00:00 -> 23:00 of the day before (02:00Z).
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00", "2018-11-04T03:00 2018-11-05T02:00"},
		{"America/Sao_Paulo", "@daily", "2018-11-03T12:00", "2018-11-04T03:00 2018-11-05T02:00"},
		{"America/Sao_Paulo", "0 0 * * 0", "2018-11-03T12:00", "2018-11-04T03:00 2018-11-11T02:00"},
		{"America/Sao_Paulo", "30 23 * * *", "2019-02-16T12:00", "2019-02-17T01:30 2019-02-18T02:30"},
		{"America/Sao_Paulo", "0 0 * * *", "2019-02-16T12:00", "2019-02-17T03:00 2019-02-18T03:00"},
		{"America/Sao_Paulo", "30 * * * *", "2019-02-17T00:45", "2019-02-17T01:30 2019-02-17T02:30 2019-02-17T03:30"},
		// Lord Howe: 2026-10-04 02:00 -> 02:30 (2026-10-03 15:30Z), 2026-04-05 02:00 -> 01:30 (2026-04-04 15:00Z).
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-02T18:00", "2026-10-03T15:30 2026-10-04T15:15"},
		{"Australia/Lord_Howe", "30 2 * * *", "2026-10-03T00:00", "2026-10-03T15:30 2026-10-04T15:30"},
		{"Australia/Lord_Howe", "*/15 * * * *", "2026-10-03T15:10", "2026-10-03T15:15 2026-10-03T15:30 2026-10-03T15:45"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-03T18:00", "2026-04-04T14:45 2026-04-05T15:15"},
		{"Australia/Lord_Howe", "45 * * * *", "2026-04-04T14:00", "2026-04-04T14:45 2026-04-04T15:15 2026-04-04T16:15"},
		// Where no clocks are changed, and the rules of days.
		{"", "0 12 29 2 *", "2026-01-01T00:00", "2028-02-29T12:00 2032-02-29T12:00"},
		{"UTC", "0 0 13 * 5", "2026-02-01T00:00", "2026-02-06T00:00 2026-02-13T00:00 2026-02-20T00:00"},
		{"Asia/Kolkata", "0 9 * * 1-5", "2026-02-06T00:00", "2026-02-06T03:30 2026-02-09T03:30"},
		{"UTC", "0 0 * * 7", "2026-02-02T00:00", "2026-02-08T00:00"},
	} {
		s := schedule(t, c.expr, c.zone)
		at, err := time.Parse("2006-01-02T15:04", c.from)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range strings.Fields(c.want) {
			at = s.Next(at)
			if got := at.Format("2006-01-02T15:04"); got != want {
				t.Errorf("%s in %s from %s: %s, want %s of %s", c.expr, c.zone, c.from, got, want, c.want)
				break
			}
		}
	}
}

// TestNext_EachWallTimeOnce: over twelve years of a zone, a schedule of one wall
// time comes once on each day, in order.
func TestNext_EachWallTimeOnce(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe"} {
		for _, expr := range []string{"0 0 * * *", "15 1 * * *", "45 1 * * *", "30 2 * * *", "0 3 * * *", "59 23 * * *"} {
			s := schedule(t, expr, zone)
			at := time.Date(2007, 1, 1, 12, 0, 0, 0, time.UTC)
			day := at.In(s.Zone())
			for range 12 * 365 {
				at = s.Next(at)
				day = time.Date(day.Year(), day.Month(), day.Day()+1, 12, 0, 0, 0, s.Zone())
				if got := at.In(s.Zone()); got.Format(time.DateOnly) != day.Format(time.DateOnly) {
					if first := got.Format(time.DateOnly) == time.Date(day.Year(), day.Month(), day.Day()-1, 12, 0, 0, 0, s.Zone()).Format(time.DateOnly); first && day.Year() == 2007 && day.YearDay() < 3 {
						day = day.AddDate(0, 0, -1) // the first one was on the day itself
						continue
					}
					t.Fatalf("%s in %s: %s, want one on %s", expr, zone, got, day.Format(time.DateOnly))
				}
			}
		}
	}
}

func TestEvery_CountsFrom1970(t *testing.T) {
	at := time.Date(2026, 3, 29, 0, 50, 0, 1, time.UTC)
	for _, want := range []string{"01:00:00", "01:15:00", "01:30:00"} {
		if at = cron.Every(15 * time.Minute).Next(at); at.Format(time.TimeOnly) != want {
			t.Fatalf("%s, want %s", at, want)
		}
	}
	if at := cron.Every(time.Hour).Next(time.Date(1969, 12, 31, 22, 30, 0, 0, time.UTC)); at.Hour() != 23 {
		t.Errorf("%s", at)
	}
}

func TestParse_SaysWhatIsWrong(t *testing.T) {
	for expr, want := range map[string]string{
		"30 25 * * *":           `cron "30 25 * * *": hour 25 is above 23`,
		"0 0 30 2 *":            `cron "0 0 30 2 *" never comes`,
		"0 0 0 1 *":             `cron "0 0 0 1 *": day of the month 0 is below 1`,
		"x * * * *":             `cron "x * * * *": minute "x" is not a number`,
		"* * * * MOO":           `cron "* * * * MOO": day of the week "MOO" is neither a number nor one of SUN, MON, TUE, WED, THU, FRI, SAT`,
		"*/0 * * * *":           `cron "*/0 * * * *": minute "*/0": the step is a number over 0`,
		"30-10 * * * *":         `cron "30-10 * * * *": minute "30-10" goes backwards`,
		"0 0 * * * *":           `cron "0 0 * * * *": has 6 fields, want 5 (minute, hour, day of the month, month, day of the week)`,
		"":                      `cron "": is empty (want minute, hour, day of the month, month, day of the week)`,
		"@every 5m":             `cron "@every 5m": write every = "15m" instead of cron`,
		"@dayly":                `cron "@dayly": unknown word (did you mean "@daily"?)`,
		"TZ=Asia/Tokyo 0 0 * *": `cron "TZ=Asia/Tokyo 0 0 * *": the time zone stands in timezone = "Europe/Berlin"`,
	} {
		if _, err := cron.Parse(expr, time.UTC); err == nil || err.Error() != want {
			t.Errorf("%s\n%v, want\n%s", expr, err, want)
		}
	}
	var zones cron.Zones
	for name, want := range map[string]string{
		"Berlin":   `timezone "Berlin": unknown (did you mean "Europe/Berlin"?)`,
		"new york": `timezone "new york": unknown (did you mean "America/New_York"?)`,
		"Local":    `timezone "Local": unknown (want a name such as "Europe/Berlin")`,
	} {
		if _, err := zones.Load(name); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
