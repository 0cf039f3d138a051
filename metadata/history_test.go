package metadata_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/metadata"
)

func TestRuns_AreChosenAsTheFilterSays(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 11, 30)
		tables := open()
		project(t, tables, p.changes, p.rng, 50)
		var docs []*engine.RunDoc
		for _, c := range p.changes {
			if c.Kind == engine.RunDone {
				docs = append(docs, c.Doc)
			}
		}
		slices.SortFunc(docs, func(a, b *engine.RunDoc) int { return strings.Compare(string(b.RunID), string(a.RunID)) })
		for _, f := range []engine.RunFilter{
			{}, {Limit: 3}, {Flow: "orders"}, {Flow: "others"}, {Status: engine.Success}, {Status: engine.Failed, Limit: 2}, {Status: engine.Cancelled},
			{Trigger: docs[0].TriggerType, Limit: 4}, {Trigger: "nothing"},
			{Before: docs[4].RunID}, {Since: docs[9].RunID.Time()}, {Since: docs[9].RunID.Time(), Before: docs[2].RunID, Status: engine.Failed, Flow: "orders"},
		} {
			var want []engine.RunID
			for _, d := range docs {
				if f.Matches(d.RunID, d.FlowID, d.Status) && (f.Trigger == "" || f.Trigger == d.TriggerType) && len(want) < engine.ListLimit(f.Limit) {
					want = append(want, d.RunID)
				}
			}
			if got, err := tables.Runs(t.Context(), f); err != nil || !slices.Equal(got, want) {
				t.Errorf("%+v: %v, %v, want %v", f, got, err, want)
			}
		}
		last := string(docs[0].RunID)
		if got, err := tables.RunsEnding(t.Context(), last[18:]); err != nil || len(got) != 1 || string(got[0]) != last {
			t.Errorf("ending: %v, %v", got, err)
		}
		if got, err := tables.RunsEnding(t.Context(), "0000000000"); err != nil || len(got) != 0 {
			t.Errorf("no such ending: %v, %v", got, err)
		}
	})
}

func TestOperations_AreThoseOfTheLog(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 12, 10)
		tables := open()
		project(t, tables, p.changes, p.rng, 50)
		var run engine.RunID
		want := map[string]bool{}
		for _, c := range p.changes {
			if c.Kind == engine.AttemptDone {
				if run == "" {
					run = c.Run
				}
				if c.Run == run {
					want[fmt.Sprint(c.Attempt.OperationID(), c.Superseded, c.Attempt.Start.Format(), c.Attempt.End.Format(), c.Attempt.Outcome)] = true
				}
			}
		}
		page, err := tables.Operations(t.Context(), metadata.OperationFilter{Run: run})
		if err != nil || len(page.Operations) != len(want) || page.More {
			t.Fatalf("%+v, want %d operations: %v", page, len(want), err)
		}
		for _, op := range page.Operations {
			if key := fmt.Sprint(op.OperationID, op.Superseded, op.StartTime, op.EndTime, op.Status); !want[key] {
				t.Errorf("not in the log: %s", key)
			}
			if op.OperationType != "api_call" || op.OperationSubtype != "get" || op.FlowID != "orders" || !strings.HasPrefix(string(op.Details), "{") {
				t.Errorf("%+v", op)
			}
		}
		failed, err := tables.Operations(t.Context(), metadata.OperationFilter{Flow: "orders", Status: "failed", Limit: 2})
		if err != nil || len(failed.Operations) != 2 || failed.Operations[0].Status != "failed" || !failed.More {
			t.Errorf("failed ones: %+v, %v", failed, err)
		}
	})
}

func TestOperations_PagesHoldEachOnceInOrderOfTime(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 12, 10)
		tables := open()
		project(t, tables, p.changes, p.rng, 50)
		all, err := tables.Operations(t.Context(), metadata.OperationFilter{Task: "t0", Limit: metadata.MaxOperationLimit})
		if err != nil || len(all.Operations) < 8 || all.More {
			t.Fatalf("%+v, %v", all, err)
		}
		for i, op := range all.Operations[1:] {
			if op.StartTime < all.Operations[i].StartTime {
				t.Error("not in order of time")
			}
		}
		for name, f := range map[string]metadata.OperationFilter{"from the newest": {}, "from the oldest": {Oldest: true}} {
			f.Task, f.Limit = "t0", 3
			var got []engine.Operation
			for more := true; more; {
				page, err := tables.Operations(t.Context(), f)
				if err != nil || len(page.Operations) == 0 {
					t.Fatal(page, err)
				}
				if more = page.More; f.Oldest {
					got = append(got, page.Operations...)
					f.After, err = metadata.ParsePlace(page.Last.String())
				} else {
					got = append(slices.Clone(page.Operations), got...)
					f.Before, err = metadata.ParsePlace(page.First.String())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(got, all.Operations) {
				t.Errorf("%s: the pages hold other operations: %d instead of %d", name, len(got), len(all.Operations))
			}
		}
		middle := all.Operations[len(all.Operations)/2]
		since, _ := time.Parse(time.RFC3339, middle.StartTime)
		newer, err := tables.Operations(t.Context(), metadata.OperationFilter{Task: "t0", Since: since, Oldest: true})
		if err != nil || newer.Operations[0].StartTime != middle.StartTime {
			t.Errorf("since %s: %+v, %v", middle.StartTime, newer, err)
		}
		for _, text := range []string{"x", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z/", "/5", "2026-01-01T00:00:00Z/-1"} {
			if _, err := metadata.ParsePlace(text); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("%q is taken for a place: %v", text, err)
			}
		}
	})
}

