package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/testkit"
)

// TestTables_ADatabaseThatIsDownStopsNothing: runs go on and end, lists show
// them, status says what is behind and why, and when the database is back it has
// everything.
func TestTables_ADatabaseThatIsDownStopsNothing(t *testing.T) {
	server := testkit.StartPostgres(t)
	t.Setenv("QARION_METADATA_DATABASE", server.URL)
	dir := tablesFlows(t)
	testkit.Serve(t, dir)
	tablesRuns(t, dir, 3)
	server.Stop(t)
	tablesLag(t, dir, 3, "connection refused")
	server.Start(t)
	tablesCaughtUp(t, dir)
}

// tablesFlows makes a folder with a flow that works and one that does not.
func tablesFlows(t *testing.T) (dir string) {
	t.Helper()
	u := testkit.NewUpstream(t)
	dir = t.TempDir()
	write(t, dir+"/flows/good.toml", upstreamTask(u, "a", "ok", "", "")+upstreamTask(u, "b", "ok", after("a"), ""))
	write(t, dir+"/flows/bad.toml", upstreamTask(u, "a", "status/422", "", ""))
	return dir
}

// tablesRuns makes runs of both flows, and waits for their end.
func tablesRuns(t *testing.T, dir string, n int) {
	t.Helper()
	for range n {
		for flow, want := range map[string]int{"good": 0, "bad": 1} {
			if out, errs, code := qarion(t, dir, "trigger", flow, "--wait"); code != want {
				t.Fatalf("trigger %s: %d\n%s%s", flow, code, out, errs)
			}
		}
	}
}

// tablesLag looks at a node with so many runs of each flow, whose tables cannot
// be written.
func tablesLag(t *testing.T, dir string, had int, problem string) {
	t.Helper()
	began := time.Now()
	tablesRuns(t, dir, 2)
	t.Logf("four runs without tables took %v", time.Since(began))
	count := func(args ...string) int {
		t.Helper()
		out, errs, code := qarion(t, dir, append(args, "-o", "json", "--limit", "1000")...)
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(out), &list); code != 0 || args[0] == "runs" && err != nil {
			t.Fatalf("%v: %d\n%s%s", args, code, out, errs)
		}
		if args[0] == "logs" {
			return strings.Count(out, "\n")
		}
		return len(list)
	}
	for _, c := range []struct {
		want int
		args []string
	}{
		{2 * (had + 2), []string{"runs", "list"}},
		{had + 2, []string{"runs", "list", "--status", "failed"}},
		{had + 2, []string{"runs", "list", "--flow", "good"}},
		{3 * (had + 2), []string{"logs"}},
		{had + 2, []string{"logs", "--status", "failed"}},
		{2 * (had + 2), []string{"logs", "--flow", "good"}},
	} {
		if got := count(c.args...); got != c.want {
			t.Errorf("%v shows %d, want %d", c.args, got, c.want)
		}
	}
	out, errs, code := qarion(t, dir, "runs", "list", "--flow", "good", "-q", "--limit", "1")
	run := strings.TrimSpace(out)
	if code != 0 || len(run) != 26 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	for _, id := range []string{run, run[18:]} {
		for _, args := range [][]string{{"runs", "show", id}, {"logs", "--run", id}} {
			out, errs, code := qarion(t, dir, args...)
			if code != 0 || strings.Count(out, "success") < 2 && args[0] == "runs" || args[0] == "logs" && strings.Count(out, "\n") != 2 {
				t.Errorf("%v: %d\n%s%s", args, code, out, errs)
			}
		}
	}
	out, errs, code = qarion(t, dir, "status")
	if code != 0 || problem != "" && (!strings.Contains(out, "tables") || !strings.Contains(out, problem)) {
		t.Errorf("status: %d, want %q\n%s%s", code, problem, out, errs)
	}
}

// tablesCaughtUp waits until the tables are current, and holds them against the
// lists.
func tablesCaughtUp(t *testing.T, dir string) {
	t.Helper()
	const sql = "SELECT count(*), sum(CASE WHEN success THEN 1 ELSE 0 END) FROM xt_flow_executions"
	want := "10,5"
	for until := time.Now().Add(time.Minute); ; {
		out, errs, code := qarion(t, dir, "query", sql, "-o", "csv")
		if code == 0 && strings.Contains(out, want) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("not caught up: %d, want %s\n%s%s", code, want, out, errs)
		}
	}
	out, errs, code := qarion(t, dir, "query", "SELECT count(*) FROM xt_operation_logs", "-o", "csv")
	if code != 0 || !strings.Contains(out, "15") || strings.Contains(errs, "behind") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if out, errs, code := qarion(t, dir, "status", "--check"); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
