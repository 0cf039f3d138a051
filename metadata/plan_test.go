//go:build unix

package metadata

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// No list reads a table from one end to the other, or sorts what it does not
// show: in a long history that takes seconds.
func TestLists_AreReadByIndex(t *testing.T) {
	tables, err := Open(Config{Database: filepath.Join(t.TempDir(), DefaultFile), Installation: installed})
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	if err := tables.Project(t.Context(), made(0, 3)); err != nil {
		t.Fatal(err)
	}
	at := Place{time.Now(), 7}
	type list struct {
		name, index string
		sql         string
		args        []any
	}
	var lists []list
	operations := func(name, index string, f OperationFilter) {
		sql, args, _ := f.query(tables.db.moment)
		lists = append(lists, list{name, index, sql, args})
	}
	operations("all", "xt_operation_logs_start", OperationFilter{})
	operations("since", "xt_operation_logs_start (start_time>?)", OperationFilter{Since: time.Now(), Oldest: true})
	operations("page", "xt_operation_logs_start (start_time<?", OperationFilter{Before: at})
	operations("flow", "xt_operation_logs_flow (flow_id=?)", OperationFilter{Flow: "f"})
	operations("flow, next page", "xt_operation_logs_flow (flow_id=? AND start_time>?", OperationFilter{Flow: "f", After: at})
	operations("flow and task", "xt_operation_logs_flow (flow_id=?)", OperationFilter{Flow: "f", Task: "t"})
	operations("failed", "xt_operation_logs_any_failed", OperationFilter{Status: "failed"})
	operations("failed of a flow", "xt_operation_logs_failed (flow_id=?)", OperationFilter{Flow: "f", Status: "failed"})
	operations("run", "xt_operation_logs_run (execution_id=?)", OperationFilter{Run: "r"})
	operations("task of a run of a flow", "xt_operation_logs_run (execution_id=?)", OperationFilter{Run: "r", Flow: "f", Task: "t"})
	runs := func(name, index string, f engine.RunFilter) {
		sql, args := runsQuery(f)
		lists = append(lists, list{name, index, sql, args})
	}
	runs("runs", "SCAN xt_flow_executions", // by its key, up to the limit
		engine.RunFilter{})
	runs("runs before", "PRIMARY KEY (execution_id<?)", engine.RunFilter{Before: "r"})
	runs("runs of a flow", "xt_flow_executions_flow (flow_id=?)", engine.RunFilter{Flow: "f"})
	runs("failed runs", "xt_flow_executions_status (status=?)", engine.RunFilter{Status: engine.Failed})
	sql, args := endingQuery("7C5E")
	lists = append(lists, list{"ending", "xt_flow_executions_ending (<expr>=?)", sql, args})
	for _, l := range lists {
		plan := planOf(t, tables, l.sql, l.args)
		if !strings.Contains(plan, l.index) {
			t.Errorf("%s: %s, want %s", l.name, plan, l.index)
		}
		ofRun := strings.Contains(l.index, "execution_id=?") // which has few
		if strings.Contains(plan, "TEMP B-TREE") && !ofRun {
			t.Errorf("%s: %s", l.name, plan)
		}
	}
}

func planOf(t *testing.T, tables *Tables, sql string, args []any) string {
	t.Helper()
	var lines []string
	err := tables.db.list(t.Context(), "EXPLAIN QUERY PLAN "+sql, args, func(scan func(...any) error) error {
		var id, parent, unused int
		var line string
		err := scan(&id, &parent, &unused, &line)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

// A database of the first schema is brought up to date, with its rows.
func TestTables_OfTheFirstSchemaAreBroughtUpToDate(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		upgrade(t, filepath.Join(dir, "old.db"), filepath.Join(dir, "new.db"), "SELECT name || COALESCE(sql, '') FROM sqlite_schema ORDER BY name")
	})
	t.Run("postgres", func(t *testing.T) {
		server := testkit.StartPostgres(t)
		server.SQL(t, "CREATE SCHEMA older AUTHORIZATION qarion")
		server.SQL(t, "CREATE SCHEMA newer AUTHORIZATION qarion")
		upgrade(t, server.URL+"?search_path=older", server.URL+"?search_path=newer",
			"SELECT indexname || replace(indexdef, current_schema(), '') FROM pg_indexes WHERE schemaname = current_schema() ORDER BY indexname")
	})
}

func upgrade(t *testing.T, older, newer, schema string) {
	changes := made(0, 20)
	known := migrations
	defer func() { migrations = known }()
	migrations = known[:1]
	projected(t, older, changes[:40])
	migrations = known
	starting, err := Open(Config{Database: older, Installation: installed})
	if err != nil {
		t.Fatal(err)
	}
	defer starting.Close()
	if at, err := starting.Position(t.Context()); err != nil || at != changes[39].Pos { // a start does not wait for the upgrade
		t.Errorf("older tables are at %v, %v, want %v", at, err, changes[39].Pos)
	}
	if got := answered(t, starting, "SELECT CAST(schema AS text) FROM qarion_metadata"); got != "1" {
		t.Errorf("the start made schema %s", got)
	}
	got, want := projected(t, older, changes), projected(t, newer, changes)
	for _, sql := range []string{schema, "SELECT CAST(count(*) AS text) FROM xt_flow_executions", "SELECT CAST(count(*) AS text) FROM xt_task_executions", "SELECT CAST(count(*) AS text) FROM xt_operation_logs"} {
		if g, w := answered(t, got, sql), answered(t, want, sql); g != w || w == "" {
			t.Errorf("%s\n%s\nwant\n%s", sql, g, w)
		}
	}
}

// projected are tables that have taken changes. Those that were open on the same
// database are closed.
func projected(t *testing.T, database string, changes []engine.Change) *Tables {
	t.Helper()
	tables, err := Open(Config{Database: database, Installation: installed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	if err := tables.Project(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	return tables
}

func answered(t *testing.T, tables *Tables, sql string) string {
	t.Helper()
	var lines []string
	err := tables.db.list(t.Context(), sql, nil, func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
