package fold

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
)

// simSeeds is how many random histories one test run walks through.
const simSeeds = 500

// sim is a world in which records arrive in random order, twice, late, or not
// at all until a restart, and in which the fold must still end every run.
type sim struct {
	*history
	rng      *rand.Rand
	log      []engine.Entry // the ledger
	out      map[engine.AttemptKey]bool
	success  map[string]int // run/task -> effective successes
	told     hearsay
	parts    map[string]int // run/task -> turns that have left a part
	seeds    map[engine.RunID][]byte
	reruns   int
	children int            // runs that tasks have opened
	anchored int            // runs that read copies
	sent     int            // signals
	taken    map[string]int // message id -> cells that it woke
}

// hearsay is what a view knows of the tasks that hears of changes alone.
type hearsay map[string]engine.Status

func (v hearsay) hear(c *engine.Change) {
	key := string(c.Run) + "/" + string(c.Task)
	if c.Kind == engine.AttemptDone && c.Attempt.Item > 0 {
		return
	}
	switch c.Kind {
	case engine.TaskReady:
		v[key] = engine.Ready
	case engine.TaskClosed, engine.TaskKept:
		v[key] = c.Status
	case engine.AttemptDone:
		if c.Superseded {
			return
		}
		v[key] = map[engine.Outcome]engine.Status{
			engine.OutcomeSuccess: engine.Success, engine.OutcomeFailed: engine.Failed, engine.OutcomeInterrupted: engine.Interrupted,
			engine.OutcomeCancelled: engine.Cancelled, engine.OutcomeRetry: engine.Ready, engine.OutcomeAgain: engine.Ready, engine.OutcomeSkipped: engine.Skipped, engine.OutcomeDeferred: engine.Ready,
		}[c.Attempt.Outcome]
		if c.Attempt.Outcome == engine.OutcomeAgain && c.Attempt.Await != "" {
			v[key] = engine.Waiting
		}
	}
}

