package node_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the program that stands in the way

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/transform"
)

// sqlNode is a node with two databases: "file", which others use too, and "pg"
// where there is a server.
type sqlNode struct {
	*node.Node
	client *bus.Client
	file   string
}

func newSQLNode(t *testing.T, server *testkit.Postgres) *sqlNode {
	t.Helper()
	n := &sqlNode{file: filepath.Join(t.TempDir(), "shop.db")}
	databases := map[string]transform.Database{"file": {URL: "sqlite:" + n.file}}
	if server != nil {
		databases["pg"] = transform.Database{URL: server.URL}
	}
	var err error
	if n.Node, err = node.Open(t.Context(), node.Config{DataDir: t.TempDir(), Databases: databases, Tables: node.TablesOff, Log: testkit.Logger(t)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	if n.client, err = n.Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.client.Close)
	return n
}

// start starts a run of one task.
func (n *sqlNode) start(t *testing.T, database, properties string) engine.RunID {
	t.Helper()
	text := fmt.Sprintf("database = %q\n[[tasks]]\nid = \"t\"\ntype = \"transformation\"\n[tasks.config]\n%s\n", database, properties)
	flow, problems, err := flowfile.Parse("f.toml", []byte(text), n.Types)
	if err != nil || flow == nil {
		t.Fatal(err, problems)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: flow.ID, AdHoc: flow})
	if err != nil {
		t.Fatal(err)
	}
	return doc.RunID
}

func (n *sqlNode) end(t *testing.T, run engine.RunID, want engine.Status) *engine.RunDoc {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := n.Engine.Wait(ctx, run); err != nil && !errors.Is(err, engine.ErrNotFound) { // it has ended already
		t.Fatal(err)
	}
	doc := new(engine.RunDoc)
	if err := n.client.Call(ctx, "run.get", bus.RunRef{Run: string(run)}, doc); err != nil {
		t.Fatal(err)
	}
	if doc.Status != want {
		t.Fatalf("the run ended as %s: %+v", doc.Status, doc.Error)
	}
	return doc
}

// attempts returns the classes of a run's attempts, of those that succeeded "",
// as soon as there are so many.
func (n *sqlNode) attempts(t *testing.T, run engine.RunID, count int) (classes []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	enough := errors.New("enough")
	err := n.client.Logs(ctx, bus.LogFilter{Run: run, Follow: true}, func(_ []byte, op *engine.Operation) error {
		var d engine.Details
		if err := json.Unmarshal(op.Details, &d); err != nil {
			return err
		}
		if classes = append(classes, d.ErrorClass); len(classes) == count {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%d attempts: %v", len(classes), err)
	}
	return classes
}

func (n *sqlNode) value(t *testing.T, database, query string) string {
	t.Helper()
	run := n.start(t, database, fmt.Sprintf("sql = %q\nresult = \"value\"", query))
	n.end(t, run, engine.Success)
	return n.xcom(t, run, "t")
}

// xcom is what a task has left; of a text without its quotes.
func (n *sqlNode) xcom(t *testing.T, run engine.RunID, task string) string {
	t.Helper()
	content, err := n.client.XCom(t.Context(), bus.XComRef{Run: string(run), Task: task})
	if err != nil {
		t.Fatal(err)
	}
	r, err := content.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

const often = "retry_count = 500\nretry_delay = 0.02\n"

// TestSQL_ALockOfOthersIsRetried: another program holds a lock of the file. The
// task is tried again until it is gone, and executed once.
func TestSQL_ALockOfOthersIsRetried(t *testing.T) {
	n := newSQLNode(t, nil)
	other, err := sql.Open("sqlite", n.file)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("CREATE TABLE t (n); BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	run := n.start(t, "file", often+"timeout = 0.1\nsql = \"INSERT INTO t VALUES (1)\"")
	for _, class := range n.attempts(t, run, 3) {
		if class != "timeout" && class != "locked" {
			t.Errorf("class %q", class)
		}
	}
	if _, err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if doc := n.end(t, run, engine.Success); doc.Tasks[0].Attempts < 4 {
		t.Errorf("%d attempts", doc.Tasks[0].Attempts)
	}
	if got := n.value(t, "file", "SELECT count(*) FROM t"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

// TestSQL_PostgresIsRetried: a lock of others, a server that is not there, and
// one that goes in the middle of a statement.
func TestSQL_PostgresIsRetried(t *testing.T) {
	server := testkit.StartPostgres(t)
	n := newSQLNode(t, server)
	n.value(t, "pg", "CREATE TABLE t (n int); CREATE TABLE u (n int); SELECT 1")

	other, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE t"); err != nil {
		t.Fatal(err)
	}
	run := n.start(t, "pg", often+`sql = ["SET LOCAL lock_timeout = '30ms'", "INSERT INTO t VALUES (1)"]`)
	if got := n.attempts(t, run, 3); !slices.Equal(got, []string{"locked", "locked", "locked"}) {
		t.Errorf("got %q", got)
	}
	if _, err := other.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	n.end(t, run, engine.Success)
	_ = other.Close(t.Context())

	// The server goes while a statement runs, and is away for a while.
	run = n.start(t, "pg", often+`sql = ["INSERT INTO t VALUES (2)", "SELECT CASE WHEN count(*) = 0 THEN pg_sleep(60) END FROM u"]`)
	n.active(t, "pg_sleep", true)
	server.Stop(t)
	if got := n.attempts(t, run, 3); !slices.Equal(got, []string{"closed", "connect", "connect"}) {
		t.Errorf("got %q", got)
	}
	server.Start(t)
	n.value(t, "pg", "INSERT INTO u VALUES (1); SELECT 1")
	server.Stop(t) // the attempt that sleeps has not seen that row
	server.Start(t)
	n.end(t, run, engine.Success)
	if got := n.value(t, "pg", "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"); got != "1 2" {
		t.Errorf("got %s", got)
	}
}

// TestSQL_ACancelledRunStopsItsStatement in both databases, also one that
// writes: nothing of it is left, and the next task finds the database free.
func TestSQL_ACancelledRunStopsItsStatement(t *testing.T) {
	server := testkit.StartPostgres(t)
	n := newSQLNode(t, server)
	for database, endless := range map[string]string{
		"file": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT i FROM n WHERE i < 0",
		"pg":   "INSERT INTO t SELECT i FROM generate_series(1, 1000000000000) AS i WHERE i < 0",
	} {
		t.Run(database, func(t *testing.T) {
			n.value(t, database, "CREATE TABLE t (n int); SELECT 1")
			run := n.start(t, database, fmt.Sprintf("sql = [\"INSERT INTO t VALUES (7)\", %q]", endless))
			n.running(t, run)
			if err := n.Engine.Cancel(t.Context(), run, "enough"); err != nil {
				t.Fatal(err)
			}
			n.end(t, run, engine.Cancelled)
			after := n.start(t, database, "timeout = 20\nsql = [\"INSERT INTO t VALUES (8)\", \"SELECT group_concat FROM (SELECT max(n) AS group_concat, count(*) AS c FROM t) AS x WHERE c = 1\"]\nresult = \"value\"")
			n.end(t, after, engine.Success)
			if database == "pg" {
				n.active(t, "generate_series", false)
			}
		})
	}
}

// running returns when the run's task has begun.
func (n *sqlNode) running(t *testing.T, run engine.RunID) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		doc := new(engine.RunDoc)
		if err := n.client.Call(t.Context(), "run.get", bus.RunRef{Run: string(run)}, doc); err != nil {
			t.Fatal(err)
		}
		if len(doc.Tasks) == 1 && doc.Tasks[0].Status == engine.Running {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the task did not begin: %+v", doc)
		}
	}
}

// active returns when the server works on a statement that has this in it, or
// does not any more.
func (n *sqlNode) active(t *testing.T, part string, want bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	query := "SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%" + part + "%' AND pid <> pg_backend_pid()"
	for n.value(t, "pg", query) != fmt.Sprint(want) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is active: %v, and should not", part, !want)
		}
	}
}

