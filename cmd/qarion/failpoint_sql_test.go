//go:build failpoints

package main_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// sqlPoint is a place at which a node dies while a task writes a row.
type sqlPoint struct {
	name, points, more, sql string
	status                  engine.Status
	repeated                bool // the second attempt finds the mark
}

// largeRow is a statement whose value does not fit into a record.
var largeRow = fmt.Sprintf("INSERT INTO t VALUES (1) RETURNING n, replace('%0200d', '0', '%0500d') AS x", 0, 0)

var sqlPoints = []sqlPoint{
	{name: "before the transaction", points: "attempt.begin=kill", status: engine.Success},
	{name: "in the transaction", points: "sql.begun=kill", status: engine.Success},
	{name: "before the commit", points: "sql.executed=kill", status: engine.Success},
	{name: "committed, and nobody knows", points: "sql.committed=kill", status: engine.Success, repeated: true},
	{name: "committed, and not recorded", points: "attempt.made=kill", status: engine.Success, repeated: true},
	{name: "committed, its value stored, and not recorded", points: "value.stored=kill", sql: largeRow, status: engine.Success, repeated: true},
	{name: "recorded, and the acknowledgement is lost", points: "attempt.unacknowledged=fail", status: engine.Success},
	{name: "committed without a mark", points: "sql.committed=kill", more: "exactly_once = false", status: engine.Interrupted},
	{name: "committed without a mark, and to be repeated", points: "attempt.begin=kill", more: "exactly_once = false\non_interrupted = \"retry\"", status: engine.Success},
}

// TestFailpoints_SQL stops the node at each point of a task that writes, starts
// it again, and counts the rows: one, whatever happens.
func TestFailpoints_SQL(t *testing.T) {
	server := testkit.StartPostgres(t)
	for _, database := range []string{"sqlite", "postgres"} {
		for _, p := range sqlPoints {
			t.Run(database+"/"+p.name, func(t *testing.T) { // one after the other: they share a server
				config := "[databases.shop]\nurl = \"sqlite:shop.db\"\n"
				if database == "postgres" {
					config = fmt.Sprintf("[databases.shop]\nurl = %q\n", server.URL)
					server.SQL(t, "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION qarion")
				}
				sql := p.sql
				if sql == "" {
					sql = "INSERT INTO t VALUES (1) RETURNING n"
				}
				point := crashPoint{
					name: p.name, config: config, points: p.points, dies: p.points != "attempt.unacknowledged=fail", status: p.status,
					tasks: func(*testkit.Upstream) string {
						return fmt.Sprintf("database = \"shop\"\n[[tasks]]\nid = \"a\"\ntype = \"transformation\"\n[tasks.config]\n%s\nsql = [\"CREATE TABLE IF NOT EXISTS t (n INTEGER)\", \"%s\"]\n"+
							"[[tasks]]\nid = \"b\"\ntype = \"transformation\"\ndependencies = [\"a\"]\nconfig = { sql = \"SELECT count(*) FROM t\", result = \"value\" }\n", p.more, sql)
					},
					after: func(t *testing.T, n *atPoint) { wantOneRow(t, n, &p) },
				}
				playPoint(t, &point)
			})
		}
	}
}

func wantOneRow(t *testing.T, n *atPoint, p *sqlPoint) {
	if p.status != engine.Success {
		return
	}
	if got := string(n.value(t, "b")); got != "1" {
		t.Errorf("there are %s rows", got)
	}
	var a struct {
		N int    `json:"n"`
		X string `json:"x"`
	}
	if err := json.Unmarshal(n.value(t, "a"), &a); err != nil || a.N != 1 || p.sql != "" && len(a.X) != 100_000 {
		t.Errorf("the task has left n = %d and %d characters: %v", a.N, len(a.X), err)
	}
	if got := n.repeated(t); got != p.repeated {
		t.Errorf("the operation log says repeated: %v", got)
	}
}

// repeated reports whether an operation says that it found its mark.
func (n *atPoint) repeated(t *testing.T) (found bool) {
	t.Helper()
	wantOperations(t, n, "success", "success")
	err := n.client(t).Logs(t.Context(), bus.LogFilter{}, func(_ []byte, op *engine.Operation) error {
		var d engine.Details
		found = json.Unmarshal(op.Details, &d) == nil && d.Repeated || found
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