func TestFold_SimulationEndsEveryRunTheSameOnEveryReplay(t *testing.T) {
	woken, anchored := 0, 0
	for seed := range uint64(simSeeds) {
		s := &sim{rng: rand.New(rand.NewPCG(seed, 1)), out: map[engine.AttemptKey]bool{}, success: map[string]int{}, told: hearsay{}, parts: map[string]int{}, seeds: map[engine.RunID][]byte{}, taken: map[string]int{}}
		s.history = newHistory(t)
		s.play(seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		woken, anchored = woken+len(s.taken), anchored+s.anchored
	}
	if woken < simSeeds || anchored < simSeeds/10 { // otherwise it proves little
		t.Errorf("%d cells were woken by signals, %d runs read copies", woken, anchored)
	}
	t.Logf("%d cells were woken by signals, %d runs read copies", woken, anchored)
}

func (s *sim) play(seed uint64) {
	flow := s.randomFlow()
	def, hash, _ := flow.Encode()
	s.append(&engine.FlowRecord{Flow: flow.ID, Hash: hash, Definition: def})
	for i := range 3 {
		s.append(&engine.SubmitRecord{Run: engine.RunID(fmt.Sprintf("01M84BFBV1N8Q6D2T4XW9B7C%02d", i)), Flow: flow.ID})
	}
	for range 3000 {
		if len(s.state.runs) == 0 && !s.rerun() {
			break
		}
		if len(s.state.runs) > 0 {
			s.step()
		}
	}
	for id, n := range s.taken {
		if n > 1 {
			s.t.Errorf("seed %d: %s woke %d cells", seed, id, n)
		}
	}
	if len(s.state.runs) != 0 {
		s.t.Errorf("seed %d: %d runs never ended", seed, len(s.state.runs))
	}
	for key, n := range s.success {
		if n > 1 {
			s.t.Errorf("seed %d: %s succeeded %d times", seed, key, n)
		}
	}
	s.replay(seed)
}

func (s *sim) randomFlow() *engine.Flow {
	var lines []string
	n := 1 + s.rng.IntN(8)
	for i := range n {
		line := fmt.Sprintf("t%d:", i)
		for j := range i {
			if s.rng.IntN(3) == 0 {
				line += fmt.Sprintf(" t%d", j)
			}
		}
		lines = append(lines, line)
	}
	f := flowOf("f", lines...)
	stage := -2 * s.rng.IntN(3) // most have one stage
	f.FinallyTimeout = time.Minute
	for i := range f.Tasks {
		if s.rng.IntN(2) == 0 {
			f.Tasks[i].TriggerRule = engine.TriggerRules[s.rng.IntN(len(engine.TriggerRules))]
		}
		f.Tasks[i].ContinueOnError = s.rng.IntN(4) == 0
		if s.rng.IntN(3) == 0 {
			stage = min(stage+1+s.rng.IntN(2), engine.StageFinally)
		}
		if i > 0 { // a flow has tasks
			f.Tasks[i].Stage = max(stage, 0)
		}
		f.Tasks[i].ReadsRun = f.Tasks[i].Stage > engine.StageTasks
		s.randomItems(&f.Tasks[i])
		f.Tasks[i].OnInterrupted = []string{"", "", "retry", "fail"}[s.rng.IntN(4)]
	}
	return f
}

// append writes to the ledger and holds the step against the legal moves.
func (s *sim) append(recs ...engine.Record) {
	before := s.taskStates()
	s.add(recs...)
	s.log = append(s.log, engine.Entry{Seq: s.seq, At: s.now, Records: recs})
	for key, now := range s.taskStates() {
		if was, ok := before[key]; ok && was != now && !slices.Contains(moves[was], now) {
			s.t.Errorf("%s moved from %s to %s", key, was, now)
		}
	}
	s.checkWaits(recs)
	s.checkCounts()
	for _, e := range s.last {
		if e.Kind == Show {
			s.told.hear(e.Change)
			s.compare(e.Change)
		}
		switch {
		case e.Kind == Emit && e.Task >= 0:
			ref := CellRef{e.Task, e.Item}
			s.out[e.Open.KeyOf(ref)] = true
			s.checkTurn(e.Open, ref)
			s.checkStage(e.Open, e.Task)
		case e.Kind == Show && e.Change.Kind == engine.AttemptDone && !e.Change.Superseded && e.Change.Attempt.Outcome == engine.OutcomeSuccess:
			s.success[nameOf(e.Change.Attempt.AttemptKey)]++
		case e.Kind == Show && e.Change.Kind == engine.AttemptDone && !e.Change.Superseded && len(e.Change.Attempt.Value) > 0:
			k := e.Change.Attempt.AttemptKey
			if r := s.state.runs[k.Run]; r != nil {
				if t := r.Cell(CellRef{r.Graph.Index[k.Task], k.Item}); t != nil && t.turn > k.Turn { // else the turn does not count
					s.parts[nameOf(k)]++
				}
			}
		}
	}
	for key, now := range s.taskStates() {
		if got := s.told[key]; now != engine.Pending && got != now && (now != engine.Running || got != engine.Ready) {
			s.t.Errorf("%s is %s, the changes have told %q", key, now, got)
		}
	}
}

// maxReruns is how many runs of a history are repeated.
const maxReruns = 4

// rerun repeats a run that has ended, as a planner would: what did not succeed is
// done again, one or the other task too, and what follows from them. Others are
// repeated while runs are open.
func (s *sim) rerun() bool {
	if s.reruns == maxReruns || len(s.seeds) == 0 {
		return false
	}
	s.reruns++
	ids := slices.Sorted(maps.Keys(s.seeds))
	of := ids[s.rng.IntN(len(ids))]
	seeds, err := engine.DecodeSeeds(s.seeds[of])
	if err != nil {
		s.t.Fatal(err)
	}
	g := s.state.Newest("f")
	again := map[int]bool{}
	for i := range seeds.Tasks {
		again[i] = seeds.Tasks[i].Kind == engine.SeedNone || s.rng.IntN(6) == 0 || g.Flow.Tasks[i].Stage > 0
		for _, p := range g.parents[i] { // they stand before it
			again[i] = again[i] || again[p]
		}
		t := &seeds.Tasks[i]
		if again[i] && (t.Kind != engine.SeedNone || t.Turn == 0 && t.ItemsAt.Seq == 0 || g.Flow.Tasks[i].Stage > 0) {
			*t = engine.Seed{}
		} else if again[i] && s.rng.IntN(2) == 0 {
			t.KeyRun = 0
		}
	}
	kept := map[int]engine.Status{}
	id := engine.RunID(fmt.Sprintf("01M84BFBV1N8Q6D2T4XW9B7D%02d", s.reruns))
	for i := range seeds.Tasks {
		if task := g.Flow.Tasks[i].ID; seeds.Tasks[i].Turn > 0 {
			s.parts[string(id)+"/"+string(task)] = s.parts[string(of)+"/"+string(task)]
		} else if again[i] {
			continue
		} else if got := s.told[string(of)+"/"+string(task)]; got != engine.Success && got != engine.Skipped {
			s.t.Errorf("%s/%s is kept as it was: %s", of, task, got)
		} else {
			kept[i] = got
		}
	}
	s.append(&engine.SubmitRecord{Run: id, Flow: "f", Rerun: &engine.Rerun{Of: of, Root: of, Seeds: seeds.Encode()}})
	for i, want := range kept {
		if got := s.told[string(id)+"/"+string(g.Flow.Tasks[i].ID)]; got != want {
			s.t.Errorf("%s/%s is told to be %q, kept as %s", id, g.Flow.Tasks[i].ID, got, want)
		}
	}
	return true
}

// compare holds what the changes have told against the document of a run's end.
func (s *sim) compare(c *engine.Change) {
	if c.Kind != engine.RunDone {
		return
	}
	for i, t := range s.state.Newest("f").Flow.Tasks {
		if t.Stage == engine.StageFinally && c.Doc.Tasks[i].Status == engine.Pending {
			s.t.Errorf("run %s has ended without %s", c.Run, t.ID)
		}
	}
	if c.Seeds != nil {
		s.seeds[c.Run] = c.Seeds
	}
	for _, d := range c.Doc.Tasks {
		if got := s.told[string(c.Run)+"/"+string(d.TaskID)]; got != d.Status {
			s.t.Errorf("%s/%s is %s, the changes have told %q", c.Run, d.TaskID, d.Status, got)
		}
	}
}

func (s *sim) taskStates() map[string]engine.Status {
	out := map[string]engine.Status{}
	for id, r := range s.state.runs {
		for i := range r.Tasks {
			out[string(id)+"/"+string(r.Graph.Flow.Tasks[i].ID)] = r.Tasks[i].Status
		}
	}
	return out
}

// step lets one random thing happen: an attempt ends, a bundle is written
// twice, the process dies and comes back, somebody cancels.
func (s *sim) step() {
	keys := make([]engine.AttemptKey, 0, len(s.out))
	for k := range s.out {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b engine.AttemptKey) int {
		return slices.Compare([]byte(a.OperationID()), []byte(b.OperationID()))
	})
	switch {
	case s.rng.IntN(60) == 0:
		s.restart()
		return
	case s.rng.IntN(100) == 0 && s.rerun():
		return
	case s.rng.IntN(12) == 0:
		s.signal()
		return
	case s.rng.IntN(6) == 0 && s.anchor():
		return
	case s.rng.IntN(80) == 0:
		s.append(&engine.ControlRecord{Kind: engine.ControlCancel, ID: fmt.Sprint(s.rng.IntN(4)), Run: engine.RunID(fmt.Sprintf("01M84BFBV1N8Q6D2T4XW9B7C%02d", s.rng.IntN(3)))})
		return
	}
	if (len(keys) == 0 || s.rng.IntN(10) == 0) && s.resolve() {
		return
	}
	if (len(keys) == 0 || s.rng.IntN(10) == 0) && s.wakeUp() {
		return
	}
	if len(keys) == 0 {
		s.restart()
		return
	}
	k := keys[s.rng.IntN(len(keys))]
	recs := []engine.Record{s.ended(k)}
	if s.rng.IntN(4) == 0 {
		recs = append(recs, recs[0])
	}
	if s.rng.IntN(5) != 0 { // otherwise the READY message is delivered again
		delete(s.out, k)
	}
	s.append(recs...)
}

