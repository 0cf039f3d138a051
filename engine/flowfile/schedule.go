package flowfile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/cron"
	"github.com/qarion/qarion/internal/value"
)

// triggerID checks the id of a trigger that people ask for by it. Where there is
// one of its type alone, the type will do.
func (f *file) triggerID(n *node, tr *engine.TriggerSpec) {
	if !f.judges(n.table, "id") {
		return
	}
	at, named := n.key, n.table.vals["id"]
	if named == nil {
		tr.ID = tr.Type
	} else {
		at = named.place
	}
	if _, err := engine.ParseTaskID(tr.ID); err != nil {
		f.add(at, Error{Key: "id", Code: "bad-id", Message: strings.Replace(strings.TrimPrefix(err.Error(), "invalid: "), "task id", "trigger id", 1)})
		return
	}
	if slices.ContainsFunc(f.flow.Triggers, func(t engine.TriggerSpec) bool { return t.ID == tr.ID }) {
		text := fmt.Sprintf("trigger id %q is there twice", tr.ID)
		if named == nil {
			text = fmt.Sprintf("a second trigger of type %s needs an id", tr.Type)
		}
		f.add(at, Error{Key: "id", Code: "duplicate", Message: text})
	}
}

// maxWindow bounds how far back times are looked for.
const maxWindow = 31 * 24 * time.Hour

// schedule reads the keys of a schedule. The settings hold them in one form:
// spans as text, the cron expression without its blanks around.
func (f *file) schedule(t *table, at span, tr *engine.TriggerSpec) {
	expr, every := t.vals["cron"], t.vals["every"]
	key := "cron"
	if expr == nil {
		expr, key = t.vals["schedule"], "schedule"
	} else if also := t.vals["schedule"]; also != nil {
		f.add(also.key, Error{Key: "schedule", Code: "twice", Message: "cron and schedule mean the same: leave one out"})
	}
	switch {
	case expr == nil && every == nil:
		f.add(at, Error{Key: "cron", Code: "missing", Message: `a schedule has neither cron = "30 2 * * *" nor every = "15m"`})
	case expr != nil && every != nil:
		f.add(every.key, Error{Key: "every", Code: "twice", Message: "a schedule has cron or every, not both"})
	case every != nil:
		f.every(t, tr)
	default:
		f.cron(t, key, tr)
	}
	if v := t.vals["catchup"]; v != nil && f.judges(t, "catchup") {
		word := f.text(t, "catchup", "")
		if !slices.Contains(engine.CatchUps, word) {
			f.add(v.place, Error{Key: "catchup", Code: "unknown-word", Suggestion: engine.Nearest(word, engine.CatchUps),
				Message: fmt.Sprintf("catchup is %s, want one of %s", value.Quoted(word), strings.Join(engine.CatchUps, ", "))})
		}
		tr.Settings.Set("catchup", word)
	} else if v != nil {
		f.wrong(v, "catchup", "one of "+strings.Join(engine.CatchUps, ", "))
	}
	for _, k := range []string{"catchup_window", "jitter"} {
		v := t.vals[k]
		if v == nil {
			continue
		}
		d := f.span(t, k, 0)
		if d > maxWindow {
			f.add(v.place, Error{Key: k, Code: "out-of-range", Message: k + " is at most 744h (31 days)"})
		}
		tr.Settings.Set(k, d.String())
	}
	if n, ok := f.whole(t, "max_catchup", 1, engine.MaxCatchUp); ok {
		tr.Settings.Set("max_catchup", int64(n))
	}
	if vars := f.table(t, "variables"); vars != nil {
		given := value.NewMap(len(vars.keys))
		for _, name := range vars.keys {
			if f.finite(vars.vals[name], name) {
				given.Set(name, vars.vals[name].plain())
			}
		}
		tr.Settings.Set("variables", given)
	}
}

func (f *file) every(t *table, tr *engine.TriggerSpec) {
	before := len(f.found)
	d := f.span(t, "every", time.Minute)
	if zone := t.vals["timezone"]; zone != nil {
		f.add(zone.key, Error{Key: "timezone", Code: "unused", Message: "timezone goes with cron: every counts from the beginning of 1970 in UTC"})
	}
	if d < engine.MinEvery && len(f.found) == before {
		f.add(t.vals["every"].place, Error{Key: "every", Code: "out-of-range", Message: "every is at least a second"})
	}
	tr.Settings.Set("every", d.String())
}

func (f *file) cron(t *table, key string, tr *engine.TriggerSpec) {
	expr, name := f.text(t, key, ""), f.text(t, "timezone", "")
	zone, err := f.zones.Load(name)
	if err != nil {
		zone = time.UTC
		f.add(t.vals["timezone"].place, Error{Key: "timezone", Code: "unknown-zone", Message: err.Error()})
	}
	if f.judges(t, key) {
		if _, err := cron.Parse(expr, zone); err != nil {
			f.add(t.vals[key].place, Error{Key: key, Code: "bad-cron", Message: err.Error()})
		}
	}
	tr.Settings.Set("cron", strings.TrimSpace(expr))
	if name != "" {
		tr.Settings.Set("timezone", name)
	}
}

// triggerVariables checks that the flow takes what its schedules give it: else
// each of their runs would be refused.
func (f *file) triggerVariables() {
	if len(f.found.Only(SeverityError)) > 0 {
		return
	}
	for i := range f.flow.Triggers {
		tr := &f.flow.Triggers[i]
		if tr.Type != engine.TriggerSchedule {
			continue
		}
		at, data := f.triggerNodes[i].key, []byte(nil)
		if v, ok := tr.Settings.Get("variables"); ok {
			at = f.triggerNodes[i].table.vals["variables"].key
			data, _ = json.Marshal(v) // it is made of what JSON has
		}
		if _, err := engine.ReadVariables(f.flow, data); err != nil {
			f.add(at, Error{Key: "variables", Code: "variables", Message: fmt.Sprintf("trigger %s: %s: give it in variables = { ... } of the trigger", tr.ID, err)})
		}
	}
}
