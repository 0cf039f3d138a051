package fold

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// history drives a State as the scheduler and a worker would, record by
// record, and remembers the effects.
type history struct {
	t     testing.TB
	state *State
	seq   uint64
	now   engine.Micros
	last  []Effect
}

func newHistory(t testing.TB, flows ...*engine.Flow) *history {
	h := &history{t: t, state: NewState(), now: engine.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	h.add(&engine.InstallRecord{ID: "inst"})
	for _, f := range flows {
		def, hash, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		h.add(&engine.FlowRecord{Flow: f.ID, Hash: hash, Definition: def})
	}
	return h
}

func (h *history) add(recs ...engine.Record) []Effect {
	h.t.Helper()
	h.seq++
	h.now += 1000
	h.last = h.state.Apply(engine.Entry{Seq: h.seq, At: h.now, Records: recs})
	return h.last
}

func (h *history) submit(flow engine.FlowID, run engine.RunID) {
	h.add(&engine.SubmitRecord{Run: run, Flow: flow})
}

// report writes the record of a task's present attempt.
func (h *history) report(run engine.RunID, task engine.TaskID, out engine.Outcome, change ...func(*engine.AttemptRecord)) {
	h.t.Helper()
	r := h.state.runs[run]
	if r == nil {
		h.t.Fatalf("run %s is not open", run)
		return
	}
	rec := &engine.AttemptRecord{AttemptKey: r.Key(r.Graph.Index[task]), Flow: r.Graph.Flow.ID, Outcome: out, Start: h.now, End: h.now + 5}
	if out != engine.OutcomeSuccess {
		rec.Class, rec.Error = "status", "503 Service Unavailable"
	}
	for _, c := range change {
		c(rec)
	}
	h.add(rec)
}

// statuses writes the run's tasks as "a=success b=ready".
func (h *history) statuses(run engine.RunID) string {
	r := h.state.runs[run]
	if r == nil {
		return "closed"
	}
	var b []string
	for i := range r.Tasks {
		b = append(b, fmt.Sprintf("%s=%s", r.Graph.Flow.Tasks[i].ID, r.Tasks[i].Status))
	}
	return strings.Join(b, " ")
}

func (h *history) want(run engine.RunID, want string) {
	h.t.Helper()
	if got := h.statuses(run); got != want {
		h.t.Errorf("run %s: got %s, want %s", run, got, want)
	}
}

// emitted lists the tasks that the last entry gave out.
func (h *history) emitted() string {
	var b []string
	for _, e := range h.last {
		if e.Kind == Emit && e.Task >= 0 {
			b = append(b, string(e.Open.Graph.Flow.Tasks[e.Task].ID))
		}
	}
	return strings.Join(b, " ")
}

// shown is the document of the last change of a kind in the last entry.
func (h *history) shown(kind engine.ChangeKind) *engine.Change {
	for i := len(h.last) - 1; i >= 0; i-- {
		if c := h.last[i].Change; c != nil && c.Kind == kind {
			return c
		}
	}
	return nil
}

// flowOf makes a flow of "task: dep dep" lines.
func flowOf(id engine.FlowID, lines ...string) *engine.Flow {
	f := &engine.Flow{ID: id, Timeout: time.Hour}
	for _, line := range lines {
		name, deps, _ := strings.Cut(line, ":")
		t := engine.Task{ID: engine.TaskID(name), Type: "test", Subtype: "get"}
		for _, d := range strings.Fields(deps) {
			t.Dependencies = append(t.Dependencies, engine.TaskID(d))
			t.Pulls = append(t.Pulls, engine.TaskID(d))
		}
		f.Tasks = append(f.Tasks, t)
	}
	return f
}

const run1, run2 = engine.RunID("01M84BFBV1N8Q6D2T4XW9B7C5E"), engine.RunID("01M84BFBV1N8Q6D2T4XW9B7C5F")

func TestFold_RunsDiamondInOrder(t *testing.T) {
	h := newHistory(t, flowOf("f", "a", "b: a", "c: a", "d: b c"))
	h.submit("f", run1)
	if got := h.emitted(); got != "a" {
		t.Fatalf("first given out: %q, want a", got)
	}
	h.report(run1, "a", engine.OutcomeSuccess)
	if got := h.emitted(); got != "b c" {
		t.Fatalf("after a: %q, want b c", got)
	}
	h.report(run1, "c", engine.OutcomeSuccess)
	h.want(run1, "a=success b=ready c=success d=pending")
	h.report(run1, "b", engine.OutcomeSuccess)
	if got := h.emitted(); got != "d" {
		t.Fatalf("after b and c: %q, want d", got)
	}
	h.report(run1, "d", engine.OutcomeSuccess)
	h.want(run1, "closed")
	doc := h.shown(engine.RunDone).Doc
	if doc.Status != engine.Success || doc.Counts[engine.Success] != 4 || doc.Calls != 4 {
		t.Errorf("run document: status %s, counts %v, calls %d", doc.Status, doc.Counts, doc.Calls)
	}
}

func TestFold_SkipsDependantsOfFailedTask(t *testing.T) {
	h := newHistory(t, flowOf("f", "a", "b: a", "c: b", "other"))
	h.submit("f", run1)
	h.report(run1, "a", engine.OutcomeFailed)
	h.want(run1, "a=failed b=skipped c=skipped other=ready")
	h.report(run1, "other", engine.OutcomeSuccess)
	doc := h.shown(engine.RunDone).Doc
	if doc.Status != engine.Failed || doc.Error == nil || doc.Error.TaskID != "a" {
		t.Fatalf("run document: %+v", doc)
	}
	if doc.Tasks[2].Reason != "needs b" {
		t.Errorf("reason of c: %q, want needs b", doc.Tasks[2].Reason)
	}
}

func TestFold_RetryGivesTheNextAttemptItsTime(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"))
	h.submit("f", run1)
	due := h.now + 5_000_000
	h.report(run1, "a", engine.OutcomeRetry, func(r *engine.AttemptRecord) { r.NotBefore = due })
	task := h.state.runs[run1].Tasks[0]
	if task.attempt != 2 || task.NotBefore != due || task.Status != engine.Ready {
		t.Errorf("after a retry: attempt %d, not before %d, %s", task.attempt, task.NotBefore, task.Status)
	}
	h.report(run1, "a", engine.OutcomeSuccess)
	if hist := h.shown(engine.RunDone).Doc.Tasks[0].History; len(hist) != 2 || hist[0].RetryAt == "" {
		t.Errorf("history: %+v", hist)
	}
}

func TestFold_FirstRecordOfAnAttemptWins(t *testing.T) {
	h := newHistory(t, flowOf("f", "a", "b: a"))
	h.submit("f", run1)
	key := h.state.runs[run1].Key(0)
	first := &engine.AttemptRecord{AttemptKey: key, Flow: "f", Outcome: engine.OutcomeSuccess, Start: 1, End: 2, Value: []byte("1")}
	h.add(first)
	h.want(run1, "a=success b=ready")

	h.add(first)
	if len(h.last) != 0 {
		t.Errorf("a bundle written twice has effects: %v", h.last)
	}
	h.add(&engine.AttemptRecord{AttemptKey: key, Flow: "f", Outcome: engine.OutcomeFailed, Start: 9, End: 10})
	h.want(run1, "a=success b=ready")
	if c := h.shown(engine.AttemptDone); c == nil || !c.Superseded {
		t.Errorf("a second call that was made is shown as superseded, got %+v", c)
	}
}

func TestFold_DeferralRaisesDispatchOnly(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"))
	h.submit("f", run1)
	h.report(run1, "a", engine.OutcomeDeferred, func(r *engine.AttemptRecord) { r.NotBefore, r.Parked = h.now+1e6, "host" })
	task := h.state.runs[run1].Tasks[0]
	if task.attempt != 1 || task.dispatch != 1 || task.Parked != "host" {
		t.Errorf("after a deferral: attempt %d, dispatch %d, parked %q", task.attempt, task.dispatch, task.Parked)
	}
	if h.state.runs[run1].calls != 0 {
		t.Error("a deferral counts as a call")
	}
}

func TestFold_CancelWaitsForCallsInFlight(t *testing.T) {
	h := newHistory(t, flowOf("f", "a", "b: a"))
	h.submit("f", run1)
	h.add(&engine.ControlRecord{Kind: engine.ControlCancel, Run: run1, Reason: "by hand"})
	h.want(run1, "a=ready b=cancelled")
	h.report(run1, "a", engine.OutcomeSuccess)
	doc := h.shown(engine.RunDone).Doc
	if doc.Status != engine.Cancelled || doc.Tasks[0].Status != engine.Cancelled {
		t.Errorf("a result after the cancel: run %s, task %s", doc.Status, doc.Tasks[0].Status)
	}
	if c := h.shown(engine.AttemptDone); c == nil || c.Attempt.Outcome != engine.OutcomeSuccess {
		t.Error("the late record is not shown as it is")
	}
}

func TestFold_RunTimeout(t *testing.T) {
	h := newHistory(t, flowOf("f", "a", "b: a"))
	h.submit("f", run1)
	h.add(&engine.ControlRecord{Kind: engine.ControlTimeout, Run: run1, Reason: "run timeout after 1h0m0s"})
	h.want(run1, "a=ready b=pending") // too early: the record is a mistake
	h.now += engine.Micros(time.Hour / time.Microsecond)
	h.add(&engine.ControlRecord{Kind: engine.ControlTimeout, Run: run1, Reason: "run timeout after 1h0m0s"})
	h.report(run1, "a", engine.OutcomeCancelled)
	if doc := h.shown(engine.RunDone).Doc; doc.Status != engine.Failed || doc.Error.Class != "run_timeout" {
		t.Errorf("after the timeout: %s, %+v", doc.Status, doc.Error)
	}
}

func TestFold_LostCallIsInterruptedUntilResolved(t *testing.T) {
	for as, want := range map[string]string{
		"success": "a=success b=ready", "retry": "a=ready b=pending", "failed": "closed",
	} {
		t.Run(as, func(t *testing.T) {
			h := newHistory(t, flowOf("f", "a", "b: a"))
			h.submit("f", run1)
			h.report(run1, "a", engine.OutcomeStarted)
			h.want(run1, "a=running b=pending")
			before := h.state.runs[run1].Deadline
			h.add(&engine.ControlRecord{Kind: engine.ControlInterrupt, Run: run1, Key: h.state.runs[run1].Key(0), Reason: "outcome unknown"})
			h.want(run1, "a=interrupted b=pending")
			if h.shown(engine.RunChanged).Doc.Status != engine.Interrupted {
				t.Error("the run does not say that it is interrupted")
			}
			h.now += 7e6
			h.add(&engine.ControlRecord{Kind: engine.ControlResolve, Run: run1, Task: "a", As: as})
			h.want(run1, want)
			if as == "retry" {
				r := h.state.runs[run1]
				if r.Tasks[0].gen != 1 || r.Deadline <= before+6e6 {
					t.Errorf("generation %d, deadline moved by %d", r.Tasks[0].gen, r.Deadline-before)
				}
			}
		})
	}
}

func TestFold_ResolvedValueReachesTheViews(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"))
	h.submit("f", run1)
	h.report(run1, "a", engine.OutcomeStarted)
	h.add(&engine.ControlRecord{Kind: engine.ControlInterrupt, Run: run1, Key: h.state.runs[run1].Key(0)})
	h.add(&engine.ControlRecord{Kind: engine.ControlResolve, Run: run1, Task: "a", As: "success", Value: []byte("7")})
	if c := h.shown(engine.RunChanged); c == nil || string(c.Value) != "7" || c.Task != "a" {
		t.Errorf("change: %+v", c)
	}
	if h.shown(engine.RunDone) == nil {
		t.Error("the run has not ended")
	}
}

func TestFold_OnInterrupted(t *testing.T) {
	for mode, want := range map[string]string{"retry": "a=ready", "fail": "closed"} {
		f := flowOf("f", "a")
		f.Tasks[0].OnInterrupted = mode
		h := newHistory(t, f)
		h.submit("f", run1)
		h.report(run1, "a", engine.OutcomeStarted)
		h.add(&engine.ControlRecord{Kind: engine.ControlInterrupt, Run: run1, Key: h.state.runs[run1].Key(0)})
		h.want(run1, want)
	}
}

func TestFold_CallerKeyStartsOneRun(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"), flowOf("g", "a"))
	h.add(&engine.SubmitRecord{Run: run1, Flow: "f", DedupeID: "k"})
	h.add(&engine.SubmitRecord{Run: run2, Flow: "f", DedupeID: "k"})
	if len(h.last) != 1 || h.last[0].Kind != Known || h.last[0].Known != run1 {
		t.Fatalf("same key, same flow: %+v", h.last)
	}
	h.add(&engine.SubmitRecord{Run: run2, Flow: "g", DedupeID: "k"})
	h.want(run2, "a=ready") // another flow: another key
	h.now += DedupeWindow
	h.add(&engine.SubmitRecord{Run: "01M84BFBV1N8Q6D2T4XW9B7C5G", Flow: "f", DedupeID: "k"})
	h.want("01M84BFBV1N8Q6D2T4XW9B7C5G", "a=ready")
}

func TestFold_RefusesTriggersThatCannotRun(t *testing.T) {
	f := flowOf("orders", "a")
	f.Variables = value.MapOf("customer", int64(1), "rate", 1.5)
	for _, c := range []struct {
		name string
		rec  engine.TriggerRecord
		want string
	}{
		{"unknown flow", engine.TriggerRecord{Flow: "order"}, `no flow "order" (did you mean "orders"?)`},
		{"bad name", engine.TriggerRecord{Flow: "a.b"}, `invalid: flow id "a.b" may have only letters, digits, _ and -, and starts with a letter or _`},
		{"not JSON", engine.TriggerRecord{Flow: "orders", Payload: []byte("{")}, "payload is not JSON: unexpected end of JSON"},
		{"not an object", engine.TriggerRecord{Flow: "orders", Payload: []byte("[1]")}, `payload is a JSON list, want an object of variables such as {"customer": 7}`},
		{"too large", engine.TriggerRecord{Flow: "orders", Size: 1 << 20}, "payload of 1048576 bytes is larger than 262144"},
		{"reserved", engine.TriggerRecord{Flow: "orders", Payload: []byte(`{"run_id":1}`)}, `variable "run_id": the name is reserved`},
		{"wrong type", engine.TriggerRecord{Flow: "orders", Payload: []byte(`{"customer":"x"}`)}, `variable "customer": got str, want int as its default in the flow`},
		{"unknown header", engine.TriggerRecord{Flow: "orders", Headers: map[string]string{"Qarion-Batch": "1"}}, "unknown header Qarion-Batch (there are Qarion-Batch-Id, Qarion-Execution-Date, Qarion-Trigger-Id, Qarion-Trigger-Type)"},
		{"bad batch", engine.TriggerRecord{Flow: "orders", Headers: map[string]string{"Qarion-Batch-Id": "x"}}, `header Qarion-Batch-Id: "x" is not an integer`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHistory(t, f)
			h.add(&c.rec)
			ch := h.shown(engine.RunRejected)
			if ch == nil || ch.Reason != c.want {
				t.Errorf("got %+v\nwant %s", ch, c.want)
			}
			if len(h.state.runs) != 0 {
				t.Error("a run is open")
			}
		})
	}
	h := newHistory(t, f)
	h.add(&engine.TriggerRecord{Flow: "orders", Payload: []byte(`{"rate": 2, "other": [1]}`)})
	if h.shown(engine.RunStarted) == nil {
		t.Error("an integer for a float and an undeclared variable are refused")
	}
}

