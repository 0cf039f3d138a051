package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/schema"
	"github.com/qarion/qarion/internal/value"
)

func TestBreaches(t *testing.T) {
	for _, c := range []struct {
		check *value.Map
		v     any
		want  string
	}{
		{value.MapOf(), nil, ""},
		{value.MapOf("type", "integer", "min", int64(1), "max", int64(5)), int64(3), ""},
		{value.MapOf("type", "integer", "min", int64(1), "max", int64(5)), int64(7), "7 is more than 5"},
		{value.MapOf("type", "integer", "min", int64(1), "max", int64(5)), "7", "a str, expected int"},
		{value.MapOf("type", []any{"int", "null"}), nil, ""},
		{value.MapOf("type", "number"), value.Number("1.50"), ""},
		{value.MapOf("min", int64(1)), "x", "a str, expected a number"},
		{value.MapOf("pattern", "^[a-z]+$", "min_length", int64(4)), "A1", `"A1" does not match ^[a-z]+$|length 2, at least 4 expected`},
		{value.MapOf("one_of", []any{"eu", int64(1)}), 1.0, ""},
		{value.MapOf("one_of", []any{"eu", "us"}), "xx", `"xx" is none of ["eu","us"]`},
		{value.MapOf("type", "str", "one_of", []any{"eu"}, "min_length", int64(1)), int64(7), `an int, expected str|7 is none of ["eu"]`},
		{value.MapOf("type", "bool", "min", int64(6), "pattern", "x"), int64(5), "an int, expected bool|5 is less than 6"},
		{value.MapOf("value", value.MapOf("a", []any{int64(1)})), value.MapOf("a", []any{1.0}), ""},
		{value.MapOf("max_length", int64(1)), []any{1.5, 2.5}, "length 2, at most 1 expected"},
		{value.MapOf("max_length", int64(1)), true, "a bool has no length"},
	} {
		check, problems := schema.Read(c.check)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := strings.Join(check.Breaches(c.v, false), "|"); got != c.want {
			t.Errorf("%s of %s: %q, want %q", value.Short(c.check), value.Short(c.v), got, c.want)
		}
	}
	check, _ := schema.Read(value.MapOf("one_of", []any{"eu"}))
	if got := fmt.Sprint(check.Breaches("hunter2", true)); strings.Contains(got, "hunter2") {
		t.Errorf("the value is shown: %s", got)
	}
}

func TestRead_SaysWhatIsWrong(t *testing.T) {
	_, problems := schema.Read(value.MapOf("type", "strng", "min", "1", "max_length", int64(-1), "pattern", "(", "one_of", "x", "mx", int64(1), "default", int64(1)), "default")
	var got []string
	for _, p := range problems {
		got = append(got, p.Message+"/"+p.Suggestion)
	}
	const want = `unknown check "mx"/max|type "strng" is not str, int, float, bool, list, dict or null/|min is a str, want a number/|` +
		`max_length is -1, want 0 to 1099511627776/|one_of is a str, want a list/|pattern: error parsing regexp: missing closing ): ` + "`(`/"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
	if _, problems := schema.Read(value.MapOf("min", int64(2), "max", int64(1), "min_length", int64(2), "max_length", int64(1))); len(problems) != 2 {
		t.Errorf("bounds that exclude each other: %v", problems)
	}
}
