package fold

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
)

// want is what the documentation says of a rule, once all have ended.
func wantVerdict(rule string, good, failed, skipped int) verdict {
	n := good + failed + skipped
	met := map[string]bool{
		engine.RuleAllSuccess: good == n, engine.RuleAllFailed: failed == n, engine.RuleAllSkipped: skipped == n,
		engine.RuleAllDone: true, engine.RuleAllDoneMinOneSuccess: good > 0,
		engine.RuleOneSuccess: good > 0, engine.RuleOneFailed: failed > 0, engine.RuleOneDone: good+failed > 0,
		engine.RuleNoneFailed: failed == 0, engine.RuleNoneFailedMinOneSuccess: failed == 0 && good > 0,
		engine.RuleNoneSkipped: skipped == 0, engine.RuleAlways: true,
	}[rule]
	switch {
	case met:
		return starts
	case failed > 0:
		return skippedByFailure
	}
	return skippedByCondition
}

// TestRule_EveryRuleWithEveryOutcome: three parents end in every way and order.
// The verdict is what the table says, whoever was first.
func TestRule_EveryRuleWithEveryOutcome(t *testing.T) {
	how := []struct {
		name    string
		outcome engine.Outcome
	}{{"S", engine.OutcomeSuccess}, {"F", engine.OutcomeFailed}, {"K", engine.OutcomeSkipped}}
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for _, rule := range append([]string{""}, engine.TriggerRules...) {
		for n := range 27 {
			ends := []int{n % 3, n / 3 % 3, n / 9}
			var count [3]int
			for _, e := range ends {
				count[e]++
			}
			named := rule
			if named == "" {
				named = engine.RuleAllSuccess
			}
			want := map[verdict]engine.Status{starts: engine.Ready, skippedByFailure: engine.Skipped, skippedByCondition: engine.Skipped}[wantVerdict(named, count[0], count[1], count[2])]
			for _, order := range orders {
				f := flowOf("f", "p0", "p1", "p2", "c: p0 p1 p2", "other")
				f.Tasks[3].TriggerRule, f.Tasks[3].Pulls = rule, nil
				h := newHistory(t, f)
				h.submit("f", run1)
				for _, p := range order {
					h.report(run1, f.Tasks[p].ID, how[ends[p]].outcome)
				}
				c := &h.state.runs[run1].Tasks[3]
				byCondition := wantVerdict(named, count[0], count[1], count[2]) == skippedByCondition
				if c.Status != want || c.Status == engine.Skipped && c.byCondition != byCondition {
					t.Errorf("%q with S=%d F=%d K=%d in order %v: %s (by condition: %v), want %s (%v)", rule, count[0], count[1], count[2], order, c.Status, c.byCondition, want, byCondition)
				}
			}
		}
	}
}

// TestRule_OneOfThemStartsAtOnce: it waits for nobody else.
func TestRule_OneOfThemStartsAtOnce(t *testing.T) {
	for rule, outcome := range map[string]engine.Outcome{
		engine.RuleOneSuccess: engine.OutcomeSuccess, engine.RuleOneFailed: engine.OutcomeFailed, engine.RuleOneDone: engine.OutcomeFailed,
	} {
		f := flowOf("f", "a", "b", "c: a b")
		f.Tasks[2].TriggerRule = rule
		h := newHistory(t, f)
		h.submit("f", run1)
		h.report(run1, "b", outcome)
		if got := h.emitted(); got != "c" {
			t.Errorf("%s: given out %q, want c", rule, got)
		}
		in := h.state.runs[run1].ReadyTask(2).Inputs
		if in[0].Lacks != "a has not ended yet" {
			t.Errorf("%s: inputs %+v", rule, in)
		}
	}
	f := flowOf("f", "a", "b: a")
	f.Tasks[1].TriggerRule = engine.RuleAlways
	h := newHistory(t, f)
	h.submit("f", run1)
	if got := h.emitted(); got != "a b" {
		t.Errorf("always: given out %q, want a b", got)
	}
}