// resolve lets a person decide about a task that waits for one, if there is any.
func (s *sim) resolve() bool {
	var waiting []string
	for _, r := range s.state.runs {
		for ref, c := range r.Cells() {
			if c.Status == engine.Interrupted {
				waiting = append(waiting, fmt.Sprintf("%s/%d/%d", r.ID, ref.Task, ref.Item))
			}
		}
	}
	if len(waiting) == 0 {
		return false
	}
	slices.Sort(waiting)
	run, place, _ := strings.Cut(waiting[s.rng.IntN(len(waiting))], "/")
	var ref CellRef
	fmt.Sscanf(place, "%d/%d", &ref.Task, &ref.Item)
	as := []string{"success", "failed", "retry"}[s.rng.IntN(3)]
	task := s.state.runs[engine.RunID(run)].Graph.Flow.Tasks[ref.Task].ID
	s.append(&engine.ControlRecord{Kind: engine.ControlResolve, Run: engine.RunID(run), Task: task, Item: ref.Item, As: as})
	return true
}

func (s *sim) ended(k engine.AttemptKey) *engine.AttemptRecord {
	outcomes := []engine.Outcome{engine.OutcomeSuccess, engine.OutcomeSuccess, engine.OutcomeSuccess, engine.OutcomeAgain, engine.OutcomeAgain, engine.OutcomeAgain, engine.OutcomeAgain, engine.OutcomeRetry, engine.OutcomeDeferred, engine.OutcomeFailed, engine.OutcomeInterrupted, engine.OutcomeSkipped}
	rec := &engine.AttemptRecord{AttemptKey: k, Flow: "f", Start: s.now + engine.Micros(s.rng.IntN(1000)), Outcome: outcomes[s.rng.IntN(len(outcomes))]}
	if s.rng.IntN(3) == 0 {
		costs := []int64{1000, 500_000}
		rec.Limit = &engine.LimitSpent{Key: fmt.Sprint("shop|", s.rng.IntN(4)), Costs: costs[:1+s.rng.IntN(2)], Until: s.now * engine.Micros(s.rng.IntN(2))}
	}
	if k.Attempt > 5 || k.Dispatch > 5 || k.Turn > 5 {
		rec.Outcome = engine.OutcomeSuccess
	}
	if s.listed(rec) {
		return rec
	}
	if rec.Outcome == engine.OutcomeAgain {
		s.turnEnds(rec)
	}
	if r := s.state.runs[k.Run]; r != nil && rec.Outcome == engine.OutcomeSuccess && s.rng.IntN(4) == 0 {
		for _, c := range r.Graph.children[r.Graph.Index[k.Task]] {
			if s.rng.IntN(2) == 0 {
				rec.Skip = append(rec.Skip, r.Graph.Flow.Tasks[c].ID)
			}
		}
	}
	rec.End = rec.Start + 1
	return rec
}

