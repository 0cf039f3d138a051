package transform_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

func TestSQLite_ResultsByTheirMode(t *testing.T) {
	b := newBench(t, nil)
	b.value(t, nil, "sql", []any{
		"CREATE TABLE c (id INTEGER PRIMARY KEY, name TEXT, vip BOOLEAN, paid REAL, seen TIMESTAMP, born DATE)",
		"INSERT INTO c VALUES (1, 'Ann', 1, 1.5, '2026-01-02 03:04:05', '2000-02-29'), (2, 'Bob; --', 0, 2.0, NULL, NULL)",
	})
	for _, c := range []struct {
		sql, mode, want string
	}{
		{"SELECT id, name FROM c WHERE id = 1", "auto", `{"id":1,"name":"Ann"}`},
		{"SELECT id FROM c ORDER BY id", "auto", `[{"id":1},{"id":2}]`},
		{"SELECT id FROM c WHERE id = 9", "auto", `[]`},
		{"SELECT id FROM c WHERE id = 1", "rows", `[{"id":1}]`},
		{"SELECT id FROM c WHERE id = 1", "row", `{"id":1}`},
		{"SELECT count(*) FROM c", "value", `2`},
		{"SELECT name FROM c WHERE id = 2", "value", `"Bob; --"`},
		{"SELECT * FROM c WHERE id = 1", "auto", `{"id":1,"name":"Ann","vip":true,"paid":1.5,"seen":"2026-01-02T03:04:05Z","born":"2000-02-29"}`},
		{"SELECT * FROM c WHERE id = 2", "auto", `{"id":2,"name":"Bob; --","vip":false,"paid":2.0,"seen":null,"born":null}`},
		{"UPDATE c SET paid = paid + 1", "auto", `{"rows_affected":2}`},
		{"UPDATE c SET paid = 9 WHERE id = 1 RETURNING id, paid", "auto", `{"id":1,"paid":9.0}`},
		{"WITH x AS (SELECT 3 AS id) INSERT INTO c (id) SELECT id FROM x", "auto", `{"rows_affected":1}`},
		{"DELETE FROM c WHERE id = 3", "none", ``},
		{"CREATE INDEX by_name ON c (name)", "auto", `{"rows_affected":0}`},
		{"SELECT x'00ff' AS b, 9e999 AS f, 1e300 AS g, 9223372036854775807 AS i", "auto", `{"b":"AP8=","f":"Infinity","g":1e+300,"i":9223372036854775807}`},
		{"VALUES (1)", "value", `1`},
		{"PRAGMA table_info(c)", "none", ``},
		{"-- first\nSELECT 1 AS a; -- last", "auto", `{"a":1}`},
		{"SELECT ';' AS a, \"name\" FROM c WHERE id = 1; ;", "auto", `{"a":";","name":"Ann"}`},
	} {
		if got := b.value(t, nil, "sql", c.sql, "result", c.mode); got != c.want {
			t.Errorf("%s (%s):\n got %s\nwant %s", c.sql, c.mode, got, c.want)
		}
	}
	for _, c := range []struct{ sql, mode, class, want string }{
		{"SELECT id FROM c", "row", "result", `line 1: result = "row" wants one row, the query gives more`},
		{"SELECT id FROM c", "value", "result", `line 1: result = "value" wants one row, the query gives more`},
		{"SELECT id FROM c WHERE 0", "row", "result", `line 1: result = "row" wants one row, the query gives none`},
		{"SELECT id, name FROM c", "value", "result", `line 1: result = "value" wants one column, the query gives 2`},
		{"SELECT id, name AS id FROM c", "auto", "result", `line 1: two columns are called "id": name one of them with AS`},
		{"SELECT id FORM c", "auto", "sql", `line 1 column 16: near "c": syntax error`},
		{"SELECT 1,\n  nome FROM c", "auto", "sql", `line 2 column 3: no such column: nome`},
		{"SELECT 1; SELECT * FROM nowhere", "auto", "sql", `statement 2 of 2, line 1 column 25: no such table: nowhere`},
		{"SELECT count(*) FROM t", "auto", "sql", `line 1 column 22: no such table: t`},
		{"INSERT INTO c (id) VALUES (1)", "auto", "constraint", `line 1: UNIQUE constraint failed: c.id`},
	} {
		err := b.fails(t, nil, "sql", c.sql, "result", c.mode)
		if err.Class != c.class || err.Message != c.want || err.Retryable {
			t.Errorf("%s (%s):\n got %+v\nwant %s: %s", c.sql, c.mode, err, c.class, c.want)
		}
	}
}

