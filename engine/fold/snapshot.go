package fold

import (
	"fmt"
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

// Snapshot is the fold's state as data, for checkpoints. It holds the flow
// versions in use, so that it can be read without anything else.
type Snapshot struct {
	Format       int            `cbor:"1,keyasint"` // FormatVersion of the writer
	Writer       string         `cbor:"2,keyasint"` // program version, for the message to an older one
	Seq          uint64         `cbor:"3,keyasint"`
	Installation string         `cbor:"4,keyasint"`
	Bad          int            `cbor:"5,keyasint"`
	Flows        []flowSnapshot `cbor:"6,keyasint"`
	Versions     [][]byte       `cbor:"7,keyasint"` // definitions
	Runs         []runSnapshot  `cbor:"8,keyasint"`
	Seen         []dedupeEntry  `cbor:"9,keyasint"`

	Taken    engine.TriggerPlace `cbor:"10,keyasint,omitempty"`
	Rejected uint64              `cbor:"11,keyasint,omitempty"`
	Told     told                `cbor:"12,keyasint,omitempty"`
}

type flowSnapshot struct {
	Flow    engine.FlowID  `cbor:"1,keyasint"`
	Current string         `cbor:"2,keyasint,omitempty"`
	Batch   int64          `cbor:"3,keyasint,omitempty"`
	Active  []engine.RunID `cbor:"4,keyasint,omitempty"`
	Queue   []engine.RunID `cbor:"5,keyasint,omitempty"`
}

type runSnapshot struct {
	ID          engine.RunID     `cbor:"1,keyasint"`
	Hash        string           `cbor:"2,keyasint"`
	Status      engine.Status    `cbor:"3,keyasint"`
	Batch       int64            `cbor:"4,keyasint"`
	Execution   engine.Micros    `cbor:"5,keyasint"`
	Accepted    engine.Micros    `cbor:"6,keyasint"`
	Deadline    engine.Micros    `cbor:"7,keyasint"`
	TriggerType string           `cbor:"8,keyasint,omitempty"`
	TriggerID   string           `cbor:"9,keyasint,omitempty"`
	Variables   []byte           `cbor:"10,keyasint,omitempty"`
	VariablesAt engine.Pos       `cbor:"11,keyasint,omitempty"`
	Seq         uint64           `cbor:"12,keyasint"`
	Tasks       []taskSnapshot   `cbor:"13,keyasint"`
	Paused      engine.Micros    `cbor:"14,keyasint,omitempty"`
	Calls       int              `cbor:"15,keyasint,omitempty"`
	Ending      engine.Status    `cbor:"16,keyasint,omitempty"`
	EndReason   string           `cbor:"17,keyasint,omitempty"`
	EndClass    string           `cbor:"18,keyasint,omitempty"`
	FirstError  *engine.RunError `cbor:"19,keyasint,omitempty"`
}

type taskSnapshot struct {
	Status    engine.Status `cbor:"1,keyasint"`
	Waiting   int           `cbor:"2,keyasint,omitempty"`
	Gen       int           `cbor:"3,keyasint,omitempty"`
	Attempt   int           `cbor:"4,keyasint,omitempty"`
	Dispatch  int           `cbor:"5,keyasint,omitempty"`
	Started   bool          `cbor:"6,keyasint,omitempty"`
	Again     bool          `cbor:"7,keyasint,omitempty"`
	NotBefore engine.Micros `cbor:"8,keyasint,omitempty"`
	Parked    string        `cbor:"9,keyasint,omitempty"`
	Waited    engine.Micros `cbor:"10,keyasint,omitempty"`
	Begin     engine.Micros `cbor:"11,keyasint,omitempty"`
	End       engine.Micros `cbor:"12,keyasint,omitempty"`
	LastStart engine.Micros `cbor:"13,keyasint,omitempty"`
	Code      int           `cbor:"14,keyasint,omitempty"`
	Value     []byte        `cbor:"15,keyasint,omitempty"`
	Response  []byte        `cbor:"16,keyasint,omitempty"`
	At        engine.Pos    `cbor:"17,keyasint,omitempty"`
	HasValue  bool          `cbor:"18,keyasint,omitempty"`
	Reading   int           `cbor:"19,keyasint,omitempty"`
	Reason    string        `cbor:"20,keyasint,omitempty"`
	History   []attemptNote `cbor:"21,keyasint,omitempty"`
}

// Snapshot copies the state into data. What it shares with the state (values,
// histories) is only ever replaced, never changed in place.
func (s *State) Snapshot(writer string) (*Snapshot, error) {
	snap := &Snapshot{
		Format: engine.FormatVersion, Writer: writer, Seq: s.Seq, Installation: s.Installation, Bad: s.Bad,
		Seen: slices.Clone(s.seen.order), Taken: s.Taken, Rejected: s.Rejected, Told: s.told,
	}
	for _, id := range slices.Sorted(maps.Keys(s.flows)) {
		f := s.flows[id]
		snap.Flows = append(snap.Flows, flowSnapshot{id, f.current, f.batch, slices.Clone(f.active), slices.Clone(f.queue)})
	}
	for _, hash := range slices.Sorted(maps.Keys(s.versions)) {
		def, _, err := s.versions[hash].graph.Flow.Encode()
		if err != nil {
			return nil, err
		}
		snap.Versions = append(snap.Versions, def)
	}
	for _, id := range slices.Sorted(maps.Keys(s.runs)) {
		snap.Runs = append(snap.Runs, s.runs[id].snapshot())
	}
	return snap, nil
}

func (r *Run) snapshot() runSnapshot {
	rs := runSnapshot{
		r.ID, r.Graph.Hash, r.Status, r.Batch, r.execution, r.accepted, r.Deadline, r.triggerType, r.triggerID,
		r.variables, r.variablesAt, r.Seq, make([]taskSnapshot, len(r.Tasks)), r.paused, r.calls,
		r.Ending, r.endReason, r.endClass, r.firstError,
	}
	for i := range r.Tasks {
		t := &r.Tasks[i]
		rs.Tasks[i] = taskSnapshot{
			t.Status, t.waiting, t.gen, t.attempt, t.dispatch, t.Started, t.Again, t.NotBefore, t.Parked, t.waited,
			t.Begin, t.end, t.lastStart, t.code, t.value, t.response, t.at, t.hasValue, t.reading, t.reason,
			slices.Clone(t.history),
		}
	}
	return rs
}

// Restore builds the state that a snapshot was taken from.
func Restore(snap *Snapshot) (*State, error) {
	if snap.Format > engine.FormatVersion {
		return nil, fmt.Errorf("%w: the checkpoint has format %d, written by qarion %s; this program reads up to %d", engine.ErrInvalid, snap.Format, snap.Writer, engine.FormatVersion)
	}
	s := NewState()
	s.Seq, s.Installation, s.Bad = snap.Seq, snap.Installation, snap.Bad
	s.Taken, s.Rejected, s.told = snap.Taken, snap.Rejected, snap.Told
	for _, e := range snap.Seen {
		s.seen.put(e)
	}
	for _, def := range snap.Versions {
		f, err := engine.DecodeFlow(def)
		if err != nil {
			return nil, err
		}
		_, hash, err := f.Encode()
		if err != nil {
			return nil, err
		}
		s.versions[hash] = &version{graph: NewGraph(f, hash)}
	}
	for _, f := range snap.Flows {
		s.flows[f.Flow] = &flowState{f.Current, f.Batch, f.Active, f.Queue}
	}
	for i := range snap.Runs {
		if err := s.restoreRun(&snap.Runs[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *State) restoreRun(rs *runSnapshot) error {
	v := s.versions[rs.Hash]
	if v == nil || len(v.graph.Flow.Tasks) != len(rs.Tasks) {
		return fmt.Errorf("%w: checkpoint: run %s names flow version %s, which is not in it", engine.ErrInvalid, rs.ID, rs.Hash)
	}
	v.runs++
	r := &Run{
		ID: rs.ID, Graph: v.graph, Status: rs.Status, Batch: rs.Batch, execution: rs.Execution, accepted: rs.Accepted,
		Deadline: rs.Deadline, triggerType: rs.TriggerType, triggerID: rs.TriggerID, variables: rs.Variables,
		variablesAt: rs.VariablesAt, Seq: rs.Seq, Tasks: make([]TaskState, len(rs.Tasks)), paused: rs.Paused, calls: rs.Calls,
		Ending: rs.Ending, endReason: rs.EndReason, endClass: rs.EndClass, firstError: rs.FirstError,
	}
	for i := range rs.Tasks {
		t := &rs.Tasks[i]
		r.Tasks[i] = TaskState{
			Status: t.Status, waiting: t.Waiting, gen: t.Gen, attempt: t.Attempt, dispatch: t.Dispatch, Started: t.Started,
			Again: t.Again, NotBefore: t.NotBefore, Parked: t.Parked, waited: t.Waited, Begin: t.Begin, end: t.End,
			lastStart: t.LastStart, code: t.Code, value: t.Value, response: t.Response, at: t.At, hasValue: t.HasValue,
			reading: t.Reading, reason: t.Reason, history: t.History,
		}
		switch t.Status {
		case engine.Ready, engine.Running:
			r.InFlight++
		case engine.Interrupted:
			r.Interrupted++
		case engine.Failed:
			r.failures++
		}
		if !t.Status.Final() {
			r.open++
		}
	}
	s.runs[r.ID] = r
	return nil
}
