package metadata_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/metadata"
)

const installation = "01M84BFBV1N8Q6D2T4XW9B7C5E"

// open opens tables that follow the test's ledger.
func open(t testing.TB, database string) *metadata.Tables {
	t.Helper()
	tables, err := metadata.Open(metadata.Config{
		Database: database, Log: testkit.Logger(t),
		Installation: func(context.Context) (string, error) { return installation, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	return tables
}

func inFile(t testing.TB) *metadata.Tables {
	return open(t, filepath.Join(t.TempDir(), metadata.DefaultFile))
}

// everyKind runs a test on each kind of database.
func everyKind(t *testing.T, test func(t *testing.T, open func() *metadata.Tables)) {
	t.Run("sqlite", func(t *testing.T) { test(t, func() *metadata.Tables { return inFile(t) }) })
	t.Run("postgres", func(t *testing.T) {
		server, n := testkit.StartPostgres(t), 0
		test(t, func() *metadata.Tables {
			n++
			return open(t, schema(t, server, fmt.Sprintf("s%d", n)))
		})
	})
}

// schema is the URL of a schema of its own.
func schema(t testing.TB, server *testkit.Postgres, name string) string {
	t.Helper()
	server.SQL(t, "CREATE SCHEMA "+name+" AUTHORIZATION qarion")
	return server.URL + "?search_path=" + name
}

// past is a ledger that was lived through: flows whose tasks succeed, fail, are
// tried again, wait for a breaker, are interrupted, resolved, cancelled, called
// twice.
type past struct {
	t       *testing.T
	rng     *rand.Rand
	state   *fold.State
	seq     uint64
	now     engine.Micros
	out     map[engine.AttemptKey]bool
	changes []engine.Change
}

func live(t *testing.T, seed uint64, runs int) *past {
	p := &past{t: t, rng: rand.New(rand.NewPCG(seed, 7)), state: fold.NewState(), out: map[engine.AttemptKey]bool{}}
	p.now = engine.At(time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC))
	p.add(&engine.InstallRecord{ID: installation})
	flow := &engine.Flow{ID: "orders", Timeout: time.Hour}
	for i, deps := range []string{"", "", "t0 t1", "t2", "t2", "t3 t4"} {
		task := engine.Task{ID: engine.TaskID(fmt.Sprint("t", i)), Type: "api_call", Subtype: "get"}
		for _, d := range strings.Fields(deps) {
			task.Dependencies = append(task.Dependencies, engine.TaskID(d))
		}
		task.OnInterrupted = []string{"", "", "retry", "fail"}[p.rng.IntN(4)]
		flow.Tasks = append(flow.Tasks, task)
	}
	def, hash, err := flow.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p.add(&engine.FlowRecord{Flow: flow.ID, Hash: hash, Definition: def})
	ids := engine.RunIDs()
	for range runs {
		p.add(&engine.SubmitRecord{Run: ids(p.now.Time()), Flow: flow.ID, TriggerType: "cli", Variables: []byte(`{"customer":7,"zero":"\u0000","name":"Zoë"}`)})
	}
	for p.state.Open() > 0 {
		p.step()
	}
	return p
}

func (p *past) add(recs ...engine.Record) {
	p.seq++
	p.now += engine.Micros(1 + p.rng.IntN(5000))
	for _, e := range p.state.Apply(engine.Entry{Seq: p.seq, At: p.now, Records: recs}) {
		switch {
		case e.Kind == fold.Show:
			p.changes = append(p.changes, *e.Change)
		case e.Kind == fold.Emit && e.Task >= 0:
			p.out[e.Open.Key(e.Task)] = true
		}
	}
}

// step lets one thing happen to a task that is out, to one that waits for a
// person, or to a run.
func (p *past) step() {
	for r := range p.state.Runs() {
		for i := range r.Tasks {
			if r.Tasks[i].Status == engine.Interrupted && p.rng.IntN(2) == 0 {
				as := []string{"success", "failed", "retry"}[p.rng.IntN(3)]
				p.add(&engine.ControlRecord{Kind: engine.ControlResolve, Run: r.ID, Task: r.Graph.Flow.Tasks[i].ID, As: as})
				return
			}
		}
		if p.rng.IntN(200) == 0 {
			p.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: r.ID, Reason: "by hand"})
			return
		}
	}
	keys := make([]engine.AttemptKey, 0, len(p.out))
	for k := range p.out {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		for r := range p.state.Runs() { // a run that ends waits for what is in flight
			for i := range r.Tasks {
				if s := r.Tasks[i].Status; s == engine.Ready || s == engine.Running {
					p.add(p.ended(r.Key(i), engine.OutcomeCancelled))
					return
				}
			}
		}
		return
	}
	slices.SortFunc(keys, func(a, b engine.AttemptKey) int { return strings.Compare(a.OperationID(), b.OperationID()) })
	k := keys[p.rng.IntN(len(keys))]
	delete(p.out, k)
	outcomes := []engine.Outcome{engine.OutcomeSuccess, engine.OutcomeSuccess, engine.OutcomeSuccess, engine.OutcomeRetry, engine.OutcomeDeferred, engine.OutcomeFailed, engine.OutcomeInterrupted}
	outcome := outcomes[p.rng.IntN(len(outcomes))]
	if k.Attempt > 4 || k.Dispatch > 4 {
		outcome = engine.OutcomeSuccess
	}
	recs := []engine.Record{p.ended(k, outcome)}
	if p.rng.IntN(6) == 0 {
		recs = append(recs, p.ended(k, engine.OutcomeSuccess)) // a second call was really made
	}
	p.add(recs...)
}

