package fold

import (
	"iter"
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

// What may be read of the state. All of it belongs to the goroutine that the
// state belongs to; what an iterator yields must not be kept.

// Run returns an open run, or nil.
func (s *State) Run(id engine.RunID) *Run { return s.runs[id] }

// Runs yields the open runs, in no order.
func (s *State) Runs() iter.Seq[*Run] { return maps.Values(s.runs) }

// RunIDs lists the open runs, oldest first.
func (s *State) RunIDs() []engine.RunID { return slices.Sorted(maps.Keys(s.runs)) }

// Open is the number of open runs.
func (s *State) Open() int { return len(s.runs) }

// Size is about how much the state holds: open runs and caller keys.
func (s *State) Size() int { return len(s.runs) + s.seen.len() }

// Versions is the number of flow versions in use.
func (s *State) Versions() int { return len(s.versions) }

// Graphs yields the flow versions in use: the newest of each flow, and those
// that open runs started with.
func (s *State) Graphs() iter.Seq[*Graph] {
	return func(yield func(*Graph) bool) {
		for _, v := range s.versions {
			if !yield(v.graph) {
				return
			}
		}
	}
}

// Version is a flow version that is in use; nil when it is not.
func (s *State) Version(hash string) *Graph {
	if v := s.versions[hash]; v != nil {
		return v.graph
	}
	return nil
}

// Newest is the newest version of a flow; nil when there is none or it was
// removed.
func (s *State) Newest(id engine.FlowID) *Graph {
	fs := s.flows[id]
	if fs == nil || s.versions[fs.current] == nil {
		return nil
	}
	return s.versions[fs.current].graph
}

// Parent is the run whose task has opened this one; "" for none.
func (r *Run) Parent() engine.RunID {
	if r.parent == nil {
		return ""
	}
	return r.parent.Run
}

// Knows reports whether there is, or was, a flow of a name.
func (s *State) Knows(id engine.FlowID) bool { return s.flows[id] != nil }

// Newests yields the newest version of every flow, by flow id.
func (s *State) Newests() iter.Seq[*Graph] {
	return func(yield func(*Graph) bool) {
		for _, id := range slices.Sorted(maps.Keys(s.flows)) {
			if g := s.Newest(id); g != nil && !yield(g) {
				return
			}
		}
	}
}

// Active is the number of runs of a flow that count for max_active_runs.
func (s *State) Active(id engine.FlowID) int {
	if fs := s.flows[id]; fs != nil {
		return fs.active.n
	}
	return 0
}

// DedupeFull reports whether caller keys younger than a day had to be
// forgotten for newer ones.
func (s *State) DedupeFull() bool { return s.seen.full }
