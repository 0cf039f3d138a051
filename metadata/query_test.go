package metadata_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/metadata"
)

// specified is the query that the specification of the tables prints.
const specified = `SELECT
operation_id,
operation_subtype,
flow_id,
task_id,
status,
success,
operation_details
FROM xt_operation_logs
WHERE operation_type = 'api_call'
ORDER BY start_time DESC;`

func TestQuery_TheSpecifiedOneWorksAsPrinted(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 3, 5)
		tables := open()
		project(t, tables, p.changes, p.rng, 50)
		answer, err := tables.Query(t.Context(), metadata.Question{SQL: specified})
		if err != nil {
			t.Fatal(err)
		}
		attempts := 0
		for _, c := range p.changes {
			if c.Kind == engine.AttemptDone {
				attempts++
			}
		}
		if len(answer.Rows) != attempts || strings.Join(answer.Columns, " ") != "operation_id operation_subtype flow_id task_id status success operation_details" {
			t.Errorf("%d rows of %v, want %d", len(answer.Rows), answer.Columns, attempts)
		}
		for _, row := range answer.Rows {
			if s := string(row[5]); s != "true" && s != "false" {
				t.Fatalf("success is %s", s)
			}
			if !strings.HasPrefix(string(row[6]), "{") {
				t.Fatalf("operation_details is %.60s, want an object", row[6])
			}
		}
	})
}

func TestQuery_OnlyReads(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 3, 2)
		tables := open()
		project(t, tables, p.changes, p.rng, 50)
		before := rows(t, tables)
		other := filepath.Join(t.TempDir(), "other.db")
		for _, sql := range []string{
			"DELETE FROM xt_operation_logs",
			"DELETE FROM xt_operation_logs RETURNING operation_id",
			"UPDATE xt_flow_executions SET status = 'success'",
			"INSERT INTO xt_flow_executions SELECT * FROM xt_flow_executions",
			"WITH gone AS (DELETE FROM xt_task_executions RETURNING 1) SELECT * FROM gone",
			"DROP TABLE xt_operation_logs",
			"CREATE TABLE mine (a int)",
			"CREATE TEMP TABLE mine (a int)",
			"CREATE VIEW mine AS SELECT 1",
			"ALTER TABLE xt_operation_logs ADD COLUMN mine int",
			"ATTACH '" + other + "' AS other",
			"ATTACH ':memory:' AS other",
			"VACUUM INTO '" + other + "'",
			"VACUUM",
			"REINDEX",
			"BEGIN",
			"COMMIT",
			"SAVEPOINT mine",
			"PRAGMA query_only = 0",
			"PRAGMA query_only(0)",
			"PRAGMA journal_mode = DELETE",
			"PRAGMA user_version = 7",
			"PRAGMA writable_schema = 1",
			"PRAGMA database_list",
			"SELECT load_extension('/tmp/evil.so')",
			"SELECT * FROM pragma_database_list",
			"SELECT writefile('" + other + "', 'x')",
			"SELECT readfile('/etc/passwd')",
			"SELECT pg_read_file('/etc/passwd')",
			"SELECT lo_import('/etc/passwd')",
			"SELECT set_config('transaction_read_only', 'off', false)",
			"SET TRANSACTION READ WRITE",
			"COPY xt_operation_logs TO '" + other + "'",
			"COPY (SELECT 1) TO PROGRAM 'touch " + other + "'",
			"SELECT 1; DELETE FROM xt_operation_logs",
			"SELECT 1; SELECT 2",
			"/* a */ SELECT 1 /* ; */ ; -- ;\n DELETE FROM xt_operation_logs",
			"EXPLAIN ANALYZE DELETE FROM xt_operation_logs",
			"", " \n", ";", "-- nothing", "nonsense",
		} {
			answer, err := tables.Query(t.Context(), metadata.Question{SQL: sql})
			if err == nil {
				t.Errorf("%q: answered %v", sql, answer.Rows)
			} else if !errors.Is(err, engine.ErrInvalid) && !errors.Is(err, engine.ErrDenied) {
				t.Errorf("%q: %v", sql, err)
			}
		}
		if _, err := os.Stat(other); err == nil {
			t.Errorf("a query has made the file %s", other)
		}
		if rows(t, tables) != before {
			t.Error("a query has changed rows")
		}
		for _, sql := range []string{"SELECT ';' AS a;", "select 1 -- ; delete", "/* ; */ SELECT 1;;", "WITH a AS (SELECT 1 AS x) SELECT * FROM a", "EXPLAIN SELECT 1"} {
			if _, err := tables.Query(t.Context(), metadata.Question{SQL: sql}); err != nil {
				t.Errorf("%q: %v", sql, err)
			}
		}
	})
}

