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
