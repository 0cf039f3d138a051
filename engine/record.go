package engine

import (
	"strconv"
	"strings"
	"time"
)

// FormatVersion is the version of everything that is written to the ledger:
// records, bundles and checkpoints. A node that meets a newer one stops.
//
// 2: clients' triggers and the checkpoints left the ledger for streams of their
// own. 3: tasks take turns. 4: runs go on with what others have left. 5: turns
// wait for signals, approvals and times. 6: tasks are done for each item of a list.
// 7: schedules. What 1 to 6 have written is read.
const FormatVersion = 7

// Size limits of what enters a record, in bytes. What was cut says so.
const (
	MaxRecord          = 128 << 10
	MaxTriggerPayload  = 256 << 10
	MaxInlineValue     = 64 << 10 // larger XCom values go to the object store
	MaxResponseDoc     = 32 << 10 // resp_<task>: 16 KiB of headers and the rest
	MaxResponseHeaders = 16 << 10
	MaxViolations      = 100
	MaxURL             = 8 << 10
	MaxHeaderValue     = 8 << 10
	MaxErrorText       = 2 << 10
	MaxExcerpt         = 4 << 10
	MaxCarry           = 16 << 10 // what a turn tells the next one
)

// Micros is a point in time as microseconds since 1970 in UTC; 0 is "none".
type Micros int64