func TestQuery_HarmlessPragmasWork(t *testing.T) {
	tables := inFile(t)
	project(t, tables, live(t, 3, 1).changes, live(t, 3, 1).rng, 50)
	for _, sql := range []string{"PRAGMA table_info(xt_operation_logs)", "PRAGMA table_list", "PRAGMA index_list('xt_operation_logs')", "SELECT name FROM pragma_table_info('xt_flow_executions')", "SELECT name FROM sqlite_schema"} {
		if got := ask(t, tables, sql); len(got) == 0 {
			t.Errorf("%s: no rows", sql)
		}
	}
}

func TestQuery_IsBounded(t *testing.T) {
	endless := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		tables := open()
		project(t, tables, live(t, 3, 1).changes, live(t, 3, 1).rng, 50)
		began := time.Now()
		_, err := tables.Query(t.Context(), metadata.Question{SQL: endless, Timeout: 0.3})
		if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "took longer than 300ms") {
			t.Errorf("endless query: %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("stopped after %v", took)
		}
		gone, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := tables.Query(gone, metadata.Question{SQL: endless}); err == nil {
			t.Error("a caller who went away did not end the query")
		}
		many := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT i, 'a text of some length, so that an answer has parts' AS t FROM n"
		answer, err := tables.Query(t.Context(), metadata.Question{SQL: many, Limit: 25_000})
		seen := 0
		for {
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range answer.Rows {
				seen++
				if string(row[0]) != fmt.Sprint(seen) {
					t.Fatalf("row %d is %s", seen, row[0])
				}
			}
			if answer.Next == "" {
				break
			}
			if answer.More {
				t.Error("an answer with parts left says that rows were left out")
			}
			answer, err = tables.Query(t.Context(), metadata.Question{Next: answer.Next})
		}
		if seen != 25_000 || !answer.More {
			t.Errorf("%d rows, more=%v", seen, answer.More)
		}
		if answer, err = tables.Query(t.Context(), metadata.Question{SQL: many, Limit: 1}); err != nil || len(answer.Rows) != 1 || !answer.More || answer.Next != "" {
			t.Errorf("one row: %+v, %v", answer, err)
		}
		for range 20 { // those that are not fetched hold no place for ever
			if _, err = tables.Query(t.Context(), metadata.Question{SQL: many, Limit: 25_000}); err != nil {
				break
			}
		}
		if !errors.Is(err, engine.ErrUnavailable) && !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("twenty answers that nobody fetches: %v", err)
		}
	})
}

// What a stranger writes is stopped, or refused, or ends soon: each of these
// would otherwise keep a processor for minutes, take all memory, or leave a lock.
func TestQuery_AttacksEnd(t *testing.T) {
	endless := "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n) AS e"
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		tables := open()
		project(t, tables, live(t, 3, 5).changes, live(t, 3, 1).rng, 50)
		for _, sql := range []string{
			"SELECT i FROM " + endless + " ORDER BY i DESC",
			"SELECT i FROM " + endless + " WHERE i < 0",
			"SELECT DISTINCT i % 3 FROM " + endless, // three rows at once, and then none
			"SELECT sum(i) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM " + endless,
			"SELECT count(*) FROM xt_operation_logs a, xt_operation_logs b, xt_operation_logs c, xt_operation_logs d, xt_operation_logs e, xt_operation_logs f WHERE a.worker || b.worker || c.worker || d.worker || e.worker || f.worker = 'x'",
		} {
			answer, err := tables.Query(t.Context(), metadata.Question{SQL: sql, Timeout: 0.3})
			if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "was stopped; ask for less") {
				t.Errorf("%.60q: %v, %v", sql, answer, err)
			}
		}
		if got := ask(t, tables, "SELECT 1 AS one"); len(got) != 1 || got[0] != "one=1" {
			t.Errorf("after all of that: %s", got)
		}
	})
	t.Run("one row that takes long", func(t *testing.T) {
		tables := inFile(t)
		project(t, tables, live(t, 3, 1).changes, live(t, 3, 1).rng, 50)
		call := "instr(hex(zeroblob(90000)), hex(zeroblob(45000)) || 'x')"
		for sql, want := range map[string]string{
			"SELECT " + strings.Repeat(call+", ", 150) + "1":                                  "one statement may call instr, replace, trim, ltrim, rtrim 20 times",
			"SELECT " + strings.Repeat("('a' LIKE 'b') + ", 90) + "1":                         "one statement may call like, glob 60 times",
			"SELECT load_extension('x')":                                                      "the function load_extension is not for queries",
			"SELECT hex(zeroblob(400000))":                                                    "too big",
			"SELECT printf('%.*c', 2000000000, 'x')":                                          "too big",
			"SELECT group_concat(hex(zeroblob(50000))) FROM xt_operation_logs":                "too big",
			"SELECT 1 WHERE 1 IN (" + strings.Repeat("1,", 30_000) + "1)":                     "too large to be carried out",
			"SELECT 'a' LIKE '" + strings.Repeat("%a", 200) + "'":                             "pattern too complex",
			"SELECT " + strings.Repeat("hex(zeroblob(90000)), ", 10) + "hex(zeroblob(90000))": "a row of",
		} {
			if _, err := tables.Query(t.Context(), metadata.Question{SQL: sql}); !errors.Is(err, engine.ErrInvalid) && !errors.Is(err, engine.ErrDenied) || !strings.Contains(err.Error(), want) {
				t.Errorf("%.60q: %v, want %q", sql, err, want)
			}
		}
		for range 3 { // each statement has its own count
			if got := ask(t, tables, "SELECT "+strings.Repeat("instr('abc', 'c') + ", 15)+"0 AS n"); len(got) != 1 || got[0] != "n=45" {
				t.Errorf("a statement with 15 calls: %s", got)
			}
		}
	})
	t.Run("locks", func(t *testing.T) {
		tables := open(t, testkit.StartPostgres(t).URL)
		project(t, tables, live(t, 3, 1).changes, live(t, 3, 1).rng, 50)
		ask(t, tables, "SELECT pg_advisory_lock(7)")
		if got := ask(t, tables, "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'"); len(got) != 1 || got[0] != "n=0" {
			t.Errorf("a query has left locks: %s", got)
		}
	})
}

