package transform_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform"
)

// TestSQLite_ALockOfOthersIsWaitedFor: another program has the file; a task
// waits for it, and one whose time is up says so and may be tried again.
func TestSQLite_ALockOfOthersIsWaitedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a b%20c?.db")
	b := newBench(t, map[string]transform.Database{"shared": {URL: "sqlite:" + file}})
	b.value(t, nil, "database", "shared", "sql", "CREATE TABLE t (n)")
	other, err := sql.Open("sqlite", filepath.Join(b.dir, "x")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("ATTACH ? AS s", file); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec("BEGIN IMMEDIATE; INSERT INTO s.t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	failure := b.fails(t, nil, "database", "shared", "sql", "INSERT INTO t VALUES (2)", "timeout", "200ms")
	if failure.Class != "timeout" && failure.Class != "locked" || !failure.Retryable {
		t.Errorf("got %+v", failure)
	}
	done := make(chan engine.TaskOutput, 1)
	go func() {
		done <- b.attemptOf(t, context.Background(), "waits", nil, "database", "shared", "sql", "INSERT INTO t VALUES (2)")
	}()
	if _, err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if out := <-done; out.Err != nil {
		t.Errorf("got %+v", out.Err)
	}
	if got := b.value(t, nil, "database", "shared", "sql", "SELECT count(*) FROM t", "result", "value"); got != "2" {
		t.Errorf("%s rows", got)
	}
	for url, want := range map[string]string{
		"sqlite:" + filepath.Join(t.TempDir(), "no", "folder.db"): "no such file or directory", "sqlite:" + t.TempDir(): "is a directory",
	} {
		b := newBench(t, map[string]transform.Database{"absent": {URL: url}})
		if err := b.fails(t, nil, "database", "absent", "sql", "SELECT 1"); err.Class != "connect" || !err.Retryable || !strings.Contains(err.Message, want) {
			t.Errorf("%s: got %+v", url, err)
		}
	}
}

// TestSQLite_ManyTasksAtOnce: a hundred that read and write, none is lost.
func TestSQLite_ManyTasksAtOnce(t *testing.T) {
	b := newBench(t, nil)
	b.value(t, nil, "sql", "CREATE TABLE t (n INTEGER)")
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			out := b.attemptOf(t, t.Context(), engine.RunID(fmt.Sprintf("run-%d", i)), nil, "sql", []any{"INSERT INTO t SELECT count(*) FROM t", "SELECT count(*) FROM t"})
			if out.Err != nil {
				t.Errorf("one of many failed: %+v", out.Err)
			}
		})
	}
	all.Wait()
	if got := b.value(t, nil, "sql", "SELECT count(*) = 100 AND count(DISTINCT n) = 100 FROM t", "result", "value"); got != "1" {
		t.Error("the transactions were not one after the other")
	}
}

// TestSQLite_SensitiveDataIsNotTold: neither by a message of the database nor by
// the operation log.
func TestSQLite_SensitiveDataIsNotTold(t *testing.T) {
	const secret = "a very secret value"
	b := newBench(t, nil)
	flow := &engine.Flow{ID: "f", Variables: value.MapOf("city", "Ulm"), Tasks: []engine.Task{{
		ID: "t", Type: transform.Name, Sensitive: true,
		Properties: value.MapOf("sql", "SELECT json('{{ xcom_a }}'), {{ xcom_a }}"),
	}}}
	prog, _ := b.kind.Prepare(flow, &flow.Tasks[0])
	in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, map[engine.TaskID]any{"a": secret})
	out := prog.Execute(t.Context(), in)
	shown := fmt.Sprintf("%+v %+v", out.Err, out.Details)
	if out.Err == nil || strings.Contains(shown, secret) || strings.Contains(out.Err.Message, "very") || !strings.Contains(shown, "{{ xcom_a }}") {
		t.Errorf("got %s", shown)
	}
}
