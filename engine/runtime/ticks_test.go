package runtime_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
)

// clockwork is an engine whose clock a test sets, and what its schedules have
// started.
type clockwork struct {
	t     *testing.T
	shift atomic.Int64
	dir   string
	node  *testkit.Node

	mu   sync.Mutex
	runs map[engine.FlowID][]time.Time
	come chan struct{}
}

func newClockwork(t *testing.T) *clockwork {
	c := &clockwork{t: t, dir: t.TempDir(), runs: map[engine.FlowID][]time.Time{}, come: make(chan struct{}, 1)}
	c.start()
	return c
}

func (c *clockwork) now() time.Time { return time.Now().Add(time.Duration(c.shift.Load())) }

// set puts the clock to a time.
func (c *clockwork) set(at time.Time) { c.shift.Store(int64(time.Until(at))) }

func (c *clockwork) start() {
	note := func(_ context.Context, in *engine.TaskInput) engine.TaskOutput {
		c.mu.Lock()
		c.runs[in.Flow.ID] = append(c.runs[in.Flow.ID], in.ExecutionDate)
		c.mu.Unlock()
		select {
		case c.come <- struct{}{}:
		default:
		}
		return engine.TaskOutput{}
	}
	c.node = testkit.StartNode(c.t, testkit.NodeConfig{
		Dir: c.dir, Types: []engine.TaskType{testkit.TaskFunc{Do: note}}, Change: func(cfg *runtime.Config) { cfg.Now = c.now },
	})
}

