package fold

import (
	"encoding/json"
	"fmt"
	"iter"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// keepValue is the largest XCom value that the fold keeps in memory for the
// tasks that will read it; larger ones are read back from the ledger.
const keepValue = 1 << 10

// keepVariables is the largest set of trigger variables kept in memory.
const keepVariables = 16 << 10

// Run is an open run in the state. What is exported is for the runtime to read;
// only the fold changes it.
type Run struct {
	ID        engine.RunID
	Graph     *Graph
	Status    engine.Status // Pending (queued), Running, Interrupted
	Batch     int64
	execution engine.Micros
	accepted  engine.Micros
	Deadline  engine.Micros // when its time is up; 0 while queued

	triggerType, triggerID string
	trace                  *engine.TraceContext
	variables              []byte     // JSON object, or nil
	parsed                 *value.Map // the same, once parsed, of a run that has started; nobody changes it
	variablesAt            engine.Pos // where they stand, when larger than keepVariables
	Seq                    uint64     // ledger sequence that opened it
	gen                    uint64     // of the last snapshot that has it, or that began before it
	place                  place      // among the active or the queued runs of its flow

	Tasks       []TaskState
	open        int           // tasks of its stage, or of those before it, that are not final
	InFlight    int           // ready or running
	Interrupted int           // tasks that wait for a person
	Awaiting    int           // tasks that wait for something from outside, or for their time
	paused      engine.Micros // since when its time stands still
	failures    int
	calls       int
	rows        int64 // that its tasks have read and written

	rerun   *rerun     // nil: it repeats no other
	defined engine.Pos // of the record with its flow version; zero: not known

	jars map[string][]engine.Pos // by name: of the records that hold a cookie jar; none is changed in place

	parent    *engine.Parent // the task that has opened it; nil: none has
	early     []early        // signals that it has not waited for so far
	cancelled string         // id of the last cancel
	since     uint64         // the first entry that it may read, where that is not Seq; a signal may have come before it

	stage      int
	settled    engine.Status // what an earlier stage was ended with, and so the run is; "" for none
	Ending     engine.Status // Cancelled or Failed: why no more tasks of its stage start; "" while it goes on
	endReason  string
	endClass   string
	firstError *engine.RunError
}

// keepCarry is the largest carry of a turn that the fold keeps in memory; larger
// ones are read back from the ledger.
const keepCarry = 1 << 10

// TaskState is one task of an open run: its place in the graph, what it leaves
// for others, and the cell that does its work. The runtime reads what is exported
// and changes nothing but Given.
type TaskState struct {
	Cell
	fan         *fan // of a task with for_each, once its list is known
	ends        ends // how those have ended that it depends on
	byCondition bool // with Skipped: by its own condition, or by those of others
	notChosen   bool // with Skipped: by the task that chooses

	value    []byte
	response []byte
	at       engine.Pos // of the record that holds value and response
	hasValue bool
	reading  int // readers that are not final

	Begin   engine.Micros // of the first attempt
	end     engine.Micros
	code    int // HTTP status of the last attempt
	history []attemptNote
	origin  *origin // of a rerun: where it comes from; nil for most
}

// CellRef names a cell of a run: a task by its place in the flow, and one of its
// items from 1; item 0 is the task itself.
type CellRef struct{ Task, Item int }

// Cell is work that a worker does: one call, or several that take turns. It is
// given out by generation, turn, attempt and dispatch, and only the record that
// names all four ends what was given out. The runtime reads what is exported and
// changes nothing but Given.
type Cell struct {
	Status   engine.Status
	reason   string
	gen      int
	turn     int
	attempt  int
	dispatch int
	Started  bool // the record "about to be sent" of this dispatch is there
	Again    bool // this dispatch may have been sent before

	NotBefore engine.Micros
	Parked    string
	waited    engine.Micros // since when it is being postponed
	Sent      engine.Micros // with Started: when the request was about to be sent
	sent      []byte        // with Started: what it is, Details as JSON text
	lastStart engine.Micros // of the last record taken: tells a repeated bundle from a second call

	carry   []byte     // what the last turn has left for this one, unless it is larger than keepCarry
	carryAt engine.Pos // of the record that holds it
	prev    engine.Pos // of the record that holds the last part of the value

	// Held: an item without a lane, which is not given out. It waits for a retry, or a
	// person.
	Held bool

	await string       // what it waits for, while waiting, at most until NotBefore
	wake  *engine.Wake // what has ended the wait of the turn before

	// Given is the runtime's own note while it has given the dispatch out, nil
	// otherwise. It describes this process: the fold only clears it when the
	// record is taken, and no snapshot holds it.
	Given any
}

// attemptNote is one finished attempt in short.
type attemptNote struct {
	Attempt   int            `cbor:"1,keyasint"`
	Outcome   engine.Outcome `cbor:"2,keyasint"`
	Start     engine.Micros  `cbor:"3,keyasint"`
	End       engine.Micros  `cbor:"4,keyasint"`
	Status    int            `cbor:"5,keyasint,omitempty"`
	Message   string         `cbor:"6,keyasint,omitempty"`
	NotBefore engine.Micros  `cbor:"7,keyasint,omitempty"`
	Reason    string         `cbor:"8,keyasint,omitempty"`
	Turn      int            `cbor:"9,keyasint,omitempty"`
}

// maxHistory is how many attempts of a task are kept, the newest, and up to as
// many again.
const maxHistory = 1000

// Cell finds a cell; nil: no such item is open.
func (r *Run) Cell(ref CellRef) *Cell {
	if ref.Item == 0 {
		return &r.Tasks[ref.Task].Cell
	}
	if f := r.Tasks[ref.Task].fan; f != nil {
		return f.open[ref.Item]
	}
	return nil
}

// Cells yields the cells that work can be given out of: of each task its own, or,
// while its items are worked on, theirs, in order.
func (r *Run) Cells() iter.Seq2[CellRef, *Cell] {
	return func(yield func(CellRef, *Cell) bool) {
		for i := range r.Tasks {
			t := &r.Tasks[i]
			if !t.spread() {
				if !yield(CellRef{Task: i}, &t.Cell) {
					return
				}
				continue
			}
			for _, n := range t.fan.numbers() {
				if it := t.fan.open[n]; it != nil && !yield(CellRef{i, n}, it) {
					return
				}
			}
		}
	}
}

// Key names the dispatch of task i that is open now.
func (r *Run) Key(i int) engine.AttemptKey { return r.KeyOf(CellRef{Task: i}) }

// KeyOf names the dispatch of a cell that is open now; the zero key when the item
// is not open.
func (r *Run) KeyOf(ref CellRef) engine.AttemptKey {
	t := r.Cell(ref)
	if t == nil {
		return engine.AttemptKey{}
	}
	return engine.AttemptKey{Run: r.ID, Task: r.Graph.Flow.Tasks[ref.Task].ID, Item: ref.Item, Generation: t.gen, Turn: t.turn, Attempt: t.attempt, Dispatch: t.dispatch}
}

// dispatched finds the cell of a dispatch; nil: another one is open now, or none.
func (r *Run) dispatched(k engine.AttemptKey) (ref CellRef, c *Cell) {
	i, ok := r.Graph.Index[k.Task]
	if ref = (CellRef{i, k.Item}); !ok || r.KeyOf(ref) != k || k.Item == 0 && r.Tasks[i].spread() {
		return ref, nil
	}
	return ref, r.Cell(ref)
}

// Dispatched is the cell of a dispatch; nil: another one is open now, or none.
func (r *Run) Dispatched(k engine.AttemptKey) *Cell {
	_, c := r.dispatched(k)
	return c
}

// finalStatus is how a run with no open task ended.
func (r *Run) finalStatus() engine.Status {
	switch {
	case r.settled != "":
		return r.settled
	case r.Ending != "":
		return r.Ending
	case r.failures > 0:
		return engine.Failed
	}
	return engine.Success
}

// Doc is the run's public document. full adds the tasks.
func (r *Run) Doc(status engine.Status, end engine.Micros, full bool) *engine.RunDoc {
	f := r.Graph.Flow
	d := &engine.RunDoc{
		RunID: r.ID, FlowID: f.ID, FlowVersion: r.Graph.Hash, File: f.File, Environment: f.Environment,
		Status: status, Final: status.Final(),
		BatchID: r.Batch, TriggerType: r.triggerType, TriggerID: r.triggerID,
		StartTime: r.accepted.Format(), EndTime: end.Format(),
		Calls: r.calls, Rows: r.rows, Error: r.firstError,
	}
	if r.rerun != nil {
		d.RerunOf, d.Root = r.rerun.Of, r.rerun.Root
	}
	if d.ExecutionDate = d.StartTime; r.execution != r.accepted {
		d.ExecutionDate = r.execution.Format()
	}
	if end != 0 {
		d.DurationMS = end.Since(r.accepted)
	}
	d.Variables = r.parsed
	if d.Variables == nil && len(r.variables) > 0 {
		d.Variables = new(value.Map)
		if d.Variables.UnmarshalJSON(r.variables) != nil {
			d.Variables = nil // checked when the run was accepted
		}
	}
	d.Counts = make(map[engine.Status]int, 4)
	for i := range r.Tasks {
		d.Counts[r.Tasks[i].Status]++
	}
	if full {
		r.addTasks(d)
	}
	return d
}

func (r *Run) addTasks(d *engine.RunDoc) {
	big := len(r.Tasks) > engine.MaxRunDocTasks
	d.Tasks = make([]engine.TaskDoc, 0, min(len(r.Tasks), engine.MaxRunDocTasks))
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if big && (len(d.Tasks) == engine.MaxRunDocTasks || t.Status == engine.Success && len(t.history) == 0 && t.reason == "" || t.Status == engine.Pending) {
			continue
		}
		d.Tasks = append(d.Tasks, r.taskDoc(i))
	}
}

