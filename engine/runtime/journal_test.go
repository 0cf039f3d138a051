package runtime_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/runtime"
	"github.com/qarion/qarion/internal/testkit"
)

// logged is a log that tests can read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), what)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestJournal_FailuresAndRefusalsGetALine: what needs eyes is one warn line
// with flow, run, task and reason; of many at once, ten and a count. A restart
// does not tell them again.
func TestJournal_FailuresAndRefusalsGetALine(t *testing.T) {
	failing := testkit.TaskFunc{Do: func(context.Context, *engine.TaskInput) engine.TaskOutput {
		return engine.TaskOutput{Err: &engine.TaskError{Class: "status", Message: "422 Unprocessable Entity"}}
	}}
	out, dir := &logged{}, t.TempDir()
	open := func() *testkit.Node {
		return testkit.StartNode(t, testkit.NodeConfig{
			Dir: dir, Types: []engine.TaskType{failing},
			Change: func(c *runtime.Config) { c.Log = slog.New(slog.NewTextHandler(out, nil)) },
		})
	}
	n := open()
	f := &engine.Flow{ID: "orders", Timeout: time.Minute, Tasks: []engine.Task{{ID: "pay", Type: "func"}}}
	if _, err := n.Engine.PutFlow(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`level=WARN msg="run failed" flow=orders run=%s task=pay reason="422 Unprocessable Entity"`, doc.RunID)
	waitFor(t, want, func() bool { return out.count(want) == 1 })
	if _, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "ordres"}); err == nil {
		t.Fatal("an unknown flow was started")
	}
	waitFor(t, "the refusal", func() bool {
		return out.count(`msg="trigger refused" flow=ordres run=`) == 1 && out.count(`reason="no flow \"ordres\" (did you mean \"orders\"?)"`) == 1
	})

	const runs = 200
	for range runs {
		if _, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "orders"}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "all failures", func() bool {
		st, err := n.Engine.Status(t.Context())
		return err == nil && st.LastHour == (engine.RunCounts{Started: runs + 1, Failed: runs + 1, Rejected: 1}) && st.LastDay == st.LastHour
	})
	waitFor(t, "a count of the others", func() bool { return out.count(`msg="run failed: more of the same" flow=orders count=`) > 0 })
	lines := out.count(`msg="run failed" flow`)
	if lines >= runs {
		t.Errorf("each of %d failures has a line", lines)
	}
	n.Stop(t)
	n = open()
	if st, err := n.Engine.Status(t.Context()); err != nil || st.LastDay.Failed != runs+1 {
		t.Errorf("after a restart: %+v, %v", st.LastDay, err)
	}
	if again := out.count(`msg="run failed" flow`); again != lines {
		t.Errorf("%d lines were told again:\n%s", again-lines, out)
	}
}
