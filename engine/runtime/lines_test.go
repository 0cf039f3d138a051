package runtime

import (
	"fmt"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
)

func openRun(flow, run string) *fold.Run {
	return &fold.Run{ID: engine.RunID(run), Graph: &fold.Graph{Flow: &engine.Flow{ID: engine.FlowID(flow)}}}
}

func TestLines_TurnsGoOverFlowsAndWithinThemOverRuns(t *testing.T) {
	l := newLines()
	big1, big2, small := openRun("big", "1"), openRun("big", "2"), openRun("small", "3")
	for task := range 4 {
		l.add(taskPlace{run: big1, cell: fold.CellRef{Task: task}})
	}
	for task := range 2 {
		l.add(taskPlace{run: big2, cell: fold.CellRef{Task: task}})
	}
	for task := range 2 {
		l.add(taskPlace{run: small, cell: fold.CellRef{Task: task}})
	}
	var got []string
	for {
		p, ok := l.next()
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%s%d", p.run.ID, p.cell.Task))
	}
	if want := "[10 30 20 31 11 21 12 13]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if l.n != 0 || len(l.byID) != 0 {
		t.Errorf("%d tasks and %d flows are left", l.n, len(l.byID))
	}
}

func TestLines_ALongLineDelaysAnotherFlowByOneTask(t *testing.T) {
	l := newLines()
	big := openRun("big", "1")
	for task := range 100_000 {
		l.add(taskPlace{run: big, cell: fold.CellRef{Task: task}})
	}
	l.next()
	l.add(taskPlace{run: openRun("small", "2")})
	for n := 1; ; n++ {
		p, _ := l.next()
		if p.run != big {
			if n > 2 {
				t.Errorf("it waited for %d tasks", n-1)
			}
			return
		}
	}
}

func TestQueue_KeepsOrderAndGivesMemoryBack(t *testing.T) {
	var q queue[int]
	next := 0
	for n := range 10_000 {
		q.push(n)
		if n%3 == 0 {
			v, _ := q.pop()
			if v != next {
				t.Fatalf("got %d, want %d", v, next)
			}
			next++
		}
	}
	for q.len() > 0 {
		if v, _ := q.pop(); v != next {
			t.Fatalf("got %d, want %d", v, next)
		}
		next++
	}
	if next != 10_000 || cap(q.items) > 64 {
		t.Errorf("%d came out, room for %d is kept", next, cap(q.items))
	}
}

func BenchmarkLines(b *testing.B) {
	l := newLines()
	runs := make([]*fold.Run, 256)
	for i := range runs {
		runs[i] = openRun("f", fmt.Sprint(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.add(taskPlace{run: runs[i%256]})
		if i%64 == 63 {
			for range 64 {
				l.next()
			}
		}
	}
}

// TestLines_PriorityIsMoreTurnsNotAllOfThem: flows of three priorities that always
// have tasks share the turns 1:4:16, spread over time.
func TestLines_PriorityIsMoreTurnsNotAllOfThem(t *testing.T) {
	l := newLines()
	runs := map[string]*fold.Run{}
	for i, priority := range []string{"low", "", "high"} {
		r := openRun("flow"+priority, fmt.Sprint(i))
		r.Graph.Flow.Priority = priority
		runs[priority] = r
		for task := range 1000 {
			l.add(taskPlace{run: r, cell: fold.CellRef{Task: task}})
		}
	}
	got, since := map[*fold.Run]int{}, map[*fold.Run]int{}
	for n := range 210 {
		p, _ := l.next()
		got[p.run]++
		if p.run == runs["high"] {
			since[p.run] = n
		} else if n-since[runs["high"]] > 3 {
			t.Fatalf("after %d turns the high one has had none for %d", n, n-since[runs["high"]])
		}
	}
	if got[runs["low"]] != 10 || got[runs[""]] != 40 || got[runs["high"]] != 160 {
		t.Errorf("low %d, normal %d, high %d of 210 turns", got[runs["low"]], got[runs[""]], got[runs["high"]])
	}
}
