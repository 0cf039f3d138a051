package transform_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform"
)

func init() { // a file of this name has as much room as a small disk
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, dsn string) error {
		if !strings.Contains(dsn, "small-disk.db") {
			return nil
		}
		_, err := conn.ExecContext(context.Background(), "PRAGMA max_page_count = 40", nil)
		return err
	})
}

// limitsHold holds a database against max_rows and max_bytes: a result that is
// larger is refused, and what the task wrote is rolled back. many is a query of
// the numbers from 1 to 1000.
func limitsHold(t *testing.T, b *bench, database, many string) {
	t.Helper()
	b.value(t, nil, "database", database, "sql", "CREATE TABLE limited (n int)")
	for _, c := range []struct {
		key  string
		max  int64
		want string
	}{
		{"max_bytes", 200, "statement 2 of 2, line 1: the result is larger than 200 bytes (max_bytes)"},
		{"max_rows", 999, "statement 2 of 2, line 1: the query gives more than 999 rows (max_rows)"},
	} {
		sql := []any{"INSERT INTO limited VALUES (1)", many}
		err := b.fails(t, nil, "database", database, "sql", sql, c.key, c.max)
		if err.Class != "too_large" || err.Retryable || err.Message != c.want {
			t.Errorf("%s: got %+v", c.key, err)
		}
		if got := b.value(t, nil, "database", database, "sql", "SELECT count(*) FROM limited", "result", "value"); got != "0" {
			t.Errorf("%s: %s rows are left", c.key, got)
		}
		// What nobody keeps has no size.
		b.value(t, nil, "database", database, "sql", many, c.key, c.max, "result", "none")
	}
	if got := b.value(t, nil, "database", database, "sql", many, "max_rows", int64(1000)); !strings.HasPrefix(got, `[{"n":1},{"n":2},`) {
		t.Errorf("got %.60s", got)
	}
}

func TestSQLite_LimitsHold(t *testing.T) {
	limitsHold(t, newBench(t, nil), "warehouse", "WITH RECURSIVE m(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM m WHERE n < 1000) SELECT n FROM m")
}

// TestSQLite_ADiskWithoutRoom: the task says so, has changed nothing, is tried
// again, and works as soon as there is room.
func TestSQLite_ADiskWithoutRoom(t *testing.T) {
	b := newBench(t, map[string]transform.Database{"small": {URL: "sqlite:" + filepath.Join(t.TempDir(), "small-disk.db")}})
	b.value(t, nil, "database", "small", "sql", "CREATE TABLE t (x BLOB); INSERT INTO t VALUES (1)")
	out := b.attemptOf(t, t.Context(), "run-1", nil, "database", "small", "sql", []any{"UPDATE t SET x = 2", "INSERT INTO t VALUES (zeroblob(1000000))"})
	if out.Err == nil || out.Err.Class != "full" || !out.Err.Retryable || out.Err.Unknown || out.Err.Message != "statement 2 of 2, line 1: small: database or disk is full" {
		t.Fatalf("got %+v", out.Err)
	}
	if got := b.value(t, nil, "database", "small", "sql", "SELECT x FROM t", "result", "value"); got != "1" {
		t.Errorf("x is %s", got)
	}
	if out := b.attemptOf(t, t.Context(), "run-1", nil, "database", "small", "sql", []any{"UPDATE t SET x = 2", "INSERT INTO t VALUES (zeroblob(10))"}); out.Err != nil || out.Details.Repeated {
		t.Errorf("got %+v", out.Err)
	}
}

// TestSQLite_ADamagedFileIsNotTriedAgain: waiting does not mend it.
func TestSQLite_ADamagedFileIsNotTriedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("this is no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, map[string]transform.Database{"none": {URL: "sqlite:" + file}})
	if err := b.fails(t, nil, "database", "none", "sql", "CREATE TABLE t (x)"); err.Class != "damaged" || err.Retryable || !strings.Contains(err.Message, file+": file is not a database") {
		t.Errorf("got %+v", err)
	}
}

