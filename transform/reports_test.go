package transform_test

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// report is what users of other tools have reported: their statement, and what
// it gives here.
type report struct {
	from  string
	xcom  any // what a task "a" has left
	sql   string
	want  string // the value; with fails, the beginning of the message
	fails bool
}

// reports are played on both databases.
var reports = []report{
	{from: "dbt-labs/dbt-core#711: a semicolon in a comment", sql: "SELECT -- this is; only a test\n    1 as qux", want: `{"qux":1}`},
	{from: "Teradata/PyTd#59: the same, of other shapes", sql: "SELECT n FROM (SELECT 1 AS n) AS t\n--;\nGROUP BY /* present;\n;\n*/ n --;", want: `{"n":1}`},
	{from: "dbt-labs/dbt-core#2625: two columns of one name", sql: "SELECT 'one' AS column_a, 'two' AS column_a", want: `line 1: two columns are called "column_a": name one of them with AS`, fails: true},
	{from: "databricks/dbt-databricks#989, apache/airflow#34828: a semicolon at the end", sql: "SELECT 1 AS a; ;\n-- end", want: `{"a":1}`},
	{from: "n8n-io/n8n#14955: a comma in a text parameter", xcom: value.MapOf("t", "Text data, with a comma", "u", "2025-01-01"), sql: "SELECT CAST(:xcom_a.t AS text) AS t, CAST(:xcom_a.u AS text) AS u",
		want: `{"t":"Text data, with a comma","u":"2025-01-01"}`},
	{from: "n8n-io/n8n#10214: a placeholder in quotes is text", sql: "SELECT '$1 :a' AS a, 'per $2 days' AS b", want: `{"a":"$1 :a","b":"per $2 days"}`},
	{from: "kennethreitz/records#125: a colon in a text", sql: "SELECT 'severe: :What you need, 12:30:00' AS a", want: `{"a":"severe: :What you need, 12:30:00"}`},
	{from: "atlanhq/application-sdk#2722: a group of a pattern", sql: "SELECT '^(?:cdl|das).*$' AS a", want: `{"a":"^(?:cdl|das).*$"}`},
	{from: "windmill-labs/windmill#2611: null as a parameter, and false", xcom: value.MapOf("n", nil, "no", false), sql: "SELECT COALESCE(CAST(:xcom_a.n AS integer), 7) AS a, CASE WHEN :xcom_a.no THEN 1 ELSE 2 END AS b", want: `{"a":7,"b":2}`},
	{from: "n24q02m/crg#310, openclaw/discrawl#238: more values than a statement has parameters", xcom: numbers(40_000), sql: "SELECT count(*) AS n FROM LIST WHERE CAST(value AS integer) >= 10", want: `{"n":39990}`},
	{from: "vshulcz/deja-vu#3553: a text with much to escape", xcom: strings.Repeat("\"\\\n\x01", 250_000), sql: "SELECT length(CAST(:xcom_a AS text)) AS n, 1 AS one", want: `{"n":1000000,`},
}

func numbers(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = int64(i)
	}
	return out
}

func playReports(t *testing.T, b *bench, database, list string, more []report) {
	t.Helper()
	for _, r := range append(reports[:len(reports):len(reports)], more...) {
		t.Run(strings.ReplaceAll(r.from, "/", "|"), func(t *testing.T) {
			xcom := map[engine.TaskID]any{}
			if r.xcom != nil {
				xcom["a"] = r.xcom
			}
			sql := strings.Replace(r.sql, "LIST", list, 1)
			if r.fails {
				if err := b.fails(t, xcom, "database", database, "sql", sql); !strings.HasPrefix(err.Message, r.want) {
					t.Errorf("got %s", err.Message)
				}
			} else if got := b.value(t, xcom, "database", database, "sql", sql); !strings.HasPrefix(got, r.want) {
				t.Errorf("got %.200s, want %s", got, r.want)
			}
		})
	}
}

