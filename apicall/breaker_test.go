package apicall_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

const host = "https://api.example.com:443"

// say makes one call and reports its outcome; false when it may not go.
func say(b *apicall.Breakers, o apicall.BreakerOutcome) bool {
	done, _ := b.Allow(host)
	if done == nil {
		return false
	}
	done(o)
	return true
}

func TestBreaker_OpensAfterFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []apicall.BreakerState
		b := apicall.NewBreakers(apicall.BreakerConfig{OnChange: func(s apicall.BreakerStatus) { changes = append(changes, s.State) }})
		for range 4 {
			say(b, apicall.BreakerFailure)
			time.Sleep(20 * time.Second) // slow failures count as well as fast ones
		}
		say(b, apicall.BreakerSuccess)
		for i := range 5 {
			if !say(b, apicall.BreakerFailure) {
				t.Fatalf("open after %d failures", i)
			}
			time.Sleep(20 * time.Second)
		}
		if _, wait := b.Allow(host); wait.For != 10*time.Second || wait.Paused {
			t.Errorf("20 s after it opened for 30 s, the wait is %v", wait)
		}
		if len(changes) != 1 || changes[0] != apicall.BreakerOpen {
			t.Errorf("changes: %v", changes)
		}
	})
}

func TestBreaker_OpensAtHalfOfTenCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := apicall.NewBreakers(apicall.BreakerConfig{})
		for i := range 9 {
			if !say(b, apicall.BreakerOutcome(1+i%2)) {
				t.Fatalf("open after %d calls", i)
			}
		}
		say(b, apicall.BreakerFailure)
		if say(b, apicall.BreakerSuccess) {
			t.Error("5 of 10 failed, and it is closed")
		}
		late := apicall.NewBreakers(apicall.BreakerConfig{})
		for i := range 30 {
			if !say(late, apicall.BreakerOutcome(1+i%2)) {
				t.Fatalf("open after %d calls that are far apart", i)
			}
			time.Sleep(4 * time.Second)
		}
		for range 20 {
			if !say(late, apicall.BreakerIgnored) {
				t.Fatal("what says nothing opened it")
			}
		}
	})
}

func TestBreaker_OneProbeAtATimeAndTwoSuccessesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []apicall.BreakerState
		b := apicall.NewBreakers(apicall.BreakerConfig{OnChange: func(s apicall.BreakerStatus) { changes = append(changes, s.State) }})
		for range 5 {
			say(b, apicall.BreakerFailure)
		}
		wantOpen := func(d time.Duration) {
			t.Helper()
			if done, wait := b.Allow(host); done != nil || wait.For != d {
				t.Fatalf("wait %v, want %s", wait, d)
			}
			time.Sleep(d + time.Millisecond)
		}
		for _, d := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
			wantOpen(d)
			probe, _ := b.Allow(host)
			if probe == nil {
				t.Fatal("no probe")
			}
			if other, _ := b.Allow(host); other != nil {
				t.Fatal("a second probe while the first is under way")
			}
			probe(apicall.BreakerFailure)
		}
		wantOpen(5 * time.Minute)
		probe, _ := b.Allow(host)
		probe(apicall.BreakerIgnored) // the run was cancelled: nothing was learned, the next one probes
		if !say(b, apicall.BreakerSuccess) || b.List()[0].State != apicall.BreakerHalfOpen {
			t.Fatalf("after one success: %+v", b.List())
		}
		if !say(b, apicall.BreakerSuccess) || b.List()[0].State != apicall.BreakerClosed {
			t.Fatalf("after two successes: %+v", b.List())
		}
		for range 5 {
			say(b, apicall.BreakerFailure)
		}
		wantOpen(30 * time.Second) // it starts anew
		if len(changes) < 15 || changes[len(changes)-2] != apicall.BreakerClosed {
			t.Errorf("changes: %v", changes)
		}
	})
}

func TestBreaker_LateAnswersOfOldCallsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := apicall.NewBreakers(apicall.BreakerConfig{})
		old, _ := b.Allow(host)
		for range 5 {
			say(b, apicall.BreakerFailure)
		}
		old(apicall.BreakerSuccess)
		if say(b, apicall.BreakerSuccess) {
			t.Error("an answer from before the opening closed it")
		}
		if !b.Reset(host) || !say(b, apicall.BreakerFailure) || b.Reset("nobody") {
			t.Error("reset")
		}
	})
}

