package flowfile

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// The readers of one key. A value of a wrong type is noted at its place and
// read as its default, and nothing more is said of it.

// judges reports whether a key is absent or has text, so that what it says can
// be judged.
func (f *file) judges(t *table, key string) bool {
	n := t.vals[key]
	if n == nil {
		return true
	}
	_, text := n.scalar.(string)
	return text
}

// finite refuses infinities and NaN, which neither JSON nor a template can
// carry.
func (f *file) finite(n *node, key string) bool {
	good := true
	if x, ok := n.scalar.(float64); ok && (math.IsInf(x, 0) || math.IsNaN(x)) {
		f.add(n.place, Error{Key: key, Code: "not-finite", Message: key + ": inf and nan cannot be used"})
		good = false
	}
	for _, e := range n.list {
		good = f.finite(e, key) && good
	}
	if n.table != nil {
		for _, k := range n.table.keys {
			good = f.finite(n.table.vals[k], k) && good
		}
	}
	return good
}

func (f *file) unknown(t *table, known []string, what string) {
	for _, k := range t.keys {
		if !slices.Contains(known, k) {
			f.add(t.vals[k].key, Error{Key: k, Code: "unknown-key", Width: len(k), Message: fmt.Sprintf("unknown %s %s", what, value.Quoted(k)), Suggestion: engine.Meant(k, known, keyWords)})
		}
	}
}

// keyWords are the words of other tools for the keys of flows, tasks and
// triggers.
var keyWords = map[string]string{
	"dag_id": "id", "flow_id": "id", "task_id": "id", "step_id": "id", "pipeline": "id", "key": "id", "title": "name", "label": "name", "desc": "description",
	"depends_on": "dependencies", "depends": "dependencies", "needs": "dependencies", "requires": "dependencies", "after": "dependencies",
	"upstream": "dependencies", "upstream_tasks": "dependencies", "run_after": "dependencies", "parents": "dependencies",
	"kind": "type", "operator": "type", "uses": "type", "action": "type", "plugin": "type",
	"with": "properties", "args": "properties", "arguments": "properties", "parameters": "properties", "params": "properties",
	"inputs": "input", "options": "properties", "settings": "properties", "secret": "sensitive", "private": "sensitive",
	"vars": "variables", "env": "variables", "default_args": "defaults", "default": "defaults",
	"steps": "tasks", "jobs": "tasks", "nodes": "tasks", "task": "tasks", "trigger": "triggers", "on": "triggers",
	"if": "when", "condition": "when", "run_if": "when", "rule": "trigger_rule", "allow_failure": "continue_on_error", "ignore_errors": "continue_on_error",
	"concurrency": "max_active_runs", "max_runs": "max_active_runs", "max_concurrent_runs": "max_active_runs",
	"on_error": "on_failure", "onfailure": "on_failure", "errors": "on_failure", "on_exit": "finally", "always": "finally", "cleanup": "finally", "after_all": "finally",
	"execution_timeout": "timeout", "dagrun_timeout": "timeout",
}

func (f *file) wrong(n *node, key, want string) {
	f.add(n.place, Error{Key: key, Code: "wrong-type", Message: fmt.Sprintf("%s is %s, want %s", key, value.Kind(n.plain()), want)})
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
		if !f.finite(n, key) {
			return def
		}
		d = time.Duration(max(min(v, maxSpan.Seconds()+1), -1) * float64(time.Second))
	case string:
		var err error
		if d, err = time.ParseDuration(v); err != nil {
			f.add(n.place, Error{Key: key, Code: "wrong-type", Message: fmt.Sprintf("%s: %s is not a time span such as \"1.5s\" or \"2m\"", key, value.Quoted(v))})
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

func (f *file) strings(t *table, key string) (out []string) {
	n := t.vals[key]
	if n == nil {
		return nil
	}
	if s, ok := n.scalar.(string); ok {
		return []string{s}
	}
	if !n.isList {
		f.wrong(n, key, "a list of strings")
	}
	for _, e := range n.list {
		s, ok := e.scalar.(string)
		if !ok {
			f.wrong(e, key, "a string")
			continue
		}
		out = append(out, s)
	}
	return out
}
