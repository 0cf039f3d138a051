package fold

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// State is everything that the ledger says about what is open: the newest flow
// versions, the open runs and the caller keys of the last day. Apply is the
// only way to change it, and it is pure: the same records in the same order
// give the same state and the same effects, on every node and every replay.
// A State belongs to one goroutine.
type State struct {
	Seq          uint64 // last entry applied
	Installation string
	Bad          int                 // records that could not be read
	Taken        engine.TriggerPlace // the last of the clients' triggers that became a run or was refused
	Rejected     uint64              // triggers that were refused

	flows    map[engine.FlowID]*flowState
	versions map[string]*version
	runs     map[engine.RunID]*Run
	seen     dedupe
	awaits   map[signalled]map[*Run]int // runs with cells that wait for a signal by key
	told     told
	tally    tally
	limits   map[string]engine.LimitState // by their keys
	left     engine.Seeds                 // room for what a closed run has left

	gen    uint64    // of the newest snapshot
	taking *Snapshot // that is being taken; nil: none
}

// flowState is what is known of one flow.
type flowState struct {
	id      engine.FlowID
	gen     uint64 // of the last snapshot that has it, or that began before it
	current string // hash of the newest version; "" when removed, or when it only ran from a file
	removed bool   // it was there, and its file was taken away
	batch   int64  // the last batch id given out
	active  roster
	queue   roster    // runs that wait behind max_active_runs
	early   []early   // signals by key that no run has waited for
	ticking []Ticking // its schedules, by id; no list of them is changed in place
}

// version is a flow version in use: the newest of its flow, or one that open
// runs started with.
type version struct {
	graph  *Graph
	gen    uint64     // of the last snapshot that has it, or that began before it
	at     engine.Pos // of the record that it came with; zero: not known
	runs   int
	claims int // ad-hoc records whose run has not been submitted yet
}

// maxTold is how many refusals are shown per second of the ledger's time: a
// million triggers for a flow that is not there must not become a million
// events.
const maxTold = 100

// told is how many refusals were shown in a second, and how many were not
// since the last one that was.
type told struct {
	Second engine.Micros `cbor:"1,keyasint,omitempty"` // since 1970
	Shown  int           `cbor:"2,keyasint,omitempty"`
	Untold uint64        `cbor:"3,keyasint,omitempty"`
}

// Effect is what follows from a record. The scheduler carries effects out in
// order; they hold no decision that is not in the state.
type Effect struct {
	Kind   EffectKind
	Change *engine.Change // Show
	Run    engine.RunID   // Emit, End, Known, Refused, Queued, Reopen
	Task   int            // Emit: index in the flow
	Item   int            // Emit: of the task's items; 0: the task itself
	Known  engine.RunID   // Known: the run that the same caller key has started
	Reason string         // Refused
	NoFlow bool           // Refused: there is no such flow
	Graph  *Graph         // Version
	Heard  *Heard         // Told
	Flow   engine.FlowID  // Ticks

	Open  *Run // Emit, End, Queued: the run itself
	Freed bool // Emit: the dispatch before this one had been given out and has no record
}

// EffectKind says what an Effect asks for.
type EffectKind int

// The kinds of effect.
const (
	Show    EffectKind = iota // hand a change to the projections
	Emit                      // give the task to a worker, not before its time
	End                       // the run is ending: stop its calls, close what is not in flight
	Known                     // the submitted run is an earlier one
	Refused                   // the submitted run cannot be
	Queued                    // the submitted run is open and waits behind others
	Version                   // a flow version came into use
	Reopen                    // the run goes on with another stage: its calls are made again
	Told                      // a signal or a decision was taken
	Ticks                     // the schedules of a flow are other ones, or stand elsewhere
)

// NewState is the state before the first record.
func NewState() *State {
	return &State{flows: map[engine.FlowID]*flowState{}, versions: map[string]*version{}, runs: map[engine.RunID]*Run{}, limits: map[string]engine.LimitState{}}
}

// step is the application of one entry.
type step struct {
	*State
	pos     engine.Pos
	at      engine.Micros
	shown   int
	effects []Effect
	orphans []engine.RunID // opened by tasks that were ended
}

