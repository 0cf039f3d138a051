package apicall_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// runFlow runs a flow on an engine of its own and returns how it ended.
func runFlow(t *testing.T, slots int, cfg apicall.Config, started func(*runtime.Engine), tasks ...engine.Task) *engine.RunDoc {
	t.Helper()
	cfg.Slots = slots
	kind, err := apicall.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	rec := &testkit.Recorder{}
	n := testkit.StartNode(t, testkit.NodeConfig{Slots: slots, Types: []engine.TaskType{kind}, Views: rec.Views})
	started(n.Engine)
	flow := &engine.Flow{ID: "f", Timeout: time.Minute, Tasks: tasks}
	for i := range flow.Tasks {
		flow.Tasks[i].Type = apicall.Name
	}
	if wrong := engine.Refused(engine.Compile(flow, map[string]engine.TaskType{apicall.Name: kind}).Problems); wrong != nil {
		t.Fatal(wrong)
	}
	if _, err := n.Engine.PutFlow(t.Context(), flow); err != nil {
		t.Fatal(err)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "f"})
	if err != nil {
		t.Fatal(err)
	}
	return rec.End(t, doc.RunID)
}

// TestEngine_OpenBreakerHoldsTasksBack: a host that answers 503 opens its
// breaker; while it is open no request leaves and another host is called at
// full speed; when it closes, everyone goes on and nobody has failed.
func TestEngine_OpenBreakerHoldsTasksBack(t *testing.T) {
	const slots, each = 8, 40
	var well, isOpen atomic.Bool
	var underWay, sentWhileOpen, others atomic.Int32
	sick := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		if isOpen.Load() {
			sentWhileOpen.Add(1)
		}
		if !well.Load() {
			w.WriteHeader(503)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	other := handler(t, func(http.ResponseWriter, *http.Request) { others.Add(1) })
	var e atomic.Pointer[runtime.Engine]
	var mu sync.Mutex
	var states []apicall.BreakerState
	breakers := apicall.NewBreakers(apicall.BreakerConfig{Open: 300 * time.Millisecond, OnChange: func(s apicall.BreakerStatus) {
		mu.Lock()
		states = append(states, s.State)
		mu.Unlock()
		isOpen.Store(s.State == apicall.BreakerOpen)
		switch s.State {
		case apicall.BreakerOpen:
			underWay.Add(slots) // those that were let go before
			well.Store(true)
		case apicall.BreakerClosed:
			e.Load().Release(s.Key)
		}
	}})
	var tasks []engine.Task
	for i := range each {
		tasks = append(tasks,
			engine.Task{ID: engine.TaskID(fmt.Sprintf("sick_%d", i)), Properties: value.MapOf("url", sick.URL, "retry_count", int64(3), "retry_delay", "1ms")},
			engine.Task{ID: engine.TaskID(fmt.Sprintf("other_%d", i)), Properties: value.MapOf("url", other.URL)})
	}
	doc := runFlow(t, slots, apicall.Config{Breakers: breakers}, e.Store, tasks...)
	if doc.Status != engine.Success {
		t.Errorf("the run: %s %+v", doc.Status, doc.Error)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(states) < 3 || states[0] != apicall.BreakerOpen || states[len(states)-1] != apicall.BreakerClosed {
		t.Errorf("the breaker went through %v", states)
	}
	if n := sentWhileOpen.Load(); n > underWay.Load() {
		t.Errorf("%d requests were sent while the breaker was open", n)
	}
	if others.Load() != each {
		t.Errorf("the other host got %d requests", others.Load())
	}
}

// TestEngine_RetryAfterIsWaitedFor: the second request comes neither earlier
// than the server has asked for, nor twice, and carries the same key.
func TestEngine_RetryAfterIsWaitedFor(t *testing.T) {
	var mu sync.Mutex
	var at []time.Time
	keys := map[string]int{}
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		keys[r.Header.Get("Idempotency-Key")]++
		if len(at) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(503)
		}
	})
	doc := runFlow(t, 2, apicall.Config{}, func(*runtime.Engine) {}, engine.Task{ID: "t", Properties: value.MapOf(
		"url", s.URL, "operation", "post", "idempotency_key", true, "retry_count", int64(5), "retry_delay", "1ms")})
	if doc.Status != engine.Success {
		t.Errorf("the run: %s %+v", doc.Status, doc.Error)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(at) != 2 || at[1].Sub(at[0]) < time.Second || len(keys) != 1 || keys[""] > 0 {
		t.Errorf("requests at %v with keys %v", at, keys)
	}
}