func TestFold_MaxActiveRuns(t *testing.T) {
	for overlap, want := range map[string][2]string{
		engine.OverlapQueue:  {"a=ready", "a=pending"},
		engine.OverlapSkip:   {"a=ready", "closed"},
		engine.OverlapCancel: {"a=ready", "a=ready"},
	} {
		t.Run(overlap, func(t *testing.T) {
			f := flowOf("f", "a")
			f.MaxActiveRuns, f.OnOverlap = 1, overlap
			h := newHistory(t, f)
			h.submit("f", run1)
			h.submit("f", run2)
			h.want(run1, want[0])
			h.want(run2, want[1])
			h.report(run1, "a", engine.OutcomeSuccess)
			if overlap != engine.OverlapSkip {
				h.want(run2, "a=ready")
			}
		})
	}
}

func TestFold_RunKeepsTheVersionItStartedWith(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"))
	h.submit("f", run1)
	next := flowOf("f", "x")
	def, hash, _ := next.Encode()
	h.add(&engine.FlowRecord{Flow: "f", Hash: hash, Definition: def})
	h.submit("f", run2)
	h.want(run1, "a=ready")
	h.want(run2, "x=ready")
	h.add(&engine.FlowRecord{Flow: "f", Removed: true})
	h.submit("f", "01M84BFBV1N8Q6D2T4XW9B7C5G")
	if c := h.shown(engine.RunRejected); c == nil || c.Reason != `flow "f" was removed` {
		t.Errorf("after removal: %+v", c)
	}
	h.report(run1, "a", engine.OutcomeSuccess)
	h.report(run2, "x", engine.OutcomeSuccess)
	if len(h.state.versions) != 0 {
		t.Errorf("%d flow versions are kept without use", len(h.state.versions))
	}
}

