package fold

import (
	"fmt"

	"github.com/qarion/qarion/engine"
)

// ends counts how the tasks that one depends on have ended.
type ends struct {
	left    int // have not
	good    int // success, or failed with continue_on_error
	failed  int // failed, or were skipped because something failed
	skipped int // were skipped by a condition
}

// verdict is what a rule says about a task that has not started.
type verdict int

const (
	undecided verdict = iota
	starts
	skippedByFailure
	skippedByCondition
)

// decide applies a trigger rule. A rule that can no longer be met skips the task
// at once where something failed; otherwise when all have ended, since one that
// fails later would change why. So the verdict does not depend on who was first.
func (e ends) decide(rule string) verdict {
	met, possible := e.meets(rule)
	switch {
	case met:
		return starts
	case possible:
		return undecided
	case e.failed > 0:
		return skippedByFailure
	case e.left == 0:
		return skippedByCondition
	}
	return undecided
}

// meets reports whether a rule is met, and whether it still can be.
func (e ends) meets(rule string) (met, possible bool) {
	all := e.left == 0
	some := func(n int) (bool, bool) { return n > 0, !all }
	none := func(n int) (bool, bool) { return all && n == 0, n == 0 }
	switch rule {
	case engine.RuleAllFailed:
		return none(e.good + e.skipped)
	case engine.RuleAllSkipped:
		return none(e.good + e.failed)
	case engine.RuleAllDone:
		return all, true
	case engine.RuleAllDoneMinOneSuccess:
		return all && e.good > 0, !all
	case engine.RuleOneSuccess:
		return some(e.good)
	case engine.RuleOneFailed:
		return some(e.failed)
	case engine.RuleOneDone:
		return some(e.good + e.failed)
	case engine.RuleNoneFailed:
		return none(e.failed)
	case engine.RuleNoneFailedMinOneSuccess:
		return all && e.failed == 0 && e.good > 0, e.failed == 0 && !all
	case engine.RuleNoneSkipped:
		return none(e.skipped)
	case engine.RuleAlways:
		return true, true
	}
	return none(e.failed + e.skipped) // all_success
}

// count adds how task i has ended to what those know that depend on it.
func (r *Run) count(i int, e *ends) {
	t, task := &r.Tasks[i], &r.Graph.Flow.Tasks[i]
	e.left--
	switch {
	case t.Status == engine.Success, t.Status == engine.Failed && task.ContinueOnError:
		e.good++
	case t.Status == engine.Skipped && t.byCondition:
		e.skipped++
	default:
		e.failed++
	}
}

// whySkipped says why a rule was not met, in terms of the task that decided it;
// cause is not looked at where the rule is another than all_success.
func (r *Run) whySkipped(c, cause int) string {
	rule := r.Graph.Flow.Tasks[c].TriggerRule
	if rule == "" || rule == engine.RuleAllSuccess {
		return "needs " + string(r.Graph.Flow.Tasks[cause].ID)
	}
	e := r.Tasks[c].ends
	return fmt.Sprintf("%s is not met: %d succeeded, %d failed, %d skipped", rule, e.good, e.failed, e.skipped)
}