func (p *past) ended(k engine.AttemptKey, o engine.Outcome) *engine.AttemptRecord {
	rec := &engine.AttemptRecord{
		AttemptKey: k, Flow: "orders", Outcome: o, Start: p.now + engine.Micros(p.rng.IntN(999)), Type: "api_call", Subtype: "get", Worker: "local", BatchID: 1,
		Details: []byte(`{"method":"GET","url":"https://api.example.com/v2/Zoë","status_code":200,"note":"a\u0000b"}`),
	}
	rec.End = rec.Start + 1 + engine.Micros(p.rng.IntN(100_000))
	if o != engine.OutcomeSuccess {
		rec.Class, rec.Error, rec.Status = "status", "503 \x00 Service Unavailable \xff", 503
	}
	return rec
}

// project hands changes to tables in batches of random size, and some of them
// twice, as after an error or a restart.
func project(t *testing.T, tables *metadata.Tables, changes []engine.Change, rng *rand.Rand, most int) {
	t.Helper()
	for at := 0; at < len(changes); {
		n := min(1+rng.IntN(most), len(changes)-at)
		if err := tables.Project(t.Context(), changes[at:at+n]); err != nil {
			t.Fatal(err)
		}
		at += n
		if rng.IntN(4) == 0 {
			at = max(0, at-rng.IntN(most)) // once more
		}
	}
}

// rows is everything that stands in the tables, as text.
func rows(t testing.TB, tables *metadata.Tables) string {
	t.Helper()
	var out strings.Builder
	for _, q := range []string{
		"SELECT * FROM xt_flow_executions ORDER BY execution_id",
		"SELECT * FROM xt_task_executions ORDER BY execution_id, task_id, item_index",
		"SELECT * FROM xt_operation_logs ORDER BY ledger_pos",
	} {
		for _, row := range ask(t, tables, q) {
			fmt.Fprintln(&out, row)
		}
	}
	return out.String()
}

// ask returns the rows of a query, each as "column=value ..." in JSON.
func ask(t testing.TB, tables *metadata.Tables, sql string) (list []string) {
	t.Helper()
	answer, err := tables.Query(t.Context(), metadata.Question{SQL: sql})
	for {
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for _, row := range answer.Rows {
			var b strings.Builder
			for i, v := range row {
				fmt.Fprintf(&b, "%s=%s ", answer.Columns[i], normal(t, v))
			}
			list = append(list, strings.TrimSpace(b.String()))
		}
		if answer.Next == "" {
			return list
		}
		answer, err = tables.Query(t.Context(), metadata.Question{Next: answer.Next})
	}
}

// normal writes JSON in one way: PostgreSQL keeps the members of an object in
// an order of its own.
func normal(t testing.TB, raw json.RawMessage) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	out, _ := json.Marshal(v)
	return strings.ReplaceAll(string(out), `\u0000`, `�`)
}

func TestTables_SameRowsHoweverTheChangesCome(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		for seed := range uint64(4) {
			p := live(t, seed, 12)
			whole := inFile(t) // the measure: all in one batch, in a file
			if err := whole.Project(t.Context(), p.changes); err != nil {
				t.Fatal(err)
			}
			want := rows(t, whole)
			for _, most := range []int{1, 7, 60} {
				tables := open()
				project(t, tables, p.changes, p.rng, most)
				if got := rows(t, tables); got != want {
					t.Fatalf("seed %d, batches of up to %d: rows differ\n%s", seed, most, firstDifference(got, want))
				}
			}
		}
	})
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("got  %s\nwant %s", g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d rows, want %d", len(g), len(w))
}

// The tables say of every run and task what the document of its end says.
func TestTables_SayWhatTheRunsDocumentSays(t *testing.T) {
	p := live(t, 42, 40)
	tables := inFile(t)
	project(t, tables, p.changes, p.rng, 20)
	for _, c := range p.changes {
		if c.Kind != engine.RunDone {
			continue
		}
		row := ask(t, tables, "SELECT status, success, end_time, variables ->> 'customer' AS customer FROM xt_flow_executions WHERE execution_id = '"+string(c.Run)+"'")
		want := fmt.Sprintf(`status=%q success=%v end_time=%q customer=7`, c.Doc.Status, c.Doc.Status == engine.Success, c.Doc.EndTime)
		if len(row) != 1 || row[0] != want {
			t.Errorf("run %s: %s, want %s", c.Run, row, want)
		}
		for _, task := range c.Doc.Tasks {
			row := ask(t, tables, fmt.Sprintf("SELECT status, success, start_time FROM xt_task_executions WHERE execution_id = '%s' AND task_id = '%s'", c.Run, task.TaskID))
			start := "null"
			if task.StartTime != "" {
				start = fmt.Sprintf("%q", task.StartTime)
			}
			want := fmt.Sprintf(`status=%q success=%v start_time=%s`, task.Status, task.Status == engine.Success, start)
			if len(row) != 1 || row[0] != want {
				t.Errorf("task %s of %s: %s, want %s", task.TaskID, c.Run, row, want)
			}
		}
	}
	// attempts of a task, counted in two ways
	wrong := ask(t, tables, `SELECT t.execution_id, t.task_id, t.attempts, count(o.operation_id) AS made FROM xt_task_executions t LEFT JOIN xt_operation_logs o
		ON o.execution_id = t.execution_id AND o.task_id = t.task_id AND NOT o.superseded AND o.status <> 'deferred'
		GROUP BY 1, 2, 3 HAVING t.attempts <> count(o.operation_id)`)
	if len(wrong) > 0 {
		t.Errorf("attempts are miscounted: %s", wrong)
	}
}
