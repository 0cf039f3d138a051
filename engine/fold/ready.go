package fold

import "github.com/qarion/qarion/engine"

// ReadyTask is what a worker needs for the next attempt of a task. Small
// values travel along; of others only the place.
func (r *Run) ReadyTask(i int) engine.ReadyTask { return r.ReadyCell(CellRef{Task: i}) }

// ReadyCell is the same of a cell.
func (r *Run) ReadyCell(ref CellRef) engine.ReadyTask {
	i, t, whole := ref.Task, r.Cell(ref), &r.Tasks[ref.Task]
	rt := engine.ReadyTask{
		AttemptKey: r.KeyOf(ref), Flow: r.Graph.Flow.ID, Version: r.Graph.Hash, BatchID: r.Batch,
		ExecutionDate: r.execution, Variables: r.variables, VariablesAt: r.variablesAt,
		Again: t.Again, Waited: t.waited, Trace: r.trace,
	}
	task := &r.Graph.Flow.Tasks[i]
	rt.Jar = r.jars[task.Jar]
	if task.ReadsRun {
		rt.RunSoFar = r.soFar()
	}
	if rt.Carry, rt.Prev = t.carry, t.prev; t.carry == nil {
		rt.CarryAt = t.carryAt
	}
	rt.Wake = t.wake
	if whole.origin != nil && (ref.Item == 0 || whole.fan.how(ref.Item) == engine.ItemUnknown) {
		rt.KeyRun = whole.origin.KeyRun
	}
	if ref.Item > 0 {
		rt.ItemsAt = whole.fan.at
	} else if whole.fan != nil {
		rt.ItemsEnd = whole.fan.end(task)
		return rt // it has read its list, and joins what the items have left
	}
	if len(task.Pulls) == 0 && len(task.Responses) == 0 {
		return rt
	}
	budget := maxInline
	rt.Inputs = make([]engine.ReadyInput, 0, len(task.Pulls))
	seen := make(map[engine.TaskID]bool, len(task.Pulls))
	for _, reads := range [][]engine.TaskID{task.Pulls, task.Responses} {
		for _, id := range reads {
			if p, ok := r.Graph.Index[id]; ok && !seen[id] {
				seen[id] = true
				rt.Inputs = append(rt.Inputs, r.Tasks[p].input(id, &budget))
			}
		}
	}
	return rt
}

// maxInline bounds the upstream values in one ready task, in bytes.
const maxInline = 4 << 10

func (t *TaskState) input(id engine.TaskID, budget *int) engine.ReadyInput {
	in := engine.ReadyInput{Task: id, Attempts: t.attempt, None: !t.hasValue}
	if t.Status != engine.Success && !t.hasValue {
		in.Lacks = t.lacks(id)
		return in
	}
	size := len(t.value) + len(t.response)
	if size > 0 && size <= *budget {
		*budget -= size
		in.Value, in.Response = t.value, t.response
		return in
	}
	in.At = t.at
	return in
}

// lacks says why a task has left nothing.
func (t *TaskState) lacks(id engine.TaskID) string {
	switch t.Status {
	case engine.Skipped:
		return string(id) + " was skipped (" + t.reason + ")"
	case engine.Failed:
		return string(id) + " failed"
	case engine.Cancelled:
		return string(id) + " was cancelled"
	}
	return string(id) + " has not ended yet"
}
