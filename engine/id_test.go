package engine

import (
	"strings"
	"testing"
	"time"
)

func TestRunIDs_GrowWithinAMillisecondAndWhenTheClockStepsBack(t *testing.T) {
	next := RunIDs()
	now := time.UnixMilli(1_700_000_000_000)
	last := next(now)
	for i := range 1000 {
		at := now.Add(time.Duration(i%3-1) * time.Hour / 1000)
		id := next(at)
		if id <= last {
			t.Fatalf("%s does not follow %s", id, last)
		}
		if _, err := ParseRunID(string(id)); err != nil {
			t.Fatal(err)
		}
		last = id
	}
}

func TestDeriveRunID_IsTheSameOnEveryReplay(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	a, b := DeriveRunID(at, "inst", 7), DeriveRunID(at, "inst", 7)
	if a != b || a == DeriveRunID(at, "inst", 8) || a == DeriveRunID(at, "other", 7) {
		t.Errorf("%s, %s", a, b)
	}
}

func TestParseIDs(t *testing.T) {
	for id, ok := range map[string]bool{"a": true, "_x-1": true, "": false, "1a": false, "a.b": false, "a*": false, "a b": false, "ä": false, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false} {
		if _, err := ParseFlowID(id); (err == nil) != ok {
			t.Errorf("flow id %q: %v", id, err)
		}
	}
	for id, ok := range map[string]bool{"01M84BFBV1N8Q6D2T4XW9B7C5E": true, "01m84bfbv1n8q6d2t4xw9b7c5e": false, "01M84": false, "81M84BFBV1N8Q6D2T4XW9B7C5E": false, "01M84BFBV1N8Q6D2T4XW9B7C5I": false} {
		if _, err := ParseRunID(id); (err == nil) != ok {
			t.Errorf("run id %q: %v", id, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"timeout", "retry_count", "url", "operation"}
	for name, want := range map[string]string{"time_out": "timeout", "retrycount": "retry_count", "ulr": "url", "opertion": "operation", "xyzzy": "", "timeout": ""} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestRetryPolicy_DelaysAsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		p    RetryPolicy
		want []time.Duration
	}{
		"fixed":       {RetryPolicy{Count: 3, Delay: 2 * time.Second, Backoff: 1}, []time.Duration{2e9, 2e9, 2e9}},
		"exponential": {RetryPolicy{Count: 4, Delay: time.Second, Backoff: 2, MaxDelay: 5 * time.Second}, []time.Duration{1e9, 2e9, 4e9, 5e9}},
		"equal":       {RetryPolicy{Count: 2, Delay: 4 * time.Second, Backoff: 2, Jitter: JitterEqual}, []time.Duration{3e9, 6e9}},
		"full":        {RetryPolicy{Count: 1, Delay: 4 * time.Second, Jitter: JitterFull}, []time.Duration{2e9}},
		"none":        {RetryPolicy{}, nil},
	} {
		var got []time.Duration
		for attempt := 1; ; attempt++ {
			d, ok := c.p.Next(attempt, 0.5)
			if !ok {
				break
			}
			got = append(got, d)
		}
		if len(got) != len(c.want) {
			t.Fatalf("%s: %v, want %v", name, got, c.want)
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
	}
}

func TestRunID_PacksIntoSixteenBytes(t *testing.T) {
	next := RunIDs()
	ids := []RunID{"00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", DeriveRunID(time.UnixMilli(1_700_000_000_000), "inst", 7)}
	for range 1000 {
		ids = append(ids, next(time.Now()))
	}
	for _, id := range ids {
		bits, ok := id.Pack()
		if back := UnpackRunID(bits); !ok || back != id {
			t.Fatalf("%s became %s (%v)", id, back, ok)
		}
	}
	for _, id := range []RunID{"", "r1", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0000000000000000000000000U", "00000000000000000000000000000"} {
		if _, ok := id.Pack(); ok {
			t.Errorf("%q was packed", id)
		}
	}
}
