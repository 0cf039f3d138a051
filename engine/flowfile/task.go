package flowfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

func (f *file) readTasks(t *table) {
	n := t.vals["tasks"]
	switch {
	case n == nil:
		f.add(span{}, Error{Key: "tasks", Code: "missing", Message: "the flow has no tasks: [[tasks]] is missing"})
		return
	case !n.isList:
		f.add(n.key, Error{Key: "tasks", Code: "wrong-type", Message: "tasks are written as [[tasks]]"})
		return
	case len(n.list) == 0:
		f.add(n.key, Error{Key: "tasks", Code: "missing", Message: "the flow has no tasks"})
		return
	case len(n.list) > engine.MaxTasks:
		f.add(n.key, Error{Key: "tasks", Code: "too-many", Message: fmt.Sprintf("the flow has %d tasks, at most %d are possible", len(n.list), engine.MaxTasks)})
		return
	}
	f.readDefaults(t)
	for _, e := range n.list {
		if e.table == nil {
			f.add(e.place, Error{Key: "tasks", Code: "wrong-type", Message: "a task is a table: [[tasks]]"})
			continue
		}
		f.task(e, engine.StageTasks)
	}
}

// readStages reads [[on_failure.tasks]] and [[finally.tasks]].
func (f *file) readStages(t *table) {
	for stage := engine.StageOnFailure; stage < engine.Stages; stage++ {
		name := engine.StageName(stage)
		block := f.table(t, name)
		if block == nil {
			continue
		}
		f.unknown(block, []string{"tasks"}, "key of "+name)
		n := block.vals["tasks"]
		switch {
		case n == nil || n.isList && len(n.list) == 0:
			f.add(t.vals[name].key, Error{Key: name, Code: "missing", Width: len(name), Message: fmt.Sprintf("%s has no tasks: [[%s.tasks]] is missing", name, name)})
			continue
		case !n.isList:
			f.add(n.key, Error{Key: "tasks", Code: "wrong-type", Message: fmt.Sprintf("tasks of %s are written as [[%s.tasks]]", name, name)})
			continue
		case len(f.flow.Tasks)+len(n.list) > engine.MaxTasks:
			f.add(n.key, Error{Key: "tasks", Code: "too-many", Message: fmt.Sprintf("the flow has more than %d tasks", engine.MaxTasks)})
			return
		}
		f.flow.FinallyTimeout = f.span(t, "finally_timeout", engine.DefaultFinallyTimeout)
		for _, e := range n.list {
			if e.table == nil {
				f.add(e.place, Error{Key: "tasks", Code: "wrong-type", Message: fmt.Sprintf("a task is a table: [[%s.tasks]]", name)})
				continue
			}
			f.task(e, stage)
		}
	}
	if n := t.vals["finally_timeout"]; n != nil && f.flow.FinallyTimeout == 0 {
		f.add(n.key, Error{Key: "finally_timeout", Code: "unused", Width: len("finally_timeout"), Message: "finally_timeout: there are neither [[on_failure.tasks]] nor [[finally.tasks]]"})
	}
}

// readDefaults reads [defaults.<task type>].
func (f *file) readDefaults(t *table) {
	f.defaults = map[string]*node{}
	d := f.table(t, "defaults")
	if d == nil {
		return
	}
	for _, kind := range d.keys {
		if f.types[kind] == nil {
			f.add(d.vals[kind].key, Error{Key: kind, Code: "task-type", Width: len(kind), Message: "defaults for unknown task type " + value.Quoted(kind),
				Suggestion: engine.NearestType(kind, typeNames(f.types))})
			continue
		}
		if f.table(d, kind) != nil {
			f.defaults[kind] = d.vals[kind]
		}
	}
}

func (f *file) task(n *node, stage int) {
	t := n.table
	id := f.taskID(n)
	f.reading = id
	defer func() { f.reading = "" }()
	f.misplaced(t)
	task := engine.Task{
		ID: id, Stage: stage, Name: f.text(t, "name", ""), Description: f.text(t, "description", ""), Type: f.text(t, "type", ""), Line: f.places.of(n.key.at).line,
		Sensitive: f.flag(t, "sensitive", false), Database: f.text(t, "database", ""),
	}
	if task.Type == "" && f.judges(t, "type") {
		f.add(n.placeOf("type"), Error{Key: "type", Code: "missing", Message: "type is missing (there are: " + strings.Join(typeNames(f.types), ", ") + ")"})
	}
	for _, dep := range f.strings(t, "dependencies") {
		task.Dependencies = append(task.Dependencies, engine.TaskID(dep))
	}
	task.When, task.TriggerRule = f.text(t, "when", ""), f.text(t, "trigger_rule", "")
	task.ContinueOnError = f.flag(t, "continue_on_error", false)
	f.forEach(t, &task)
	if t.vals["properties"] != nil && f.table(t, "properties") == nil {
		task.Type = "" // what is wrong is told; nothing else can be said of it
	}
	task.Properties = f.properties(t.vals["properties"], task.Type)
	if c := t.vals["config"]; c != nil && f.table(t, "config") != nil {
		f.finite(c, "config")
		task.Config = c.table.plain()
	}
	if h := t.vals["hooks"]; h != nil && f.table(t, "hooks") != nil {
		f.finite(h, "hooks")
		task.Hooks = h.table.plain()
	}
	f.flow.Tasks = append(f.flow.Tasks, task)
	f.tasks = append(f.tasks, n)
}