func TestExpire_TakesEndedRunsWithAllThatIsTheirs(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		old, young := live(t, 1, 250), live(t, 2, 3)
		tables := open()
		project(t, tables, old.changes, old.rng, 4000)
		middle := time.Now()
		for i := range young.changes { // as if they had happened now, and one were open
			c := &young.changes[i]
			c.Pos.Seq += old.seq
			if c.Doc != nil {
				d := *c.Doc
				if d.EndTime != "" {
					d.EndTime = engine.FormatTime(middle.Add(time.Hour))
				}
				c.Doc = &d
			}
		}
		kept := young.changes[:len(young.changes)-1]
		project(t, tables, kept, young.rng, 4000)
		if err := tables.Expire(t.Context(), middle); err != nil {
			t.Fatal(err)
		}
		fresh := inFile(t)
		project(t, fresh, kept, young.rng, 4000)
		if got, want := rows(t, tables), rows(t, fresh); got != want {
			t.Errorf("what is left is not what was to stay\n%s", firstDifference(got, want))
		}
	})
}

// What was deleted makes room for what comes: the file of a node that keeps its
// runs for a while does not grow with its age.
func TestExpire_RoomIsUsedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), metadata.DefaultFile)
	tables := open(t, path)
	second, seq := int64(0), uint64(0)
	for turn := range uint64(5) {
		p := live(t, turn, 250)
		for i := range p.changes {
			p.changes[i].Pos.Seq += seq
		}
		seq += p.seq
		project(t, tables, p.changes, p.rng, 4000)
		if err := tables.Mark(t.Context(), engine.Pos{Seq: seq}); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, tables, "SELECT count(*) AS n FROM xt_flow_executions"); fmt.Sprint(got) != "[n=250]" {
			t.Fatalf("turn %d: %s", turn, got)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if turn == 1 {
			second = info.Size()
		} else if turn > 1 && info.Size() > second*5/4 {
			t.Errorf("turn %d: %d bytes, after the second %d", turn, info.Size(), second)
		}
		if err := tables.Expire(t.Context(), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"xt_flow_executions", "xt_task_executions", "xt_operation_logs"} {
			if got := ask(t, tables, "SELECT count(*) AS n FROM "+table); fmt.Sprint(got) != "[n=0]" {
				t.Errorf("turn %d: %s is left in %s", turn, got, table)
			}
		}
	}
}

func TestTables_StartWhereTheyWere(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 5, 3)
		tables := open()
		at, err := tables.Position(t.Context())
		if err != nil || at != (engine.Pos{}) {
			t.Fatalf("new tables are at %v, %v", at, err)
		}
		half := len(p.changes) / 2
		project(t, tables, p.changes[:half], p.rng, 5)
		if at, err = tables.Position(t.Context()); err != nil || at != p.changes[half-1].Pos {
			t.Errorf("at %v, %v, want %v", at, err, p.changes[half-1].Pos)
		}
		mark := engine.Pos{Seq: p.seq, N: 1 << 30}
		if err := tables.Mark(t.Context(), engine.Pos{Seq: 1}); err != nil { // never backwards
			t.Fatal(err)
		}
		if at, _ = tables.Position(t.Context()); at != p.changes[half-1].Pos {
			t.Errorf("a mark moved the position back to %v", at)
		}
		if err := tables.Mark(t.Context(), mark); err != nil {
			t.Fatal(err)
		}
		if at, _ = tables.Position(t.Context()); at != mark {
			t.Errorf("at %v, want %v", at, mark)
		}
	})
}

func TestTables_OfAnotherLedgerAreNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	p := live(t, 5, 3)
	ours := open(t, path)
	project(t, ours, p.changes, p.rng, 50)
	want := rows(t, ours)
	foreign, err := metadata.Open(metadata.Config{Database: path, Installation: func(context.Context) (string, error) { return "another", nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if at, err := foreign.Position(t.Context()); err != nil || at != (engine.Pos{}) {
		t.Errorf("position: %v, %v: a node must start all the same", at, err)
	}
	err = foreign.Project(t.Context(), p.changes)
	if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "belong to installation "+installation) {
		t.Errorf("written: %v", err)
	}
	if rows(t, ours) != want {
		t.Error("rows were changed")
	}
}

func TestTables_OfANewerProgramAreNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	p := live(t, 5, 3)
	tables := open(t, path)
	project(t, tables, p.changes, p.rng, 50)
	tables.Close()
	change(t, path, "UPDATE qarion_metadata SET schema = 99")
	err := open(t, path).Project(t.Context(), p.changes)
	if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "newer qarion: schema 99") {
		t.Errorf("got %v", err)
	}
}

func change(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec(statement)
		db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTables_CatchUpWhenTheDatabaseIsBack(t *testing.T) {
	server := testkit.StartPostgres(t)
	p := live(t, 6, 6)
	whole := inFile(t)
	project(t, whole, p.changes, p.rng, 4000)
	tables := open(t, server.URL)
	half := len(p.changes) / 2
	project(t, tables, p.changes[:half], p.rng, 20)
	server.Stop(t)
	err := tables.Project(t.Context(), p.changes[half:])
	if !errors.Is(err, engine.ErrUnavailable) || strings.Contains(err.Error(), "hush") {
		t.Errorf("database down: %v", err)
	}
	if _, err := tables.Query(t.Context(), metadata.Question{SQL: "SELECT 1"}); !errors.Is(err, engine.ErrUnavailable) || strings.Contains(err.Error(), "hush") {
		t.Errorf("query of a database that is down: %v", err)
	}
	another := open(t, server.URL) // a node that starts meanwhile
	if at, err := another.Position(t.Context()); err != nil || at != (engine.Pos{}) {
		t.Errorf("position of a database that is down: %v, %v", at, err)
	}
	server.Start(t)
	if err := another.Project(t.Context(), p.changes); err != nil {
		t.Fatal(err)
	}
	if err := tables.Project(t.Context(), p.changes[half:]); err != nil {
		t.Fatal(err)
	}
	if got, want := rows(t, tables), rows(t, whole); got != want {
		t.Errorf("rows differ\n%s", firstDifference(got, want))
	}
}

func TestTables_FileThatIsNoneIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is not a database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := live(t, 5, 3)
	tables := open(t, path)
	if _, err := tables.Position(t.Context()); err != nil {
		t.Errorf("position: %v: a node must start all the same", err)
	}
	err := tables.Project(t.Context(), p.changes)
	if !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), "the next start makes the tables again") {
		t.Errorf("got %v", err)
	}
	if err := tables.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	project(t, tables, p.changes, p.rng, 50)
	whole := inFile(t)
	project(t, whole, p.changes, p.rng, 4000)
	if got, want := rows(t, tables), rows(t, whole); got != want {
		t.Errorf("rebuilt rows differ\n%s", firstDifference(got, want))
	}
}

func TestTables_RebuildGivesTheSameRows(t *testing.T) {
	everyKind(t, func(t *testing.T, open func() *metadata.Tables) {
		p := live(t, 8, 5)
		tables := open()
		project(t, tables, p.changes, p.rng, 10)
		want := rows(t, tables)
		if err := tables.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at, err := tables.Position(t.Context()); err != nil || at != (engine.Pos{}) {
			t.Fatalf("after it they are at %v, %v", at, err)
		}
		if got := rows(t, tables); got != "" {
			t.Fatalf("rows are left: %s", got)
		}
		project(t, tables, p.changes, p.rng, 100)
		if got := rows(t, tables); got != want {
			t.Errorf("rows differ\n%s", firstDifference(got, want))
		}
	})
}

func TestOpen_PasswordsStayOut(t *testing.T) {
	for _, url := range []string{"postgres://user:hush-hush-1@127.0.0.1:1/db?password=hush-hush-1&sslmode=disable", "postgres://user:hush-hush-1@[::1/db"} {
		tables, err := metadata.Open(metadata.Config{Database: url, Installation: func(context.Context) (string, error) { return installation, nil }})
		if err != nil {
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("open: %v", err)
			}
			continue
		}
		defer tables.Close()
		err = tables.Project(t.Context(), live(t, 1, 1).changes)
		if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(tables.Where(), "hush") {
			t.Errorf("%v at %s", err, tables.Where())
		}
	}
}