// turnEnds gives the record of a turn what a worker would: a part, now and then
// none, and a carry, which may be too large to be kept in memory.
func (s *sim) turnEnds(rec *engine.AttemptRecord) {
	r := s.state.runs[rec.Run]
	if r == nil {
		return
	}
	if s.children < 5 && s.rng.IntN(6) == 0 {
		s.children++
		rec.Open = &engine.SubmitRecord{Run: engine.RunID(fmt.Sprintf("01M84BFBV1N8Q6D2T4XW9B7E%02d", s.children)), Flow: []engine.FlowID{"f", "f", "f", "nobody"}[s.rng.IntN(4)], Parent: &engine.Parent{Waits: s.rng.IntN(4) > 0}}
		rec.Await = engine.AwaitRun(rec.Open.Run)
	} else if s.rng.IntN(3) > 0 {
		rec.Await = []string{engine.AwaitTime, engine.AwaitApproval, engine.AwaitSignal("a", ""), engine.AwaitSignal("a", "k"), engine.AwaitSignal("b", "l")}[s.rng.IntN(5)]
		if rec.Item > 0 && rec.Await == engine.AwaitApproval { // no flow has it
			rec.Await = engine.AwaitTime
		}
		if rec.Await == engine.AwaitTime || s.rng.IntN(2) == 0 {
			rec.NotBefore = s.now + engine.Micros(s.rng.IntN(5000))
		}
	}
	if s.rng.IntN(5) > 0 {
		rec.Value = fmt.Appendf(nil, `"%s"`, rec.OperationID())
	}
	ref := CellRef{r.Graph.Index[rec.Task], rec.Item}
	if r.Cell(ref) == nil {
		return
	}
	rec.Prev = r.ReadyCell(ref).Prev
	rec.Carry = fmt.Appendf(nil, "after %d of %s", rec.Turn, rec.Task)
	if s.rng.IntN(3) == 0 {
		rec.Carry = append(rec.Carry, make([]byte, keepCarry)...)
	}
}

// checkTurn holds what a task is given for its next turn against what the ledger
// says of those before: every part once and in order, and the last carry.
func (s *sim) checkTurn(r *Run, ref CellRef) {
	rt := r.ReadyCell(ref)
	s.checkItems(r, ref, &rt)
	if rt.ItemsEnd != nil {
		return
	}
	if (rt.Turn > 0) != (len(rt.Carry) > 0 || rt.CarryAt.Seq != 0) {
		s.t.Errorf("%s has a carry of %d bytes, at %v", rt.OperationID(), len(rt.Carry), rt.CarryAt)
	}
	carry := rt.Carry
	if rt.CarryAt.Seq != 0 {
		carry = s.recordAt(rt.CarryAt).Carry
	}
	if want := fmt.Sprintf("after %d of %s", rt.Turn-1, rt.Task); rt.Turn > 0 && !strings.HasPrefix(string(carry), want) {
		s.t.Errorf("%s got the carry %.40q, want %q", rt.OperationID(), carry, want)
	}
	turn, parts := rt.Turn, 0
	for at := rt.Prev; at.Seq != 0; at = s.recordAt(at).Prev {
		rec := s.recordAt(at)
		if at.Seq < r.Floor() || rec.Task != rt.Task || rec.Item != rt.Item || rec.Turn >= turn || rec.Outcome != engine.OutcomeAgain || len(rec.Value) == 0 {
			s.t.Errorf("%s has %s among its parts", rt.OperationID(), rec.OperationID())
		}
		turn, parts = rec.Turn, parts+1
	}
	if want := s.parts[nameOf(rt.AttemptKey)]; parts != want {
		s.t.Errorf("%s has %d parts, want %d", rt.OperationID(), parts, want)
	}
}