// TestCheck_URLsThatTheDriverRefuses are mistakes of the configuration, told at the
// start, without the password.
func TestCheck_URLsThatTheDriverRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u:hunter2@h/d?sslmode=perhaps":         "sslmode is invalid",
		"postgres://u:hunter2@h/d?pool_max_conns=many":     "cannot parse pool_max_conns",
		"postgres://u:hunter2@h:0,i:70000/d":               "invalid port",
		"postgres://u:hunter2@h/d?target_session_attrs=no": "unknown target_session_attrs value: no",
	} {
		err := transform.Check(map[string]transform.Database{"stats": {URL: url}})
		if err == nil || !strings.Contains(err.Error(), "[databases.stats] url cannot be used: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

// TestSQLite_AFileOfTemplatesIsNamed where one of its statements fails.
func TestSQLite_AFileOfTemplatesIsNamed(t *testing.T) {
	b := newBench(t, nil)
	flow := &engine.Flow{ID: "f", Timeout: time.Hour, Variables: value.MapOf("name", "nowhere"), Tasks: []engine.Task{{
		ID: "t", Type: transform.Name, Properties: value.MapOf("sql_file", "load.sql"), Files: map[string]string{"load.sql": "SELECT 1;\nSELECT *\nFROM {{ name }}"},
	}}}
	prog, problems := b.kind.Prepare(flow, &flow.Tasks[0])
	if wrong := engine.Refused(problems); wrong != nil {
		t.Fatal(wrong)
	}
	out := prog.Execute(t.Context(), engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil))
	if want := "load.sql, statement 2 of 2, line 2 column 6 of it as it was rendered: no such table: nowhere"; out.Err == nil || out.Err.Message != want {
		t.Errorf("got %+v, want %s", out.Err, want)
	}
}

// postgresFull: what the server has no room for.
func postgresFull(t *testing.T, b *bench, server *testkit.Postgres) {
	server.SQL(t, "ALTER ROLE qarion SET temp_file_limit = '100kB'")
	b.kind.Close() // a role's settings are those of new connections
	err := b.fails(t, nil, "database", "pg", "sql", "SET LOCAL work_mem = '64kB'; SELECT count(*) FROM (SELECT i FROM generate_series(1, 500000) AS i ORDER BY i::text) AS s")
	if err.Class != "full" || !err.Retryable || !strings.HasPrefix(err.Message, "statement 2 of 2, line 1: pg: temporary file size exceeds") {
		t.Errorf("got %+v", err)
	}
	server.SQL(t, "ALTER ROLE qarion RESET temp_file_limit; ALTER ROLE qarion CONNECTION LIMIT 0")
	b.kind.Close()
	if err := b.fails(t, nil, "database", "pg", "sql", "SELECT 1"); err.Class != "connect" || !err.Retryable || !strings.Contains(err.Message, "too many connections") {
		t.Errorf("got %+v", err)
	}
	server.SQL(t, "ALTER ROLE qarion CONNECTION LIMIT -1")
	b.value(t, nil, "database", "pg", "sql", "SELECT 1")
}

// TestParameters_OfWhatWasPulled: with xcom_pull_key a task's name is the value
// under that key, in a parameter as in a template; other tasks stay whole.
func TestParameters_OfWhatWasPulled(t *testing.T) {
	b := newBench(t, nil)
	xcom := map[engine.TaskID]any{"fetch": value.MapOf("user_id", int64(7), "list", []any{int64(1), int64(2)}), "other": value.MapOf("user_id", int64(8))}
	for _, c := range []struct{ key, sql, want string }{
		{"user_id", "SELECT :xcom_fetch AS a, {{ xcom_fetch }} AS b, :xcom_other.user_id AS c, :xcom_fetch.user_id AS d", `{"a":7,"b":7,"c":8,"d":7}`},
		{"list", "SELECT sum(value) AS n FROM json_each(:xcom_fetch)", `{"n":3}`},
		{"list", "SELECT :xcom_fetch.1 AS n", `{"n":2}`},
	} {
		if got := b.value(t, xcom, "sql", c.sql, "xcom_pull", []any{"fetch"}, "xcom_pull_key", c.key); got != c.want {
			t.Errorf("%s: got %s, want %s", c.sql, got, c.want)
		}
	}
	err := b.fails(t, xcom, "sql", "SELECT :xcom_fetch", "xcom_pull", []any{"fetch"}, "xcom_pull_key", "usr_id")
	if want := `line 1 column 8: :xcom_fetch: xcom_fetch has no key "usr_id" (xcom_pull_key; there are: user_id, list)`; err.Class != "parameter" || err.Message != want {
		t.Errorf("got %+v", err)
	}
}
