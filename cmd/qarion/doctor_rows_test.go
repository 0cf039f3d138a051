package main_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/qarion/qarion/internal/filestore"
	"github.com/qarion/qarion/internal/testkit"
)

// rewrite writes a stream of a stopped node anew, with other messages, whose
// checksums are right.
func rewrite(t *testing.T, stream string, edit func(m *filestore.Message)) {
	t.Helper()
	meta, err := os.ReadFile(filepath.Join(stream, "meta.inf"))
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(filepath.Dir(stream), "."+filepath.Base(stream))
	if err := os.Rename(stream, old); err != nil {
		t.Fatal(err)
	}
	w, err := filestore.Create(stream, meta)
	if err != nil {
		t.Fatal(err)
	}
	from := &filestore.Stream{Name: filepath.Base(stream), Dir: old}
	found, err := from.Scan(false, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = from.Scan(false, func(m *filestore.Message) error {
		if found.Deleted(m.Seq) {
			return nil
		}
		edit(m)
		return w.Add(m)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(found.Last); err != nil {
		t.Fatal(err)
	}
	remove(t, old)
}

// TestDoctor_HoldsRowsAgainstTheLedger: one row, one document, one value that
// is not what the ledger says is found, whatever its checksum says; and the
// tables are made again.
func TestDoctor_HoldsRowsAgainstTheLedger(t *testing.T) {
	good := filled(t, false)
	before := doctorSays(t, good)
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, dir string)
	}{
		{"a run", "xt_flow_executions, run ", func(t *testing.T, dir string) {
			change1(t, dir, "UPDATE xt_flow_executions SET status = 'success', success = 1 WHERE execution_id = (SELECT min(execution_id) FROM xt_flow_executions WHERE status = 'failed')")
		}},
		{"a task that is missing", "xt_task_executions, run ", func(t *testing.T, dir string) {
			change1(t, dir, "DELETE FROM xt_task_executions WHERE (execution_id, task_id) = (SELECT execution_id, task_id FROM xt_task_executions LIMIT 1)")
		}},
		{"an operation too many", "xt_operation_logs, run ", func(t *testing.T, dir string) {
			change1(t, dir, "INSERT INTO xt_operation_logs SELECT 1, operation_id, operation_type, operation_subtype, execution_id, flow_id, task_id, item_index, attempt, batch_id, status, success, superseded, start_time, end_time, duration_ms, error_message, operation_details, worker FROM xt_operation_logs LIMIT 1")
		}},
		{"a run that never was", "xt_flow_executions, run 01M84BFBV1N8Q6D2T4XW9B7C5E", func(t *testing.T, dir string) {
			change1(t, dir, "INSERT INTO xt_flow_executions SELECT '01M84BFBV1N8Q6D2T4XW9B7C5E', flow_id, flow_version, batch_id, execution_date, trigger_type, trigger_id, start_time, end_time, status, success, rows_loaded, rows_processed, error_message, variables FROM xt_flow_executions LIMIT 1")
		}},
		{"tables of another ledger", "the ledger of another installation, 01M84BFBV1N8Q6D2T4XW9B7C5E", func(t *testing.T, dir string) {
			change1(t, dir, "UPDATE qarion_metadata SET installation = '01M84BFBV1N8Q6D2T4XW9B7C5E'")
		}},
		{"a file that is none", "the database is damaged", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "data", "metadata.db"), strings.Repeat("nonsense ", 10_000))
		}},
		{"a document", "KV_qarion_runs 0-0 . entry ", func(t *testing.T, dir string) {
			rewrite(t, storeFiles(t, dir, "KV_qarion_runs")[0], func(m *filestore.Message) {
				m.Data = bytes.ReplaceAll(m.Data, []byte(`"failed"`), []byte(`"success"`))
			})
		}},
		{"a value", "KV_qarion_xcom 0-0 . entry ", func(t *testing.T, dir string) {
			n := 0
			rewrite(t, storeFiles(t, dir, "KV_qarion_xcom")[0], func(m *filestore.Message) {
				if n++; len(m.Data) > 0 && n > 3 {
					m.Data = append(bytes.Clone(m.Data), ' ')
				}
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := like(t, good)
			c.spoil(t, dir)
			text := strings.Join(worst(doctorSays(t, dir)), "\n")
			if !strings.Contains(text, c.want) {
				t.Errorf("want %q in:\n%s", c.want, text)
			}
			if !strings.Contains(text, " tables ") {
				return
			}
			out, errs, code := qarion(t, dir, "doctor", "--rebuild-metadata")
			if code != 0 {
				t.Errorf("after they were made again: %d %s%s", code, out, errs)
			}
			if after := doctorSays(t, dir); after.Compared != before.Compared {
				t.Errorf("%d rows, before %d", after.Compared, before.Compared)
			}
		})
	}
}

