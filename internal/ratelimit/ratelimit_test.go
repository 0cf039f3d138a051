package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, rules ...Rule) *Limiter {
	t.Helper()
	list, err := NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	return New(list)
}

// TestTake_NeverAboveTheRate: in no window of any length are more calls given out
// than its rates and the burst allow, however they are asked for, and none is refused
// for longer than it says.
func TestTake_NeverAboveTheRate(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		burst := 1 + rng.IntN(6)
		rates := []Rate{{1 + rng.IntN(20), time.Second}, {20 + rng.IntN(200), time.Minute}}
		l := open(t, Rule{Name: "a", Hosts: []string{"h"}, Rates: rates, Burst: []int{burst}})
		key := l.Key(Call{Host: "h"})
		now := start
		var given []time.Time
		for range 400 {
			wait, ok := l.Take(key, now, false)
			switch {
			case ok:
				given = append(given, now)
			case wait.For <= 0:
				t.Fatalf("seed %d: refused for %v", seed, wait)
			default:
				if rng.IntN(3) > 0 { // ask when it says, and not a moment later
					now = now.Add(wait.For)
					if _, ok := l.Take(key, now, false); !ok {
						t.Fatalf("seed %d: refused again after %v", seed, wait)
					}
					given = append(given, now)
				}
			}
			if rng.IntN(4) == 0 {
				now = now.Add(time.Duration(rng.Int64N(int64(2 * time.Second))))
			}
		}
		for i := range given {
			for j := i; j < len(given); j++ {
				for _, r := range rates {
					window := given[j].Sub(given[i])
					if most := float64(burst) + window.Seconds()*float64(r.Calls)/r.Per.Seconds() + 0.01; float64(j-i+1) > most {
						t.Fatalf("seed %d: %d calls within %s at %s, burst %d", seed, j-i+1, window, r, burst)
					}
				}
			}
		}
	}
}

func TestRules_WhatACallFallsUnder(t *testing.T) {
	rate := []Rate{{1, time.Second}}
	rules, err := NewRules([]Rule{
		{Name: "all", Hosts: []string{"*.shop.example"}, Rates: rate, Per: PerName},
		{Name: "eu", Hosts: []string{"*.eu.shop.example"}, Rates: rate},
		{Name: "port", Hosts: []string{"127.0.0.1:8080"}, Rates: rate},
		{Name: "named", Rates: rate, Per: PerCredential},
	})
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range map[Call]string{
		{Host: "a.shop.example"}:                    "all||1/s",
		{Host: "b.shop.example:443"}:                "all||1/s",
		{Host: "a.eu.shop.example"}:                 "eu|a.eu.shop.example|1/s",
		{Host: "shop.example"}:                      "",
		{Host: "127.0.0.1:8080"}:                    "port|127.0.0.1:8080|1/s",
		{Host: "127.0.0.1:8081"}:                    "",
		{Limit: "named", Credential: "c"}:           "named|c|1/s",
		{Limit: "named", Host: "h", Credential: ""}: "named|h|1/s",
		{Limit: "named"}:                            "",
		{Limit: "eu"}:                               "", // of what host is not known yet
		{Limit: "gone", Host: "a.shop.example"}:     "",
		{Limit: "all"}:                              "all||1/s",
		{Limit: "named", Host: "a.shop.example:1"}:  "named|a.shop.example:1|1/s",
	} {
		if got := rules.Key(call); got != want {
			t.Errorf("%+v: %q, want %q", call, got, want)
		}
	}
	if got := NameOf("eu|a.eu.shop.example|1/s"); got != "eu (a.eu.shop.example)" {
		t.Error(got)
	}
}

func TestTake_Concurrency(t *testing.T) {
	l := open(t, Rule{Name: "a", Hosts: []string{"h"}, Concurrency: 2})
	key := l.Key(Call{Host: "h"})
	for range 2 {
		if _, ok := l.Take(key, start, false); !ok {
			t.Fatal("refused")
		}
	}
	if wait, ok := l.Take(key, start, false); ok || wait.Why != ByConcurrency {
		t.Fatalf("a third: %v %+v", ok, wait)
	}
	l.Done(key)
	if _, ok := l.Take(key, start, false); !ok {
		t.Fatal("refused though one has ended")
	}
}

