package engine

import (
	"fmt"
	"maps"
	"slices"
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
}

type flowSnapshot struct {
	Flow    FlowID  `cbor:"1,keyasint"`
	Current string  `cbor:"2,keyasint,omitempty"`
	Batch   int64   `cbor:"3,keyasint,omitempty"`
	Active  []RunID `cbor:"4,keyasint,omitempty"`
	Queue   []RunID `cbor:"5,keyasint,omitempty"`
}

type runSnapshot struct {
	ID          RunID          `cbor:"1,keyasint"`
	Hash        string         `cbor:"2,keyasint"`
	Status      Status         `cbor:"3,keyasint"`
	Batch       int64          `cbor:"4,keyasint"`
	Execution   Micros         `cbor:"5,keyasint"`
	Accepted    Micros         `cbor:"6,keyasint"`
	Deadline    Micros         `cbor:"7,keyasint"`
	TriggerType string         `cbor:"8,keyasint,omitempty"`
	TriggerID   string         `cbor:"9,keyasint,omitempty"`
	Variables   []byte         `cbor:"10,keyasint,omitempty"`
	VariablesAt Pos            `cbor:"11,keyasint,omitempty"`
	Seq         uint64         `cbor:"12,keyasint"`
	Tasks       []taskSnapshot `cbor:"13,keyasint"`
	Paused      Micros         `cbor:"14,keyasint,omitempty"`
	Calls       int            `cbor:"15,keyasint,omitempty"`
	Ending      Status         `cbor:"16,keyasint,omitempty"`
	EndReason   string         `cbor:"17,keyasint,omitempty"`
	EndClass    string         `cbor:"18,keyasint,omitempty"`
	FirstError  *RunError      `cbor:"19,keyasint,omitempty"`
}

type taskSnapshot struct {
	Status    Status        `cbor:"1,keyasint"`
	Waiting   int           `cbor:"2,keyasint,omitempty"`
	Gen       int           `cbor:"3,keyasint,omitempty"`
	Attempt   int           `cbor:"4,keyasint,omitempty"`
	Dispatch  int           `cbor:"5,keyasint,omitempty"`
	Started   bool          `cbor:"6,keyasint,omitempty"`
	Again     bool          `cbor:"7,keyasint,omitempty"`
	NotBefore Micros        `cbor:"8,keyasint,omitempty"`
	Parked    string        `cbor:"9,keyasint,omitempty"`
	Waited    Micros        `cbor:"10,keyasint,omitempty"`
	Begin     Micros        `cbor:"11,keyasint,omitempty"`
	End       Micros        `cbor:"12,keyasint,omitempty"`
	LastStart Micros        `cbor:"13,keyasint,omitempty"`
	Code      int           `cbor:"14,keyasint,omitempty"`
	Value     []byte        `cbor:"15,keyasint,omitempty"`
	Response  []byte        `cbor:"16,keyasint,omitempty"`
	At        Pos           `cbor:"17,keyasint,omitempty"`
	HasValue  bool          `cbor:"18,keyasint,omitempty"`
	Reading   int           `cbor:"19,keyasint,omitempty"`
	Reason    string        `cbor:"20,keyasint,omitempty"`
	History   []attemptNote `cbor:"21,keyasint,omitempty"`
}

// Snapshot copies the state into data. What it shares with the state (values,
// histories) is only ever replaced, never changed in place.
func (s *State) Snapshot(writer string) (*Snapshot, error) {
	snap := &Snapshot{
		Format: FormatVersion, Writer: writer, Seq: s.Seq, Installation: s.Installation, Bad: s.Bad,
		Seen: slices.Clone(s.seen.order),
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

func (r *run) snapshot() runSnapshot {
	rs := runSnapshot{
		r.id, r.graph.Hash, r.status, r.batch, r.execution, r.accepted, r.deadline, r.triggerType, r.triggerID,
		r.variables, r.variablesAt, r.seq, make([]taskSnapshot, len(r.tasks)), r.paused, r.calls,
		r.ending, r.endReason, r.endClass, r.firstError,
	}
	for i := range r.tasks {
		t := &r.tasks[i]
		rs.Tasks[i] = taskSnapshot{
			t.status, t.waiting, t.gen, t.attempt, t.dispatch, t.started, t.again, t.notBefore, t.parked, t.waited,
			t.begin, t.end, t.lastStart, t.code, t.value, t.response, t.at, t.hasValue, t.reading, t.reason,
			slices.Clone(t.history),
		}
	}
	return rs
}

// Restore builds the state that a snapshot was taken from.
func Restore(snap *Snapshot) (*State, error) {
	if snap.Format > FormatVersion {
		return nil, fmt.Errorf("%w: the checkpoint has format %d, written by qarion %s; this program reads up to %d", ErrInvalid, snap.Format, snap.Writer, FormatVersion)
	}
	s := NewState()
	s.Seq, s.Installation, s.Bad = snap.Seq, snap.Installation, snap.Bad
	for _, e := range snap.Seen {
		s.seen.put(e)
	}
	for _, def := range snap.Versions {
		f, err := DecodeFlow(def)
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
		return fmt.Errorf("%w: checkpoint: run %s names flow version %s, which is not in it", ErrInvalid, rs.ID, rs.Hash)
	}
	v.runs++
	r := &run{
		id: rs.ID, graph: v.graph, status: rs.Status, batch: rs.Batch, execution: rs.Execution, accepted: rs.Accepted,
		deadline: rs.Deadline, triggerType: rs.TriggerType, triggerID: rs.TriggerID, variables: rs.Variables,
		variablesAt: rs.VariablesAt, seq: rs.Seq, tasks: make([]taskState, len(rs.Tasks)), paused: rs.Paused, calls: rs.Calls,
		ending: rs.Ending, endReason: rs.EndReason, endClass: rs.EndClass, firstError: rs.FirstError,
	}
	for i := range rs.Tasks {
		t := &rs.Tasks[i]
		r.tasks[i] = taskState{
			status: t.Status, waiting: t.Waiting, gen: t.Gen, attempt: t.Attempt, dispatch: t.Dispatch, started: t.Started,
			again: t.Again, notBefore: t.NotBefore, parked: t.Parked, waited: t.Waited, begin: t.Begin, end: t.End,
			lastStart: t.LastStart, code: t.Code, value: t.Value, response: t.Response, at: t.At, hasValue: t.HasValue,
			reading: t.Reading, reason: t.Reason, history: t.History,
		}
		switch t.Status {
		case Ready, Running:
			r.inFlight++
		case Interrupted:
			r.interrupted++
		case Failed:
			r.failures++
		}
		if !t.Status.Final() {
			r.open++
		}
	}
	s.runs[r.id] = r
	return nil
}
