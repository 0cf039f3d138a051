package flowfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// The keys of a flow file.
var (
	flowKeys = []string{
		"id", "name", "description", "namespace", "flow_type", "input", "variables", "defaults", "timeout",
		"max_active_runs", "on_overlap", "priority", "database", "triggers", "tasks", "on_failure", "finally", "finally_timeout",
	}
	taskKeys   = []string{"id", "name", "description", "type", "dependencies", "sensitive", "database", "when", "trigger_rule", "continue_on_error", "for_each", "max_parallel", "on_item_failure", "tolerate", "batch", "properties", "config", "hooks"}
	overlaps   = []string{engine.OverlapQueue, engine.OverlapSkip, engine.OverlapCancel}
	priorities = []string{"low", "normal", "high"}
	// triggerKeys are the keys of a trigger, by its type; every type has the common ones.
	triggerKeys = map[string][]string{
		"cli": nil, "nats": {"subject"},
		engine.TriggerSchedule: {"cron", "schedule", "every", "timezone", "catchup", "catchup_window", "max_catchup", "jitter", "variables"},
	}
	triggerTypes  = []string{"cli", "nats", engine.TriggerSchedule}
	commonTrigger = []string{"id", "type", "enabled", "description"}
	plannedTypes  = []string{"webhook", "flow"}
	clockWords    = map[string]string{"cron": "schedule", "interval": "schedule", "timer": "schedule", "scheduled": "schedule"} // of other tools
)

// build makes the flow out of the tree and checks it against the task types.
func (f *file) build() {
	t := f.root.table
	f.unknown(t, flowKeys, "key")
	flow := &engine.Flow{
		File: f.name, Name: f.text(t, "name", ""), Description: f.text(t, "description", ""), Namespace: f.text(t, "namespace", ""),
		Timeout:   f.span(t, "timeout", engine.DefaultRunTimeout),
		OnOverlap: f.text(t, "on_overlap", ""), Database: f.text(t, "database", ""),
	}
	f.flow = flow
	f.id(t)
	if kind := f.text(t, "flow_type", "standard"); kind != "standard" {
		f.add(t.vals["flow_type"].place, Error{Key: "flow_type", Code: "flow-type", Message: fmt.Sprintf("flow type %s is not supported (there is: standard)", value.Quoted(kind))})
	}
	if flow.OnOverlap != "" && !slices.Contains(overlaps, flow.OnOverlap) {
		f.add(t.vals["on_overlap"].place, Error{Key: "on_overlap", Code: "unknown-word", Suggestion: engine.Nearest(flow.OnOverlap, overlaps),
			Message: fmt.Sprintf("on_overlap is %s, want one of %s", value.Quoted(flow.OnOverlap), strings.Join(overlaps, ", "))})
	}
	switch priority := f.text(t, "priority", "normal"); {
	case !slices.Contains(priorities, priority):
		f.add(t.vals["priority"].place, Error{Key: "priority", Code: "unknown-word", Suggestion: engine.Nearest(priority, priorities),
			Message: fmt.Sprintf("priority is %s, want one of %s", value.Quoted(priority), strings.Join(priorities, ", "))})
	case priority != "normal":
		flow.Priority = priority
	}
	if n, ok := f.whole(t, "max_active_runs", 1, 1_000_000); ok {
		flow.MaxActiveRuns = n
	}
	f.variables(t)
	f.input(t)
	flow.Enter(f.environment)
	f.triggers(t)
	f.readTasks(t)
	f.readStages(t)
	compiled := engine.Compile(flow, f.types)
	f.triggerVariables()
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
			f.add(vars.vals[name].key, Error{Key: name, Code: "reserved", Width: len(name), Message: fmt.Sprintf("variable %s: the name is reserved", value.Quoted(name))})
		}
		f.finite(vars.vals[name], name)
	}
	f.flow.Variables = vars.plain()
}

func (f *file) input(t *table) {
	in := f.table(t, "input")
	if in == nil {
		return
	}
	f.flow.Input = value.NewMap(len(in.keys))
	for _, name := range in.keys {
		if f.finite(in.vals[name], name) {
			f.flow.Input.Set(name, in.vals[name].plain())
		}
	}
}

// maxTriggers is how many triggers a flow may have.
const maxTriggers = 1000

func (f *file) triggers(t *table) {
	n := t.vals["triggers"]
	if n == nil {
		return
	}
	if !n.isList {
		f.add(n.key, Error{Key: "triggers", Code: "wrong-type", Message: "triggers are written as [[triggers]]"})
		return
	}
	if len(n.list) > maxTriggers {
		f.add(n.key, Error{Key: "triggers", Code: "too-many", Message: fmt.Sprintf("%d triggers, at most %d", len(n.list), maxTriggers)})
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
		ID: f.text(n.table, "id", ""), Enabled: f.flag(n.table, "enabled", true), Description: f.text(n.table, "description", ""),
	}
	at := n.key
	if k := n.table.vals["type"]; k != nil {
		at = k.place
		if _, text := k.scalar.(string); !text {
			f.wrong(k, "type", "a string")
			return
		}
	}
	tr.Type = f.text(n.table, "type", "")
	keys, known := triggerKeys[tr.Type]
	switch {
	case tr.Type == "":
		f.add(at, Error{Key: "type", Code: "missing", Message: "a trigger has no type (there are: " + strings.Join(triggerTypes, ", ") + ")"})
		return
	case slices.Contains(plannedTypes, tr.Type):
		f.add(at, Error{Key: "type", Code: "trigger-type", Message: fmt.Sprintf("trigger type %s is not supported in this version (there are: %s)", value.Quoted(tr.Type), strings.Join(triggerTypes, ", "))})
		return
	case !known:
		f.add(at, Error{Key: "type", Code: "trigger-type", Suggestion: engine.Meant(tr.Type, triggerTypes, clockWords),
			Message: fmt.Sprintf("unknown trigger type %s (there are: %s)", value.Quoted(tr.Type), strings.Join(triggerTypes, ", "))})
		return
	}
	f.unknown(n.table, append(slices.Clone(commonTrigger), keys...), "trigger key")
	tr.Settings = value.NewMap(len(keys))
	switch tr.Type {
	case engine.TriggerSchedule:
		f.triggerID(n, &tr)
		f.schedule(n.table, n.key, &tr)
	default:
		for _, k := range keys {
			v := n.table.vals[k]
			if v == nil {
				continue
			}
			if text := f.text(n.table, k, "?"); text == "" {
				f.add(v.place, Error{Key: k, Code: "empty", Message: k + " is empty"})
			}
			tr.Settings.Set(k, v.plain())
		}
	}
	f.flow.Triggers = append(f.flow.Triggers, tr)
	f.triggerNodes = append(f.triggerNodes, n)
}
