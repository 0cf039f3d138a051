package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/qarion/qarion/internal/ratelimit"
	"github.com/qarion/qarion/internal/value"
)

// limitConfig is a [limits.NAME].
type limitConfig struct {
	Hosts       []string `toml:"hosts"`
	Rate        any      `toml:"rate"`  // "2/s", or a list of such
	Burst       any      `toml:"burst"` // a number, or one for each rate
	Concurrency int      `toml:"concurrency"`
	Per         string   `toml:"per"`
	Learn       *bool    `toml:"learn"`
	RetryRatio  *float64 `toml:"retry_ratio"`
	MaxWait     string   `toml:"limit_max_wait"`
}

// limits are those of the configuration; nil for none.
func (c *config) limits() (*ratelimit.Rules, error) {
	if len(c.Limits) == 0 {
		return nil, nil
	}
	var list []ratelimit.Rule
	for _, name := range slices.Sorted(maps.Keys(c.Limits)) {
		r, err := c.Limits[name].rule(name)
		if err != nil {
			return nil, fail(err)
		}
		list = append(list, r)
	}
	rules, err := ratelimit.NewRules(list)
	if err != nil {
		return nil, fail(err)
	}
	return rules, nil
}

func (l limitConfig) rule(name string) (r ratelimit.Rule, err error) {
	r = ratelimit.Rule{Name: name, Hosts: l.Hosts, Concurrency: l.Concurrency, Per: ratelimit.Per(l.Per), Learn: l.Learn == nil || *l.Learn, RetryRatio: ratelimit.DefaultRetryRatio}
	wrong := func(key, format string, args ...any) (ratelimit.Rule, error) {
		return r, fmt.Errorf("limits.%s.%s %s", name, key, fmt.Sprintf(format, args...))
	}
	if !validName(name) {
		return r, fmt.Errorf("limits: %s is no name: letters, digits, - and _", value.Quoted(name))
	}
	texts, ok := l.Rate.([]any)
	if l.Rate != nil && !ok {
		texts = []any{l.Rate}
	}
	for _, t := range texts {
		text, isText := t.(string)
		if !isText {
			return wrong("rate", "is %s, want a rate such as \"100/m\", or a list of them", value.Kind(t))
		}
		rate, err := ratelimit.ParseRate(text)
		if err != nil {
			return wrong("rate", "%v", err)
		}
		r.Rates = append(r.Rates, rate)
	}
	numbers, ok := l.Burst.([]any)
	if l.Burst != nil && !ok {
		numbers = []any{l.Burst}
	}
	for _, v := range numbers {
		n, isWhole := v.(int64)
		if !isWhole || n < 1 || n > 1_000_000 {
			return wrong("burst", "is %v, want 1 to 1000000, or a list with one for each rate", v)
		}
		r.Burst = append(r.Burst, int(n))
	}
	switch {
	case l.Concurrency < 0 || l.Concurrency > 4096:
		return wrong("concurrency", "is %d, want 1 to 4096", l.Concurrency)
	}
	if l.RetryRatio != nil {
		if r.RetryRatio = *l.RetryRatio; r.RetryRatio < 0 || r.RetryRatio > 1 {
			return wrong("retry_ratio", "is %g, want 0 (no bound) to 1", r.RetryRatio)
		}
	}
	if l.MaxWait != "" {
		if r.MaxWait, err = days(l.MaxWait); err != nil {
			return wrong("limit_max_wait", "is %q, want a time span such as \"1h\" or \"2d\"", l.MaxWait)
		}
	}
	return r, nil
}

// validName reports whether a limit may be called so: what it is counted under is
// made of its name.
func validName(name string) bool {
	return name != "" && !slices.ContainsFunc([]rune(name), func(c rune) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	})
}
