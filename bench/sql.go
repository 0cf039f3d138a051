package bench

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver of the bare statements

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// SQLFigures are those of the part "sql": statements as tasks of a node that is
// a process of its own, and bare, by database/sql in this one. Times are of the
// task, without the run around it; each is the median of a few.
type SQLFigures struct {
	SQLJSONMiB     float64 `json:"sql_json_mib,omitempty"` // of an answer of 100,000 rows
	SQLLoadMS      float64 `json:"sql_load_ms,omitempty"`  // by INSERT ... SELECT ... FROM json_each(:xcom_fetch)
	SQLBareLoadMS  float64 `json:"sql_bare_load_ms,omitempty"`
	SQLLoadRatio   float64 `json:"sql_load_ratio,omitempty"`  // of the two before
	SQLLoadCPU     float64 `json:"sql_load_cpu_ms,omitempty"` // of a run that calls and loads, less one that calls
	SQLBareLoadCPU float64 `json:"sql_bare_load_cpu_ms,omitempty"`
	SQLFetchRSSX   float64 `json:"sql_fetch_rss_x,omitempty"` // peak over idle while the answers come in, in sizes of one
	SQLLoadRSSX    float64 `json:"sql_load_rss_x,omitempty"`  // the same while they are loaded too
	SQLRowUS       float64 `json:"sql_row_us,omitempty"`      // a SELECT of one row
	SQLBareRowUS   float64 `json:"sql_bare_row_us,omitempty"`
}

const (
	sqlRows  = 100_000 // of the answer
	sqlLoads = 7
	sqlReads = 500
)

// The statements, as a task and bare.
const (
	sqlTable  = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, owes REAL)"
	sqlSource = "INSERT INTO users SELECT value ->> 'id', value ->> 'name', value ->> 'email', value ->> 'owes' FROM json_each(%s)"
	sqlRead   = "SELECT id, name, email, owes FROM users WHERE id = 77"
)

// sql measures what a statement costs as a task, beside the same statement by
// database/sql: an answer of 100,000 rows that is loaded, and one row that is
// read.
func (b *bencher) sql(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "qarion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := b.sqlBare(ctx, filepath.Join(dir, "bare.db")); err != nil {
		return err
	}
	fetch := fmt.Sprintf("[[tasks]]\nid = \"fetch\"\ntype = \"api_call\"\nproperties = { url = \"%srows?n=%d\" }\n", b.target, sqlRows)
	err = writeFlows(filepath.Join(dir, "flows"), map[string]string{
		"fetch": fetch,
		"load": fetch + sqlTask("empty", "fetch", "DROP TABLE IF EXISTS users; "+sqlTable) +
			sqlTask("load", "empty", fmt.Sprintf(sqlSource, ":xcom_fetch")),
		"read": sqlTask("read", "", sqlRead),
	})
	if err != nil {
		return err
	}
	p, _, err := startServe(ctx, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	c, err := bus.Dial(p.access, p.access.URL)
	if err != nil {
		return err
	}
	defer c.Close()
	return b.sqlTasks(ctx, p, c)
}

func sqlTask(id, after, text string) string {
	return fmt.Sprintf("[[tasks]]\nid = %q\ntype = \"transformation\"\ndependencies = [%s]\nconfig = { sql = %q }\n", id, strings.TrimSuffix(`"`+after+`"`, `""`), text)
}

func writeFlows(dir string, flows map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range flows {
		if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sqlTasks measures the tasks.
func (b *bencher) sqlTasks(ctx context.Context, p *servedProcess, c *bus.Client) error {
	pass(ctx, time.Second)
	idle, err := p.rss()
	if err != nil {
		return err
	}
	fetched, err := b.sqlRuns(ctx, p, c, "fetch", sqlLoads)
	if err != nil {
		return err
	}
	loaded, err := b.sqlRuns(ctx, p, c, "load", sqlLoads)
	if err != nil {
		return err
	}
	b.SQLLoadMS, b.SQLLoadRatio = loaded.ms, loaded.ms/b.SQLBareLoadMS
	b.SQLLoadCPU = loaded.cpu - fetched.cpu
	b.SQLFetchRSSX, b.SQLLoadRSSX = (fetched.peak-idle)/b.SQLJSONMiB, (loaded.peak-idle)/b.SQLJSONMiB
	read, err := b.sqlRuns(ctx, p, c, "read", sqlReads)
	b.SQLRowUS = read.ms * 1000
	return err
}

// sqlSeen is what runs of a flow took: the median of their last task's time and
// of the processor time of the node, in milliseconds, and the node's largest
// memory, in MiB.
type sqlSeen struct{ ms, cpu, peak float64 }

func (b *bencher) sqlRuns(ctx context.Context, p *servedProcess, c *bus.Client, flow string, runs int) (seen sqlSeen, err error) {
	_ = os.WriteFile(p.proc("clear_refs"), []byte("5"), 0) // the peak counts from here
	var times, used []float64
	for range runs {
		before, err := p.cpu()
		if err != nil {
			return seen, err
		}
		doc := new(engine.RunDoc)
		if err := c.Call(ctx, "run.start", bus.StartRun{Flow: flow, Wait: json.RawMessage("300")}, doc); err != nil {
			return seen, err
		}
		if doc.Status != engine.Success {
			return seen, fmt.Errorf("the run of %s ended as %s: %+v", flow, doc.Status, doc.Error)
		}
		after, err := p.cpu()
		if err != nil {
			return seen, err
		}
		times, used = append(times, doc.Tasks[len(doc.Tasks)-1].DurationMS), append(used, float64((after-before).Milliseconds()))
	}
	seen.ms, seen.cpu = median(times), median(used)
	seen.peak, err = p.peakRSS()
	return seen, err
}

// sqlBare measures the statements without a node, on a file that is set up as a
// task's is.
func (b *bencher) sqlBare(ctx context.Context, file string) error {
	answer, err := sqlAnswer(ctx, fmt.Sprintf("%srows?n=%d", b.target, sqlRows))
	if err != nil {
		return err
	}
	b.SQLJSONMiB = float64(len(answer)) / (1 << 20)
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	var times, used []float64
	for range sqlLoads {
		if _, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS users; "+sqlTable); err != nil {
			return err
		}
		before, began := processorTime(), time.Now()
		if err := bareLoad(ctx, db, answer); err != nil {
			return err
		}
		times, used = append(times, milliseconds(time.Since(began))), append(used, milliseconds(processorTime()-before))
	}
	b.SQLBareLoadMS, b.SQLBareLoadCPU = median(times), median(used)
	times = nil
	for range sqlReads {
		began := time.Now()
		var id int
		var name, email string
		var owes float64
		if err := db.QueryRowContext(ctx, sqlRead).Scan(&id, &name, &email, &owes); err != nil {
			return err
		}
		times = append(times, milliseconds(time.Since(began)))
	}
	b.SQLBareRowUS = median(times) * 1000
	return nil
}

func bareLoad(ctx context.Context, db *sql.DB, answer string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(sqlSource, "?1"), answer); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func sqlAnswer(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return string(data), err
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// serveRows answers with a JSON list of so many objects as the query says.
func serveRows(w http.ResponseWriter, r *http.Request) {
	var n int
	_, _ = fmt.Sscan(r.URL.Query().Get("n"), &n)
	w.Header().Set("Content-Type", "application/json")
	out := []byte{'['}
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `{"id":%d,"name":"customer %d","email":"customer.%[1]d@shop.example","owes":%d.5}`, i, i, i%1000)
	}
	_, _ = w.Write(append(out, ']'))
}