// checkStage demands that all of the earlier stages has ended, and that a stage
// for failures has one.
func (s *sim) checkStage(r *Run, task int) {
	stage := r.Graph.Flow.Tasks[task].Stage
	for i := range r.Tasks {
		if r.Graph.Flow.Tasks[i].Stage < stage && !r.Tasks[i].Status.Final() {
			s.t.Errorf("%s of stage %d is given out while %s is %s", r.Key(task).OperationID(), stage, r.Graph.Flow.Tasks[i].ID, r.Tasks[i].Status)
		}
	}
	if stage == engine.StageOnFailure && r.finalStatus() != engine.Failed {
		s.t.Errorf("%s is given out though the run is %s", r.Key(task).OperationID(), r.finalStatus())
	}
}

func (s *sim) recordAt(at engine.Pos) *engine.AttemptRecord {
	switch rec := s.log[at.Seq-s.log[0].Seq].Records[at.N].(type) {
	case *engine.AttemptRecord:
		return rec
	case *engine.ControlRecord:
		return rec.Kept.Attempt
	}
	s.t.Fatalf("there is no attempt at %v", at)
	return nil
}

// restart forgets everything but the ledger, folds it again, now and then from
// a snapshot, and gives out what is ready.
func (s *sim) restart() {
	state := NewState()
	from := 0
	if s.rng.IntN(2) == 0 && len(s.log) > 1 {
		from = s.rng.IntN(len(s.log))
		for _, e := range s.log[:from] {
			state.Apply(e)
		}
		snap := state.Snapshot("test")
		restored := NewRestoring(true)
		for rest := s.log[from:]; ; { // it may go on while the snapshot is taken
			if len(rest) > 0 && s.rng.IntN(2) == 0 {
				state.Apply(rest[0])
				rest = rest[1:]
			}
			part := snap.Next()
			if part == nil {
				break
			}
			if err := errors.Join(part.Fill(), restored.Add(part)); err != nil {
				s.t.Fatal(err)
			}
		}
		var err error
		if state, err = restored.State(); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, e := range s.log[from:] {
		state.Apply(e)
	}
	s.state = state
	s.out = map[engine.AttemptKey]bool{}
	for _, r := range state.runs {
		var cut []engine.AttemptKey
		for ref, c := range r.Cells() {
			switch {
			case c.Status == engine.Waiting && r.Ending != "":
				s.t.Errorf("%s waits in a run that ends", r.KeyOf(ref).OperationID())
			case c.Status != engine.Ready:
			case r.Ending != "":
				cut = append(cut, r.KeyOf(ref))
			case !c.Held:
				s.out[r.KeyOf(ref)] = true
			}
		}
		for _, k := range cut {
			s.append(&engine.AttemptRecord{AttemptKey: k, Flow: "f", Outcome: engine.OutcomeCancelled, Start: s.now, End: s.now})
		}
	}
}

// nameOf names a cell of a run.
func nameOf(k engine.AttemptKey) string {
	if k.Item == 0 {
		return string(k.Run) + "/" + string(k.Task)
	}
	return fmt.Sprintf("%s/%s/%d", k.Run, k.Task, k.Item)
}

// replay folds the ledger once more and demands the same changes, in the same
// words.
func (s *sim) replay(seed uint64) {
	var spent map[string]engine.LimitState
	trace := func() (out []string) {
		state := NewState()
		for _, e := range s.log {
			for _, eff := range state.Apply(e) {
				if eff.Kind == Show {
					b, err := json.Marshal(eff.Change.Doc)
					if err != nil {
						s.t.Fatal(err)
					}
					out = append(out, fmt.Sprint(eff.Change.Pos, eff.Change.Kind, eff.Change.Run, eff.Change.Task, string(b)))
				}
			}
		}
		spent = state.Limits()
		return out
	}
	if a, b := trace(), trace(); !reflect.DeepEqual(a, b) {
		s.t.Errorf("seed %d: two replays differ", seed)
	}
	if !reflect.DeepEqual(spent, s.state.Limits()) {
		s.t.Errorf("seed %d: of rate limits a replay has %v, the crashes between have left %v", seed, spent, s.state.Limits())
	}
}
