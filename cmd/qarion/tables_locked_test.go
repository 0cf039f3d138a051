package main_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/qarion/qarion/internal/testkit"
)

// TestTables_ADatabaseThatOthersLockStopsNothing: another program holds the
// SQLite file, as a person's shell or a copying tool may. Runs end all the same,
// nobody sees "database is locked" in place of an answer, and nothing is lost.
func TestTables_ADatabaseThatOthersLockStopsNothing(t *testing.T) {
	dir := tablesFlows(t)
	testkit.Serve(t, dir)
	tablesRuns(t, dir, 3)
	db, err := sql.Open("sqlite", filepath.Join(dir, "data", "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	tablesLag(t, dir, 3, "")
	out, errs, code := qarion(t, dir, "query", "SELECT count(*) FROM xt_flow_executions", "-o", "csv")
	if code != 0 || !strings.Contains(out, "6") || !strings.Contains(errs, "behind") {
		t.Errorf("a query meanwhile: %d %s%s", code, out, errs)
	}
	if _, err := db.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	tablesCaughtUp(t, dir)
}

// TestLogs_OfAnAttemptWhoseRetryIsStillToCome: the log of a call that failed is
// there while its task waits for the next one, also after a crash, and without a
// node.
func TestLogs_OfAnAttemptWhoseRetryIsStillToCome(t *testing.T) {
	u := testkit.NewUpstream(t)
	dir := t.TempDir()
	write(t, dir+"/flows/waits.toml", upstreamTask(u, "later", "status/503", "", "retry_count = 3\nretry_delay = 3600"))
	p := testkit.Serve(t, dir)
	out, errs, code := qarion(t, dir, "trigger", "waits", "-q")
	if code != 0 {
		t.Fatal(out, errs)
	}
	run := strings.TrimSpace(out)
	for until := time.Now().Add(time.Minute); ; {
		if out, _, _ = qarion(t, dir, "logs", "--run", run); out != "" {
			break
		}
		if time.Now().After(until) {
			t.Fatal("the log stays empty")
		}
	}
	look := func(when string) {
		t.Helper()
		for _, c := range []struct {
			want []string
			args []string
		}{
			{[]string{"waits.later", "503", "retry at"}, []string{"logs", "--run", run}},
			{[]string{"503", "later"}, []string{"runs", "show", run}},
			{[]string{"503 Service Unavailable", "GET " + u.URL}, []string{"runs", "show", run, "--task", "later"}},
			{[]string{"retry"}, []string{"query", "SELECT status FROM xt_operation_logs WHERE attempt = 1", "-o", "csv"}},
		} {
			out, errs, code := qarion(t, dir, c.args...)
			for _, want := range c.want {
				if code != 0 || !strings.Contains(out, want) {
					t.Errorf("%s, %v: %d, want %q in\n%s%s", when, c.args, code, want, out, errs)
				}
			}
		}
	}
	look("while it waits")
	p.Kill()
	look("without a node")
	testkit.Serve(t, dir)
	look("after a crash")
}
