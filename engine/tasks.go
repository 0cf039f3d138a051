package engine

import (
	"fmt"
	"slices"
)

// How many tasks a page has.
const (
	DefaultTaskLimit = 200
	MaxTaskLimit     = 1000
)

// TaskFilter chooses tasks of a run. A zero field chooses all.
type TaskFilter struct {
	Status Status
	After  TaskID // the page after this task
	Limit  int    // 0: DefaultTaskLimit, at most MaxTaskLimit
}

// Check refuses a status that no task has, and sets the limit. ErrInvalid.
func (f *TaskFilter) Check() error {
	if f.Status != "" && !slices.Contains(states[:], f.Status) {
		names := make([]string, len(states))
		for i, s := range states {
			names[i] = string(s)
		}
		text := fmt.Sprintf("status %.40q: a task is one of %v", f.Status, names)
		if near := Nearest(string(f.Status), names); near != "" {
			text += fmt.Sprintf(" (did you mean %q?)", near)
		}
		return fmt.Errorf("%w: %s", ErrInvalid, text)
	}
	if f.Limit < 0 || f.Limit > MaxTaskLimit {
		return fmt.Errorf("%w: limit is %d, want 1 to %d", ErrInvalid, f.Limit, MaxTaskLimit)
	}
	if f.Limit == 0 {
		f.Limit = DefaultTaskLimit
	}
	return nil
}

// TaskPage is a part of a run's tasks.
type TaskPage struct {
	Tasks   []TaskDoc `json:"tasks"`
	More    bool      `json:"more"`              // there are others after them
	Partial bool      `json:"partial,omitempty"` // of a run with more than MaxRunDocTasks, and the SQL tables do not tell of the others now
}

// Page is the part of the run's tasks that a filter chooses, of those that the
// document lists. ErrNotFound: it lists no task to go on after.
func (d *RunDoc) Page(f TaskFilter) (*TaskPage, error) {
	from := 0
	if f.After != "" {
		i := slices.IndexFunc(d.Tasks, func(t TaskDoc) bool { return t.TaskID == f.After })
		if i < 0 {
			return nil, fmt.Errorf("%w: run %s lists no task %q", ErrNotFound, d.RunID, f.After)
		}
		from = i + 1
	}
	page := &TaskPage{Tasks: []TaskDoc{}}
	for _, t := range d.Tasks[from:] {
		if f.Status != "" && t.Status != f.Status {
			continue
		}
		if len(page.Tasks) == f.Limit {
			page.More = true
			break
		}
		page.Tasks = append(page.Tasks, t)
	}
	return page, nil
}

// ListsAll reports whether the document lists every task of the run.
func (d *RunDoc) ListsAll() bool {
	n := 0
	for _, of := range d.Counts {
		n += of
	}
	return len(d.Tasks) >= n
}
