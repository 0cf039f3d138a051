package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/value"
)

// Compiled is what Compile found.
type Compiled struct {
	Problems    []Problem
	Credentials []CredentialUse // in the order of the tasks
}

// CredentialUse is a credential that a task will ask for.
type CredentialUse struct {
	ID    string
	Index int      // of the task in the flow, from 1
	Path  []string // of keys below the task
}

// Compile checks a flow against the task types and fills what the engine plans
// by: the whole set of dependencies, what each task reads, how often it may be
// tried. It reports every problem that it finds; a flow with one that is no
// warning must not run.
func Compile(f *Flow, types map[string]TaskType) Compiled {
	f.Strict, f.Reads = true, nil
	c := &compilation{flow: f, types: types, missing: map[string]bool{}, noValue: make([]string, len(f.Tasks)), index: make(map[TaskID]int, len(f.Tasks)), byName: make(map[string]TaskID, len(f.Tasks))}
	inputs := readInputs(f, c.add)
	c.environment(inputs)
	f.declareInputs()
	c.names()
	c.stages()
	for i := range f.Tasks {
		c.task(i)
	}
	for i := range f.Tasks {
		c.at = i + 1
		c.rule(&f.Tasks[i])
	}
	c.secrets()
	c.at = 0
	c.cycles()
	c.readNothing()
	c.origins()
	slices.Sort(f.Reads)
	f.link()
	return c.found
}

// secrets notes which of the values that a task reads are sensitive.
func (c *compilation) secrets() {
	for i := range c.flow.Tasks {
		t := &c.flow.Tasks[i]
		t.Secrets = nil
		for _, id := range slices.Concat(t.Pulls, t.Responses) {
			if at, ok := c.index[id]; ok && c.flow.Tasks[at].Sensitive && !slices.Contains(t.Secrets, id) {
				t.Secrets = append(t.Secrets, id)
			}
		}
	}
}

type compilation struct {
	flow     *Flow
	types    map[string]TaskType
	index    map[TaskID]int    // task -> place in the flow, of the first of that id
	byName   map[string]TaskID // template name -> task
	at       int               // the task that problems are of, from 1; 0: none
	near     suggester         // of task ids
	nearName suggester         // of the names that templates know
	missing  map[string]bool   // undeclared names that were told
	named    []string          // origins that tasks name
	noValue  []string          // why a task leaves no value
	uses     []valueUse
	found    Compiled
}

func (c *compilation) add(p Problem) {
	if p.Index == 0 {
		p.Index = c.at
	}
	if p.Index > 0 {
		p.Task = c.flow.Tasks[p.Index-1].ID
	}
	c.found.Problems = append(c.found.Problems, p)
}

// names collects the task ids; two that are one in template names collide.
func (c *compilation) names() {
	for i := range c.flow.Tasks {
		c.at = i + 1
		id := c.flow.Tasks[i].ID
		if id == "" { // whoever read the flow has said so
			continue
		}
		other, taken := c.byName[id.TemplateName()]
		if _, twice := c.index[id]; twice {
			c.add(Problem{Path: []string{"id"}, Code: "duplicate-task", Message: fmt.Sprintf("two tasks have the id %q", id)})
			continue
		}
		if taken {
			c.add(Problem{Path: []string{"id"}, Code: "duplicate-task", Message: fmt.Sprintf("in templates %q and %q are both %s", other, id, id.TemplateName())})
		}
		c.index[id] = i
		c.byName[id.TemplateName()] = id
		c.near.known = append(c.near.known, string(id))
	}
}

