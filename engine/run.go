package engine

import (
	"encoding/json"

	"github.com/qarion/qarion/internal/value"
)

// keepValue is the largest XCom value that the fold keeps in memory for the
// tasks that will read it; larger ones are read back from the ledger.
const keepValue = 1 << 10

// keepVariables is the largest set of trigger variables kept in memory.
const keepVariables = 16 << 10

// run is an open run in the fold's state.
type run struct {
	id        RunID
	graph     *Graph
	status    Status // Pending (queued), Running, Interrupted
	batch     int64
	execution Micros
	accepted  Micros
	deadline  Micros // when its time is up; 0 while queued

	triggerType, triggerID string
	variables              []byte // JSON object, or nil
	variablesAt            Pos    // where they stand, when larger than keepVariables
	seq                    uint64 // ledger sequence that opened it

	tasks       []taskState
	open        int // tasks that are not final
	inFlight    int // ready or running
	interrupted int // tasks that wait for a person
	paused      Micros
	failures    int
	calls       int

	ending     Status // Cancelled or Failed: why no more tasks start; "" while it goes on
	endReason  string
	endClass   string
	firstError *RunError
}

// taskState is one task of an open run.
type taskState struct {
	status   Status
	waiting  int // dependencies that have not succeeded yet
	gen      int
	attempt  int
	dispatch int
	started  bool // the record "about to be sent" of this dispatch is there
	again    bool // this dispatch may have been sent before

	notBefore Micros
	parked    string
	waited    Micros // since when it is being postponed
	begin     Micros // of the first attempt
	end       Micros
	lastStart Micros // of the last record taken: tells a repeated bundle from a second call
	code      int    // HTTP status of the last attempt

	value    []byte
	response []byte
	at       Pos // of the record that holds value and response
	hasValue bool
	reading  int // readers that are not final

	reason  string
	history []attemptNote

	// Kept by the scheduler, not by the fold: they describe this process.
	emitted bool
	sent    *emission
}

// attemptNote is one finished attempt in short.
type attemptNote struct {
	Attempt   int     `cbor:"1,keyasint"`
	Outcome   Outcome `cbor:"2,keyasint"`
	Start     Micros  `cbor:"3,keyasint"`
	End       Micros  `cbor:"4,keyasint"`
	Status    int     `cbor:"5,keyasint,omitempty"`
	Message   string  `cbor:"6,keyasint,omitempty"`
	NotBefore Micros  `cbor:"7,keyasint,omitempty"`
	Reason    string  `cbor:"8,keyasint,omitempty"`
}

func (r *run) key(i int) AttemptKey {
	t := &r.tasks[i]
	return AttemptKey{Run: r.id, Task: r.graph.Flow.Tasks[i].ID, Generation: t.gen, Attempt: t.attempt, Dispatch: t.dispatch}
}

// finalStatus is how a run with no open task ended.
func (r *run) finalStatus() Status {
	switch {
	case r.ending != "":
		return r.ending
	case r.failures > 0:
		return Failed
	}
	return Success
}

// doc is the run's public document. full adds the tasks.
func (r *run) doc(status Status, end Micros, full bool) *RunDoc {
	f := r.graph.Flow
	d := &RunDoc{
		RunID: r.id, FlowID: f.ID, FlowVersion: r.graph.Hash, File: f.File,
		Status: status, Final: status.Final(),
		BatchID: r.batch, ExecutionDate: r.execution.Format(),
		TriggerType: r.triggerType, TriggerID: r.triggerID,
		StartTime: r.accepted.Format(), EndTime: end.Format(),
		Calls: r.calls, Error: r.firstError,
	}
	if end != 0 {
		d.DurationMS = millis(r.accepted, end)
	}
	if len(r.variables) > 0 {
		d.Variables = new(value.Map)
		if d.Variables.UnmarshalJSON(r.variables) != nil {
			d.Variables = nil // checked when the run was accepted
		}
	}
	d.Counts = make(map[Status]int, 4)
	for i := range r.tasks {
		d.Counts[r.tasks[i].status]++
	}
	if full {
		r.addTasks(d)
	}
	return d
}

func (r *run) addTasks(d *RunDoc) {
	big := len(r.tasks) > MaxRunDocTasks
	d.Tasks = make([]TaskDoc, 0, min(len(r.tasks), MaxRunDocTasks))
	for i := range r.tasks {
		t := &r.tasks[i]
		if big && (len(d.Tasks) == MaxRunDocTasks || t.status == Success && len(t.history) == 0 || t.status == Pending) {
			continue
		}
		d.Tasks = append(d.Tasks, r.taskDoc(i))
	}
}

func (r *run) taskDoc(i int) TaskDoc {
	t, task := &r.tasks[i], &r.graph.Flow.Tasks[i]
	status := t.status
	if status == Ready && t.emitted {
		status = Running
	}
	d := TaskDoc{
		TaskID: task.ID, Status: status, Operation: task.Subtype, StatusCode: t.code,
		StartTime: t.begin.Format(), EndTime: t.end.Format(), Reason: t.reason, Line: task.Line,
	}
	if t.attempt > 0 && (t.begin != 0 || t.emitted) {
		d.Attempts = t.attempt
	}
	if t.status == Ready && !t.emitted {
		d.NotBefore = t.notBefore.Format()
	}
	if t.end != 0 && t.begin != 0 {
		d.DurationMS = millis(t.begin, t.end)
	}
	for _, n := range t.history {
		d.History = append(d.History, n.doc())
	}
	return d
}

func (n attemptNote) doc() AttemptDoc {
	return AttemptDoc{
		Attempt: n.Attempt, Status: string(n.Outcome), StartTime: n.Start.Format(), EndTime: n.End.Format(),
		StatusCode: n.Status, Message: n.Message, RetryAt: n.NotBefore.Format(), Reason: n.Reason,
	}
}

// noteFailure keeps the run's first failure, with what a person needs to see
// why.
func (r *run) noteFailure(i int, rec *AttemptRecord) {
	r.failures++
	if r.firstError != nil {
		return
	}
	e := &RunError{TaskID: rec.Task, Class: rec.Class, Message: rec.Error, StatusCode: rec.Status}
	var d Details
	if len(rec.Details) > 0 && json.Unmarshal(rec.Details, &d) == nil {
		e.Method, e.URL, e.ResponseExcerpt = d.Method, d.URL, d.ResponseExcerpt
		e.Details = rec.Details
	}
	for _, n := range r.tasks[i].history {
		e.Attempts = append(e.Attempts, n.doc())
	}
	r.firstError = e
}

// millis is the time between two points in milliseconds.
func millis(from, to Micros) float64 { return float64(to-from) / 1000 }
