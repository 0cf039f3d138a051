package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/internal/testkit"
)

// TestTables_KilledWhileTheyAreWritten kills the node again and again while runs
// go through the SQL tables. Every run, task and attempt has its row once then,
// and tables that are made anew from the ledger have the same rows.
func TestTables_KilledWhileTheyAreWritten(t *testing.T) {
	up := testkit.NewUpstream(t)
	up.Handle("/pay", testkit.OK(`{}`))
	up.Handle("/never", testkit.Status(404))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	flow := fmt.Sprintf("[variables]\nkey = \"\"\n[[tasks]]\nid = \"a\"\ntype = \"api_call\"\nproperties = { url = \"%s/pay?key={{ key }}\" }\n"+
		"[[tasks]]\nid = \"b\"\ntype = \"api_call\"\ndependencies = [\"a\"]\nproperties = { url = \"%s/{{ 'never' if key.endswith('7') else 'pay' }}?key={{ key }}\" }\n", up.URL, up.URL)
	if err := os.WriteFile(filepath.Join(dir, "flows", "pay.toml"), []byte(flow), 0o600); err != nil {
		t.Fatal(err)
	}
	const clients, each, kills = 6, 20, 5
	var mu sync.Mutex
	node := testkit.Serve(t, dir, "QARION_HTTP_LISTEN=127.0.0.1:0")
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range each {
				key := fmt.Sprintf("k-%d-%d", c, i)
				for until := time.Now().Add(time.Minute); ; {
					mu.Lock()
					door := node.HTTP
					mu.Unlock()
					if startByHTTP(door, key) != "" {
						break
					}
					if time.Now().After(until) {
						t.Errorf("key %s was never answered", key)
						return
					}
				}
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(50+rand.IntN(250)) * time.Millisecond) // the moment of the kill is the point
		node.Kill()
		next := testkit.Serve(t, dir, "QARION_HTTP_LISTEN=127.0.0.1:0")
		mu.Lock()
		node = next
		mu.Unlock()
	}
	all.Wait()
	query := func(sql string) string {
		t.Helper()
		out, err := exec.Command(testkit.Binary(t), "query", sql, "-o", "csv", "--limit", "100000", "--data-dir", filepath.Join(dir, "data")).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", sql, err, out)
		}
		_, rows, _ := strings.Cut(string(out), "\n") // without the head
		return rows
	}
	for until := time.Now().Add(time.Minute); query("SELECT count(*) FROM xt_flow_executions WHERE success IS NULL") != "0\n"; {
		if time.Now().After(until) {
			t.Fatal("runs do not end")
		}
	}
	runs := clients * each
	for sql, want := range map[string]string{
		"SELECT count(*), sum(status = 'success') FROM xt_flow_executions":                                         fmt.Sprintf("%d,%d\n", runs, runs-2*clients),
		"SELECT count(*), sum(status = 'failed') FROM xt_task_executions":                                          fmt.Sprintf("%d,%d\n", 2*runs, 2*clients),
		"SELECT operation_id, count(*) FROM xt_operation_logs WHERE NOT superseded GROUP BY 1 HAVING count(*) > 1": "",
		`SELECT t.execution_id, t.task_id, t.attempts, count(o.operation_id) FROM xt_task_executions t LEFT JOIN xt_operation_logs o
			ON o.execution_id = t.execution_id AND o.task_id = t.task_id AND NOT o.superseded GROUP BY 1, 2 HAVING t.attempts <> count(o.operation_id)`: "",
	} {
		if got := query(sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	dump := func() string {
		return query("SELECT * FROM xt_flow_executions ORDER BY 1") + query("SELECT * FROM xt_task_executions ORDER BY 1, 3") + query("SELECT * FROM xt_operation_logs ORDER BY 1")
	}
	before := dump()
	node.Stop()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, "data", "metadata.db"+suffix)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	testkit.Serve(t, dir, "QARION_HTTP_LISTEN=127.0.0.1:0")
	if after := dump(); after != before {
		t.Errorf("tables that are made anew differ: %d bytes, before %d", len(after), len(before))
	}
}
