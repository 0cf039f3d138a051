package sqltext

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit_StatementsAndParameters(t *testing.T) {
	for _, c := range []struct {
		sql     string
		dialect Dialect
		queries []string
		params  string
	}{
		{"SELECT :a, :a, :b.c.0", SQLite, []string{"SELECT ?1, ?1, ?2"}, "a b.c.0"},
		{"SELECT :a, :a, :b.c.0", PostgreSQL, []string{"SELECT $1, $2, $3"}, "a a b.c.0"},
		{"SELECT ':a;', \":b\", `:c`, [:d;], :e -- :f;\n/* :g; */", SQLite, []string{"SELECT ':a;', \":b\", `:c`, [:d;], ?1"}, "e"},
		{"SELECT 'it''s :a', :b", SQLite, []string{"SELECT 'it''s :a', ?1"}, "b"},
		{"SELECT 'a\\', :b, 'c'", PostgreSQL, []string{"SELECT 'a\\', $1, 'c'"}, "b"},
		{"SELECT E'a\\':x', :b::int, x::text, $$ ; :c $$, $t$ $$ ; $t$", PostgreSQL, []string{"SELECT E'a\\':x', $1::int, x::text, $$ ; :c $$, $t$ $$ ; $t$"}, "b"},
		{"SELECT a[1:n], a[:m], a[1: :n], f(x:=:y)", PostgreSQL, []string{"SELECT a[1:n], a[$1], a[1: $2], f(x:=$3)"}, "m n y"},
		{"/* a /* ; */ ; */ SELECT :a;;; SELECT 2;", PostgreSQL, []string{"SELECT $1", "SELECT 2"}, "a"},
		{"CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = CASE WHEN 1 THEN 2 END; DELETE FROM u; END; SELECT :z", SQLite,
			[]string{"CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = CASE WHEN 1 THEN 2 END; DELETE FROM u; END", "SELECT ?1"}, "z"},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3", PostgreSQL,
			[]string{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END", "SELECT 3"}, ""},
		{"SELECT 1 ? 2, a ?| b, @x", PostgreSQL, []string{"SELECT 1 ? 2, a ?| b, @x"}, ""},
		{"SELECT :a.", SQLite, []string{"SELECT ?1."}, "a"},
		{"SELECT :ä", SQLite, []string{"SELECT ?1"}, "ä"},
		{"  ", SQLite, nil, ""},
	} {
		list, err := Split(c.sql, c.dialect)
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		var queries, params []string
		for i := range list {
			queries, params = append(queries, list[i].Query), append(params, list[i].Params...)
		}
		if !slices.Equal(queries, c.queries) || strings.Join(params, " ") != c.params {
			t.Errorf("%s:\n got %q with %q\nwant %q with %q", c.sql, queries, params, c.queries, c.params)
		}
	}
	for sql, want := range map[string]string{
		"SELECT 'a": "' has no end", "SELECT \"a": "\" has no end", "SELECT [a": "[ has no end", "SELECT /* a": "/* has no end", "SELECT ?": "a parameter is written :name, not ?",
		"SELECT ?12": "a parameter is written :name, not ?12", "SELECT $x": "a parameter is written :name, not $x", "SELECT @x": "a parameter is written :name, not @x",
		"commit": "COMMIT: a task is one transaction: leave it out", "SELECT 1; ROLLBACK": "ROLLBACK: a task is one transaction, and an error rolls it back: leave it out",
		"ATTACH 'x' AS y": "ATTACH: a task works on one database", "PRAGMA main.journal_mode = off": "PRAGMA journal_mode: it would stay set for other tasks",
		"pragma writable_schema(1)": "PRAGMA writable_schema: it would stay set for other tasks", "PRAGMA schema_version = 1": "PRAGMA schema_version: it can only be read",
	} {
		if _, err := Split(sql, SQLite); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", sql, err, want)
		}
	}
	for sql, want := range map[string]string{"SELECT $1": "a parameter is written :name, not $1", "SELECT $a$ x": "$a$ has no end", "COPY t FROM '/etc/passwd'": "COPY: it moves files or a stream: write INSERT ... SELECT"} {
		if _, err := Split(sql, PostgreSQL); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", sql, err, want)
		}
	}
	if _, err := Split("SAVEPOINT a; ROLLBACK TO a; RELEASE a", SQLite); err != nil {
		t.Error(err)
	}
}