// task prepares one task and completes what it depends on.
func (c *compilation) task(i int) {
	c.at = i + 1
	t := &c.flow.Tasks[i]
	c.written(t)
	kind := c.types[t.Type]
	switch {
	case t.Type == "": // whoever read the flow has said so
		return
	case kind == nil:
		names := slices.Sorted(maps.Keys(c.types))
		c.add(Problem{Path: []string{"type"}, Code: "task-type", Suggestion: NearestType(t.Type, names),
			Message: fmt.Sprintf("unknown task type %s (there are: %s)", value.Quoted(t.Type), strings.Join(names, ", "))})
		if meant := c.types[NearestType(t.Type, names)]; meant != nil {
			c.templates(meant, t)
		}
		return
	}
	if _, uses := kind.(HookUser); t.Hooks.Len() > 0 && !uses {
		c.add(Problem{Path: []string{"hooks"}, Code: "unused", Message: fmt.Sprintf("a task of type %s has no hooks", t.Type)})
	}
	if _, uses := kind.(DatabaseUser); t.Database != "" && !uses {
		c.add(Problem{Path: []string{"database"}, Code: "unused", Message: fmt.Sprintf("a task of type %s works on no database", t.Type)})
	}
	if in, includes := kind.(Includer); includes {
		files, problems := in.Include(c.flow, t)
		t.Files = files
		for _, p := range problems {
			c.add(p)
		}
	}
	prog, problems := kind.Prepare(c.flow, t)
	for _, p := range problems {
		c.add(p)
	}
	if prog == nil {
		return
	}
	needs := prog.Needs()
	t.Subtype, t.Target, t.Unrepeatable, t.RepeatableTurns, t.OnInterrupted, t.Jar = needs.Subtype, needs.Target, needs.Unrepeatable, needs.RepeatableTurns, needs.OnInterrupted, needs.Jar
	t.MaxAttempts = needs.Retry.Count + 1
	t.Approvers = needs.Approvers
	c.noValue[i] = needs.NoValue
	c.named = append(c.named, needs.Origins...)
	r := taskReads{c: c, t: t, seen: map[edge]bool{}}
	for _, dep := range t.Dependencies {
		r.seen[edge{dep, &t.Dependencies}] = true
	}
	for _, use := range needs.Pulls {
		r.value(TaskID(use.Name), use, &t.Pulls)
	}
	for _, use := range needs.Names {
		r.name(use)
	}
	c.condition(t, &r)
	c.forEach(t, &r, &needs)
	t.Chooses = len(needs.Branches) > 0
	for _, use := range needs.Branches {
		c.branch(t, use)
	}
	for _, use := range needs.Credentials {
		c.found.Credentials = append(c.found.Credentials, CredentialUse{use.Name, c.at, use.Path})
	}
}

// templates looks at the templates of a task of an unknown type as those of the
// type that is meant, so that they need no second round of mending.
func (c *compilation) templates(meant TaskType, t *Task) {
	_, problems := meant.Prepare(c.flow, t)
	for _, p := range problems {
		if p.Code == "template" {
			c.add(p)
		}
	}
}

// written checks the dependencies as they stand in the file.
func (c *compilation) written(t *Task) {
	seen := make(map[TaskID]bool, len(t.Dependencies))
	for i, dep := range t.Dependencies {
		path := []string{"dependencies", fmt.Sprint(i)}
		_, known := c.index[dep]
		switch {
		case seen[dep]:
		case dep == t.ID:
			c.add(Problem{Path: path, Code: "cycle", Value: string(dep), Message: "the task depends on itself"})
		case !known:
			c.unknown(t, string(dep), path, string(dep))
		case c.later(t, dep):
			c.add(Problem{Path: path, Code: "stage", Value: string(dep), Message: c.tooLate(dep)})
		}
		seen[dep] = true
	}
	seen = make(map[TaskID]bool, len(t.Dependencies))
	t.Dependencies = slices.DeleteFunc(t.Dependencies, func(dep TaskID) bool {
		twice := seen[dep]
		seen[dep] = true
		return twice
	})
}