// Apply folds one entry into the state and returns its effects.
func (s *State) Apply(e engine.Entry) []Effect {
	st := step{State: s, at: e.At}
	for n, rec := range e.Records {
		st.pos = engine.Pos{Seq: e.Seq, N: n}
		st.apply(rec)
		st.endOrphans()
	}
	s.Seq = e.Seq
	return st.effects
}

func (s *step) apply(rec engine.Record) {
	switch rec := rec.(type) {
	case *engine.InstallRecord:
		if s.Installation == "" {
			s.Installation = rec.ID
		}
	case *engine.FlowRecord:
		s.flow(rec)
	case *engine.TriggerRecord:
		id := engine.DeriveRunID(s.at.Time(), s.Installation, s.pos.Seq)
		if submit, err := engine.SubmitOf(rec, id); err != nil {
			s.reject(id, rec.Flow, err.Error())
		} else {
			s.submit(submit)
		}
	case *engine.SubmitRecord:
		s.submit(rec)
	case *engine.AttemptRecord:
		s.attempt(rec)
	case *engine.ControlRecord:
		s.control(rec)
	case *engine.BadRecord:
		s.Bad++
	case *engine.LossRecord:
		s.loss(rec)
	}
}

// show hands a change to the projections. Its position is the ledger sequence
// and the number of the change in it.
func (s *step) show(c *engine.Change) {
	c.Pos, c.At = engine.Pos{Seq: s.pos.Seq, N: s.shown}, s.at
	s.shown++
	s.effects = append(s.effects, Effect{Kind: Show, Change: c})
}

// flow takes a flow version: the newest one, an ad-hoc one, or a removal.
func (s *step) flow(rec *engine.FlowRecord) {
	fs := s.flowState(rec.Flow)
	if rec.Removed {
		fs.removed = true
		s.replace(fs, "")
		return
	}
	if s.versions[rec.Hash] == nil {
		f, err := engine.DecodeFlow(rec.Definition)
		if err != nil || f.ID != rec.Flow {
			s.Bad++
			return
		}
		s.versions[rec.Hash] = &version{graph: NewGraph(f, rec.Hash), gen: s.gen, at: s.pos}
		s.effects = append(s.effects, Effect{Kind: Version, Graph: s.versions[rec.Hash].graph})
	}
	if rec.AdHoc {
		v := s.versions[rec.Hash]
		s.touchVersion(v)
		v.claims++
	} else {
		s.replace(fs, rec.Hash)
	}
}

// flowState is a flow's state, which is about to change.
func (s *State) flowState(id engine.FlowID) *flowState {
	fs := s.flows[id]
	if fs == nil {
		fs = &flowState{id: id, gen: s.gen}
		s.flows[id] = fs
	}
	s.touchFlow(fs)
	return fs
}

// replace makes another version the newest; the old one goes when no run uses
// it.
func (s *step) replace(fs *flowState, hash string) {
	old := fs.current
	fs.current = hash
	s.reschedule(fs)
	s.dropUnused(old)
}

// dropUnused forgets a flow version that is not the newest and has no run.
func (s *State) dropUnused(hash string) {
	if v := s.versions[hash]; v != nil && v.runs == 0 && v.claims == 0 && s.flows[v.graph.Flow.ID].current != hash {
		s.touchVersion(v)
		delete(s.versions, hash)
	}
}

// reject refuses a run. Whoever submitted it hears so; the views are told of
// the first ones in each second and of the number of the others.
func (s *step) reject(id engine.RunID, flow, reason string) {
	s.Rejected++
	s.tally.at(s.at).Rejected++
	s.effects = append(s.effects, Effect{Kind: Refused, Run: id, Reason: reason})
	t := &s.told
	if second := s.at / 1e6; second != t.Second {
		t.Second, t.Shown = second, 0
	}
	if t.Shown == maxTold {
		t.Untold++
		return
	}
	s.show(&engine.Change{Kind: engine.RunRejected, Run: id, Flow: engine.FlowID(flow), Reason: reason, Untold: t.Untold})
	t.Shown, t.Untold = t.Shown+1, 0
}