// A client's trigger may be written twice: the bundle was stored and its
// acknowledgement lost, or the node died before the stream of triggers heard.
func TestFold_TakesEachPlaceInTheTriggerStreamOnce(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"))
	from := func(stream int64, seq uint64) *engine.SubmitRecord {
		stored := engine.Micros(7_000_000 * stream)
		tr := engine.Trigger{TriggerRecord: engine.TriggerRecord{Flow: "f"}, Place: engine.TriggerPlace{Stream: stream, Seq: seq}, Stored: stored}
		return tr.Submission("installation")
	}
	h.add(from(1, 1), from(1, 2))
	h.add(from(1, 1), from(1, 2), from(1, 3))
	if got := len(h.state.runs); got != 3 {
		t.Fatalf("%d runs of 3 triggers", got)
	}
	h.state = restoreParts(t, takeAll(t, h.state.Snapshot("test"), func() {}))
	h.add(from(1, 3), from(1, 2))
	if got := len(h.state.runs); got != 3 {
		t.Errorf("after a checkpoint: %d runs of 3 triggers", got)
	}
	h.add(from(2, 1)) // the stream was made anew: its count starts again
	if got := len(h.state.runs); got != 4 {
		t.Errorf("a trigger of a new stream: %d runs, want 4", got)
	}
}

