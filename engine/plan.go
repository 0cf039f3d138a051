package engine

// Graph is a flow version prepared for planning: its tasks as indexes, with
// edges in both directions. It is immutable and shared by all runs of the
// version.
type Graph struct {
	Flow *Flow
	Hash string

	index    map[TaskID]int
	parents  [][]int // by task: what it depends on
	children [][]int // by task: what depends on it
	readers  []int   // by task: how many tasks read its XCom value or response
}

// NewGraph prepares a compiled flow. Dependencies on tasks that are not there
// are left out: Compile has refused such a flow.
func NewGraph(f *Flow, hash string) *Graph {
	n := len(f.Tasks)
	g := &Graph{
		Flow: f, Hash: hash,
		index:   make(map[TaskID]int, n),
		parents: make([][]int, n), children: make([][]int, n), readers: make([]int, n),
	}
	for i := range f.Tasks {
		g.index[f.Tasks[i].ID] = i
	}
	for i := range f.Tasks {
		t := &f.Tasks[i]
		for _, dep := range t.Dependencies {
			if p, ok := g.index[dep]; ok {
				g.parents[i] = append(g.parents[i], p)
				g.children[p] = append(g.children[p], i)
			}
		}
		for _, reads := range [][]TaskID{t.Pulls, t.Responses} {
			for _, id := range reads {
				if p, ok := g.index[id]; ok {
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
func (r *run) roots(visit func(i int)) {
	for i := range r.tasks {
		if r.tasks[i].waiting == 0 {
			visit(i)
		}
	}
}

// succeeded releases the dependants of task i and visits those that waited for
// nothing else.
func (r *run) succeeded(i int, visit func(i int)) {
	for _, c := range r.graph.children[i] {
		r.tasks[c].waiting--
		if r.tasks[c].waiting == 0 && r.tasks[c].status == Pending {
			visit(c)
		}
	}
}

// unreachable visits every pending task that can no longer start because task
// i did not succeed, parents before children; cause is the task that each one
// directly needed.
func (r *run) unreachable(i int, visit func(i, cause int)) {
	todo := []int{i}
	for len(todo) > 0 {
		cause := todo[0]
		todo = todo[1:]
		for _, c := range r.graph.children[cause] {
			if r.tasks[c].status == Pending {
				visit(c, cause)
				todo = append(todo, c)
			}
		}
	}
}
