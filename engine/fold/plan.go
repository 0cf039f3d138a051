package fold

import "github.com/qarion/qarion/engine"

// Graph is a flow version prepared for planning: its tasks as indexes, with
// edges in both directions. It is immutable and shared by all runs of the
// version.
type Graph struct {
	Flow *engine.Flow
	Hash string

	Index    map[engine.TaskID]int
	parents  [][]int // by task: what it depends on
	children [][]int // by task: what depends on it
	readers  []int   // by task: how many tasks read its XCom value or response
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
		for _, dep := range t.Dependencies {
			if p, ok := g.Index[dep]; ok {
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
// places that know the shape of the graph.

// ready are the tasks of a fresh run that may start at once.
func (r *Run) roots(visit func(i int)) {
	for i := range r.Tasks {
		if r.Tasks[i].waiting == 0 {
			visit(i)
		}
	}
}

// succeeded releases the dependants of task i and visits those that waited for
// nothing else.
func (r *Run) succeeded(i int, visit func(i int)) {
	for _, c := range r.Graph.children[i] {
		r.Tasks[c].waiting--
		if r.Tasks[c].waiting == 0 && r.Tasks[c].Status == engine.Pending {
			visit(c)
		}
	}
}

// unreachable visits every pending task that can no longer start because task
// i did not succeed, parents before children; cause is the task that each one
// directly needed.
func (r *Run) unreachable(i int, visit func(i, cause int)) {
	todo := []int{i}
	for len(todo) > 0 {
		cause := todo[0]
		todo = todo[1:]
		for _, c := range r.Graph.children[cause] {
			if r.Tasks[c].Status == engine.Pending {
				visit(c, cause)
				todo = append(todo, c)
			}
		}
	}
}
