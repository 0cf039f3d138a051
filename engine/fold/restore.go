package fold

import (
	"fmt"

	"github.com/qarion/qarion/engine"
)

// noted is the first format whose snapshots note that a flow was removed.
const noted = 5

// Restoring builds the state that the parts of a snapshot were taken from.
type Restoring struct {
	state   *State
	keep    bool
	have    Count
	rosters []flowSnapshot // of runs that may come later
}

// Count is what a snapshot holds.
type Count struct {
	Versions int `cbor:"1,keyasint"`
	Runs     int `cbor:"2,keyasint"`
	Keys     int `cbor:"3,keyasint"`
}

// NewRestoring begins with nothing. One that does not keep what it reads only
// says whether a snapshot can be restored, in little memory.
func NewRestoring(keep bool) *Restoring { return &Restoring{state: NewState(), keep: keep} }

// Add takes the next part. ErrInvalid: it was written in a newer format, or
// does not fit to the others.
func (r *Restoring) Add(p *Part) error {
	if p.Format > engine.FormatVersion {
		return fmt.Errorf("%w: the checkpoint has format %d, written by qarion %s; this program reads up to %d", engine.ErrInvalid, p.Format, p.Writer, engine.FormatVersion)
	}
	s := r.state
	s.Seq, s.Installation, s.Bad = p.Seq, p.Installation, p.Bad
	s.Taken, s.Rejected, s.told = p.Taken, p.Rejected, p.Told
	if p.Tally != nil {
		s.tally.counts = p.Tally
	}
	for _, l := range p.Limits {
		s.limits[l.Key] = engine.LimitState{Next: l.Next, Until: l.Until}
	}
	for i, def := range p.Versions {
		f, err := engine.DecodeFlow(def)
		if err != nil {
			return err
		}
		hash := engine.FlowHash(def)
		v := &version{graph: NewGraph(f, hash)}
		if i < len(p.Claims) {
			v.claims = p.Claims[i]
		}
		if i < len(p.Places) {
			v.at = p.Places[i]
		}
		s.versions[hash] = v
	}
	for i := range p.Runs {
		if err := s.restoreRun(&p.Runs[i]); err != nil {
			return err
		}
	}
	r.have.Versions, r.have.Runs, r.have.Keys = r.have.Versions+len(p.Versions), r.have.Runs+len(p.Runs), r.have.Keys+len(p.Seen)
	if !r.keep {
		clear(s.runs)
		clear(s.awaits)
		return nil
	}
	for _, f := range p.Flows {
		fs := s.flowState(f.Flow)
		fs.current, fs.batch = f.Current, f.Batch
		fs.removed = f.Removed || f.Current == "" && p.Format < noted // as it was said before
		if f.Early != nil {
			fs.early = f.Early
		}
		if f.Ticking != nil {
			fs.ticking = f.Ticking
		}
		if len(f.Active)+len(f.Queue) > 0 {
			r.rosters = append(r.rosters, f)
		}
	}
	for _, e := range p.Seen {
		s.seen.put(e.Hash, e.Run, e.At)
	}
	return nil
}

// Count is what the parts so far held.
func (r *Restoring) Count() Count { return r.have }

// State is what the parts make. ErrInvalid: some are missing.
func (r *Restoring) State() (*State, error) {
	for _, f := range r.rosters {
		fs := r.state.flowState(f.Flow)
		for _, list := range []struct {
			to  *roster
			ids []engine.RunID
		}{{&fs.active, f.Active}, {&fs.queue, f.Queue}} {
			for _, id := range list.ids {
				run := r.state.runs[id]
				if run == nil || run.place.in != nil {
					return nil, fmt.Errorf("%w: checkpoint: run %s of flow %s is not in it, or twice", engine.ErrInvalid, id, f.Flow)
				}
				list.to.add(run)
			}
		}
	}
	r.rosters = nil
	return r.state, nil
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
		Ending: rs.Ending, endReason: rs.EndReason, endClass: rs.EndClass, firstError: rs.FirstError, jars: rs.Jars, trace: rs.Trace, rows: rs.Rows,
		rerun: rs.Rerun, defined: rs.Defined, stage: rs.Stage, settled: rs.Settled, early: rs.Early, cancelled: rs.Cancelled, since: rs.Since, parent: rs.Parent,
	}
	for i := range rs.Tasks {
		t := &rs.Tasks[i]
		fan, err := t.Fan.restore()
		if err != nil {
			return fmt.Errorf("checkpoint: run %s: %w", rs.ID, err)
		}
		r.Tasks[i] = TaskState{
			Cell: t.cell(), fan: fan,
			ends: ends{
				left: t.Waiting, failed: t.Failed, skipped: t.Skipped,
				good: len(v.graph.parents[i]) - t.Waiting - t.Failed - t.Skipped,
			},
			byCondition: t.Condition, notChosen: t.NotChosen, value: t.Value, response: t.Response, at: t.At, hasValue: t.HasValue, reading: t.Reading,
			Begin: t.Begin, end: t.End, code: t.Code, history: t.History, origin: t.Origin,
		}
		if t.Status == engine.Failed && !v.graph.Flow.Tasks[i].ContinueOnError {
			r.failures++
		}
		if !t.Status.Final() && v.graph.Flow.Tasks[i].Stage <= rs.Stage {
			r.open++
		}
	}
	for ref, c := range r.Cells() {
		switch c.Status {
		case engine.Ready, engine.Running:
			r.InFlight++
		case engine.Interrupted:
			r.Interrupted++
		case engine.Waiting:
			s.beginWait(r, ref)
		}
	}
	s.runs[r.ID] = r
	return nil
}

func (t *taskSnapshot) cell() Cell {
	return Cell{
		Status: t.Status, reason: t.Reason, gen: t.Gen, turn: t.Turn, attempt: t.Attempt, dispatch: t.Dispatch, Started: t.Started, Again: t.Again,
		NotBefore: t.NotBefore, Parked: t.Parked, waited: t.Waited, Sent: t.Sent, sent: t.What, lastStart: t.LastStart,
		carry: t.Carry, carryAt: t.CarryAt, prev: t.Prev, Held: t.Held, await: t.Await, wake: t.Wake,
	}
}