func TestFold_ATriggerCountsAsAcceptedWhenItWasStored(t *testing.T) {
	h := newHistory(t, flowOf("f", "a"))
	tr := engine.Trigger{TriggerRecord: engine.TriggerRecord{Flow: "f"}, Place: engine.TriggerPlace{Stream: 1, Seq: 1}, Stored: 7_000_000}
	h.add(tr.Submission("installation"))
	doc := h.shown(engine.RunStarted).Doc
	if want := engine.Micros(7_000_000).Format(); doc.StartTime != want || doc.ExecutionDate != want {
		t.Errorf("start %s, execution date %s, want %s", doc.StartTime, doc.ExecutionDate, want)
	}
}

func TestFold_ManyRefusalsAreCountedAndFewAreTold(t *testing.T) {
	h := newHistory(t)
	told, untold, refused := uint64(0), uint64(0), 0
	submit := func() {
		for _, e := range h.add(&engine.SubmitRecord{Run: "01M84BFBV1N8Q6D2T4XW9B7C5G", Flow: "nothing"}) {
			switch {
			case e.Kind == Refused:
				refused++
			case e.Kind == Show:
				told++
				untold += e.Change.Untold
			}
		}
	}
	for range 5000 {
		submit()
	}
	h.now += 2_000_000
	submit()
	if refused != 5001 || h.state.Rejected != 5001 {
		t.Errorf("%d callers heard, %d counted, want 5001", refused, h.state.Rejected)
	}
	if told > 7*maxTold || told+untold != 5001 { // over seven seconds
		t.Errorf("%d told and %d said to be left out, of 5001", told, untold)
	}
}