// TestSQL_WhatATaskLeavesIsRead by the key that xcom_pull_key names, in the
// database of the flow.
func TestSQL_WhatATaskLeavesIsRead(t *testing.T) {
	n := newSQLNode(t, nil)
	text := strings.Join([]string{
		"database = \"file\"",
		"[[tasks]]\nid = \"one\"\ntype = \"transformation\"\nconfig = { sql = \"SELECT 7 AS user_id, 'x' AS name\" }",
		"[[tasks]]\nid = \"two\"\ntype = \"transformation\"\ndependencies = [\"one\"]\n[tasks.properties]\nxcom_pull = [\"one\"]\nxcom_pull_key = \"user_id\"\nsql = \"SELECT :xcom_one + 1 AS next, {{ xcom_one }} AS this\"",
	}, "\n")
	flow, _, err := flowfile.Parse("f.toml", []byte(text), n.Types)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: flow.ID, AdHoc: flow})
	if err != nil {
		t.Fatal(err)
	}
	n.end(t, doc.RunID, engine.Success)
	if got := n.xcom(t, doc.RunID, "two"); got != `{"next":8,"this":7}` {
		t.Errorf("got %s", got)
	}
}

// TestSQL_TheManualsFirstFlowRuns, and leaves what the manual says.
func TestSQL_TheManualsFirstFlowRuns(t *testing.T) {
	page, err := os.ReadFile("../docs/transformation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```toml\n")
	text, rest, _ := strings.Cut(text, "```\n")
	n := newSQLNode(t, nil)
	flow, problems, err := flowfile.Parse("large.toml", []byte(text), n.Types)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	for range 2 { // a second time too
		doc, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: flow.ID, AdHoc: flow})
		if err != nil {
			t.Fatal(err)
		}
		n.end(t, doc.RunID, engine.Success)
		said := regexp.MustCompile(`(?m)^qarion xcom get last (\w+) +# (.*)$`).FindAllStringSubmatch(rest, -1)
		if len(said) != 2 {
			t.Fatalf("the manual says %q", said)
		}
		for _, m := range said {
			if got := n.xcom(t, doc.RunID, m[1]); got != m[2] {
				t.Errorf("%s has left %s, the manual says %s", m[1], got, m[2])
			}
		}
	}
}