// taken notes a client's trigger and reports whether it was taken before: its
// bundle was written twice.
func (s *State) taken(p engine.TriggerPlace) bool {
	if p.Seq == 0 {
		return false
	}
	if p.Stream == s.Taken.Stream && p.Seq <= s.Taken.Seq {
		return true
	}
	s.Taken = p
	return false
}

// submit opens a run with the flow version that holds at this point of the
// ledger, or refuses it.
func (s *step) submit(rec *engine.SubmitRecord) {
	if s.taken(rec.From) {
		return
	}
	if v := s.versions[rec.Version]; v != nil && s.runs[rec.Run] == nil {
		s.touchVersion(v)
		v.claims = max(v.claims-1, 0)
		defer s.dropUnused(rec.Version) // the run may be refused
	}
	if rec.Refused != "" {
		s.reject(rec.Run, string(rec.Flow), rec.Refused)
		return
	}
	if rec.Tick != 0 && !s.tick(rec) {
		return
	}
	refusal := len(s.effects) // where it will stand
	v, variables, err := s.runnable(rec)
	if err != nil {
		s.reject(rec.Run, string(rec.Flow), err.Error())
		s.effects[refusal].NoFlow = errors.Is(err, engine.ErrNotFound)
		return
	}
	seeds, err := seedsOf(rec, v.graph)
	if err != nil {
		s.reject(rec.Run, string(rec.Flow), err.Error())
		return
	}
	if rec.DedupeID != "" {
		if known, ok := s.seen.find(rec.Flow, rec.DedupeID, s.at); ok {
			s.effects = append(s.effects, Effect{Kind: Known, Run: rec.Run, Known: known})
			return
		}
	}
	if s.runs[rec.Run] != nil {
		return // the same bundle, written twice
	}
	fs := s.flowState(rec.Flow)
	f := v.graph.Flow
	full := f.MaxActiveRuns > 0 && fs.active.n >= f.MaxActiveRuns
	if full && f.OnOverlap == engine.OverlapSkip {
		s.reject(rec.Run, string(rec.Flow), fmt.Sprintf("%d of max_active_runs = %d runs are active and on_overlap is \"skip\"", fs.active.n, f.MaxActiveRuns))
		return
	}
	if rec.DedupeID != "" {
		s.seen.add(rec.Flow, rec.DedupeID, rec.Run, s.at)
	}
	r := s.open(rec, v, fs)
	if rec.Rerun != nil {
		r.sow(rec.Rerun, seeds)
	}
	if !full && len(r.variables) > 0 { // in a queue they would take memory for nothing
		r.parsed = variables
	}
	switch {
	case !full:
		s.start(r, fs)
	case f.OnOverlap == engine.OverlapCancel:
		s.makeWay(fs, f)
		s.start(r, fs)
	default:
		fs.queue.add(r)
		s.effects = append(s.effects, Effect{Kind: Queued, Run: r.ID, Open: r})
	}
}

// makeWay cancels the oldest run of a flow that has too many. Those that are
// ending already, or do what follows a run, are left to their end.
func (s *step) makeWay(fs *flowState, f *engine.Flow) {
	var oldest *Run
	going := 0
	for r := fs.active.first; r != nil; r = r.place.next {
		if r.Ending != "" || r.stage > engine.StageTasks {
			continue
		}
		if going++; oldest == nil {
			oldest = r
		}
	}
	if going >= f.MaxActiveRuns {
		s.end(oldest, engine.Cancelled, "cancelled", "a newer run of "+string(f.ID)+" started (on_overlap = \"cancel\")")
	}
}

// runnable finds the flow version of a submission and checks its variables.
func (s *step) runnable(rec *engine.SubmitRecord) (*version, *value.Map, error) {
	hash := rec.Version
	if hash == "" {
		if fs := s.flows[rec.Flow]; fs != nil {
			hash = fs.current
		}
	}
	v := s.versions[hash]
	if v == nil || v.graph.Flow.ID != rec.Flow {
		return nil, nil, s.UnknownFlow(rec.Flow)
	}
	variables, err := engine.ReadVariables(v.graph.Flow, rec.Variables)
	return v, variables, err
}

