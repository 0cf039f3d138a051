package transform_test

import (
	"context"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform"
)

// bench is a task type with a warehouse of its own.
type bench struct {
	kind *transform.TaskType
	dir  string
	runs int
}

func newBench(t testing.TB, databases map[string]transform.Database) *bench {
	t.Helper()
	dir := t.TempDir()
	kind, err := transform.New(transform.Config{Dir: dir, Databases: databases})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	return &bench{kind: kind, dir: dir}
}

// prepared prepares a task with the given properties.
func (b *bench) prepared(t testing.TB, pairs ...any) (engine.Program, *engine.Flow, []engine.Problem) {
	t.Helper()
	flow := &engine.Flow{ID: "f", Timeout: time.Hour, Variables: value.MapOf("city", "Ulm", "limit", int64(2)), Tasks: []engine.Task{{ID: "t", Type: transform.Name, Properties: value.MapOf(pairs...)}}}
	prog, problems := b.kind.Prepare(flow, &flow.Tasks[0])
	return prog, flow, problems
}

// attempt runs a task in a run of its own, with what upstream tasks have left.
func (b *bench) attempt(t testing.TB, xcom map[engine.TaskID]any, pairs ...any) engine.TaskOutput {
	t.Helper()
	b.runs++
	return b.attemptOf(t, t.Context(), engine.DeriveRunID(time.Now(), t.Name(), uint64(b.runs)), xcom, pairs...)
}

func (b *bench) attemptOf(t testing.TB, ctx context.Context, run engine.RunID, xcom map[engine.TaskID]any, pairs ...any) engine.TaskOutput {
	t.Helper()
	prog, flow, problems := b.prepared(t, pairs...)
	if wrong := engine.Refused(problems); wrong != nil {
		t.Fatalf("the task is refused: %+v", wrong)
	}
	in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, xcom)
	in.Key.Run, in.BatchID = run, 42
	return prog.Execute(ctx, in)
}

// value runs a task that must succeed, and returns its value.
func (b *bench) value(t testing.TB, xcom map[engine.TaskID]any, pairs ...any) string {
	t.Helper()
	out := b.attempt(t, xcom, pairs...)
	if out.Err != nil {
		t.Fatalf("%v: %+v", pairs, out.Err)
	}
	return string(out.Value)
}

// fails runs a task that must fail.
func (b *bench) fails(t testing.TB, xcom map[engine.TaskID]any, pairs ...any) *engine.TaskError {
	t.Helper()
	out := b.attempt(t, xcom, pairs...)
	if out.Err == nil {
		t.Fatalf("%v succeeded with %s", pairs, out.Value)
	}
	if out.Value != nil {
		t.Errorf("a failed attempt leaves %s", out.Value)
	}
	return out.Err
}