func TestBreaker_PauseIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := apicall.NewBreakers(apicall.BreakerConfig{})
		b.Pause(host, time.Minute)
		b.Pause(host, time.Second) // the longer one counts
		if _, wait := b.Allow(host); !wait.Paused || wait.For != time.Minute {
			t.Errorf("got %+v", wait)
		}
		if s := b.List()[0]; s.State != apicall.BreakerClosed || s.Failures != 0 {
			t.Errorf("got %+v", s)
		}
		if done, _ := b.Allow("https://other.example.com:443"); done == nil {
			t.Error("another host waits too")
		}
		time.Sleep(time.Minute)
		if !say(b, apicall.BreakerSuccess) {
			t.Error("the pause does not end")
		}
	})
}

// TestBreaker_AttemptWaitsAsData: while it is open nothing is sent and no retry
// is spent; what an answer says about the host decides.
func TestBreaker_AttemptWaitsAsData(t *testing.T) {
	var requests atomic.Int32
	var status atomic.Int32
	status.Store(422)
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(int(status.Load()))
	})
	b := apicall.NewBreakers(apicall.BreakerConfig{})
	run := program(t, apicall.Config{Breakers: b}, value.MapOf("url", s.URL))
	for range 12 {
		if out := run(t.Context()); out.Err.Class != "status" {
			t.Fatalf("an answer that says no opened the breaker: %+v", out.Err)
		}
	}
	status.Store(503)
	for b.List()[0].State == apicall.BreakerClosed {
		run(t.Context())
	}
	sent := requests.Load()
	out := run(t.Context())
	if out.Err.Class != "breaker" || out.Err.Message != "circuit open: "+s.URL || out.Err.DeferKey != s.URL || out.Err.Retryable ||
		out.Err.Defer < 20*time.Second || out.Details.Breaker != s.URL || requests.Load() != sent {
		t.Errorf("got %+v, %d requests more", out.Err, requests.Load()-sent)
	}
	if out := program(t, apicall.Config{Breakers: b}, value.MapOf("url", s.URL, "breaker", false))(t.Context()); out.Err.Class != "status" {
		t.Errorf("breaker = false: %+v", out.Err)
	}
	if out := program(t, apicall.Config{Breakers: b}, value.MapOf("url", s.URL, "breaker", "shop"))(t.Context()); out.Err.Class != "status" {
		t.Errorf("a breaker of another name: %+v", out.Err)
	}
}

func TestBreaker_WaitHasAnEnd(t *testing.T) {
	s, got := recorder(t)
	b := apicall.NewBreakers(apicall.BreakerConfig{})
	b.Pause("shop", time.Hour)
	kind, err := apicall.New(apicall.Config{Breakers: b})
	if err != nil {
		t.Fatal(err)
	}
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Properties: value.MapOf("url", s.URL, "breaker", "shop", "breaker_max_wait", "1h", "retry_count", int64(3))}}}
	prog, _ := kind.Prepare(flow, &flow.Tasks[0])
	in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)
	in.WaitingSince = time.Now().Add(-59 * time.Minute)
	if out := prog.Execute(t.Context(), in); out.Err.Defer <= 0 || out.Err.Defer > time.Minute {
		t.Errorf("a minute is left: %+v", out.Err)
	}
	in.WaitingSince = time.Now().Add(-time.Hour)
	out := prog.Execute(t.Context(), in)
	if out.Err.Message != "paused by 429 for 1h0m0s: shop" || out.Err.Defer != 0 || out.Err.Retryable || got.method != "" {
		t.Errorf("got %+v", out.Err)
	}
}

func TestBreaker_429PausesTheHost(t *testing.T) {
	var requests atomic.Int32
	s := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
	})
	b := apicall.NewBreakers(apicall.BreakerConfig{})
	run := program(t, apicall.Config{Breakers: b}, value.MapOf("url", s.URL, "retry_count", int64(1)))
	if out := run(t.Context()); out.Err.Class != "status" || out.Err.RetryAfter != 7*time.Second {
		t.Fatalf("got %+v", out.Err)
	}
	out := run(t.Context())
	if out.Err.Message != "paused by 429: "+s.URL || out.Err.Defer <= 6*time.Second || requests.Load() != 1 {
		t.Errorf("got %+v", out.Err)
	}
}