// Two callers run the same file: the version stays until both have submitted
// their runs, also over a checkpoint, and goes with the last of them.
func TestFold_AnAdHocVersionLivesUntilItsLastRun(t *testing.T) {
	f := flowOf("f", "a")
	def, hash, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put := &engine.FlowRecord{Flow: "f", Hash: hash, Definition: def, AdHoc: true}
	submit := func(run engine.RunID, vars string) *engine.SubmitRecord {
		return &engine.SubmitRecord{Run: run, Flow: "f", Version: hash, Variables: []byte(vars)}
	}
	h := newHistory(t)
	h.add(put)
	h.add(put)
	h.add(submit("r1", ""))
	h.report("r1", "a", engine.OutcomeSuccess)
	h.state = restoreParts(t, takeAll(t, h.state.Snapshot("test"), func() {}))
	h.add(submit("r2", ""))
	if h.state.Run("r2") == nil {
		t.Fatalf("the second run was refused: %+v", h.shown(engine.RunRejected))
	}
	h.report("r2", "a", engine.OutcomeSuccess)
	if len(h.state.versions) != 0 {
		t.Error("the version stays though no run needs it")
	}
	h.add(put)
	h.add(submit("r3", `{"run_id": 1}`))
	if len(h.state.versions) != 0 || h.state.Run("r3") != nil {
		t.Error("the version of a refused run stays")
	}
}

