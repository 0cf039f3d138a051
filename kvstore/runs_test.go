package kvstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

func openRuns(t testing.TB) *kvstore.Runs {
	t.Helper()
	r := must[*kvstore.Runs](t)(kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: openBus(t)}))
	t.Cleanup(r.Close)
	return r
}

func TestRuns_KeepsTheNewestDocument(t *testing.T) {
	nc := openBus(t)
	r := must[*kvstore.Runs](t)(kvstore.OpenRuns(t.Context(), kvstore.RunsConfig{Conn: nc}))
	defer r.Close()
	run, other := runAt(1), runAt(2)
	err := r.Project(t.Context(), []engine.Change{
		runChange(1, run, "orders", engine.Running), attempt(2, run, "a", `1`), runChange(3, other, "orders", engine.Running),
		runChange(4, run, "orders", engine.Success),
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := r.Get(t.Context(), run)
	if err != nil || doc.Status != engine.Success || len(doc.Tasks) != 1 {
		t.Fatalf("got %+v, %v", doc, err)
	}
	e, err := bucket(t, nc, kvstore.BucketRuns).Get(t.Context(), string(run))
	if err != nil {
		t.Fatal(err)
	}
	var plain map[string]any
	if err := json.Unmarshal(e.Value(), &plain); err != nil || plain["status"] != "success" {
		t.Errorf("a KV client reads %s, %v", e.Value(), err)
	}
	if p, err := r.Position(t.Context()); err != nil || !p.Before(engine.Pos{Seq: 3}) || p.Before(engine.Pos{Seq: 2, N: 1}) {
		t.Errorf("position %v, %v: it must be just before the start that is held back", p, err)
	}
	if _, err := r.Get(t.Context(), runAt(3)); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("an unknown run: %v", err)
	}
}

func TestRuns_CutsADocumentThatIsTooLargeForAMessage(t *testing.T) {
	r := openRuns(t)
	c := runChange(1, runAt(1), "orders", engine.Failed)
	c.Doc.Tasks = []engine.TaskDoc{{TaskID: "bad", Status: engine.Failed, Reason: "why"}}
	for i := range 900 {
		c.Doc.Tasks = append(c.Doc.Tasks, engine.TaskDoc{TaskID: engine.TaskID(fmt.Sprint("t", i)), Status: engine.Success, Reason: strings.Repeat("x", 2000)})
	}
	if err := r.Project(t.Context(), []engine.Change{c}); err != nil {
		t.Fatal(err)
	}
	doc, err := r.Get(t.Context(), runAt(1))
	if err != nil || len(doc.Tasks) != 1 || doc.Tasks[0].TaskID != "bad" {
		t.Errorf("%d tasks are left, %v", len(doc.Tasks), err)
	}
}

// fill writes n finished runs; each third is of flow "rare", each tenth failed.
func fill(t testing.TB, r *kvstore.Runs, n int) {
	t.Helper()
	var batch []engine.Change
	for i := range n {
		flow, status := engine.FlowID("orders"), engine.Success
		if i%3 == 0 {
			flow = "rare"
		}
		if i%10 == 0 {
			status = engine.Failed
		}
		batch = append(batch, runChange(uint64(i+1), runAt(i), flow, status))
		if len(batch) == 4096 || i == n-1 {
			if err := r.Project(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

func TestRuns_ListsTheNewestFirst(t *testing.T) {
	r := openRuns(t)
	fill(t, r, 3000)
	// A run that began long before the others and ends last.
	if err := r.Project(t.Context(), []engine.Change{runChange(9000, runAt(-500), "slow", engine.Success)}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter engine.RunFilter
		want   []int
	}{
		"all":    {engine.RunFilter{Limit: 3}, []int{2999, 2998, 2997}},
		"flow":   {engine.RunFilter{Flow: "rare", Limit: 3}, []int{2997, 2994, 2991}},
		"status": {engine.RunFilter{Status: engine.Failed, Limit: 2}, []int{2990, 2980}},
		"both":   {engine.RunFilter{Status: engine.Failed, Flow: "rare", Limit: 2}, []int{2970, 2940}},
		"old":    {engine.RunFilter{Flow: "slow"}, []int{-500}},
		"since":  {engine.RunFilter{Since: runAt(2997).Time()}, []int{2999, 2998, 2997}},
		"page":   {engine.RunFilter{Before: runAt(1000), Limit: 2}, []int{999, 998}},
		"none":   {engine.RunFilter{Flow: "nothing"}, nil},
	} {
		docs, err := r.List(t.Context(), c.filter)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(docs) != len(c.want) {
			t.Errorf("%s: %d runs, want %d", name, len(docs), len(c.want))
			continue
		}
		for i, n := range c.want {
			if docs[i].RunID != runAt(n) {
				t.Errorf("%s: place %d has %s, want %s", name, i, docs[i].RunID, runAt(n))
			}
		}
	}
}

func TestRuns_AnEndingNamesARun(t *testing.T) {
	r := openRuns(t)
	fill(t, r, 50)
	id := runAt(7)
	for _, name := range []string{string(id), string(id[20:]), strings.ToLower(string(id[20:]))} {
		if got, err := engine.FindRun(t.Context(), r, name); err != nil || got != id {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if got, err := engine.FindRun(t.Context(), r, "last"); err != nil || got != runAt(49) {
		t.Errorf("last: %s, %v", got, err)
	}
	if _, err := engine.FindRun(t.Context(), r, "ZZZZZZZ"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("an ending that fits none: %v", err)
	}
	twin := engine.RunID("0" + "1234567890ABCDEFGHJKMNP"[:21] + string(id[22:]))
	if err := r.Project(t.Context(), []engine.Change{runChange(99, twin, "orders", engine.Success)}); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.FindRun(t.Context(), r, string(id[22:])); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("an ending that fits two: %v", err)
	}
}

func BenchmarkRuns_HundredThousand(b *testing.B) {
	r := openRuns(b)
	fill(b, r, 100_000)
	for name, filter := range map[string]engine.RunFilter{
		"newest": {}, "rare-status": {Status: engine.Interrupted}, "since": {Since: runAt(99_000).Time(), Limit: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := r.List(b.Context(), filter); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("ending", func(b *testing.B) {
		for b.Loop() {
			if _, err := engine.FindRun(b.Context(), r, string(runAt(77)[18:])); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("position", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Position(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("project", func(b *testing.B) {
		batch := make([]engine.Change, 1000)
		seq, start := 200_000, time.Now()
		for b.Loop() {
			for i := range batch {
				seq++
				batch[i] = runChange(uint64(seq), runAt(seq), "orders", engine.Success)
			}
			if err := r.Project(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(seq-200_000)/time.Since(start).Seconds(), "runs/s")
	})
}

// TestRuns_KeepsWhatLargeRunsHaveLeft: what another run can go on with takes
// more than a message's headers have room for, with seven thousand tasks or so.
// Of the very largest nothing is kept; the document is there in any case.
func TestRuns_KeepsWhatLargeRunsHaveLeft(t *testing.T) {
	r := openRuns(t)
	for i, size := range []int{0, 100, 24 << 10, 24<<10 + 1, 70 << 10, 480 << 10, 480<<10 + 1, 2 << 20} {
		c := runChange(uint64(i+1), runAt(i), "orders", engine.Success)
		for n := range 900 {
			c.Doc.Tasks = append(c.Doc.Tasks, engine.TaskDoc{TaskID: engine.TaskID(fmt.Sprint("t", n)), Status: engine.Success, Reason: strings.Repeat("x", 1000)})
		}
		c.Seeds = []byte(strings.Repeat("s", size))
		if err := r.Project(t.Context(), []engine.Change{c}); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if doc, err := r.Get(t.Context(), runAt(i)); err != nil || doc.Status != engine.Success {
			t.Errorf("%d bytes: %+v, %v", size, doc, err)
		}
		want := size
		if size > 480<<10 {
			want = 0
		}
		if got, err := r.Seeds(t.Context(), runAt(i)); err != nil || len(got) != want || strings.Trim(string(got), "s") != "" {
			t.Errorf("%d bytes: %d kept, %v", size, len(got), err)
		}
	}
}
