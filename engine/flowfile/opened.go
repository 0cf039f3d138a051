package flowfile

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// opened looks at the tasks that are runs of other flows. A flow that opens itself in
// a roundabout way is an error; one that is not there is a warning, for its file may
// come later.
func (d *Dir) opened() {
	flows := map[engine.FlowID]*engine.Flow{}
	var ids []string
	for _, f := range d.Flows {
		flows[f.ID] = f
		ids = append(ids, string(f.ID))
	}
	round := map[engine.FlowID]*Error{}
	for _, f := range d.Flows {
		for i := range f.Tasks {
			t := &f.Tasks[i]
			to := t.Opens()
			if to == "" {
				continue
			}
			if flows[to] == nil && !d.brokenFlow(to) {
				e := &Error{File: f.File, Line: t.Line, Column: 1, Severity: SeverityWarning, Task: string(t.ID), Code: "unknown-flow", Message: "no flow " + value.Quoted(string(to))}
				e.Suggestion = engine.Nearest(string(to), ids)
				d.Found = append(d.Found, e)
			}
			if way := wayBack(flows, f.ID, to); way != nil && round[f.ID] == nil {
				round[f.ID] = &Error{File: f.File, Line: t.Line, Column: 1, Severity: SeverityError, Task: string(t.ID), Code: "cycle", Message: "cycle of flows: " + strings.Join(way, " -> ")}
			}
		}
	}
	d.Flows = slices.DeleteFunc(d.Flows, func(f *engine.Flow) bool {
		e := round[f.ID]
		if e != nil {
			d.Found = append(d.Found, e)
			d.Broken[f.File]++
		}
		return e != nil
	})
}

// brokenFlow reports whether a flow's file is there and has mistakes.
func (d *Dir) brokenFlow(id engine.FlowID) bool {
	for file := range d.Broken {
		if strings.TrimSuffix(filepath.Base(file), ".toml") == string(id) {
			return true
		}
	}
	return false
}

// wayBack is the shortest way from one flow by another one back to it; nil for none.
func wayBack(flows map[engine.FlowID]*engine.Flow, from, by engine.FlowID) []string {
	before := map[engine.FlowID]engine.FlowID{by: from}
	for next := []engine.FlowID{by}; len(next) > 0; next = next[1:] {
		at := next[0]
		if at == from {
			way := []string{string(from)}
			for at = before[from]; at != from; at = before[at] {
				way = append(way, string(at))
			}
			way = append(way, string(from))
			slices.Reverse(way)
			return way
		}
		if f := flows[at]; f != nil {
			for i := range f.Tasks {
				if to := f.Tasks[i].Opens(); to != "" {
					if _, seen := before[to]; !seen {
						before[to] = at
						next = append(next, to)
					}
				}
			}
		}
	}
	return nil
}