// misplaced reports the unknown keys of a task, and those that are properties of
// its type.
func (f *file) misplaced(t *table) {
	var properties []string
	if kind := t.vals["type"]; kind != nil {
		name, _ := kind.scalar.(string)
		if namer, ok := f.types[name].(engine.PropertyNamer); ok {
			properties = namer.PropertyNames()
		}
	}
	for _, k := range t.keys {
		if slices.Contains(properties, k) && !slices.Contains(taskKeys, k) {
			f.add(t.vals[k].key, Error{Key: k, Code: "misplaced", Width: len(k), Message: fmt.Sprintf("%s is a property: write it under [tasks.properties]", value.Quoted(k))})
		}
	}
	f.unknown(t, slices.Concat(taskKeys, properties), "key")
}

// taskID reads a task's id; "" when it has none that can be used.
func (f *file) taskID(n *node) engine.TaskID {
	id := f.text(n.table, "id", "")
	if id == "" {
		if f.judges(n.table, "id") {
			f.add(n.placeOf("id"), Error{Key: "id", Code: "missing", Message: "a task has no id"})
		}
		return ""
	}
	parsed, err := engine.ParseTaskID(id)
	if err != nil {
		f.add(n.table.vals["id"].place, Error{Key: "id", Code: "bad-id", Message: strings.TrimPrefix(err.Error(), "invalid: ")})
		return ""
	}
	return parsed
}

// properties are those of a task, over the defaults of its type.
func (f *file) properties(own *node, kind string) *value.Map {
	out := value.NewMap(8)
	if own != nil && own.table != nil {
		out = own.table.plain()
	}
	if d := f.defaults[kind]; d != nil {
		for _, k := range d.table.keys {
			if _, given := out.Get(k); !given {
				out.Set(k, d.table.vals[k].plain())
			}
		}
	}
	return out
}

func typeNames(types Types) []string {
	names := make([]string, 0, len(types))
	for n := range types {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// between are the codes of problems that properties have with each other, or
// with the flow: they belong to the task, also when one comes from the defaults.
var between = []string{"missing", "unused", "body-not-allowed", "cycle", "repeatable"}

// problem gives a problem of the flow its place: the value of the key that it
// names, or the piece of text inside it.
func (f *file) problem(p engine.Problem) {
	n := f.root
	e := Error{Task: string(p.Task), Code: p.Code, Message: p.Message, Suggestion: p.Suggestion}
	if p.Warning {
		e.Severity = SeverityWarning
	}
	if p.Index > 0 {
		n = f.tasks[p.Index-1]
		if d := f.fromDefaults(p); d != nil {
			n, p.Path, e.Task = d, p.Path[1:], ""
			told := toldDefault{strings.Join(p.Path, "\x00"), p.Message}
			if f.told[told] {
				return
			}
			f.told[told] = true
		}
	}
	found := n.find(p.Path)
	at := found.place
	if len(p.Path) > 0 {
		e.Key = p.Path[len(p.Path)-1]
		if strings.HasPrefix(p.Code, "unknown-property") {
			at, e.Width = found.key, len(e.Key)
		}
	} else {
		at = found.key
	}
	if piece, ok := f.places.within(at, p.Value); ok {
		at, e.Width = piece, utf8.RuneCountInString(p.Value)
	}
	f.add(at, e)
}

// toldDefault is a problem of a default, which every task has and one says.
type toldDefault struct{ path, message string }

// fromDefaults returns the defaults when the property that a problem names comes
// from there.
func (f *file) fromDefaults(p engine.Problem) *node {
	if len(p.Path) < 2 || p.Path[0] != "properties" || slices.Contains(between, p.Code) {
		return nil
	}
	d := f.defaults[f.flow.Tasks[p.Index-1].Type]
	if d == nil || d.table.vals[p.Path[1]] == nil {
		return nil
	}
	if own := f.tasks[p.Index-1].table.vals["properties"]; own != nil && own.table != nil && own.table.vals[p.Path[1]] != nil {
		return nil
	}
	return d
}
