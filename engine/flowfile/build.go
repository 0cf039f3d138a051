package flowfile

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// The keys of a flow file.
var (
	flowKeys = []string{
		"id", "name", "description", "namespace", "flow_type", "input", "variables", "defaults", "timeout",
		"max_active_runs", "on_overlap", "triggers", "tasks",
	}
	taskKeys = []string{"id", "name", "description", "type", "dependencies", "properties", "config"}
	overlaps = []string{engine.OverlapQueue, engine.OverlapSkip, engine.OverlapCancel}
	// triggerKeys are the keys of a trigger, by its type; every type has the common ones.
	triggerKeys   = map[string][]string{"cli": nil, "nats": {"subject"}}
	commonTrigger = []string{"id", "type", "enabled", "description"}
	plannedTypes  = []string{"schedule", "webhook", "flow"}
	plannedTasks  = []string{"when", "trigger_rule", "for_each", "max_parallel", "hooks"}
)

// build makes the flow out of the tree and checks it against the task types.
func (f *file) build() {
	t := f.root.table
	f.unknown(t, flowKeys, "key", "")
	flow := &engine.Flow{
		File: f.name, Name: f.text(t, "name", ""), Description: f.text(t, "description", ""), Namespace: f.text(t, "namespace", ""),
		Timeout:   f.span(t, "timeout", engine.DefaultRunTimeout),
		OnOverlap: f.text(t, "on_overlap", ""),
	}
	f.flow = flow
	f.id(t)
	if kind := f.text(t, "flow_type", "standard"); kind != "standard" {
		f.add(t.vals["flow_type"].place, Error{Key: "flow_type", Code: "flow-type", Message: fmt.Sprintf("flow type %q is not supported (there is: standard)", kind)})
	}
	if flow.OnOverlap != "" && !slices.Contains(overlaps, flow.OnOverlap) {
		f.add(t.vals["on_overlap"].place, Error{Key: "on_overlap", Code: "unknown-word", Suggestion: engine.Nearest(flow.OnOverlap, overlaps),
			Message: fmt.Sprintf("on_overlap is %q, want one of %s", flow.OnOverlap, strings.Join(overlaps, ", "))})
	}
	if n, ok := f.whole(t, "max_active_runs", 1, 1_000_000); ok {
		flow.MaxActiveRuns = n
	}
	f.variables(t)
	f.triggers(t)
	f.readTasks(t)
	compiled := engine.Compile(flow, f.types)
	for _, p := range compiled.Problems {
		f.problem(p)
	}
	for _, use := range compiled.Credentials {
		f.credential(use)
	}
}

// credential notes where a task names a credential.
func (f *file) credential(use engine.CredentialUse) {
	e := Error{Task: string(f.flow.Tasks[use.Index-1].ID), Key: use.Path[len(use.Path)-1], Width: utf8.RuneCountInString(use.ID)}
	at := f.tasks[use.Index-1].find(use.Path).place
	if name, ok := f.places.within(at, use.ID); ok {
		at = name
	}
	f.locate(at, &e)
	f.credentials = append(f.credentials, CredentialUse{ID: use.ID, at: e})
}

func (f *file) id(t *table) {
	base := strings.TrimSuffix(filepath.Base(f.name), ".toml")
	s := f.text(t, "id", base)
	id, err := engine.ParseFlowID(s)
	if err != nil {
		at := span{}
		if n := t.vals["id"]; n != nil {
			at = n.place
		}
		f.add(at, Error{Key: "id", Code: "bad-id", Message: strings.TrimPrefix(err.Error(), "invalid: ")})
	}
	f.flow.ID = id
}

func (f *file) variables(t *table) {
	vars := f.table(t, "variables")
	if vars == nil {
		return
	}
	for _, name := range vars.keys {
		if engine.ReservedName(name) {
			f.add(vars.vals[name].key, Error{Key: name, Code: "reserved", Width: len(name), Message: fmt.Sprintf("variable %q: the name is reserved", name)})
		}
		f.finite(vars.vals[name], name)
	}
	f.flow.Variables = vars.plain()
}

// finite refuses infinities and NaN, which neither JSON nor a template can
// carry.
func (f *file) finite(n *node, key string) {
	if x, ok := n.scalar.(float64); ok && (math.IsInf(x, 0) || math.IsNaN(x)) {
		f.add(n.place, Error{Key: key, Code: "not-finite", Message: fmt.Sprintf("%s: inf and nan cannot be used", key)})
	}
	for _, e := range n.list {
		f.finite(e, key)
	}
	if n.table != nil {
		for _, k := range n.table.keys {
			f.finite(n.table.vals[k], k)
		}
	}
}

