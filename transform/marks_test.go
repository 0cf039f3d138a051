package transform_test

import (
	"sync"
	"testing"

	"github.com/qarion/qarion/engine"
)

// runsOnce holds a database against the promise that a task which was committed
// is not executed a second time.
func runsOnce(t *testing.T, b *bench, database string) {
	t.Helper()
	b.value(t, nil, "database", database, "sql", "CREATE TABLE once (n int)")
	insert := []any{"database", database, "sql", []any{"INSERT INTO once VALUES (1)", "SELECT count(*) AS n FROM once"}}
	first := b.attemptOf(t, t.Context(), "run-1", nil, insert...)
	second := b.attemptOf(t, t.Context(), "run-1", nil, insert...)
	if first.Err != nil || second.Err != nil || string(first.Value) != `{"n":1}` || string(second.Value) != `{"n":1}` {
		t.Fatalf("got %s and %s (%v, %v)", first.Value, second.Value, first.Err, second.Err)
	}
	if first.Details.Repeated || !second.Details.Repeated || second.Rows != first.Rows || first.Rows != 2 {
		t.Errorf("repeated: %v and %v, rows %d and %d", first.Details.Repeated, second.Details.Repeated, first.Rows, second.Rows)
	}
	// Another run is another task; one that failed leaves no mark.
	if out := b.attemptOf(t, t.Context(), "run-2", nil, insert...); string(out.Value) != `{"n":2}` {
		t.Errorf("got %s (%v)", out.Value, out.Err)
	}
	b.attemptOf(t, t.Context(), "run-3", nil, "database", database, "sql", "INSERT INTO once VALUES (1); SELECT nope")
	if out := b.attemptOf(t, t.Context(), "run-3", nil, insert...); string(out.Value) != `{"n":3}` {
		t.Errorf("got %s (%v)", out.Value, out.Err)
	}
	// Two workers that believe that they have the task.
	var all sync.WaitGroup
	outs := make([]engine.TaskOutput, 8)
	for i := range outs {
		all.Go(func() { outs[i] = b.attemptOf(t, t.Context(), "run-4", nil, insert...) })
	}
	all.Wait()
	repeated := 0
	for _, out := range outs {
		if string(out.Value) != `{"n":4}` {
			t.Errorf("got %s (%+v)", out.Value, out.Err)
		}
		if out.Details.Repeated {
			repeated++
		}
	}
	if repeated != len(outs)-1 {
		t.Errorf("%d of %d were repeated", repeated, len(outs))
	}
	// Without marks it is executed again, and known to be unrepeatable.
	without := append(insert, "exactly_once", false)
	prog, _, _ := b.prepared(t, without...)
	if !prog.Needs().Unrepeatable {
		t.Error("a task that writes without marks is repeatable")
	}
	for _, want := range []string{`{"n":5}`, `{"n":6}`} {
		if out := b.attemptOf(t, t.Context(), "run-5", nil, without...); string(out.Value) != want {
			t.Errorf("got %s (%v)", out.Value, out.Err)
		}
	}
}

func TestSQLite_ATaskIsExecutedOnce(t *testing.T) { runsOnce(t, newBench(t, nil), "warehouse") }