func TestSQLite_ParametersAreBound(t *testing.T) {
	b := newBench(t, nil)
	evil := `Robert'); DROP TABLE students; -- :batch_id {{ 7 }}`
	xcom := map[engine.TaskID]any{
		"fetch": value.MapOf("total", value.Number("1.50"), "name", evil, "items", []any{value.MapOf("id", int64(1)), value.MapOf("id", int64(2))}, "ok", true, "none", nil,
			"big", value.Number("123456789012345678901234567890"), "long", value.Number("0.1234567890123456789")),
		"a-b": "text",
	}
	for sql, want := range map[string]string{
		"SELECT :xcom_fetch.name":                           value.Short(evil),
		"SELECT :xcom_fetch.total + 1":                      "2.5",
		"SELECT typeof(:xcom_fetch.big)":                    `"text"`,
		"SELECT :xcom_fetch.long":                           `"0.1234567890123456789"`,
		"SELECT :xcom_fetch.items.1.id":                     "2",
		"SELECT count(*) FROM json_each(:xcom_fetch.items)": "2",
		"SELECT json_extract(:xcom_fetch, '$.items[0].id')": "1",
		"SELECT :batch_id + :limit":                         "44",
		"SELECT :city || ':x' || ':city'":                   `"Ulm:x:city"`,
		"SELECT :xcom_a_b":                                  `"text"`,
		"SELECT :xcom_fetch.ok":                             "1",
		"SELECT :xcom_fetch.none IS NULL":                   "1",
		"SELECT length(:run_key)":                           "26",
		"SELECT :mine.a || :two":                            `"x3"`,
		"SELECT [id:x] FROM (SELECT 5 AS [id:x])":           "5",
		"SELECT '{{ city }}'":                               `"Ulm"`,
	} {
		got := b.value(t, xcom, "sql", sql, "result", "value", "params", value.MapOf("mine", value.MapOf("a", "x"), "two", "{{ 1 + limit }}"))
		if got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
	for sql, want := range map[string]string{
		"SELECT :xcom_fetch.totl":                  `line 1 column 8: :xcom_fetch.totl: xcom_fetch has no "totl" (there are: total, name, items, ok, none, big, long)`,
		"SELECT :xcom_fetch.items.2":               `line 1 column 8: :xcom_fetch.items.2: xcom_fetch.items is a list of 2 and has no "2"`,
		"SELECT :xcom_a_b.x":                       `line 1 column 8: :xcom_a_b.x: xcom_a_b is a str and has no "x"`,
		"SELECT :batch_id, :batch_id, :xcom_a_b.x": `line 1 column 30: :xcom_a_b.x: `,
		"SELECT 1; SELECT {{ nope }}":              `sql: nope is undefined (there are: batch_id`,
	} {
		if err := b.fails(t, xcom, "sql", sql); !strings.HasPrefix(err.Message, want) {
			t.Errorf("%s: got %s", sql, err.Message)
		}
	}
}

// TestSQLite_NothingEndlessOutlivesItsTask: in the first step, between rows, in
// one that writes.
func TestSQLite_NothingEndlessOutlivesItsTask(t *testing.T) {
	endless := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
	for name, sql := range map[string]string{
		"first step":   endless + "SELECT count(*) AS n FROM n",
		"between rows": endless + "SELECT i FROM n WHERE i = 1 OR i < 0",
		"writing":      "CREATE TABLE x (i); " + endless + "INSERT INTO x SELECT i FROM n WHERE i < 0",
		"returning":    "CREATE TABLE x (i); " + endless + "INSERT INTO x SELECT i FROM n WHERE i < 0 RETURNING i",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			err := b.fails(t, nil, "sql", sql, "timeout", "50ms")
			if err.Class != "timeout" || !err.Retryable || err.Unknown || !strings.HasSuffix(err.Message, "not done within 50ms, and rolled back") {
				t.Errorf("got %+v", err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("over")) })
			out := b.attemptOf(t, ctx, "r", nil, "sql", sql)
			if out.Err == nil || out.Err.Class != "cancelled" || out.Err.Unknown {
				t.Errorf("got %+v", out.Err)
			}
			if got := b.value(t, nil, "sql", "SELECT count(*) FROM sqlite_master WHERE name = 'x'", "result", "value"); got != "0" {
				t.Error("what was cut off has not been rolled back")
			}
		})
	}
}