func (f *file) triggers(t *table) {
	n := t.vals["triggers"]
	if n == nil {
		return
	}
	if !n.isList {
		f.add(n.key, Error{Key: "triggers", Code: "wrong-type", Message: "triggers are written as [[triggers]]"})
		return
	}
	for _, e := range n.list {
		if e.table == nil {
			f.add(e.place, Error{Key: "triggers", Code: "wrong-type", Message: "a trigger is a table: [[triggers]]"})
			continue
		}
		f.trigger(e)
	}
}

func (f *file) trigger(n *node) {
	tr := engine.TriggerSpec{
		ID: f.text(n.table, "id", ""), Type: f.text(n.table, "type", ""), Enabled: f.flag(n.table, "enabled", true),
		Description: f.text(n.table, "description", ""),
	}
	keys, known := triggerKeys[tr.Type]
	at := n.key
	if k := n.table.vals["type"]; k != nil {
		at = k.place
	}
	switch {
	case slices.Contains(plannedTypes, tr.Type):
		f.add(at, Error{Key: "type", Code: "trigger-type", Message: fmt.Sprintf("trigger type %q is not supported in this version (there are: cli, nats)", tr.Type)})
		return
	case !known:
		f.add(at, Error{Key: "type", Code: "trigger-type", Message: fmt.Sprintf("unknown trigger type %q (there are: cli, nats)", tr.Type)})
		return
	}
	f.unknown(n.table, append(slices.Clone(commonTrigger), keys...), "trigger key", "")
	tr.Settings = value.NewMap(len(keys))
	for _, k := range keys {
		if v := n.table.vals[k]; v != nil {
			tr.Settings.Set(k, v.plain())
		}
	}
	f.flow.Triggers = append(f.flow.Triggers, tr)
}

func (f *file) readTasks(t *table) {
	n := t.vals["tasks"]
	switch {
	case n == nil:
		f.add(span{}, Error{Key: "tasks", Code: "missing", Message: "the flow has no tasks: [[tasks]] is missing"})
		return
	case !n.isList:
		f.add(n.key, Error{Key: "tasks", Code: "wrong-type", Message: "tasks are written as [[tasks]]"})
		return
	case len(n.list) > engine.MaxTasks:
		f.add(n.key, Error{Key: "tasks", Code: "too-many", Message: fmt.Sprintf("the flow has %d tasks, at most %d are possible", len(n.list), engine.MaxTasks)})
		return
	}
	defaults := f.defaults(t)
	for _, e := range n.list {
		if e.table == nil {
			f.add(e.place, Error{Key: "tasks", Code: "wrong-type", Message: "a task is a table: [[tasks]]"})
			continue
		}
		f.task(e, defaults)
	}
}

// defaults reads [defaults.<task type>].
func (f *file) defaults(t *table) map[string]*table {
	out := map[string]*table{}
	d := f.table(t, "defaults")
	if d == nil {
		return out
	}
	for _, kind := range d.keys {
		if f.types[kind] == nil {
			f.add(d.vals[kind].key, Error{Key: kind, Code: "task-type", Width: len(kind), Message: fmt.Sprintf("defaults for unknown task type %q", kind)})
			continue
		}
		out[kind] = f.table(d, kind)
	}
	return out
}

func (f *file) task(n *node, defaults map[string]*table) {
	t := n.table
	id := f.text(t, "id", "")
	for _, k := range t.keys {
		if slices.Contains(plannedTasks, k) {
			f.add(t.vals[k].key, Error{Task: id, Key: k, Code: "unsupported", Width: len(k), Message: fmt.Sprintf("%q is not supported in this version", k)})
		}
	}
	f.unknown(t, append(slices.Clone(taskKeys), plannedTasks...), "key", id)
	task := engine.Task{
		Name: f.text(t, "name", ""), Description: f.text(t, "description", ""), Type: f.text(t, "type", ""), Line: f.places.of(n.key.at).line,
	}
	if id == "" {
		f.add(n.key, Error{Key: "id", Code: "missing", Message: "a task has no id"})
	} else if parsed, err := engine.ParseTaskID(id); err != nil {
		f.add(t.vals["id"].place, Error{Task: id, Key: "id", Code: "bad-id", Message: strings.TrimPrefix(err.Error(), "invalid: ")})
	} else {
		task.ID = parsed
	}
	if task.Type == "" {
		f.add(n.key, Error{Task: id, Key: "type", Code: "missing", Message: "type is missing (there are: " + strings.Join(typeNames(f.types), ", ") + ")"})
	}
	for _, dep := range f.strings(t, "dependencies", id) {
		task.Dependencies = append(task.Dependencies, engine.TaskID(dep))
	}
	task.Properties = value.NewMap(8)
	if p := f.table(t, "properties"); p != nil {
		task.Properties = p.plain()
		f.finite(t.vals["properties"], "properties")
	}
	if d := defaults[task.Type]; d != nil {
		for _, k := range d.keys {
			if _, own := task.Properties.Get(k); !own {
				task.Properties.Set(k, d.vals[k].plain())
			}
		}
	}
	if c := f.table(t, "config"); c != nil {
		task.Config = c.plain()
	}
	f.flow.Tasks = append(f.flow.Tasks, task)
	f.tasks = append(f.tasks, n)
}