func TestPause_UntilTheServerSays(t *testing.T) {
	l := open(t, Rule{Name: "a", Hosts: []string{"h"}, Rates: []Rate{{100, time.Second}}, Learn: true}, Rule{Name: "b", Hosts: []string{"i"}, Concurrency: 1})
	key := l.Key(Call{Host: "h"})
	l.Pause(key, start.Add(time.Hour))
	if wait, ok := l.Take(key, start, false); ok || wait.Why != ByServer || wait.For != time.Hour {
		t.Fatalf("%v %+v", ok, wait)
	}
	if _, ok := l.Take(key, start.Add(time.Hour), false); !ok {
		t.Fatal("refused after it")
	}
	deaf := l.Key(Call{Host: "i"})
	l.Pause(deaf, start.Add(time.Hour))
	if _, ok := l.Take(deaf, start, false); !ok {
		t.Fatal("a limit that does not learn was paused")
	}
}

// TestTake_RetriesHaveABudget: of the calls of a minute, a fifth.
func TestTake_RetriesHaveABudget(t *testing.T) {
	l := open(t, Rule{Name: "a", Hosts: []string{"h"}, Concurrency: 10_000, RetryRatio: 0.2})
	key, now := l.Key(Call{Host: "h"}), start
	retries := func() (n int) {
		for {
			if _, ok := l.Take(key, now, true); !ok {
				return n
			}
			n++
		}
	}
	if n := retries(); n != freeRetries {
		t.Fatalf("%d retries of nothing, want the free %d", n, freeRetries)
	}
	for range 200 {
		if _, ok := l.Take(key, now, false); !ok {
			t.Fatal("a first call was refused")
		}
	}
	n := retries() + freeRetries
	if share := float64(n) / float64(200+n); share < 0.18 || share > 0.22 {
		t.Errorf("%d retries of %d calls", n, 200+n)
	}
	now = now.Add(2 * time.Minute)
	if n := retries(); n != freeRetries {
		t.Errorf("%d retries in another minute", n)
	}
}

func TestRestore_GoesOnWithTheQuota(t *testing.T) {
	l := open(t, Rule{Name: "a", Hosts: []string{"h"}, Rates: []Rate{{3, 24 * time.Hour}}, Burst: []int{3}})
	key := l.Key(Call{Host: "h"})
	day := (24 * time.Hour).Microseconds()
	l.Restore(key, Spent{Next: []int64{start.UnixMicro() + day}})
	l.Restore("gone|x|1/s", Spent{Next: []int64{1}})
	l.Restore("a|i|3/d", Spent{Next: []int64{1, 2}}) // of other rates
	if wait, ok := l.Take(key, start, false); ok || wait.For != 8*time.Hour {
		t.Fatalf("%v %+v", ok, wait)
	}
}

func TestTidy_KeysAreBounded(t *testing.T) {
	l := open(t, Rule{Name: "a", Hosts: []string{"*.h"}, Rates: []Rate{{1, time.Second}}})
	for i := range 3 * MaxKeys {
		key := l.Key(Call{Host: fmt.Sprintf("%d.h", i)})
		l.Take(key, start.Add(time.Duration(i)*time.Millisecond), false)
		l.Done(key)
	}
	if n := len(l.keys); n > MaxKeys+1 {
		t.Errorf("%d keys", n)
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]string{"2/s": "2/s", " 100 / m": "100/m", "1/d": "1/d", "5000/h": "5000/h"} {
		if r, err := ParseRate(text); err != nil || r.String() != want {
			t.Errorf("%q: %v %v", text, r, err)
		}
	}
	for _, text := range []string{"", "2", "2/sec", "0/s", "-1/s", "x/s", "2/s/m", "9999999999/s", "1.5/s"} {
		if r, err := ParseRate(text); err == nil || !strings.Contains(err.Error(), `want a number and s, m, h or d, such as "100/m"`) {
			t.Errorf("%q: %v %v", text, r, err)
		}
	}
}