// At turns a time into Micros.
func At(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// Time turns Micros into a time; 0 gives the zero time.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// Since is the time that has passed from an earlier point, in milliseconds.
func (m Micros) Since(from Micros) float64 { return float64(m-from) / 1000 }

// Format writes the time as documents do; "" for none.
func (m Micros) Format() string {
	if m == 0 {
		return ""
	}
	return FormatTime(m.Time())
}

// Record is one entry of the ledger: *InstallRecord, *FlowRecord,
// *TriggerRecord, *SubmitRecord, *AttemptRecord, *ControlRecord, *BadRecord or
// *LossRecord. The ledger alone says what happened; its order says when.
type Record interface{ record() }

// InstallRecord is the first record of a ledger and names the installation.
type InstallRecord struct {
	ID      string `cbor:"1,keyasint"`
	Version string `cbor:"2,keyasint"` // of the program that made it
}

// FlowRecord makes a flow version the newest one of its flow, or removes the
// flow. An ad-hoc version serves only the runs that name it.
type FlowRecord struct {
	Flow       FlowID `cbor:"1,keyasint"`
	Hash       string `cbor:"2,keyasint"`
	Definition []byte `cbor:"3,keyasint,omitempty"` // what Flow.Encode wrote
	Removed    bool   `cbor:"4,keyasint,omitempty"`
	AdHoc      bool   `cbor:"5,keyasint,omitempty"`
}

// TriggerRecord is what any client published to qarion.trigger.<flow>. All of
// it is untrusted. Triggers wait in a stream of their own and reach the ledger
// as submit records; older ledgers hold some as they came.
type TriggerRecord struct {
	Flow    string
	Headers map[string]string // Nats-Msg-Id and those that start with Qarion-
	Payload []byte            // nil when larger than MaxTriggerPayload
	Size    int
}

// SubmitRecord is a trigger with the run id that it got: from the node that it
// came through (service, command, schedule, webhook), or, where any client
// published it, from its place in the stream of triggers.
type SubmitRecord struct {
	Run           RunID  `cbor:"1,keyasint"`
	Flow          FlowID `cbor:"2,keyasint"`
	Version       string `cbor:"3,keyasint,omitempty"` // hash of an ad-hoc flow version; "" for the newest
	Variables     []byte `cbor:"4,keyasint,omitempty"` // JSON object
	BatchID       int64  `cbor:"5,keyasint,omitempty"`
	HasBatchID    bool   `cbor:"6,keyasint,omitempty"`
	ExecutionDate Micros `cbor:"7,keyasint,omitempty"`
	TriggerType   string `cbor:"8,keyasint,omitempty"`
	TriggerID     string `cbor:"9,keyasint,omitempty"`
	DedupeID      string `cbor:"10,keyasint,omitempty"`

	Trace *TraceContext `cbor:"14,keyasint,omitempty"` // that the trigger belongs to

	// Of a trigger that a client published; zero otherwise.
	From    TriggerPlace `cbor:"11,keyasint,omitempty"`
	Stored  Micros       `cbor:"12,keyasint,omitempty"` // when that was
	Refused string       `cbor:"13,keyasint,omitempty"` // why it cannot become a run, whatever the flow

	Rerun *Rerun `cbor:"15,keyasint,omitempty"` // it runs again what another run did

	Parent *Parent `cbor:"20,keyasint,omitempty"` // a task of another run has opened it

	// Of a run that a schedule asks for: the time that it is for, which TriggerID
	// comes once, and the one before it.
	Tick     Micros `cbor:"50,keyasint,omitempty"`
	PrevTick Micros `cbor:"51,keyasint,omitempty"`
}

// Rerun says of a run which one it repeats, and what it keeps of it.
type Rerun struct {
	Of    RunID  `cbor:"1,keyasint"`
	Root  RunID  `cbor:"2,keyasint"`           // the first of the row: it repeats no other
	Seeds []byte `cbor:"3,keyasint,omitempty"` // what Seeds.Encode wrote, by the tasks of the run's own flow version; nil: nothing is kept
}

// AttemptKey names one attempt. Generation rises with a rerun or a resolve,
// Turn with each part of the task's work that went well and is followed by
// another (see Next), Attempt with each finished attempt, Dispatch with each
// postponement; the fold accepts a record only if all four equal what it last
// gave out. A new turn begins with attempt 1.
type AttemptKey struct {
	Run        RunID  `cbor:"1,keyasint"`
	Task       TaskID `cbor:"2,keyasint"`
	Item       int    `cbor:"3,keyasint,omitempty"`
	Generation int    `cbor:"4,keyasint,omitempty"`
	Attempt    int    `cbor:"5,keyasint"` // 1 is the first
	Dispatch   int    `cbor:"6,keyasint,omitempty"`
	Turn       int    `cbor:"25,keyasint,omitempty"` // 0 is the first; 7 to 24 are taken where the key is embedded
}

// OperationID names an attempt in the operation log.
func (k AttemptKey) OperationID() string { return string(k.appendOperationID(make([]byte, 0, 64))) }

// TurnOf is the turn of the attempt that an operation id names.
func TurnOf(operation string) int {
	if i := strings.LastIndex(operation, ".t"); i >= 0 {
		if turn, err := strconv.Atoi(operation[i+2:]); err == nil {
			return turn
		}
	}
	return 0
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	OutcomeSuccess     Outcome = "success"
	OutcomeAgain       Outcome = "again"       // this turn went well, another follows at NotBefore
	OutcomeFailed      Outcome = "failed"      // final: no attempt follows
	OutcomeRetry       Outcome = "retry"       // failed, another attempt follows at NotBefore
	OutcomeDeferred    Outcome = "deferred"    // nothing was sent; the same attempt at NotBefore
	OutcomeStarted     Outcome = "started"     // an unrepeatable request is about to be sent
	OutcomeInterrupted Outcome = "interrupted" // sent, and the answer is not known
	OutcomeCancelled   Outcome = "cancelled"
	OutcomeSkipped     Outcome = "skipped" // its condition is false: nothing was done
)

// ClassInterrupted is the class of an attempt that was sent and whose answer is
// not known; its message begins with UnknownOutcome.
const (
	ClassInterrupted = "interrupted"
	UnknownOutcome   = "outcome unknown: "
)

// AttemptRecord is the one record of an attempt: how it went, what it leaves
// for others and what the operation log shows.
type AttemptRecord struct {
	AttemptKey
	Flow      FlowID        `cbor:"7,keyasint"`
	Outcome   Outcome       `cbor:"8,keyasint"`
	Start     Micros        `cbor:"9,keyasint"`
	End       Micros        `cbor:"10,keyasint"`
	NotBefore Micros        `cbor:"11,keyasint,omitempty"`
	Parked    string        `cbor:"12,keyasint,omitempty"` // what a deferred task waits for
	Class     string        `cbor:"13,keyasint,omitempty"`
	Error     string        `cbor:"14,keyasint,omitempty"`
	Value     []byte        `cbor:"15,keyasint,omitempty"` // XCom value, JSON text
	Blob      *BlobRef      `cbor:"16,keyasint,omitempty"` // instead of Value
	Response  []byte        `cbor:"17,keyasint,omitempty"` // resp_<task>, JSON text
	Details   []byte        `cbor:"18,keyasint,omitempty"` // Details, JSON text
	Status    int           `cbor:"19,keyasint,omitempty"` // HTTP status of the answer
	Reason    string        `cbor:"20,keyasint,omitempty"` // why the wait, or why none follows
	Type      string        `cbor:"21,keyasint"`           // task type: "api_call"
	Subtype   string        `cbor:"22,keyasint,omitempty"`
	Worker    string        `cbor:"23,keyasint"`
	BatchID   int64         `cbor:"24,keyasint,omitempty"`
	Jar       []byte        `cbor:"29,keyasint,omitempty"` // the task's cookie jar with what was set, sealed
	JarRead   Pos           `cbor:"30,keyasint,omitzero"`  // of the last record that is in it
	Cookies   []byte        `cbor:"31,keyasint,omitempty"` // what the answer set, by name, for resp_<task>, sealed
	Note      string        `cbor:"28,keyasint,omitempty"` // what was noticed about an answer that was taken
	Rows      int64         `cbor:"32,keyasint,omitempty"` // read or written
	Skip      []TaskID      `cbor:"33,keyasint,omitempty"` // success: those that depend on it and were not chosen
	Carry     []byte        `cbor:"26,keyasint,omitempty"` // again: for the next turn, which alone reads it
	Prev      Pos           `cbor:"27,keyasint,omitzero"`  // of the record that holds the task's part before this one (see TaskInput.Parts)
	Items     *Items        `cbor:"34,keyasint,omitempty"` // again, of the first turn of a task with for_each: what it works on
	Open      *SubmitRecord `cbor:"41,keyasint,omitempty"` // again: the run that the record opens
	Await     string        `cbor:"40,keyasint,omitempty"` // again: what the next turn waits for, at most until NotBefore

	Limit *LimitSpent `cbor:"50,keyasint,omitempty"` // of a rate limit
}

// ControlKind is what a ControlRecord asks for.
type ControlKind string

// The kinds of control.
const (
	ControlCancel    ControlKind = "cancel"    // end the run
	ControlTimeout   ControlKind = "timeout"   // the run's time is up
	ControlInterrupt ControlKind = "interrupt" // the outcome of a started call is lost
	ControlResolve   ControlKind = "resolve"   // a person says how an interrupted task ended
	ControlDamaged   ControlKind = "damaged"   // the run's flow version or records cannot be read
	ControlWake      ControlKind = "wake"      // the time of a task that waits is up
	ControlSignal    ControlKind = "signal"    // word from outside, or a decision about a task
	ControlKeep      ControlKind = "keep"      // a copy of an older record, for a run that waits for long
	ControlAnchor    ControlKind = "anchor"    // the run reads the copies from now on
	ControlPause     ControlKind = "pause"     // a schedule (Flow, Name) rests
	ControlResume    ControlKind = "resume"    // it goes on, As ResumeCatchUp from where it stood
)

// ResolvedFailed is the error of a task that a person resolved as failed without
// a reason.
const ResolvedFailed = "resolved as failed by a person"

// ControlRecord is what a person or the clock decided about a run.
type ControlRecord struct {
	Kind   ControlKind `cbor:"1,keyasint"`
	Run    RunID       `cbor:"2,keyasint"`
	Task   TaskID      `cbor:"3,keyasint,omitempty"`
	Key    AttemptKey  `cbor:"4,keyasint,omitempty"` // of the attempt meant by interrupt, wake, or a decision
	As     string      `cbor:"5,keyasint,omitempty"` // resolve: success, failed, retry; of a decision: approve, reject
	Value  []byte      `cbor:"6,keyasint,omitempty"` // resolve as success: the XCom value; signal: what comes with it; damaged: the document of a run that is not known any more
	Reason string      `cbor:"7,keyasint,omitempty"`

	Item int `cbor:"20,keyasint,omitempty"` // resolve: of the task's items; 0: the task itself

	ID   string `cbor:"8,keyasint,omitempty"`  // of a signal's message, and of a cancel: one that is stored twice counts once
	Name string `cbor:"9,keyasint,omitempty"`  // of a signal; "": it is a decision about Task; of a schedule that rests or goes on
	For  string `cbor:"10,keyasint,omitempty"` // the key of a signal that names no run
	Flow FlowID `cbor:"11,keyasint,omitempty"` // with For
	By   string `cbor:"12,keyasint,omitempty"` // whose login; "" where none was shown

	Token string `cbor:"13,keyasint,omitempty"` // by which whoever sends a signal hears what became of it

	Kept   *Kept   `cbor:"14,keyasint,omitempty"` // of keep
	Anchor *Anchor `cbor:"15,keyasint,omitempty"` // of anchor
}

// Kept is a copy of a record that a run still needs, so that the ledger can be
// purged past it. Whoever reads its place gets the record.
type Kept struct {
	Submit  *SubmitRecord  `cbor:"1,keyasint,omitempty"`
	Attempt *AttemptRecord `cbor:"2,keyasint,omitempty"`
	Control *ControlRecord `cbor:"3,keyasint,omitempty"`
}

// Record is what was kept.
func (k *Kept) Record() Record {
	switch {
	case k.Submit != nil:
		return k.Submit
	case k.Attempt != nil:
		return k.Attempt
	case k.Control != nil:
		return k.Control
	}
	return &BadRecord{Problem: "nothing was kept"}
}

// Anchor moves what a run needs to the copies of it. It counts only while the run
// stands still as it did when the copies were made.
type Anchor struct {
	Still Micros `cbor:"1,keyasint"` // since when its time stood still
	Calls int    `cbor:"2,keyasint"` // that it had made
	Moves []Move `cbor:"3,keyasint"`
}

// Move is a place and that of the copy.
type Move struct {
	_        struct{} `cbor:",toarray"`
	From, To Pos
}

// BadRecord stands for a message that could not be read. It changes nothing,
// is counted and reported.
type BadRecord struct {
	Subject string
	Problem string
}

// LossRecord stands for entries that the ledger has lost. Nobody writes it: the
// ledger hands it out in their place, once somebody has said that the node shall
// go on without them. What they said is not known, so every run that was open
// then is damaged. From and To are the sequences, 0 where it is this entry's.
type LossRecord struct{ From, To uint64 }

func (*LossRecord) record()    {}
func (*InstallRecord) record() {}
func (*FlowRecord) record()    {}
func (*TriggerRecord) record() {}
func (*SubmitRecord) record()  {}
func (*AttemptRecord) record() {}
func (*ControlRecord) record() {}
func (*BadRecord) record()     {}