// Page is the part of the run's tasks that a filter chooses, as they are now, in
// the order of the flow. engine.ErrNotFound: there is no task to go on after.
func (r *Run) Page(f engine.TaskFilter) (*engine.TaskPage, error) {
	from := 0
	if f.After != "" {
		i, ok := r.Graph.Index[f.After]
		if !ok {
			return nil, fmt.Errorf("%w: run %s has no task %q", engine.ErrNotFound, r.ID, f.After)
		}
		from = i + 1
	}
	page := &engine.TaskPage{Tasks: []engine.TaskDoc{}}
	for i := from; i < len(r.Tasks); i++ {
		if f.Status != "" && r.Tasks[i].shown() != f.Status {
			continue
		}
		if len(page.Tasks) == f.Limit {
			page.More = true
			break
		}
		page.Tasks = append(page.Tasks, r.taskDoc(i))
	}
	return page, nil
}

// shown is the task's status as documents have it: one that was given out is
// running.
func (t *TaskState) shown() engine.Status {
	switch {
	case t.Status == engine.Ready && t.Given != nil:
		return engine.Running
	case t.spread() && t.fan.interrupted() > 0:
		return engine.Interrupted
	}
	return t.Status
}

func (r *Run) taskDoc(i int) engine.TaskDoc {
	t, task := &r.Tasks[i], &r.Graph.Flow.Tasks[i]
	status := t.shown()
	d := engine.TaskDoc{
		TaskID: task.ID, Status: status, Operation: task.Subtype, StatusCode: t.code,
		StartTime: t.Begin.Format(), EndTime: t.end.Format(), Reason: t.reason, Line: task.Line,
	}
	if g, ok := t.Given.(interface{ GivenAt() engine.Micros }); ok && t.Begin == 0 {
		d.StartTime = g.GivenAt().Format()
	}
	if status == engine.Success {
		d.Reason, d.Note = "", t.reason
	}
	if t.attempt > 0 && (t.Begin != 0 || t.Given != nil || t.origin != nil && t.origin.Run != "") {
		d.Attempts = t.attempt
	}
	if t.fan != nil {
		d.Items = t.fan.doc(t.Status)
	} else if t.turn > 0 {
		d.Turns = t.turn + 1
	}
	if t.origin != nil {
		d.KeptFrom = t.origin.Run
	}
	if t.Status == engine.Ready && t.Given == nil || t.Status == engine.Waiting {
		d.NotBefore = t.NotBefore.Format()
	}
	if t.Status == engine.Waiting {
		d.Awaits = engine.AwaitText(t.await)
	}
	if t.end != 0 && t.Begin != 0 {
		d.DurationMS = t.end.Since(t.Begin)
	}
	for _, n := range t.history {
		d.History = append(d.History, n.doc())
	}
	return d
}