func typeNames(types Types) []string {
	names := make([]string, 0, len(types))
	for n := range types {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// problem gives a problem of the flow its place: the value of the key that it
// names, or the piece of text inside it.
func (f *file) problem(p engine.Problem) {
	n := f.root
	if p.Index > 0 {
		n = f.tasks[p.Index-1]
	}
	found := n.find(p.Path)
	e := Error{Task: string(p.Task), Code: p.Code, Message: p.Message, Suggestion: p.Suggestion}
	if p.Warning {
		e.Severity = SeverityWarning
	}
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

// Readers of one key; a wrong type is noted at its place.

func (f *file) unknown(t *table, known []string, what, task string) {
	for _, k := range t.keys {
		if !slices.Contains(known, k) {
			f.add(t.vals[k].key, Error{Task: task, Key: k, Code: "unknown-key", Width: len(k), Message: fmt.Sprintf("unknown %s %q", what, k), Suggestion: engine.Nearest(k, known)})
		}
	}
}

func (f *file) wrong(n *node, key, want string) {
	f.add(n.place, Error{Key: key, Code: "wrong-type", Message: fmt.Sprintf("%s is a %s, want %s", key, value.TypeName(n.plain()), want)})
}

func (f *file) text(t *table, key, def string) string {
	n := t.vals[key]
	if n == nil {
		return def
	}
	s, ok := n.scalar.(string)
	if !ok {
		f.wrong(n, key, "a string")
		return def
	}
	return s
}

func (f *file) flag(t *table, key string, def bool) bool {
	n := t.vals[key]
	if n == nil {
		return def
	}
	b, ok := n.scalar.(bool)
	if !ok {
		f.wrong(n, key, "true or false")
		return def
	}
	return b
}

func (f *file) whole(t *table, key string, low, high int64) (int, bool) {
	n := t.vals[key]
	if n == nil {
		return 0, false
	}
	i, ok := n.scalar.(int64)
	if !ok {
		f.wrong(n, key, "an integer")
		return 0, false
	}
	if i < low || i > high {
		f.add(n.place, Error{Key: key, Code: "out-of-range", Message: fmt.Sprintf("%s is %d, want %d to %d", key, i, low, high)})
		return 0, false
	}
	return int(i), true
}

// maxSpan is the longest time span that a flow may name.
const maxSpan = 366 * 24 * time.Hour

func (f *file) span(t *table, key string, def time.Duration) time.Duration {
	n := t.vals[key]
	if n == nil {
		return def
	}
	var d time.Duration
	switch v := n.scalar.(type) {
	case int64:
		d = time.Duration(max(min(v, int64(maxSpan/time.Second)+1), -1)) * time.Second
	case float64:
		d = time.Duration(max(min(v, maxSpan.Seconds()+1), -1) * float64(time.Second))
	case string:
		var err error
		if d, err = time.ParseDuration(v); err != nil {
			f.add(n.place, Error{Key: key, Code: "wrong-type", Message: fmt.Sprintf("%s: %q is not a time span such as \"1.5s\" or \"2m\"", key, v)})
			return def
		}
	default:
		f.wrong(n, key, "seconds or text such as \"2m\"")
		return def
	}
	if d <= 0 || d > maxSpan {
		f.add(n.place, Error{Key: key, Code: "out-of-range", Message: key + " must be more than 0 and at most a year"})
		return def
	}
	return d
}

func (f *file) table(t *table, key string) *table {
	n := t.vals[key]
	if n == nil {
		return nil
	}
	if n.table == nil {
		f.wrong(n, key, "a table")
	}
	return n.table
}

func (f *file) strings(t *table, key, task string) (out []string) {
	n := t.vals[key]
	if n == nil {
		return nil
	}
	if s, ok := n.scalar.(string); ok {
		return []string{s}
	}
	for _, e := range n.list {
		s, ok := e.scalar.(string)
		if !ok {
			f.wrong(e, key, "a string")
			continue
		}
		out = append(out, s)
	}
	if !n.isList {
		f.wrong(n, key, "a list of strings")
	}
	return out
}