func TestSQLite_WhatOthersReported(t *testing.T) {
	b := newBench(t, nil)
	b.value(t, nil, "sql", "CREATE TABLE times (at TIMESTAMP, day DATE, paid NUMERIC, big INTEGER, b BLOB)")
	playReports(t, b, "warehouse", "json_each(:xcom_a)", []report{
		{from: "cap-js/cds-dbs#422: JSON that is bound as bytes", xcom: []any{int64(1)}, sql: "SELECT typeof(:xcom_a) AS t, json_type(:xcom_a) AS j", want: `{"t":"text","j":"array"}`},
		{from: "apache/airflow#30087: times and decimals as a value", xcom: value.MapOf("at", "2026-01-02T03:04:05.25+02:00", "big", int64(9223372036854775807)),
			sql:  "INSERT INTO times VALUES (:xcom_a.at, '2026-01-02', 3.14, :xcom_a.big, x'00ff') RETURNING *",
			want: `{"at":"2026-01-02T01:04:05.25Z","day":"2026-01-02","paid":3.14,"big":9223372036854775807,"b":"AP8="}`},
		{from: "a time with a zone, as SQLite's own functions write it", sql: "DELETE FROM times; INSERT INTO times (at) VALUES ('2026-01-02 03:04:05-05:30') RETURNING at", want: `{"at":"2026-01-02T08:34:05Z"}`},
		{from: "a time that is none", sql: "DELETE FROM times; INSERT INTO times (at) VALUES ('soon') RETURNING at", want: `{"at":"soon"}`},
		{from: "seconds in a column of times", sql: "DELETE FROM times; INSERT INTO times (at) VALUES (1767323045) RETURNING at", want: `{"at":1767323045}`},
		{from: "past the largest integer", sql: "SELECT 9223372036854775807 + 1 AS a, -9223372036854775808 AS b, 0.0 / 0.0 AS c, -9e999 AS d", want: `{"a":9223372036854776000.0,"b":-9223372036854775808,"c":null,"d":"-Infinity"}`},
	})
}

func postgresReports(t *testing.T, b *bench) {
	b.value(t, nil, "database", "pg", "sql", "CREATE TABLE times (at timestamp, zoned timestamptz, day date, paid numeric, big bigint, b bytea, j jsonb)")
	playReports(t, b, "pg", "jsonb_array_elements_text(:xcom_a)", []report{
		{from: "sqlalchemy/sqlalchemy#11309: a cast after a parameter", xcom: `{"A","B c"}`, sql: "SELECT :xcom_a::VARCHAR[] AS a, (:xcom_a::text[])[2] AS b", want: `{"a":["A","B c"],"b":"B c"}`},
		{from: "windmill-labs/windmill#4605: a list for an array", xcom: numbers(3), sql: "SELECT i FROM generate_series(2, 9) AS i WHERE i = ANY (ARRAY(SELECT jsonb_array_elements_text(:xcom_a)::int))", want: `{"i":2}`},
		{from: "n8n-io/n8n#16503: a parameter in an interval", xcom: value.MapOf("days", int64(2)), sql: "SELECT ('2026-01-05'::date - make_interval(days => :xcom_a.days))::date AS d, :xcom_a.days * INTERVAL '1 day' AS i", want: `{"d":"2026-01-03","i":"P2D"}`},
		{from: "apache/airflow#30087, kestra-io/kestra#10926: times as text go in, and come out", xcom: value.MapOf("at", "2019-10-30T00:00:00", "zoned", "2026-01-02T03:04:05.25+02:00", "big", int64(9223372036854775807), "j", value.MapOf("k", "v")),
			sql:  `INSERT INTO times VALUES (:xcom_a.at, :xcom_a.zoned, :xcom_a.zoned, 3.140, :xcom_a.big, '\x00ff', :xcom_a.j) RETURNING *`,
			want: `{"at":"2019-10-30T00:00:00Z","zoned":"2026-01-02T01:04:05.25Z","day":"2026-01-02","paid":3.140,"big":9223372036854775807,"b":"AP8=","j":{"k":"v"}}`},
		{from: "past the largest integer", sql: "SELECT 9223372036854775807 + 1::numeric AS a, 'Infinity'::numeric AS b, '-Infinity'::timestamp AS c", want: `{"a":"9223372036854775808","b":"Infinity","c":"-infinity"}`},
		{from: "years before Christ, and far away", sql: "SELECT '0044-03-15 BC'::date AS a, '12026-01-02 03:04:05+00'::timestamptz AS b", want: `{"a":"0044-03-15 BC","b":"12026-01-02 03:04:05+00"}`},
	})
}
