package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// The trigger rules: when a task starts, in terms of how those have ended that it
// depends on. They succeeded (or failed with continue_on_error), failed (or were
// skipped because something failed), or were skipped by a condition.
const (
	RuleAllSuccess              = "all_success"
	RuleAllFailed               = "all_failed"
	RuleAllSkipped              = "all_skipped"
	RuleAllDone                 = "all_done"
	RuleAllDoneMinOneSuccess    = "all_done_min_one_success"
	RuleOneSuccess              = "one_success"
	RuleOneFailed               = "one_failed"
	RuleOneDone                 = "one_done"
	RuleNoneFailed              = "none_failed"
	RuleNoneFailedMinOneSuccess = "none_failed_min_one_success"
	RuleNoneSkipped             = "none_skipped"
	RuleAlways                  = "always"
)

// TriggerRules are all of them, the default first.
var TriggerRules = []string{
	RuleAllSuccess, RuleAllFailed, RuleAllSkipped, RuleAllDone, RuleAllDoneMinOneSuccess, RuleOneSuccess, RuleOneFailed, RuleOneDone,
	RuleNoneFailed, RuleNoneFailedMinOneSuccess, RuleNoneSkipped, RuleAlways,
}

// WhenFalse is why a task was skipped whose condition did not hold.
const WhenFalse = "when is false"

// condition checks when, and makes what it reads a dependency.
func (c *compilation) condition(t *Task, r *taskReads) {
	if t.When == "" {
		return
	}
	tpl, err := jinja.Parse("when", t.When)
	switch {
	case err != nil:
		c.add(Problem{Path: []string{"when"}, Code: "template", Message: err.Error(), Value: jinja.PieceOf(err)})
		return
	case !tpl.Single():
		c.add(Problem{Path: []string{"when"}, Code: "no-condition", Message: "when must be exactly one {{ ... }}, such as \"{{ xcom_check.total > 0 }}\""})
		return
	}
	for _, name := range tpl.Names() {
		r.name(NameUse{Name: name, Path: []string{"when"}, Optional: !slices.Contains(tpl.Needs(), name)})
	}
}

// rule checks trigger_rule once all that a task depends on is known.
func (c *compilation) rule(t *Task) {
	switch {
	case t.TriggerRule == "":
	case !slices.Contains(TriggerRules, t.TriggerRule):
		c.add(Problem{Path: []string{"trigger_rule"}, Code: "unknown-word", Value: t.TriggerRule, Suggestion: Nearest(t.TriggerRule, TriggerRules),
			Message: fmt.Sprintf("trigger_rule is %s, want one of %s", value.Quoted(t.TriggerRule), strings.Join(TriggerRules, ", "))})
	case !slices.ContainsFunc(t.Dependencies, func(id TaskID) bool { at, ok := c.index[id]; return ok && c.flow.Tasks[at].Stage == t.Stage }) && t.TriggerRule != RuleAllSuccess && t.TriggerRule != RuleAlways:
		c.add(Problem{Path: []string{"trigger_rule"}, Code: "unused", Message: fmt.Sprintf("trigger_rule %q needs a dependency", t.TriggerRule)})
	}
}

// ErrorValue is what a task leaves that failed and lets the flow go on, as JSON
// text: xcom_<task>.error says how.
func ErrorValue(class, message string, status int, details []byte) []byte {
	e := value.MapOf("class", class, "message", message)
	if status != 0 {
		e.Set("status_code", int64(status))
	}
	if doc, err := value.ParseJSON(details); err == nil {
		if m, ok := doc.(*value.Map); ok {
			if excerpt, ok := m.Get("response_excerpt"); ok {
				e.Set("response_excerpt", excerpt)
			}
		}
	}
	text, err := value.JSON(value.MapOf("error", e))
	if err != nil {
		return nil // never: it holds texts and a number
	}
	return text
}