// stages refuses a name that later stages have of their own.
func (c *compilation) stages() {
	for i := range c.flow.Tasks {
		t := &c.flow.Tasks[i]
		if t.ReadsRun = false; t.Stage == StageTasks || !c.flow.declares("run") {
			continue
		}
		path := []string{"variables", "run"}
		if _, ok := c.flow.Input.Get("run"); ok {
			path[0] = "input"
		}
		c.at = 0
		c.add(Problem{Path: path, Code: "reserved", Message: "variable \"run\": tasks of " + StageName(t.Stage) + " read how the run stands under this name"})
		return
	}
}

// later reports whether a task runs in a later stage than another.
func (c *compilation) later(t *Task, id TaskID) bool {
	return c.flow.Tasks[c.index[id]].Stage > t.Stage
}

func (c *compilation) tooLate(id TaskID) string {
	return fmt.Sprintf("task %s is one of %s: it runs when the others have ended", id, StageName(c.flow.Tasks[c.index[id]].Stage))
}

// branch makes a task that another chooses depend on it.
func (c *compilation) branch(t *Task, use NameUse) {
	id := TaskID(use.Name)
	at, known := c.index[id]
	switch {
	case id == t.ID:
		c.add(Problem{Path: use.Path, Code: "cycle", Value: use.Name, Message: "the task follows itself"})
	case !known:
		c.unknown(t, use.Name, use.Path, use.Name)
	case c.flow.Tasks[at].Stage != t.Stage:
		c.add(Problem{Path: use.Path, Code: "stage", Value: use.Name, Message: fmt.Sprintf("task %s is one of %s, and this one of %s", id, StageName(c.flow.Tasks[at].Stage), StageName(t.Stage))})
	case !slices.Contains(c.flow.Tasks[at].Dependencies, t.ID):
		c.flow.Tasks[at].Dependencies = append(c.flow.Tasks[at].Dependencies, t.ID)
	}
}

func (c *compilation) unknown(t *Task, name string, path []string, text string) {
	c.add(Problem{Path: path, Code: "unknown-task", Value: text, Message: "no task " + value.Quoted(name), Suggestion: c.near.nearest(name, string(t.ID))})
}

// taskReads collects what a task reads of others, each once.
type taskReads struct {
	c    *compilation
	t    *Task
	seen map[edge]bool
}

type edge struct {
	to   TaskID
	list *[]TaskID // that it stands in
}

// name makes xcom_<task> and resp_<task> in a template a dependency. Any other
// name must be one of the context or a variable.
func (r *taskReads) name(use NameUse) {
	list := &r.t.Pulls
	name, ok := strings.CutPrefix(use.Name, "xcom_")
	if !ok {
		if name, ok = strings.CutPrefix(use.Name, "resp_"); !ok {
			r.c.variable(use)
			return
		}
		list = &r.t.Responses
	}
	if id, known := r.c.byName[name]; known {
		r.value(id, use, list)
		return
	}
	r.c.unknown(r.t, name, use.Path, use.Name)
}

// value notes that a task reads another's value, which makes it a dependency.
func (r *taskReads) value(id TaskID, use NameUse, list *[]TaskID) {
	at, known := r.c.index[id]
	switch {
	case id == r.t.ID:
		r.c.add(Problem{Path: use.Path, Code: "cycle", Value: use.Name, Message: "the task reads its own value"})
	case !known:
		r.c.unknown(r.t, string(id), use.Path, use.Name)
	case r.c.later(r.t, id):
		r.c.add(Problem{Path: use.Path, Code: "stage", Value: use.Name, Message: r.c.tooLate(id)})
	default:
		r.once(id, list)
		r.once(id, &r.t.Dependencies)
		if list == &r.t.Pulls && !use.Optional {
			r.c.uses = append(r.c.uses, valueUse{by: r.c.at, of: at, use: use})
		}
	}
}

func (r *taskReads) once(id TaskID, list *[]TaskID) {
	if e := (edge{id, list}); !r.seen[e] {
		r.seen[e] = true
		*list = append(*list, id)
	}
}
