package fold

import "github.com/qarion/qarion/engine"

// Graph is a flow version prepared for planning: its tasks as indexes, with
// edges in both directions. It is immutable and shared by all runs of the
// version.
type Graph struct {
	Flow *engine.Flow
	Hash string

	Index    map[engine.TaskID]int
	parents  [][]int            // by task: what it depends on
	children [][]int            // by task: what depends on it
	readers  []int              // by task: how many tasks read its XCom value or response
	stages   [engine.Stages]int // how many tasks each has
}

// NewGraph prepares a compiled flow. Dependencies on tasks that are not there
// are left out: Compile has refused such a flow.
func NewGraph(f *engine.Flow, hash string) *Graph {
	n := len(f.Tasks)
	g := &Graph{
		Flow: f, Hash: hash,
		Index:   make(map[engine.TaskID]int, n),
		parents: make([][]int, n), children: make([][]int, n), readers: make([]int, n),
	}
	for i := range f.Tasks {
		g.Index[f.Tasks[i].ID] = i
	}
	for i := range f.Tasks {
		t := &f.Tasks[i]
		g.stages[t.Stage]++
		for _, dep := range t.Dependencies { // what an earlier stage has left is there
			if p, ok := g.Index[dep]; ok && f.Tasks[p].Stage == t.Stage {
				g.parents[i] = append(g.parents[i], p)
				g.children[p] = append(g.children[p], i)
			}
		}
		for _, reads := range [][]engine.TaskID{t.Pulls, t.Responses} {
			for _, id := range reads {
				if p, ok := g.Index[id]; ok {
					g.readers[p]++
				}
			}
		}
	}
	return g
}

// The plan: what a change of one task means for the others. These are the only
// places that know the shape of the graph; rule.go says when a task starts.

// roots visits the tasks of a fresh stage whose rule is decided: they start at
// once, or, where others are kept of an earlier run, are skipped.
func (r *Run) roots(visit func(i int, v verdict)) {
	for i := range r.Tasks {
		if r.Tasks[i].Status != engine.Pending || r.Graph.Flow.Tasks[i].Stage != r.stage {
			continue
		}
		if v := r.Tasks[i].ends.decide(r.Graph.Flow.Tasks[i].TriggerRule); v != undecided {
			visit(i, v)
		}
	}
}

// ended tells those that depend on task i how it ended, and visits those whose
// rule that decides.
func (r *Run) ended(i int, visit func(c int, v verdict)) {
	for _, c := range r.Graph.children[i] {
		r.count(i, &r.Tasks[c].ends)
		if r.Tasks[c].Status != engine.Pending {
			continue
		}
		if v := r.Tasks[c].ends.decide(r.Graph.Flow.Tasks[c].TriggerRule); v != undecided {
			visit(c, v)
		}
	}
}
