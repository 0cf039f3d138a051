package jinja_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// dated is a context that knows when its attempt began.
type dated struct{ jinja.MapVars }

func (dated) Now() time.Time { return time.Date(2026, 3, 29, 0, 30, 0, 123456789, time.UTC) }

func (d dated) Lookup(ctx context.Context, name string) (jinja.Var, bool, error) {
	return d.MapVars.Lookup(ctx, name)
}

// The results are those of Python's datetime, written as RFC 3339.
func TestDatetime(t *testing.T) {
	vars := dated{jinja.MapVars{"execution_date": {Value: "2026-03-01T00:00:00Z", Origin: value.Trigger}}}
	for source, want := range map[string]string{
		"{{ execution_date | to_datetime }}":                              "2026-03-01T00:00:00Z",
		"{{ (execution_date | to_datetime) - timedelta(days=1) }}":        "2026-02-28T00:00:00Z",
		"{{ execution_date | to_datetime - timedelta(days=1) }}":          "2026-02-28T00:00:00Z",
		"{{ (execution_date - timedelta(days=1)).strftime('%Y-%m-%d') }}": "2026-02-28",
		"{{ (execution_date | to_datetime).strftime('%Y-%m') }}":          "2026-03",
		"{{ (execution_date | to_datetime).replace(day=1).date() }}":      "2026-03-01",
		"{{ execution_date | to_datetime | to_timestamp }}":               "1772323200",
		"{{ 1772323200 | to_datetime }} {{ 0.5 | to_datetime }}":          "2026-03-01T00:00:00Z 1970-01-01T00:00:00.5Z",
		"{{ '31.01.2026' | to_datetime('%d.%m.%Y') }}":                    "2026-01-31T00:00:00Z",
		"{{ '2026-01-31 12:30:00' | to_datetime }}":                       "2026-01-31T12:30:00Z",
		"{{ execution_date | to_datetime | timezone('Europe/Berlin') }}":  "2026-03-01T01:00:00+01:00",
		"{{ now() }}":          "2026-03-29T00:30:00.123456Z",
		"{{ now() == now() }}": "True",
		"{{ (now() + timedelta(hours=1)) | timezone('Europe/Berlin') }}":                            "2026-03-29T03:30:00.123456+02:00", // summer time has begun
		"{{ now('America/New_York').hour }}":                                                        "20",
		"{{ now().isoformat() }}":                                                                   "2026-03-29T00:30:00.123456Z",
		"{{ now().timestamp() }}":                                                                   "1774744200.123456",
		"{{ now().weekday() }}{{ now().isoweekday() }}{{ now().year }}":                             "672026",
		"{{ ('2026-03-02' | to_datetime) - ('2026-03-01' | to_datetime) }}":                         "1 day, 0:00:00",
		"{{ (('2026-03-02' | to_datetime) - ('2026-03-01' | to_datetime)).total_seconds() }}":       "86400.0",
		"{{ timedelta(hours=36) }} {{ timedelta(minutes=-1) }} {{ timedelta(days=1) * 2 }}":         "1 day, 12:00:00 -1 day, 23:59:00 2 days, 0:00:00",
		"{{ timedelta(days=1).days }} {{ timedelta(hours=1).seconds }} {{ timedelta(days=1) / 2 }}": "1 3600 12:00:00",
		"{{ ('2026-03-02' | to_datetime) > ('2026-03-01' | to_datetime) }}":                         "True",
		"{{ [('2026-03-02' | to_datetime), ('2026-03-01' | to_datetime)] | min }}":                  "2026-03-01T00:00:00Z",
		"{{ {'at': '2026-03-02' | to_datetime} | tojson }}":                                         `{"at": "2026-03-02T00:00:00Z"}`,
		"{{ '2026-03-02' | strftime('%d/%m/%y') }}":                                                 "02/03/26",
	} {
		tpl, err := jinja.Parse("f", source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if r, err := tpl.Text(t.Context(), vars); err != nil || r.Value != want {
			t.Errorf("%s: %v, %v, want %s", source, r.Value, err, want)
		}
	}
	tpl, err := jinja.Parse("f", "{{ execution_date | to_datetime }}")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := tpl.Value(t.Context(), vars); err != nil || r.Value != "2026-03-01T00:00:00Z" || r.Origin != value.Trigger {
		t.Errorf("as a value: %#v, %v", r, err)
	}
}

func TestDatetime_MistakesAndAttacksAreErrors(t *testing.T) {
	for source, want := range map[string]string{
		"{{ 'hush' | to_datetime }}":                             "the text is no date that is known",
		"{{ '2026' | to_datetime('%d.%m.%Y') }}":                 "the text is not of the format",
		"{{ 1 | to_datetime | timezone('Mars/Olympus') }}":       "no such time zone",
		"{{ 1 | to_datetime | timezone('../../etc/passwd') }}":   "no such time zone",
		"{{ ('2026-01-31' | to_datetime).replace(month=2) }}":    "there is no such date",
		"{{ ('9999-12-31' | to_datetime) + timedelta(days=1) }}": "the year is not between 1 and 9999",
		"{{ timedelta(days=10 ** 30) }}":                         "a span of more than 290 years",
		"{{ timedelta(days=100000) * 100000 }}":                  "a span of more than 290 years",
		"{{ (10 ** 30) | to_datetime }}":                         "beyond the year 9999",
		"{{ timedelta(days=1) / 0 }}":                            "division by zero",
		"{{ now() + 1 }}":                                        `"+" does not work with datetime and int`,
		"{{ now() < 'x' }}":                                      "cannot be compared",
		"{{ now().strftime('%Y' * 5000000) }}":                   "",
		"{{ now().nothing }}":                                    "is undefined",
	} {
		tpl, err := jinja.Parse("f", source)
		if err == nil {
			_, err = tpl.Text(t.Context(), jinja.MapVars{})
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}