// put makes a flow with one schedule.
func (c *clockwork) put(id engine.FlowID, settings ...any) {
	c.t.Helper()
	m := value.NewMap(len(settings) / 2)
	for i := 0; i < len(settings); i += 2 {
		m.Set(settings[i].(string), settings[i+1])
	}
	_, err := c.node.Engine.PutFlow(c.t.Context(), &engine.Flow{
		ID: id, Timeout: time.Hour, Tasks: []engine.Task{{ID: "a", Type: "func"}},
		Triggers: []engine.TriggerSpec{{ID: "s", Type: engine.TriggerSchedule, Enabled: true, Settings: m}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// info is a flow's schedule, once the scheduler has looked at the clock.
func (c *clockwork) info(flow engine.FlowID) engine.ScheduleInfo {
	c.t.Helper()
	var list []engine.ScheduleInfo
	for range 2 { // it looks between two questions
		var err error
		if list, err = c.node.Engine.Schedules(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
	i := slices.IndexFunc(list, func(s engine.ScheduleInfo) bool { return s.FlowID == flow })
	if i < 0 {
		c.t.Fatalf("no schedule of %s: %+v", flow, list)
	}
	return list[i]
}

func (c *clockwork) next(flow engine.FlowID) time.Time {
	c.t.Helper()
	at, err := time.Parse(time.RFC3339, c.info(flow).NextTick)
	if err != nil {
		c.t.Fatal(err)
	}
	return at
}

// want waits for runs of a flow and holds the times that they are for against
// others, as hours after a time.
func (c *clockwork) want(flow engine.FlowID, from time.Time, want string) {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		c.mu.Lock()
		var got []string
		for _, at := range c.runs[flow] {
			got = append(got, fmt.Sprint(at.Sub(from).Hours()))
		}
		c.mu.Unlock()
		slices.Sort(got) // they run side by side
		if text := strings.Join(got, " "); text == want {
			return
		} else if len(text) > len(want) {
			c.t.Fatalf("%s has runs for %q, want %q", flow, text, want)
		}
		select {
		case <-c.come:
		case <-deadline:
			c.t.Fatalf("%s has runs for %q, want %q", flow, got, want)
		}
	}
}

// TestSchedule_Downtime: three times pass while nobody looks; then one comes in
// time; then the clock is put back over it.
func TestSchedule_Downtime(t *testing.T) {
	c := newClockwork(t)
	for _, word := range engine.CatchUps {
		c.put(engine.FlowID(word), "every", "1h0m0s", "catchup", word)
	}
	c.put("two", "every", "1h0m0s", "catchup", "all", "max_catchup", int64(2))
	c.put("narrow", "every", "1h0m0s", "catchup", "all", "catchup_window", "1h45m0s")
	first := c.next("all")
	c.node.Stop(t)
	c.set(first.Add(2*time.Hour + 30*time.Minute))
	c.start()
	c.want("all", first, "0 1 2")
	c.want("last", first, "2")
	c.want("two", first, "1 2")
	c.want("narrow", first, "1 2")
	c.set(first.Add(3*time.Hour + time.Second))
	c.want("all", first, "0 1 2 3")
	c.want("last", first, "2 3")
	c.want("none", first, "3")

	c.set(first.Add(2*time.Hour + 30*time.Minute))
	if at := c.next("all"); !at.Equal(first.Add(4 * time.Hour)) {
		t.Errorf("with the clock put back the next time is %s, want %s", at, first.Add(4*time.Hour))
	}
	c.set(first.Add(3*time.Hour + time.Minute))
	c.info("all")
	c.set(first.Add(4*time.Hour + time.Second))
	c.want("all", first, "0 1 2 3 4")
	c.want("none", first, "3 4")
	if got := c.info("all"); got.DoneRanges != 1 || got.LastTick != engine.FormatTime(first.Add(4*time.Hour)) {
		t.Errorf("%+v, want one row without a gap", got)
	}
}

// TestSchedule_ClockThatWasFarAhead: a clock that was years ahead does not keep a
// schedule from coming once it is right.
func TestSchedule_ClockThatWasFarAhead(t *testing.T) {
	c := newClockwork(t)
	c.put("f", "every", "1h0m0s", "catchup", "last")
	first := c.next("f")
	c.set(first.Add(20000*time.Hour + time.Second))
	c.want("f", first, "20000")
	c.set(first.Add(time.Second))
	if at := c.next("f"); at.After(first.Add(2 * time.Hour)) {
		t.Fatalf("the next time is %s", at)
	}
	c.set(first.Add(time.Hour + time.Second))
	c.want("f", first, "1 20000")
}

func TestSchedule_RestsAndGoesOn(t *testing.T) {
	c := newClockwork(t)
	c.put("f", "every", "1h0m0s", "catchup", "all")
	c.put("g", "every", "1h0m0s", "catchup", "all")
	first := c.next("f")
	for _, flow := range []engine.FlowID{"f", "g"} {
		if got, err := c.node.Engine.Pause(t.Context(), engine.ScheduleRef{Flow: flow}, ""); err != nil || !got.Paused || got.NextTick != "" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	c.set(first.Add(time.Hour + time.Second))
	c.info("f")
	// What had passed while they rested is missed by g alone. Resuming stands in
	// the ledger with the time of the machine, so f is asked for what comes.
	if _, err := c.node.Engine.Resume(t.Context(), engine.ScheduleRef{Flow: "g", Trigger: "s"}, true, ""); err != nil {
		t.Fatal(err)
	}
	c.want("g", first, "0 1")
	if _, err := c.node.Engine.Resume(t.Context(), engine.ScheduleRef{Flow: "f", Trigger: "x"}, false, ""); err == nil || !strings.Contains(err.Error(), `flow f has no schedule "x"`) {
		t.Errorf("%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.runs["f"]) != 0 {
		t.Errorf("f has come while it rested: %v", c.runs["f"])
	}
}

// TestSchedule_Ticks lists times, with what is done.
func TestSchedule_Ticks(t *testing.T) {
	c := newClockwork(t)
	c.put("f", "cron", "30 2 * * *", "timezone", "Europe/Berlin")
	from := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC)
	id, list, more, err := c.node.Engine.Ticks(t.Context(), engine.ScheduleRef{Flow: "f"}, from, from.AddDate(0, 1, 0), 2)
	if err != nil || id != "s" || !more || len(list) != 2 || list[0].Tick != "2026-03-28T01:30:00.000Z" || list[1].Tick != "2026-03-29T01:00:00.000Z" || list[1].Prev != list[0].Tick || list[1].Done {
		t.Errorf("%s %+v %v %v", id, list, more, err)
	}
}
