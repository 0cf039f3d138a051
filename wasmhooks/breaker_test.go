package wasmhooks

import (
	"testing"
	"time"
)

// opened is a breaker that has just opened, and when.
func opened() (*breaker, time.Time) {
	b, now := &breaker{}, time.Now()
	for range breakerFailures {
		b.learn(now, true, false)
	}
	return b, now
}

// wants holds the answer of a breaker against what it should be: "no", "yes", "probe".
func (b *breaker) wants(t *testing.T, at time.Time, want string) {
	t.Helper()
	have := "no"
	switch goes, probe := b.admits(at); {
	case probe:
		have = "probe"
	case goes:
		have = "yes"
	}
	if have != want {
		t.Errorf("admitted: %s, want %s", have, want)
	}
}

// TestBreaker_Opens for a second, then for twice as long while its probes fail, and
// closes after one that does not.
func TestBreaker_Opens(t *testing.T) {
	b, now := opened()
	b.wants(t, now.Add(breakerFirst-time.Millisecond), "no")
	now = now.Add(breakerFirst)
	b.wants(t, now, "probe")
	b.wants(t, now, "no")
	b.learn(now, true, true)
	b.wants(t, now.Add(breakerFirst), "no")
	now = now.Add(2 * breakerFirst)
	b.wants(t, now, "probe")
	b.learn(now, false, true)
	b.wants(t, now, "yes")
}

// TestBreaker_WhatHadBegunBefore: calls that were under way when it opened change
// nothing, neither while it is open nor beside its probe.
func TestBreaker_WhatHadBegunBefore(t *testing.T) {
	b, now := opened()
	for range 10 {
		b.learn(now, true, false)
	}
	now = now.Add(breakerFirst)
	b.wants(t, now, "probe")
	b.learn(now, true, false)
	b.learn(now, false, false)
	b.wants(t, now.Add(time.Minute), "no")
	b.learn(now, true, true)
	b.wants(t, now.Add(2*breakerFirst), "probe")
}

// TestBreaker_AProbeThatFindsNoInstance says nothing of the module: the next call is the
// probe.
func TestBreaker_AProbeThatFindsNoInstance(t *testing.T) {
	h := openHost(t, false, func(c *Config) { c.Limits.Instances, c.Limits.Wait = 1, time.Millisecond })
	module := moody()
	for range breakerFailures {
		if a := ask(h, module, Validate, "!"); a.Err == nil || a.Err.Class != ClassTrap {
			t.Fatalf("got %+v", a.Err)
		}
	}
	m, _ := h.loaded(Hash(module))
	m.breaker.until = time.Now().Add(-time.Millisecond)
	held, bad := m.take(t.Context(), time.Now())
	if bad != nil {
		t.Fatal(bad)
	}
	if a := ask(h, module, Validate, "x"); a.Err == nil || a.Err.Message != "no instance was free in time" {
		t.Errorf("with no instance free: %+v", a.Err)
	}
	if m.breaker.until.IsZero() {
		t.Error("a call that did not come to the module closed the breaker")
	}
	m.put(held, false)
	if a := ask(h, module, Validate, "x"); a.Err != nil {
		t.Errorf("the next one is no probe: %v", a.Err)
	}
	if !m.breaker.until.IsZero() {
		t.Error("a probe that ended well did not close the breaker")
	}
}