// TestFold_ACookieJarIsWhereItsNewestRecordsAre: a record that has a jar stands
// for those that its worker had read; what came meanwhile is kept beside it.
func TestFold_ACookieJarIsWhereItsNewestRecordsAre(t *testing.T) {
	f := flowOf("f", "a", "b:a", "c:a", "d:b c", "e:d")
	for i := range f.Tasks {
		f.Tasks[i].Jar = "shop"
	}
	f.Tasks[4].Jar = "other"
	h := newHistory(t, f)
	h.submit("f", "r1")
	jarOf := func(task engine.TaskID) string {
		r := h.state.runs["r1"]
		var seqs []string
		for _, p := range r.ReadyTask(r.Graph.Index[task]).Jar {
			seqs = append(seqs, fmt.Sprint(p.Seq))
		}
		return strings.Join(seqs, " ")
	}
	read := func(seq uint64) func(*engine.AttemptRecord) {
		return func(rec *engine.AttemptRecord) { rec.Jar, rec.JarRead = []byte{1}, engine.Pos{Seq: seq} }
	}
	h.report("r1", "a", engine.OutcomeRetry, read(0)) // a failed attempt leaves cookies too
	first := h.seq
	if got := jarOf("a"); got != fmt.Sprint(first) {
		t.Errorf("the next attempt reads %q", got)
	}
	h.report("r1", "a", engine.OutcomeSuccess)
	h.report("r1", "b", engine.OutcomeSuccess, read(first)) // b and c began with the same jar
	afterB := h.seq
	h.report("r1", "c", engine.OutcomeSuccess, read(first))
	want := fmt.Sprint(afterB, " ", h.seq)
	if got := jarOf("d"); got != want {
		t.Errorf("d reads %q, want %q", got, want)
	}
	restored := restoreParts(t, takeAll(t, h.state.Snapshot("test"), func() {}))
	if got := fmt.Sprint(restored.runs["r1"].jars); got != fmt.Sprint(h.state.runs["r1"].jars) {
		t.Errorf("a snapshot has %s", got)
	}
	h.report("r1", "d", engine.OutcomeSuccess, read(h.seq))
	if got := jarOf("e"); got != "" {
		t.Errorf("another jar reads %q", got)
	}
	if got := len(h.state.runs["r1"].jars["shop"]); got != 1 {
		t.Errorf("%d records hold the jar", got)
	}
}