func TestQuery_MistakesAreNamed(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		tables := open()
		project(t, tables, live(t, 3, 1).changes, live(t, 3, 1).rng, 50)
		for sql, want := range map[string]string{
			"SELECT durations FROM xt_operation_logs":    `did you mean "duration_ms"?`,
			"SELECT o.flowid FROM xt_operation_logs o":   `did you mean "flow_id"?`,
			"SELECT * FROM xt_operation_log":             `did you mean "xt_operation_logs"?`,
			"SELECT * FROM runs":                         "(there are: xt_flow_executions, xt_task_executions, xt_operation_logs)",
			"SELECT * FORM xt_operation_logs":            "syntax error",
			"SELECT 1; SELECT 2":                         "one statement at a time",
			"SELECT " + strings.Repeat("1 + ", 20_000):   "longer than",
			strings.Repeat("(", 5000) + "1":              "",
			"SELECT * FROM xt_operation_logs WHERE a = ": "",
		} {
			_, err := tables.Query(t.Context(), metadata.Question{SQL: sql})
			if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%.60q: %v, want %q", sql, err, want)
			}
		}
	})
}

func TestQuery_ValuesKeepTheirKind(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		tables := open()
		project(t, tables, live(t, 3, 1).changes, live(t, 3, 1).rng, 50)
		got := ask(t, tables, `SELECT 1 AS i, 1.5 AS f, 'Zoë "x"' AS s, NULL AS n, 9007199254740993 AS big FROM xt_flow_executions`)
		if want := `i=1 f=1.5 s="Zoë \"x\"" n=null big=9007199254740992`; len(got) != 1 || got[0] != want { // the test reads numbers as float64
			t.Errorf("%s, want %s", got, want)
		}
		answer, err := tables.Query(t.Context(), metadata.Question{SQL: "SELECT 9007199254740993 AS big"})
		if err != nil || string(answer.Rows[0][0]) != "9007199254740993" {
			t.Errorf("%s, %v", answer.Rows, err)
		}
	})
}

// A role that reaches the database server's files is not lent to strangers.
func TestQuery_PostgresSuperuserIsNotLent(t *testing.T) {
	server := testkit.StartPostgres(t)
	tables := open(t, server.AdminURL())
	project(t, tables, live(t, 3, 1).changes, live(t, 3, 1).rng, 50)
	_, err := tables.Query(t.Context(), metadata.Question{SQL: "SELECT pg_read_file('/etc/passwd')"})
	if !errors.Is(err, engine.ErrDenied) || !strings.Contains(err.Error(), "use a role that may not") {
		t.Errorf("got %v", err)
	}
	if list, err := tables.Runs(t.Context(), engine.RunFilter{}); err != nil || len(list) != 1 {
		t.Errorf("our own lists: %v, %v", list, err)
	}
}