// TestDoctor_HoldsRowsInPostgresAgainstTheLedger: the same of a database of its
// own, of which doctor says also that it is down, another's, or ahead.
func TestDoctor_HoldsRowsInPostgresAgainstTheLedger(t *testing.T) {
	server := testkit.StartPostgres(t)
	t.Setenv("QARION_METADATA_DATABASE", server.URL)
	dir := filled(t, false)
	before := doctorSays(t, dir)
	if list := worst(before); len(list) > 0 {
		t.Fatalf("nothing was touched:\n%s", strings.Join(list, "\n"))
	}
	early := like(t, dir) // before one more run
	p := testkit.Serve(t, dir)
	if out, errs, code := qarion(t, dir, "trigger", "chain", "--wait"); code != 0 {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	if code := p.Stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	before = doctorSays(t, dir)
	for _, c := range []struct{ name, sql, want string }{
		{"a run", "UPDATE xt_flow_executions SET status = 'success', success = true WHERE execution_id = (SELECT min(execution_id) FROM xt_flow_executions WHERE status = 'failed')", "xt_flow_executions, run "},
		{"a run that never was", "INSERT INTO xt_flow_executions SELECT '01M84BFBV1N8Q6D2T4XW9B7C5E', flow_id, flow_version, batch_id, execution_date, trigger_type, trigger_id, start_time, end_time, status, success, rows_loaded, rows_processed, error_message, variables FROM xt_flow_executions LIMIT 1", "xt_flow_executions, run 01M84BFBV1N8Q6D2T4XW9B7C5E"},
		{"a task that is missing", "DELETE FROM xt_task_executions WHERE ctid = (SELECT ctid FROM xt_task_executions LIMIT 1)", "xt_task_executions, run "},
		{"a detail", "UPDATE xt_operation_logs SET operation_details = operation_details || '{\"status_code\": 299}' WHERE ledger_pos = (SELECT min(ledger_pos) FROM xt_operation_logs)", "xt_operation_logs, run "},
		{"of another ledger", "UPDATE qarion_metadata SET installation = '01M84BFBV1N8Q6D2T4XW9B7C5E'", "the ledger of another installation, 01M84BFBV1N8Q6D2T4XW9B7C5E"},
		{"a table that is gone", "DROP TABLE xt_task_executions", "they cannot be held against the ledger: postgres://qarion@127.0.0.1:"},
		{"no temporary tables", "REVOKE TEMPORARY ON DATABASE qarion FROM PUBLIC, qarion", "permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server.SQL(t, c.sql)
			text := strings.Join(worst(doctorSays(t, dir)), "\n")
			if !strings.Contains(text, c.want) || strings.Contains(text, "hush-hush") {
				t.Errorf("want %q in:\n%s", c.want, text)
			}
			switch c.name {
			case "a table that is gone":
				server.SQL(t, "DROP TABLE xt_flow_executions, xt_operation_logs, qarion_metadata")
			case "no temporary tables":
				server.SQL(t, "GRANT TEMPORARY ON DATABASE qarion TO PUBLIC")
			}
			if out, errs, code := qarion(t, dir, "doctor", "--rebuild-metadata"); code != 0 {
				t.Errorf("after they were made again: %d %s%s", code, out, errs)
			}
			if after := doctorSays(t, dir); after.Compared != before.Compared {
				t.Errorf("%d rows, before %d", after.Compared, before.Compared)
			}
		})
	}
	if text := strings.Join(worst(doctorSays(t, early)), "\n"); !strings.Contains(text, "ahead of the ledger, as after a restore") {
		t.Errorf("of tables that are ahead:\n%s", text)
	}
	server.Stop(t)
	if text := strings.Join(worst(doctorSays(t, dir)), "\n"); !strings.Contains(text, "broken tables") || !strings.Contains(text, "connection refused") {
		t.Errorf("of a database that is down:\n%s", text)
	}
}

// change1 changes exactly one row of the tables.
func change1(t *testing.T, dir, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "data", "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	done, err := db.Exec(text)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := done.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%d rows changed, %v", n, err)
	}
}

// TestSweep_WaitsForTheRuns: the view of runs was deleted, to be made again, and
// the large values are old: none is taken for one that no run has left.
func TestSweep_WaitsForTheRuns(t *testing.T) {
	dir := filled(t, false)
	rewrite(t, storeFiles(t, dir, "OBJ_qarion_blobs")[0], func(m *filestore.Message) {
		m.Nanos -= int64(48 * time.Hour)
	})
	remove(t, storeFiles(t, dir, "KV_qarion_runs")[0])
	p := testkit.Serve(t, dir)
	awaitStatus(t, dir, 2)
	if code := p.Stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if list := worst(doctorSays(t, dir)); len(list) > 0 {
		t.Errorf("large values are gone:\n%s", strings.Join(list, "\n"))
	}
}
