package fold

import (
	"testing"

	"github.com/qarion/qarion/engine"
)

// repeat submits a rerun of a run that has just ended, with what choose leaves of
// its seeds.
func (h *history) repeat(of, run engine.RunID, choose func(*engine.Seeds)) {
	h.t.Helper()
	done := h.shown(engine.RunDone)
	if done == nil || done.Run != of {
		h.t.Fatalf("run %s has not just ended", of)
	}
	seeds, err := engine.DecodeSeeds(done.Seeds)
	if err != nil {
		h.t.Fatal(err)
	}
	choose(seeds)
	h.add(&engine.SubmitRecord{Run: run, Flow: done.Flow, Rerun: &engine.Rerun{Of: of, Root: of, Seeds: seeds.Encode()}})
}

func keepAll(*engine.Seeds) {}

func TestRerun_KeepsWhatSucceeded(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b: a", "c: b", "d: a"))
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeSuccess, turnEnded(`"va"`, ""))
	at := h.seq
	h.report("r1", "d", engine.OutcomeSuccess)
	h.report("r1", "b", engine.OutcomeFailed)
	h.repeat("r1", "r2", keepAll)
	h.want("r2", "a=success b=ready c=pending d=success")
	r := h.state.Run("r2")
	rt := r.ReadyTask(1)
	if in := rt.Inputs[0]; in.At.Seq != at || in.None || in.Lacks != "" {
		t.Errorf("b reads %+v, want what stands at %d", in, at)
	}
	if rt.KeyRun != "r1" {
		t.Errorf("b sends the keys of %q", rt.KeyRun)
	}
	if r.Floor() != at {
		t.Errorf("the run needs the ledger from %d, want %d", r.Floor(), at)
	}
	h.report("r2", "b", engine.OutcomeSuccess)
	h.report("r2", "c", engine.OutcomeSuccess)
	doc := h.shown(engine.RunDone).Doc
	if doc.Status != engine.Success || doc.RerunOf != "r1" || doc.Calls != 2 || doc.Tasks[0].KeptFrom != "r1" || doc.Tasks[1].KeptFrom != "" {
		t.Errorf("document: %+v", doc)
	}
}

func TestRerun_OfARerunReadsTheFirst(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b: a", "c: b"))
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeSuccess, turnEnded(`"va"`, ""))
	at := h.seq
	h.report("r1", "b", engine.OutcomeFailed)
	h.repeat("r1", "r2", keepAll)
	h.report("r2", "b", engine.OutcomeSuccess, turnEnded(`"vb"`, ""))
	h.report("r2", "c", engine.OutcomeFailed)
	h.repeat("r2", "r3", func(s *engine.Seeds) {
		if s.Runs[s.Tasks[0].Run] != "r1" || s.Runs[s.Tasks[1].Run] != "r2" {
			t.Errorf("seeds: %+v of %v", s.Tasks, s.Runs)
		}
	})
	h.want("r3", "a=success b=success c=ready")
	if r := h.state.Run("r3"); r.Floor() != at || r.taskDoc(0).KeptFrom != "r1" || r.taskDoc(1).KeptFrom != "r2" {
		t.Errorf("floor %d, a from %s, b from %s", r.Floor(), r.taskDoc(0).KeptFrom, r.taskDoc(1).KeptFrom)
	}
}

func TestRerun_DecidesRulesByWhatIsKept(t *testing.T) {
	f := flowOf("f", "a:", "b:", "c: a b", "d: c", "e: a b")
	f.Tasks[2].TriggerRule, f.Tasks[4].TriggerRule = engine.RuleAllFailed, engine.RuleAllDone
	h := newHistory(t, f)
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeFailed)
	h.report("r1", "b", engine.OutcomeFailed)
	h.report("r1", "e", engine.OutcomeSuccess)
	h.report("r1", "c", engine.OutcomeSuccess)
	h.report("r1", "d", engine.OutcomeSuccess)
	h.repeat("r1", "r2", func(s *engine.Seeds) { // as if a had succeeded, and b by another's word
		s.Tasks = []engine.Seed{{Kind: engine.SeedSuccess}, {Kind: engine.SeedSkipped}, {}, {}, {}}
	})
	if got := h.shown(engine.RunStarted); got == nil {
		t.Fatal("the rerun did not start")
	}
	h.want("r2", "a=success b=skipped c=skipped d=skipped e=ready")
}

func TestRerun_GoesOnWithTheNextTurn(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b: a"))
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeAgain, turnEnded(`[1]`, "two"))
	carry := h.seq
	h.report("r1", "a", engine.OutcomeFailed)
	h.repeat("r1", "r2", keepAll)
	r := h.state.Run("r2")
	rt := r.ReadyTask(0)
	if rt.Turn != 1 || rt.Attempt != 1 || rt.CarryAt.Seq != carry || rt.Carry != nil || rt.Prev.Seq != carry {
		t.Errorf("the turn is given out as %+v", rt)
	}
	if first := uint64(3); r.Floor() != first { // where the first run began: its parts lead back
		t.Errorf("the run needs the ledger from %d, want %d", r.Floor(), first)
	}
}

func TestRerun_WithEverythingKeptEndsAtOnce(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b: a"))
	h.submit("f", "r1")
	h.report("r1", "a", engine.OutcomeSuccess)
	h.report("r1", "b", engine.OutcomeSuccess)
	h.repeat("r1", "r2", keepAll)
	h.want("r2", "closed")
	if doc := h.shown(engine.RunDone).Doc; doc.Status != engine.Success || doc.Counts[engine.Success] != 2 {
		t.Errorf("document: %+v", doc)
	}
}

func TestRerun_OfSeedsThatDoNotFitIsRefused(t *testing.T) {
	h := newHistory(t, flowOf("f", "a:", "b: a"))
	for run, seeds := range map[engine.RunID][]byte{
		"r1": {9}, "r2": (&engine.Seeds{Runs: []engine.RunID{"r0"}, Tasks: make([]engine.Seed, 3)}).Encode(),
		"r3": (&engine.Seeds{Tasks: []engine.Seed{{Kind: engine.SeedSuccess, Run: 4}, {}}}).Encode(),
	} {
		h.add(&engine.SubmitRecord{Run: run, Flow: "f", Rerun: &engine.Rerun{Of: "r0", Root: "r0", Seeds: seeds}})
		if h.state.Run(run) != nil || h.shown(engine.RunRejected) == nil {
			t.Errorf("%s was opened", run)
		}
	}
}