// UnknownFlow says why a flow cannot run: it was removed, it only ran from a file,
// or there is none of the name, with the nearest that there is.
func (s *State) UnknownFlow(id engine.FlowID) error {
	if fs := s.flows[id]; fs != nil && fs.removed {
		return noFlow(fmt.Sprintf("flow %q was removed", id))
	} else if fs != nil {
		return noFlow(fmt.Sprintf("flow %q only ran from its file (qarion run FILE), and is in no folder of flows", id))
	}
	var known []string
	for name, fs := range s.flows {
		if fs.current != "" {
			known = append(known, string(name))
		}
	}
	if near := engine.Nearest(string(id), known); near != "" {
		return noFlow(fmt.Sprintf("no flow %q (did you mean %q?)", id, near))
	}
	return noFlow(fmt.Sprintf("no flow %q", id))
}

// noFlow says that there is no such flow. It is engine.ErrNotFound.
type noFlow string

func (e noFlow) Error() string        { return string(e) }
func (e noFlow) Is(target error) bool { return target == engine.ErrNotFound }

func (s *step) open(rec *engine.SubmitRecord, v *version, fs *flowState) *Run {
	g := v.graph
	v.runs++
	s.tally.at(s.at).Started++
	r := &Run{
		ID: rec.Run, Graph: g, Status: engine.Pending, accepted: cmp.Or(rec.Stored, s.at), Seq: s.pos.Seq, gen: s.gen,
		Batch: rec.BatchID, execution: rec.ExecutionDate,
		parent: rec.Parent, triggerType: rec.TriggerType, triggerID: rec.TriggerID, trace: rec.Trace,
		Tasks: make([]TaskState, len(g.Flow.Tasks)), open: g.stages[engine.StageTasks], defined: v.at,
	}
	if !rec.HasBatchID {
		r.Batch = fs.batch + 1
	}
	fs.batch = max(fs.batch, r.Batch)
	if r.execution == 0 {
		r.execution = r.accepted
	}
	if len(rec.Variables) <= keepVariables {
		r.variables = rec.Variables
	} else {
		r.variablesAt = s.pos
	}
	for i := range r.Tasks {
		r.Tasks[i] = TaskState{Cell: Cell{Status: engine.Pending}, ends: ends{left: len(g.parents[i])}, reading: g.readers[i]}
	}
	s.runs[r.ID] = r
	return r
}

func (s *step) start(r *Run, fs *flowState) {
	s.touch(r)
	fs.active.add(r)
	r.Status = engine.Running
	r.Deadline = s.at + engine.Micros(r.Graph.Flow.Timeout/time.Microsecond)
	s.show(&engine.Change{Kind: engine.RunStarted, Run: r.ID, Flow: r.Graph.Flow.ID, Trace: r.trace, Doc: r.Doc(engine.Running, 0, false)})
	s.showKept(r)
	s.begin(r)
}

// begin starts the tasks of the run's stage that wait for no other.
func (s *step) begin(r *Run) {
	r.roots(func(i int, v verdict) {
		if v == starts {
			s.release(r, i)
			return
		}
		s.skip(r, i, v, r.whySkipped(i, r.deciding(i)))
		s.showClosed(r, i)
		s.settle(r, i)
	})
	s.effects = append(s.effects, Effect{Kind: Emit, Run: r.ID, Task: -1, Open: r}) // sets the run's timer
	s.finish(r)                                                                     // everything may be kept
}

// release makes a pending task ready for its first attempt.
func (s *step) release(r *Run, i int) {
	t := &r.Tasks[i]
	t.Status, t.attempt = engine.Ready, 1
	s.showReady(r, i)
	if t.fan != nil { // of a rerun: its list is known
		t.Status = engine.Running
		s.fill(r, i)
		return
	}
	r.InFlight++
	s.emit(r, CellRef{Task: i})
}

func (s *step) emit(r *Run, ref CellRef) {
	t := r.Cell(ref)
	freed := t.Given != nil
	t.Given = nil
	s.effects = append(s.effects, Effect{Kind: Emit, Run: r.ID, Task: ref.Task, Item: ref.Item, Open: r, Freed: freed})
}
