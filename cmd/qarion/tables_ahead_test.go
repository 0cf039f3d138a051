package main_test

import (
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
)

// TestTables_ThatAreAheadOfTheLedger: the data directory was brought back from a
// backup, the database was not. The node does not start on what contradicts
// itself, doctor says which of the two is ahead, and how to go on.
func TestTables_ThatAreAheadOfTheLedger(t *testing.T) {
	server := testkit.StartPostgres(t)
	t.Setenv("QARION_METADATA_DATABASE", server.URL)
	dir := tablesFlows(t)
	run := func(n int) {
		p := testkit.Serve(t, dir)
		tablesRuns(t, dir, n)
		if code := p.Stop(); code != 0 {
			t.Fatal(code)
		}
	}
	run(1)
	if out, errs, code := qarion(t, dir, "backup", "backup", "--with-key"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	run(3)
	if out, errs, code := qarion(t, dir, "restore", "backup", "--replace"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	_, errs, code := qarion(t, dir, "serve", "--listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(errs, "has lost entries") || !strings.Contains(errs, "qarion doctor") {
		t.Errorf("serve: %d %s", code, errs)
	}
	out, errs, code := qarion(t, dir, "doctor")
	if code != 1 || !strings.Contains(out, "ahead of the ledger, as after a restore") || !strings.Contains(out, "qarion doctor --rebuild-metadata") {
		t.Errorf("doctor: %d %s%s", code, out, errs)
	}
	if out, errs, code := qarion(t, dir, "doctor", "--rebuild-metadata"); code != 0 {
		t.Errorf("doctor --rebuild-metadata: %d %s%s", code, out, errs)
	}
	run(4)
	out, errs, code = qarion(t, dir, "query", "SELECT count(*) FROM xt_flow_executions", "-o", "csv")
	if code != 0 || !strings.HasSuffix(strings.TrimSpace(out), "\n10") {
		t.Errorf("query: %d %s%s, want 10 runs", code, out, errs)
	}
}