// Now is the run's document as it is now, with what it waits for: only the
// present tells what has been given out.
func (r *Run) Now(full bool) *engine.RunDoc {
	d := r.Doc(r.Status, 0, full)
	if ref, ok := r.waitsAt(); ok {
		t, c := r.taskDoc(ref.Task), r.Cell(ref)
		t.History = nil
		if t.NotBefore = c.NotBefore.Format(); c.Status == engine.Waiting {
			t.Awaits = engine.AwaitText(c.await)
		}
		d.Waiting = &t
	}
	return d
}

// waitsAt is the cell that goes on first in a run that calls nothing now; false
// where a call is under way or about to be, or a person is asked.
func (r *Run) waitsAt() (first CellRef, ok bool) {
	if r.Status != engine.Running || r.InFlight+r.Awaiting == 0 {
		return first, false
	}
	var soonest engine.Micros
	for ref, t := range r.Cells() {
		switch {
		case t.Status == engine.Running || t.Status == engine.Ready && (t.Given != nil || t.NotBefore == 0):
			return first, false
		case t.Status != engine.Ready && t.Status != engine.Waiting:
		case !ok || t.NotBefore != 0 && (soonest == 0 || t.NotBefore < soonest):
			first, soonest, ok = ref, t.NotBefore, true
		}
	}
	return first, ok
}

func (n attemptNote) doc() engine.AttemptDoc {
	return engine.AttemptDoc{
		Turn: n.Turn, Attempt: n.Attempt, Status: string(n.Outcome), StartTime: n.Start.Format(), EndTime: n.End.Format(),
		StatusCode: n.Status, Message: n.Message, RetryAt: n.NotBefore.Format(), Reason: n.Reason,
	}
}

// noteFailure keeps the run's first failure, with what a person needs to see
// why.
func (r *Run) noteFailure(i int, rec *engine.AttemptRecord) {
	r.failures++
	if r.firstError != nil {
		return
	}
	e := &engine.RunError{TaskID: rec.Task, Class: rec.Class, Message: rec.Error, StatusCode: rec.Status}
	var d engine.Details
	if len(rec.Details) > 0 && json.Unmarshal(rec.Details, &d) == nil {
		e.Method, e.URL, e.ResponseExcerpt = d.Method, d.URL, d.ResponseExcerpt
		e.Details = rec.Details
	}
	for _, n := range r.Tasks[i].history {
		e.Attempts = append(e.Attempts, n.doc())
	}
	r.firstError = e
}
