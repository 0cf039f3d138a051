package transform_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// memory reads a figure of /proc/self/status, in bytes; 0 where there is none.
func memory(name string) int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// BenchmarkLoadJSON loads an answer of 100,000 rows into SQLite. rss-x is by how
// much the process grew, at most, in sizes of the JSON.
func BenchmarkLoadJSON(b *testing.B) {
	var text strings.Builder
	text.WriteByte('[')
	for i := range 100_000 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"id":%d,"name":"customer %d","email":"customer.%[1]d@shop.example","owes":%d.5}`, i, i, i%1000)
	}
	text.WriteByte(']')
	blob := value.NewBytes([]byte(text.String()), engine.TypeJSON)
	w := newBench(b, nil)
	w.value(b, nil, "sql", "CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT, email TEXT, owes REAL)")
	before := memory("VmRSS")
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	for b.Loop() {
		w.value(b, map[engine.TaskID]any{"fetch": blob}, "sql", []any{
			"DELETE FROM u", "INSERT INTO u SELECT value ->> 'id', value ->> 'name', value ->> 'email', value ->> 'owes' FROM json_each(:xcom_fetch)",
		})
	}
	b.ReportMetric(float64(memory("VmHWM")-before)/float64(blob.Size), "rss-x")
	b.ReportMetric(float64(blob.Size), "json-bytes")
}

// BenchmarkOneRow is a SELECT of one row as a task, and by database/sql alone.
func BenchmarkOneRow(b *testing.B) {
	w := newBench(b, nil)
	w.value(b, nil, "sql", "CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO u VALUES (7, 'Ann')")
	b.Run("task", func(b *testing.B) {
		prog, flow, _ := w.prepared(b, "sql", "SELECT id, name FROM u WHERE id = 7")
		for b.Loop() {
			in := engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil)
			if out := prog.Execute(context.Background(), in); string(out.Value) != `{"id":7,"name":"Ann"}` {
				b.Fatalf("%s %v", out.Value, out.Err)
			}
		}
	})
	b.Run("database-sql", func(b *testing.B) {
		db, err := sql.Open("sqlite", filepath.Join(w.dir, "warehouse.db"))
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		for b.Loop() {
			var id int
			var name string
			if err := db.QueryRow("SELECT id, name FROM u WHERE id = 7").Scan(&id, &name); err != nil {
				b.Fatal(err)
			}
		}
	})
}
