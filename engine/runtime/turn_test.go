package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// turner is a task that takes turns: it leaves the number of each as a part and
// joins them in the last.
type turner struct {
	turns  int
	part   func(n int) []byte
	carry  int           // bytes beside the number
	calls  atomic.Int64  // in all
	stopAt int64         // a call that hangs once; 0: none
	hangs  chan struct{} // closed when it does
}

func (u *turner) do(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
	n := 0
	if c := in.Carry(); c != nil {
		n, _ = strconv.Atoi(string(bytes.TrimRight(c, " ")))
	}
	fail := func(format string, args ...any) engine.TaskOutput {
		return engine.TaskOutput{Err: &engine.TaskError{Class: "test", Message: fmt.Sprintf(format, args...)}}
	}
	if n != in.Key.Turn {
		return fail("turn %d got the carry of %d", in.Key.Turn, n)
	}
	if call := u.calls.Add(1); call == u.stopAt {
		close(u.hangs)
		<-ctx.Done()
		return fail("stopped")
	}
	if n < u.turns-1 {
		carry := append(strconv.AppendInt(nil, int64(n+1), 10), bytes.Repeat([]byte(" "), u.carry)...)
		return engine.TaskOutput{Value: u.part(n), Next: &engine.Next{Carry: carry}}
	}
	var all []json.RawMessage
	for part, err := range in.Parts(ctx) {
		if err != nil {
			return fail("parts: %v", err)
		}
		all = append(all, append([]byte(nil), part...))
	}
	sizes := []int{}
	for i, p := range all {
		if !bytes.Equal(p, u.part(i)) {
			return fail("part %d is %.40s, want %.40s", i, p, u.part(i))
		}
		sizes = append(sizes, len(p))
	}
	out, _ := json.Marshal(len(sizes))
	return engine.TaskOutput{Value: out}
}

func numbers(n int) []byte { return strconv.AppendInt(nil, int64(n), 10) }

// large parts go to the object store.
func largeParts(n int) []byte {
	return fmt.Appendf(nil, `"%d%s"`, n, bytes.Repeat([]byte("y"), engine.MaxInlineValue))
}

func TestTurns_PassOnWhatTheyLeave(t *testing.T) {
	for name, u := range map[string]*turner{
		"small":       {turns: 20, part: numbers},
		"large parts": {turns: 3, part: largeParts},
		"large carry": {turns: 4, part: numbers, carry: 2000},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &testkit.Recorder{}
			n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: u.do}}, Slots: 4, Views: rec.Views})
			doc := startTurns(t, n)
			end := rec.End(t, doc.RunID)
			if end.Status != engine.Success || end.Tasks[0].Turns != u.turns || end.Calls != u.turns {
				t.Errorf("run: %s, %+v, %+v", end.Status, end.Tasks, end.Error)
			}
			checkParts(t, rec, u.turns-1)
		})
	}
}

func TestTurns_TooLargeACarryFails(t *testing.T) {
	u := &turner{turns: 2, part: numbers, carry: engine.MaxCarry}
	rec := &testkit.Recorder{}
	n := testkit.StartNode(t, testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: u.do}}, Views: rec.Views})
	end := rec.End(t, startTurns(t, n).RunID)
	if end.Status != engine.Failed || end.Error.Message != "store the value: invalid: it leaves 16385 bytes for the next turn, at most 16384 are possible" {
		t.Errorf("run: %s, %+v", end.Status, end.Error)
	}
}

// A kill loses the turn that is being taken, and nothing of those before.
func TestTurns_GoOnAfterAKill(t *testing.T) {
	u := &turner{turns: 12, part: numbers, stopAt: 7, hangs: make(chan struct{})}
	cfg := testkit.NodeConfig{Types: []engine.TaskType{testkit.TaskFunc{Do: u.do}}, Slots: 4}
	n := testkit.StartNode(t, cfg)
	doc := startTurns(t, n)
	<-u.hangs
	cfg.Dir = n.Image(t)
	n.Stop(t)
	rec := &testkit.Recorder{}
	cfg.Views = rec.Views
	testkit.StartNode(t, cfg)
	end := rec.End(t, doc.RunID)
	if end.Status != engine.Success || end.Tasks[0].Turns != 12 {
		t.Errorf("run: %s, %+v, %+v", end.Status, end.Tasks, end.Error)
	}
	if calls := u.calls.Load(); calls != 13 {
		t.Errorf("%d calls, want 12 and the one that was lost", calls)
	}
	checkParts(t, rec, 11)
}

func startTurns(t *testing.T, n *testkit.Node) *engine.RunDoc {
	t.Helper()
	flow := &engine.Flow{ID: "turns", Timeout: time.Hour, Tasks: []engine.Task{{ID: "pages", Type: "func"}}}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: "turns", AdHoc: flow})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// checkParts counts the turns that the views were told of: each has an operation
// of its own.
func checkParts(t *testing.T, rec *testkit.Recorder, want int) {
	t.Helper()
	ids := map[string]bool{}
	for _, c := range rec.Changes() {
		if c.Kind == engine.AttemptDone && c.Attempt.Outcome == engine.OutcomeAgain && !c.Superseded {
			ids[c.Attempt.OperationID()] = true
		}
	}
	if len(ids) != want {
		t.Errorf("%d turns were followed by another, want %d", len(ids), want)
	}
}
