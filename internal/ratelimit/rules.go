// Package ratelimit says when the next call to a service may be made. Rates are
// kept by the generic cell rate algorithm (GCRA, ITU-T I.371): of each key and rate
// one time is remembered, the theoretical arrival time of the next call.
package ratelimit

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of calls in a time.
type Rate struct {
	Calls int
	Per   time.Duration
}

var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// ParseRate reads a rate such as "2/s", "100/m", "1000/h" or "5000/d".
func ParseRate(text string) (Rate, error) {
	number, unit, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	per := units[strings.TrimSpace(unit)]
	if !ok || err != nil || per == 0 || n < 1 || n > 1_000_000 {
		return Rate{}, fmt.Errorf("%q: want a number and s, m, h or d, such as \"100/m\"", text)
	}
	return Rate{n, per}, nil
}

// String writes a rate as ParseRate reads it.
func (r Rate) String() string {
	for unit, per := range units {
		if per == r.Per {
			return fmt.Sprintf("%d/%s", r.Calls, unit)
		}
	}
	return fmt.Sprintf("%d/%s", r.Calls, r.Per)
}

// cost is how far one call moves the arrival time, in microseconds.
func (r Rate) cost() int64 { return max(1, r.Per.Microseconds()/int64(r.Calls)) }

// Per says what a limit is counted for.
type Per string

// The kinds of counting: each host by itself, each credential, or everything that
// comes under the limit's name.
const (
	PerHost       Per = "host"
	PerCredential Per = "credential"
	PerName       Per = "name"
)

// Defaults of a Rule.
const (
	DefaultMaxWait    = 24 * time.Hour
	DefaultRetryRatio = 0.2
)

// Rule is a limit as it is configured.
type Rule struct {
	Name        string
	Hosts       []string // "api.example.com", "*.example.com", with a port or without; none: tasks name the limit
	Rates       []Rate
	Burst       []int // calls at once, before a rate holds: of all of them, or of each; none: 1
	Concurrency int   // calls under way; 0: no bound
	Per         Per   // "": PerHost
	Learn       bool
	RetryRatio  float64 // share of the calls of a minute that may be retries
	MaxWait     time.Duration
}

// Call is a call as far as limits see it.
type Call struct {
	Limit      string // that its task names; "": the host decides
	Host       string // with the port; "" where it is not known yet
	Credential string
}

// burst is how many calls may be made at once before a rate holds.
func (r *Rule) burst(rate int) int {
	switch {
	case rate < len(r.Burst):
		return r.Burst[rate]
	case len(r.Burst) == 1:
		return r.Burst[0]
	}
	return 1
}

// Key is what the call is counted under by the rule.
func (r *Rule) key(c Call) string {
	what := c.Host
	switch {
	case r.Per == PerName:
		what = ""
	case r.Per == PerCredential && c.Credential != "":
		what = c.Credential
	}
	rates := make([]string, len(r.Rates))
	for i, rate := range r.Rates {
		rates[i] = rate.String()
	}
	return r.Name + "|" + what + "|" + strings.Join(rates, ",") // other rates are counted anew
}

// NameOf is the name of a key's limit and what it is counted for, for people.
func NameOf(key string) string {
	name, rest, _ := strings.Cut(key, "|")
	what, _, _ := strings.Cut(rest, "|")
	if what == "" {
		return name
	}
	return name + " (" + what + ")"
}

// matches reports whether a host is one of the rule's.
func (r *Rule) matches(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.ContainsFunc(r.Hosts, func(pattern string) bool {
		if suffix, ok := strings.CutPrefix(pattern, "*."); ok {
			return strings.HasSuffix(name, "."+suffix) || strings.HasSuffix(host, "."+suffix)
		}
		return pattern == name || pattern == host
	})
}

// Rules are all limits, by name.
type Rules struct{ list []*Rule }

// NewRules checks limits and puts them in order: of those that a host falls under,
// the first with the longest pattern counts.
func NewRules(list []Rule) (*Rules, error) {
	out := &Rules{}
	for i := range list {
		r := list[i]
		r.Per, r.MaxWait = cmp.Or(r.Per, PerHost), cmp.Or(r.MaxWait, DefaultMaxWait)
		if len(r.Burst) > 1 && len(r.Burst) != len(r.Rates) {
			return nil, fmt.Errorf("limits.%s.burst has %d numbers for %d rates: give one, or one for each", r.Name, len(r.Burst), len(r.Rates))
		}
		if len(r.Rates) == 0 && r.Concurrency == 0 {
			return nil, fmt.Errorf("limits.%s: give rate, concurrency or both", r.Name)
		}
		if !slices.Contains([]Per{PerHost, PerCredential, PerName}, r.Per) {
			return nil, fmt.Errorf("limits.%s.per is %q, want host, credential or name", r.Name, r.Per)
		}
		out.list = append(out.list, &r)
	}
	slices.SortFunc(out.list, func(a, b *Rule) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Names are the names of all limits.
func (l *Rules) Names() []string {
	if l == nil {
		return nil
	}
	names := make([]string, len(l.list))
	for i, r := range l.list {
		names[i] = r.Name
	}
	return names
}

// Of is the limit that a call falls under; nil for none, or where its host is not
// known yet.
func (l *Rules) Of(c Call) *Rule {
	if l == nil {
		return nil
	}
	var found *Rule
	longest := -1
	for _, r := range l.list {
		if c.Limit != "" {
			if r.Name == c.Limit {
				return r
			}
			continue
		}
		if c.Host == "" || !r.matches(c.Host) {
			continue
		}
		for _, pattern := range r.Hosts {
			if (&Rule{Hosts: []string{pattern}}).matches(c.Host) && len(pattern) > longest {
				found, longest = r, len(pattern)
			}
		}
	}
	return found
}

// Key is what a call is counted under; "" where no limit concerns it, or where that
// is not known before its host is.
func (l *Rules) Key(c Call) string {
	r := l.Of(c)
	if r == nil || r.Per == PerHost && c.Host == "" || r.Per == PerCredential && c.Credential == "" && c.Host == "" {
		return ""
	}
	return r.key(c)
}

// rule is the limit of a key.
func (l *Rules) rule(key string) *Rule {
	name, _, _ := strings.Cut(key, "|")
	for _, r := range l.list {
		if r.Name == name {
			return r
		}
	}
	return nil
}