func TestStatement_WhatItDoes(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1": "select rows", "WITH a AS (SELECT 1) SELECT * FROM a": "select rows", "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a": "insert writes",
		"INSERT INTO t VALUES (1) RETURNING id": "insert rows writes", "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a": "select rows writes",
		"UPDATE t SET a = 1": "update writes", "CREATE TEMP TABLE t (a)": "create writes session", "SET search_path = x": "set writes session", "VALUES (1)": "values rows",
		"EXPLAIN DELETE FROM t": "explain rows", "EXPLAIN ANALYZE DELETE FROM t": "explain rows writes", "EXPLAIN (ANALYZE, BUFFERS) SELECT 1": "explain rows", "SELECT a INTO t FROM u": "select rows writes", "SELECT pg_advisory_lock(1)": "select rows session", "PRAGMA table_info(t)": "pragma rows",
		"PRAGMA user_version": "pragma rows", "PRAGMA user_version = 3": "pragma rows writes", "PRAGMA main.application_id(7)": "pragma rows writes",
		"(SELECT 1)": "select rows",
	} {
		list, err := Split(sql, SQLite)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v", sql, err)
		}
		st, got := &list[0], list[0].Verb
		for _, f := range []struct {
			is   bool
			word string
		}{{st.Rows, " rows"}, {st.Writes, " writes"}, {st.Session, " session"}} {
			if f.is {
				got += f.word
			}
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
}

func TestWithoutTexts(t *testing.T) {
	for sql, want := range map[string]string{
		`CREATE USER a PASSWORD 'it''s'`:                    `CREATE USER a PASSWORD 'X'`,
		`ALTER ROLE "a b" PASSWORD $$se'cret$$ VALID`:       `ALTER ROLE "a b" PASSWORD 'X' VALID`,
		`SELECT E'a\'secret', $t$ $$ secret $t$, :password`: `SELECT 'X', 'X', :password`,
		`SET password = '{{ a }}' -- why`:                   `SET password = 'X' -- why`,
		`SET password = 'secret`:                            `SET password = 'X'`,
		`SET password = $t$secret`:                          `SET password = 'X'`,
	} {
		if got := WithoutTexts(sql, "X"); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
}

func TestSplit_RefusesPragmasThatAreSet(t *testing.T) {
	for _, sql := range []string{"PRAGMA schema_version = 5", "PRAGMA schema_version(5)", "PRAGMA main.encoding('UTF-16')"} {
		if _, err := Split(sql, SQLite); err == nil || !strings.Contains(err.Error(), "it can only be read") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestSplit_ParametersInQuotes(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT ':city', ':a.b', :c": "city a.b", "SELECT ':', '12:30:00', ' :city', ':What you', ':it''s', \":d\"": "", "SELECT ':ä'": "ä",
	} {
		list, err := Split(sql, SQLite)
		if err != nil || len(list) != 1 || strings.Join(list[0].Quoted, " ") != want {
			t.Errorf("%s: got %+v, %v", sql, list, err)
		}
	}
}

// FuzzScan: whatever is read, the statements and their parameters stand in the
// text, and places in a query lead back into the statement.
func FuzzScan(f *testing.F) {
	for _, s := range []string{"SELECT :a.b, 'x;'; -- c", "/* /* */ */ $a$ ; $a$ :b", "CREATE TRIGGER a BEGIN ; END; x", "[:a] :: :b:=c ?", "E'\\'' \"\"\"", "a[1:n] {{ x }}", "\x00\xff:é.1.x"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, sql string, pg bool) {
		d := SQLite
		if pg {
			d = PostgreSQL
		}
		end := 0
		list, err := Split(sql, d)
		if wrong, ok := err.(*Error); err != nil && (!ok || wrong.At < 0 || wrong.At > len(sql)) {
			t.Fatalf("%q: %v", sql, err)
		}
		for i := range list {
			st := &list[i]
			if st.Start < end || st.Text == "" || sql[st.Start:st.Start+len(st.Text)] != st.Text {
				t.Fatalf("%q: statement %d is %q at %d", sql, i, st.Text, st.Start)
			}
			end = st.Start + len(st.Text)
			last := -1
			for _, s := range st.spots {
				if s.text <= last || st.Text[s.text] != ':' || !strings.ContainsAny(st.Query[s.query:s.query+1], "?$") || st.Offset(s.query) != s.text {
					t.Fatalf("%q: a parameter at %+v of %q", sql, s, st.Query)
				}
				last = s.text
			}
			for n := range len(st.Query) + 2 {
				if at := st.Offset(n); at < 0 || at > len(st.Text) {
					t.Fatalf("%q: place %d leads to %d", sql, n, at)
				}
			}
			again, err := Split(st.Text, d)
			if err != nil || len(again) != 1 || again[0].Query != st.Query {
				t.Fatalf("%q: the statement %q alone is %+v: %v", sql, st.Text, again, err)
			}
		}
		if m := Masked(sql); len(m) != len(sql) || strings.Count(m, "\n") != strings.Count(sql, "\n") {
			t.Fatalf("%q is masked as %q", sql, m)
		}
	})
}
