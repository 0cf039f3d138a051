package runtime_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
)

// keeping is a ledger that tells when copies, and the anchor, are about to be
// stored and have been.
type keeping struct {
	engine.Ledger
	at func(what string)
}

func (k keeping) Append(ctx context.Context, rec engine.Record) (uint64, error) {
	c, ok := rec.(*engine.ControlRecord)
	if !ok || c.Kind != engine.ControlKeep && c.Kind != engine.ControlAnchor {
		return k.Ledger.Append(ctx, rec)
	}
	k.at("before " + string(c.Kind))
	seq, err := k.Ledger.Append(ctx, rec)
	k.at("after " + string(c.Kind))
	return seq, err
}

// longFlow: pages leaves two parts and a carry that stands in the ledger, look a
// large value; then it is waited; last reads all of it.
func longFlow() (*engine.Flow, testkit.TaskFunc) {
	wide := strings.Repeat("x", 20_000)
	f := &engine.Flow{ID: "g", Timeout: time.Minute, Tasks: []engine.Task{
		{ID: "pages", Type: "func"}, {ID: "look", Type: "func"},
		{ID: "wait", Type: "func", Dependencies: []engine.TaskID{"pages", "look"}},
		{ID: "last", Type: "func", Dependencies: []engine.TaskID{"wait"}, Pulls: []engine.TaskID{"pages", "look", "wait"}},
	}}
	wrong := func(format string, args ...any) engine.TaskOutput {
		return engine.TaskOutput{Err: &engine.TaskError{Class: "input", Message: fmt.Sprintf(format, args...)}}
	}
	return f, testkit.TaskFunc{Do: func(ctx context.Context, in *engine.TaskInput) (out engine.TaskOutput) {
		switch in.Key.Task {
		case "look":
			out.Value = []byte(`"` + wide + `"`)
		case "pages":
			out.Value = []byte(`"page"`)
		case "wait":
			switch {
			case in.Key.Turn < 2:
				out.Value = fmt.Appendf(nil, `"part %d"`, in.Key.Turn)
				out.Next = &engine.Next{Carry: []byte(strings.Repeat("c", 4000))}
				if in.Key.Turn == 1 {
					out.Next.Await = engine.AwaitSignal("go", "")
				}
			case len(in.Carry()) != 4000 || in.Wake() == nil || len(in.Wake().Value) != 5002:
				return wrong("the carry has %d bytes, it was woken by %+v", len(in.Carry()), in.Wake())
			default:
				var parts []string
				for part, err := range in.Parts(ctx) {
					if err != nil {
						return wrong("%v", err)
					}
					parts = append(parts, string(part))
				}
				if got := strings.Join(parts, " "); got != `"part 0" "part 1"` {
					return wrong("the parts are %s", got)
				}
				out.Value = []byte(`"done"`)
			}
		case "last":
			for name, want := range map[string]string{"xcom_look": wide, "xcom_wait": "done", "xcom_pages": "page", "big": wide} {
				if v, ok, err := in.Lookup(ctx, name); !ok || err != nil || v.Value != want {
					return wrong("%s is not what it was: %v", name, err)
				}
			}
		}
		return out
	}}
}

// TestPurge_GoesPastARunThatWaits purges the ledger past a run that waits for a
// signal, stops at each point on the way, and lets the run go on afterwards.
func TestPurge_GoesPastARunThatWaits(t *testing.T) {
	g, do := longFlow()
	var later atomic.Int64 // how far the clock is ahead
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	var mu sync.Mutex
	images := map[string]string{}
	var look func(what string)
	open := func(dir string, wrap bool) (*testkit.Node, *view) {
		all := &view{name: "all"}
		return testkit.StartNode(t, testkit.NodeConfig{
			Dir: dir, Types: []engine.TaskType{do}, Views: func(*bus.Bus) []engine.Projection { return []engine.Projection{all} },
			Change: func(c *runtime.Config) {
				c.Now = now
				if wrap {
					c.Ledger = keeping{c.Ledger, func(what string) { look(what) }}
				}
			},
		}), all
	}
	n, _ := open("", true)
	look = func(what string) {
		mu.Lock()
		defer mu.Unlock()
		what = fmt.Sprintf("%s %d", what, len(images))
		images[what] = n.Image(t)
	}
	f := &engine.Flow{ID: "f", Timeout: time.Minute, Tasks: []engine.Task{{ID: "a", Type: "func"}}}
	for _, f := range []*engine.Flow{f, g} {
		if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	long, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "g", Variables: []byte(`{"big": "` + strings.Repeat("x", 20_000) + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	waits := func(n *testkit.Node) bool {
		doc, err := n.Engine.Get(t.Context(), long.RunID)
		return err == nil && doc.Counts[engine.Waiting] == 1
	}
	waitFor(t, "it waits", func() bool { return waits(n) })
	stored, err := n.Ledger.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	past := func(n *testkit.Node) {
		t.Helper()
		waitFor(t, "the ledger is purged past the run", func() bool { return purgeAll(t, n) > stored })
	}
	start(t, n, 32)
	if from := purgeAll(t, n); from > stored {
		t.Errorf("purged before %d: what a run needs that has waited for moments stood up to %d", from, stored)
	}
	if len(images) > 0 {
		t.Errorf("copies are made of a run that has waited for moments: %v", images)
	}
	later.Store(int64(runtime.DefaultAnchorAfter + time.Hour))
	past(n)
	if len(images) < 10 {
		t.Errorf("there were %d points to stop at", len(images))
	}
	goOn := func(name string, n *testkit.Node, all *view) {
		past(n)
		if !waits(n) {
			t.Errorf("%s: the run does not wait any more", name)
		}
		if _, err := n.Engine.Signal(t.Context(), engine.SignalRequest{Run: long.RunID, Name: "go", Value: []byte(`"` + strings.Repeat("s", 5000) + `"`)}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		waitFor(t, name+": the run ends", func() bool { return all.end(long.RunID) != nil })
		if doc := all.end(long.RunID); doc.Status != engine.Success {
			t.Errorf("%s: the run is %s: %+v", name, doc.Status, doc.Error)
		}
		n.Stop(t)
	}
	n.Stop(t)
	images["purged, and started again"] = n.Dir
	for name, dir := range images {
		n, all := open(dir, false)
		goOn(name, n, all)
	}
}