// TestRule_SkipsPassOn what they are by: a condition skips what follows as a
// condition, a failure as a failure, and only a failure fails the run.
func TestRule_SkipsPassOn(t *testing.T) {
	f := flowOf("f", "check", "pay: check", "ship: pay", "always: ship")
	f.Tasks[3].TriggerRule = engine.RuleNoneFailed
	h := newHistory(t, f)
	h.submit("f", run1)
	h.report(run1, "check", engine.OutcomeSuccess)
	h.report(run1, "pay", engine.OutcomeSkipped, func(r *engine.AttemptRecord) { r.Reason, r.Class, r.Error = engine.WhenFalse, "", "" })
	h.want(run1, "check=success pay=skipped ship=skipped always=ready")
	if in := h.state.runs[run1].ReadyTask(3).Inputs[0]; in.Lacks != "ship was skipped (needs pay)" {
		t.Errorf("input: %+v", in)
	}
	h.report(run1, "always", engine.OutcomeSuccess)
	doc := h.shown(engine.RunDone).Doc
	if doc.Status != engine.Success || doc.Counts[engine.Skipped] != 2 || doc.Calls != 2 || doc.Tasks[1].Reason != engine.WhenFalse {
		t.Errorf("run: %s, %v, %d calls, %+v", doc.Status, doc.Counts, doc.Calls, doc.Tasks[1])
	}
}

func TestContinueOnError_IsASuccessForWhatFollows(t *testing.T) {
	f := flowOf("f", "a", "b: a")
	f.Tasks[0].ContinueOnError = true
	h := newHistory(t, f)
	h.submit("f", run1)
	h.report(run1, "a", engine.OutcomeFailed, func(r *engine.AttemptRecord) {
		r.Status, r.Details = 503, []byte(`{"response_excerpt": "busy"}`)
	})
	h.want(run1, "a=failed b=ready")
	in := h.state.runs[run1].ReadyTask(1).Inputs[0]
	if want := `{"error":{"class":"status","message":"503 Service Unavailable","status_code":503,"response_excerpt":"busy"}}`; string(in.Value) != want || in.Lacks != "" {
		t.Errorf("b reads %s (%s), want %s", in.Value, in.Lacks, want)
	}
	h.report(run1, "b", engine.OutcomeSuccess)
	if doc := h.shown(engine.RunDone).Doc; doc.Status != engine.Success || doc.Error != nil || doc.Counts[engine.Failed] != 1 {
		t.Errorf("run: %s, %+v", doc.Status, doc.Error)
	}
}

// TestRule_SurvivesASnapshot: what has been counted is not counted anew.
func TestRule_SurvivesASnapshot(t *testing.T) {
	f := flowOf("f", "a", "b", "c", "d: a b c")
	f.Tasks[3].TriggerRule = engine.RuleAllDoneMinOneSuccess
	f.Tasks[1].ContinueOnError = true
	h := newHistory(t, f)
	h.submit("f", run1)
	h.report(run1, "a", engine.OutcomeFailed)
	h.report(run1, "b", engine.OutcomeFailed)
	h.state = restored(t, h.state)
	if e := h.state.runs[run1].Tasks[3].ends; e != (ends{left: 1, good: 1, failed: 1}) {
		t.Errorf("after a snapshot: %+v", e)
	}
	h.report(run1, "c", engine.OutcomeSkipped)
	h.want(run1, "a=failed b=failed c=skipped d=ready")
	h.report(run1, "d", engine.OutcomeSuccess)
	if doc := h.shown(engine.RunDone).Doc; doc.Status != engine.Failed || !strings.Contains(fmt.Sprint(doc.Error.TaskID), "a") {
		t.Errorf("run: %s, %+v", doc.Status, doc.Error)
	}
}

// restored is a state that a snapshot was made of and read back.
func restored(t *testing.T, s *State) *State {
	t.Helper()
	snap, r := s.Snapshot("test"), NewRestoring(true)
	for part := snap.Next(); part != nil; part = snap.Next() {
		if err := errors.Join(part.Fill(), r.Add(part)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
