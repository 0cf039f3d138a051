package cron

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/qarion/qarion/internal/nearest"
)

// field is one of the five, and what may stand in it.
type field struct {
	name      string
	low, high int
	names     []string // for low and what follows
}

var fields = [5]field{
	{"minute", 0, 59, nil}, {"hour", 0, 23, nil}, {"day of the month", 1, 31, nil},
	{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	{"day of the week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
}

// descriptors are the words for whole expressions.
var descriptors = []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}

// check says what is wrong with an expression, in words that name the field.
func check(text string) error {
	f := strings.Fields(text)
	switch {
	case text == "":
		return errors.New("is empty (want minute, hour, day of the month, month, day of the week)")
	case strings.HasPrefix(text, "@every"):
		return errors.New(`write every = "15m" instead of cron`)
	case strings.HasPrefix(text, "@"):
		if !slices.Contains(descriptors, text) {
			if near := nearest.Name(text, descriptors); near != "" {
				return fmt.Errorf("unknown word (did you mean %q?)", near)
			}
			return fmt.Errorf("unknown word (there are: %s)", strings.Join(descriptors, ", "))
		}
		return nil
	case strings.Contains(f[0], "="):
		return errors.New(`the time zone stands in timezone = "Europe/Berlin"`)
	case len(f) != len(fields):
		return fmt.Errorf("has %d fields, want 5 (minute, hour, day of the month, month, day of the week)", len(f))
	}
	for i := range fields {
		for part := range strings.SplitSeq(f[i], ",") {
			if err := fields[i].check(part); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *field) check(part string) error {
	span, step, stepped := strings.Cut(part, "/")
	if stepped {
		if n, err := strconv.Atoi(step); err != nil || n < 1 {
			return fmt.Errorf("%s %.40q: the step is a number over 0", f.name, part)
		}
	}
	if span == "*" || span == "?" {
		return nil
	}
	first, last, ranged := strings.Cut(span, "-")
	low, err := f.number(first)
	if err != nil || !ranged {
		return err
	}
	high, err := f.number(last)
	if err == nil && low > high {
		err = fmt.Errorf("%s %.40q goes backwards", f.name, span)
	}
	return err
}

func (f *field) number(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToUpper(text)); i >= 0 {
		return f.low + i, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil && f.names != nil:
		return 0, fmt.Errorf("%s %.40q is neither a number nor one of %s", f.name, text, strings.Join(f.names, ", "))
	case err != nil:
		return 0, fmt.Errorf("%s %.40q is not a number", f.name, text)
	case n < f.low:
		return 0, fmt.Errorf("%s %d is below %d", f.name, n, f.low)
	case n > f.high:
		return 0, fmt.Errorf("%s %d is above %d", f.name, n, f.high)
	}
	return n, nil
}
