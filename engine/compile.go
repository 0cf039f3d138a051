package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Compile checks a flow against the task types and fills what the engine plans
// by: the whole set of dependencies, what each task reads, how often it may be
// tried. It returns every problem that it finds; a flow with one that is no
// warning must not run.
func Compile(f *Flow, types map[string]TaskType) []Problem {
	c := &compilation{flow: f, types: types, ids: map[TaskID]bool{}, byName: map[string]TaskID{}}
	c.names()
	for i := range f.Tasks {
		c.task(&f.Tasks[i])
	}
	c.cycles()
	return c.problems
}

type compilation struct {
	flow     *Flow
	types    map[string]TaskType
	ids      map[TaskID]bool
	byName   map[string]TaskID // template name -> task
	problems []Problem
}

func (c *compilation) add(p Problem) { c.problems = append(c.problems, p) }

// names collects the task ids; two that are one in template names collide.
func (c *compilation) names() {
	for i := range c.flow.Tasks {
		id := c.flow.Tasks[i].ID
		switch other, taken := c.byName[id.TemplateName()]; {
		case c.ids[id]:
			c.add(Problem{Task: id, Path: []string{"id"}, Code: "duplicate-task", Message: fmt.Sprintf("two tasks have the id %q", id)})
		case taken:
			c.add(Problem{Task: id, Path: []string{"id"}, Code: "duplicate-task", Message: fmt.Sprintf("in templates %q and %q are both %s", other, id, id.TemplateName())})
		}
		c.ids[id] = true
		c.byName[id.TemplateName()] = id
	}
}

// task prepares one task and completes what it depends on.
func (c *compilation) task(t *Task) {
	c.written(t)
	kind := c.types[t.Type]
	if kind == nil {
		names := slices.Sorted(maps.Keys(c.types))
		c.add(Problem{Task: t.ID, Path: []string{"type"}, Code: "task-type", Suggestion: Nearest(t.Type, names),
			Message: fmt.Sprintf("unknown task type %q (there are: %s)", t.Type, strings.Join(names, ", "))})
		return
	}
	prog, problems := kind.Prepare(c.flow, t)
	for _, p := range problems {
		p.Task = t.ID
		c.add(p)
	}
	if prog == nil {
		return
	}
	needs := prog.Needs()
	t.Subtype, t.Unrepeatable, t.OnInterrupted = needs.Subtype, needs.Unrepeatable, needs.OnInterrupted
	t.MaxAttempts = needs.Retry.Count + 1
	for _, use := range needs.Pulls {
		c.reads(t, TaskID(use.Name), use, &t.Pulls)
	}
	for _, use := range needs.Names {
		c.templateName(t, use)
	}
}

// written checks the dependencies as they stand in the file.
func (c *compilation) written(t *Task) {
	for i, dep := range t.Dependencies {
		path := []string{"dependencies", fmt.Sprint(i)}
		switch {
		case dep == t.ID:
			c.add(Problem{Task: t.ID, Path: path, Code: "cycle", Value: string(dep), Message: "the task depends on itself"})
		case !c.ids[dep]:
			c.unknown(t, string(dep), path, string(dep))
		}
	}
	seen := make(map[TaskID]bool, len(t.Dependencies))
	t.Dependencies = slices.DeleteFunc(t.Dependencies, func(dep TaskID) bool {
		twice := seen[dep]
		seen[dep] = true
		return twice
	})
}

func (c *compilation) unknown(t *Task, name string, path []string, text string) {
	known := make([]string, 0, len(c.ids))
	for id := range c.ids {
		if id != t.ID {
			known = append(known, string(id))
		}
	}
	c.add(Problem{Task: t.ID, Path: path, Code: "unknown-task", Value: text, Message: fmt.Sprintf("no task %q", name), Suggestion: Nearest(name, known)})
}

// templateName makes xcom_<task> and resp_<task> in a template a dependency.
func (c *compilation) templateName(t *Task, use NameUse) {
	list := &t.Pulls
	name, ok := strings.CutPrefix(use.Name, "xcom_")
	if !ok {
		if name, ok = strings.CutPrefix(use.Name, "resp_"); !ok {
			return
		}
		list = &t.Responses
	}
	if id, known := c.byName[name]; known {
		c.reads(t, id, use, list)
		return
	}
	c.unknown(t, name, use.Path, use.Name)
}

// reads notes that a task reads another's value, which makes it a dependency.
func (c *compilation) reads(t *Task, id TaskID, use NameUse, list *[]TaskID) {
	switch {
	case id == t.ID:
		c.add(Problem{Task: t.ID, Path: use.Path, Code: "cycle", Value: use.Name, Message: "the task reads its own value"})
	case !c.ids[id]:
		c.unknown(t, string(id), use.Path, use.Name)
	default:
		if !slices.Contains(*list, id) {
			*list = append(*list, id)
		}
		if !slices.Contains(t.Dependencies, id) {
			t.Dependencies = append(t.Dependencies, id)
		}
	}
}

// cycles reports each circle of dependencies once, spelled out.
func (c *compilation) cycles() {
	const walking, done = 1, 2
	state := map[TaskID]int{}
	byID := map[TaskID]*Task{}
	for i := range c.flow.Tasks {
		byID[c.flow.Tasks[i].ID] = &c.flow.Tasks[i]
	}
	type frame struct {
		task *Task
		next int
	}
	for i := range c.flow.Tasks {
		if state[c.flow.Tasks[i].ID] != 0 {
			continue
		}
		stack := []frame{{task: &c.flow.Tasks[i]}}
		state[c.flow.Tasks[i].ID] = walking
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.task.Dependencies) {
				state[top.task.ID] = done
				stack = stack[:len(stack)-1]
				continue
			}
			dep := byID[top.task.Dependencies[top.next]]
			top.next++
			switch {
			case dep == nil || state[dep.ID] == done || dep == top.task:
			case state[dep.ID] == walking:
				var names []string
				from := slices.IndexFunc(stack, func(f frame) bool { return f.task == dep })
				for _, f := range stack[from:] {
					names = append(names, string(f.task.ID))
				}
				slices.Reverse(names)
				names = append([]string{string(dep.ID)}, names...)
				next := dep.Dependencies[stack[from].next-1]
				c.add(Problem{Task: dep.ID, Path: []string{"dependencies"}, Value: string(next), Code: "cycle", Message: "cycle: " + strings.Join(names, " -> ")})
			default:
				state[dep.ID] = walking
				stack = append(stack, frame{task: dep})
			}
		}
	}
}
