package transform_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/transform"
)

// stored is a credential store.
type stored map[string]engine.Credential

func (s stored) Get(_ context.Context, id string) (engine.Credential, error) {
	c, ok := s[id]
	if !ok {
		return c, engine.ErrNotFound
	}
	return c, nil
}

// newPostgresBench is a task type with a database "pg", whose password is a
// credential, and "wrong", whose is missing.
func newPostgresBench(t testing.TB) (*bench, *testkit.Postgres) {
	t.Helper()
	p := testkit.StartPostgres(t)
	u, _ := url.Parse(p.URL)
	u.User = nil
	dir := t.TempDir()
	kind, err := transform.New(transform.Config{
		Dir: dir, Databases: map[string]transform.Database{
			"pg": {URL: u.String(), Credential: "pg_login"}, "wrong": {URL: u.String(), Credential: "nobody"},
			"down": {URL: "postgres://qarion:hush-hush-1@127.0.0.1:1/qarion"}, "bad": {URL: strings.Replace(p.URL, "qarion:hush-hush-1", "nobody:no-password", 1)},
		},
		Credentials: stored{"pg_login": {ID: "pg_login", Type: "basic_auth", Data: value.MapOf("username", "qarion", "password", "hush-hush-1")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	return &bench{kind: kind, dir: dir}, p
}

func TestPostgres(t *testing.T) {
	b, server := newPostgresBench(t)
	server.SQL(t, "ALTER ROLE qarion SET lc_messages = 'C'")
	t.Run("types", func(t *testing.T) { postgresTypes(t, b) })
	t.Run("parameters", func(t *testing.T) { postgresParameters(t, b) })
	t.Run("errors", func(t *testing.T) { postgresErrors(t, b) })
	t.Run("cut off", func(t *testing.T) { postgresCutOff(t, b) })
	t.Run("reports", func(t *testing.T) { postgresReports(t, b) })
	t.Run("once", func(t *testing.T) { runsOnce(t, b, "pg") })
	t.Run("sessions", func(t *testing.T) { postgresSessions(t, b) })
	t.Run("limits", func(t *testing.T) { limitsHold(t, b, "pg", "SELECT n FROM generate_series(1, 1000) AS n ORDER BY n") })
	t.Run("full", func(t *testing.T) { postgresFull(t, b, server) })
	t.Run("the server goes and comes", func(t *testing.T) {
		server.Stop(t)
		if err := b.fails(t, nil, "database", "pg", "sql", "CREATE TABLE late (i int)"); err.Class != "connect" || !err.Retryable || strings.Contains(err.Message, "hush") {
			t.Errorf("got %+v", err)
		}
		if err := b.fails(t, nil, "database", "pg", "sql", "SELECT 1"); err.Class != "connect" || !err.Retryable || !strings.HasPrefix(err.Message, "pg: dial tcp 127.0.0.1:") {
			t.Errorf("got %+v", err)
		}
		server.Start(t)
		if got := b.value(t, nil, "database", "pg", "sql", "SELECT 1 AS a"); got != `{"a":1}` {
			t.Errorf("got %s", got)
		}
	})
}

func postgresTypes(t *testing.T, b *bench) {
	for sql, want := range map[string]string{
		"1::smallint": `1`, "9223372036854775807": `9223372036854775807`, "true": `true`, "NULL::int": `null`,
		"1.5::float8": `1.5`, "2::float4": `2.0`, "'NaN'::float8": `"NaN"`, "'-Infinity'::float8": `"-Infinity"`,
		"19.90::numeric": `19.90`, "123456789012345678901234567890::numeric": `"123456789012345678901234567890"`, "0.1234567890123456789::numeric": `"0.1234567890123456789"`,
		"'NaN'::numeric": `"NaN"`, "'a\"b'::text": `"a\"b"`, "'ab'::char(4)": `"ab"`, "'x'::\"char\"": `"x"`, "'v'::varchar": `"v"`, "'n'::name": `"n"`,
		"'2026-01-02 03:04:05.678+02'::timestamptz": `"2026-01-02T01:04:05.678Z"`, "'2026-01-02 03:04:05'::timestamp": `"2026-01-02T03:04:05Z"`,
		"'infinity'::timestamptz": `"infinity"`, "'2026-01-02'::date": `"2026-01-02"`, "'03:04:05'::time": `"03:04:05"`, "'1 day 2 hours'::interval": `"P1DT2H"`,
		`'\x00ff'::bytea`: `"AP8="`, `'{"a": [1, 2.50]}'::json`: `{"a":[1,2.50]}`, `'{"a": 1}'::jsonb`: `{"a":1}`, "'null'::jsonb": `null`,
		"ARRAY[1,NULL,3]": `[1,null,3]`, "ARRAY[['a','b \"c\"'],['{','NULL']]": `[["a","b \"c\""],["{","NULL"]]`, "'{}'::int[]": `[]`, "ARRAY[true]": `[true]`,
		"ARRAY['2026-01-02'::date]": `["2026-01-02"]`, "ARRAY['{\"a\":1}'::jsonb]": `[{"a":1}]`, "'[0:1]={1,2}'::int[]": `"[0:1]={1,2}"`,
		"'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid": `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, "'10.0.0.1'::inet": `"10.0.0.1"`, "'[1,3)'::int4range": `"[1,3)"`,
		"'(1,2)'::point": `"(1,2)"`, "1.00::money": `"$1.00"`, "B'101'": `"101"`, "'<a/>'::xml": `"<a/>"`, "ROW(1,'a')": `"(1,a)"`, "'a'::regclass IS NULL": ``,
	} {
		if want == "" {
			continue
		}
		if got := b.value(t, nil, "database", "pg", "sql", "SELECT "+sql, "result", "value"); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
}

func postgresParameters(t *testing.T, b *bench) {
	evil := `Robert'); DROP TABLE students; -- :batch_id $1 $$`
	xcom := map[engine.TaskID]any{"fetch": value.MapOf("name", evil, "n", int64(3), "f", 1.5, "ok", true, "none", nil, "list", []any{int64(1), "x"}, "big", value.Number("123456789012345678901234567890"))}
	for sql, want := range map[string]string{
		"SELECT :xcom_fetch.name::text":                                                value.Short(evil),
		"SELECT :xcom_fetch.n + 1":                                                     "4",
		"SELECT :xcom_fetch.n::int = 3 AND :xcom_fetch.n::text = '3'":                  "true",
		"SELECT :xcom_fetch.f::float8":                                                 "1.5",
		"SELECT NOT :xcom_fetch.ok":                                                    "false",
		"SELECT :xcom_fetch.none::int IS NULL":                                         "true",
		"SELECT count(*) FROM jsonb_array_elements(:xcom_fetch.list)":                  "2",
		"SELECT :xcom_fetch::jsonb ->> 'n'":                                            `"3"`,
		"SELECT :xcom_fetch.big::numeric":                                              `"123456789012345678901234567890"`,
		"SELECT (ARRAY[1,2,3])[2:3]":                                                   "[2,3]",
		"SELECT (ARRAY[1,2,3])[:limit]":                                                "2",
		"SELECT $$ :nope $$ || $x$ $$ $x$ || E'\\':nope' || ':city'":                   `" :nope  $$ ':nope:city"`,
		"SELECT /* :nope /* nested */ ' */ :city::text -- :nope":                       `"Ulm"`,
		`SELECT "a:b" FROM (SELECT 1 AS "a:b") AS x`:                                   "1",
		"SELECT '{\"a\":1}'::jsonb ? 'a'":                                              "true",
		"WITH x AS (SELECT generate_series(1, :limit::int) AS i) SELECT sum(i) FROM x": "3",
	} {
		if got := b.value(t, xcom, "database", "pg", "sql", sql, "result", "value"); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
	b.value(t, nil, "database", "pg", "sql", "CREATE TABLE u (id int PRIMARY KEY, name text); CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN i > 0 THEN i * 2 ELSE 0 END; END")
	load := map[engine.TaskID]any{"fetch": []any{value.MapOf("id", int64(1), "name", evil), value.MapOf("id", int64(2), "name", nil)}}
	if got := b.value(t, load, "database", "pg", "sql", "INSERT INTO u SELECT * FROM jsonb_to_recordset(:xcom_fetch) AS x(id int, name text)"); got != `{"rows_affected":2}` {
		t.Errorf("got %s", got)
	}
	if got := b.value(t, nil, "database", "pg", "sql", []any{"UPDATE u SET id = twice(id) + 10", "SELECT id, name FROM u ORDER BY id"}); got != `[{"id":12,"name":`+value.Short(evil)+`},{"id":14,"name":null}]` {
		t.Errorf("got %s", got)
	}
}

func postgresErrors(t *testing.T, b *bench) {
	b.value(t, nil, "database", "pg", "sql", "CREATE TABLE e (id int PRIMARY KEY); INSERT INTO e VALUES (1)")
	for sql, want := range map[string]string{
		"SELECT :xcom_fetch.a::int,\n  'ü', nome FROM e": `sql: line 2 column 8: column "nome" does not exist`,
		"SELECT 1; SELECT * FORM e":                      `sql: statement 2 of 2, line 1 column 20: syntax error at or near "FORM"`,
		"INSERT INTO e VALUES (1)":                       `constraint: line 1: duplicate key value violates unique constraint "e_pkey"`,
		"SELECT 1/0":                                     `sql: line 1: division by zero`,
		"SELECT :xcom_fetch.a::int":                      `sql: line 1`,
		"SELECT 1 AS a, 2 AS a":                          `result: line 1: two columns are called "a": name one of them with AS`,
	} {
		a := any(int64(1))
		if sql == "SELECT :xcom_fetch.a::int" {
			a = "seven"
		}
		err := b.fails(t, map[engine.TaskID]any{"fetch": value.MapOf("a", a)}, "database", "pg", "sql", sql)
		if got := err.Class + ": " + err.Message; !strings.HasPrefix(got, want) || err.Retryable {
			t.Errorf("%s:\n got %s\nwant %s", sql, got, want)
		}
	}
	for name, want := range map[string]string{
		"wrong": "credential: credential nobody: not found; store it: qarion credentials store --credential-id nobody --type basic_auth",
		"bad":   `credential: bad: `,
		"down":  "connect: down: dial tcp 127.0.0.1:1: connect: connection refused",
	} {
		err := b.fails(t, nil, "database", name, "sql", "SELECT 1")
		if got := err.Class + ": " + err.Message; !strings.HasPrefix(got, want) || strings.Contains(got, "hush") || strings.Contains(got, "no-password") {
			t.Errorf("%s: got %s", name, got)
		}
	}
	if err := b.fails(t, nil, "database", "pg", "sql", "INSERT INTO e SELECT generate_series(10, 20) RETURNING id", "max_rows", int64(3)); err.Class != "too_large" {
		t.Errorf("got %+v", err)
	}
	if got := b.value(t, nil, "database", "pg", "sql", "SELECT count(*) FROM e", "result", "value"); got != "1" {
		t.Errorf("a result that was too large was not rolled back: %s rows", got)
	}
}

func postgresCutOff(t *testing.T, b *bench) {
	for _, sql := range []string{"SELECT pg_sleep(60)", "CREATE TABLE cut (i int); SELECT pg_sleep(60)", "SELECT i FROM generate_series(1, 1000000000) AS i WHERE i = 1 OR i < 0"} {
		err := b.fails(t, nil, "database", "pg", "sql", sql, "timeout", "100ms")
		if err.Class != "timeout" || !err.Retryable || err.Unknown {
			t.Errorf("%s: got %+v", sql, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(errors.New("over")) })
		out := b.attemptOf(t, ctx, "r", nil, "database", "pg", "sql", sql)
		if out.Err == nil || out.Err.Class != "cancelled" || out.Err.Unknown {
			t.Errorf("%s: got %+v", sql, out.Err)
		}
	}
	// The server stops them too, and soon: before the connection's own clean-up
	// would end, which takes 15 seconds.
	deadline := time.Now().Add(10 * time.Second)
	for b.value(t, nil, "database", "pg", "result", "value", "sql", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'") != "0" {
		if time.Now().After(deadline) {
			t.Fatal("a statement goes on in the server")
		}
	}
	if got := b.value(t, nil, "database", "pg", "sql", "SELECT to_regclass('cut') IS NULL", "result", "value"); got != "true" {
		t.Error("what was cut off has not been rolled back")
	}
}

// postgresSessions: what a task sets ends with it.
func postgresSessions(t *testing.T, b *bench) {
	b.value(t, nil, "database", "pg", "sql", "SET search_path = nowhere; CREATE TEMP TABLE mine (i int); SELECT pg_advisory_lock(7)", "result", "none")
	deadline := time.Now().Add(20 * time.Second)
	for b.value(t, nil, "database", "pg", "result", "value", "sql", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") != "0" { // the server takes a moment to end a session
		if time.Now().After(deadline) {
			t.Fatal("a lock outlives its task")
		}
	}
	for range 10 {
		if got := b.value(t, nil, "database", "pg", "sql", "SELECT current_schema() || (to_regclass('mine') IS NULL)::text", "result", "value"); got != `"publictrue"` {
			t.Fatalf("got %s", got)
		}
	}
}
