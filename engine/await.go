package engine

import (
	"context"
	"fmt"
	"strings"
)

// What a turn may wait for (Next.Await).
const (
	AwaitTime     = "time"     // its time alone
	AwaitApproval = "approval" // somebody's yes or no

	awaitSignal = "signal:"
	awaitRun    = "run:"
)

// AwaitSignal is a wait for a signal of a name that is sent to the run; with a
// key also for one that names the flow and the key instead of the run.
func AwaitSignal(name, key string) string {
	if key == "" {
		return awaitSignal + name
	}
	return awaitSignal + name + ":" + key
}

// AwaitRun is a wait for the end of a run.
func AwaitRun(id RunID) string { return awaitRun + string(id) }

// AwaitedSignal is the signal that is waited for; ok is false where it is none.
func AwaitedSignal(await string) (name, key string, ok bool) {
	rest, ok := strings.CutPrefix(await, awaitSignal)
	if ok {
		name, key, _ = strings.Cut(rest, ":")
	}
	return name, key, ok
}

// AwaitText says in words what is waited for: "signal paid (key 17)".
func AwaitText(await string) string {
	name, key, isSignal := AwaitedSignal(await)
	switch {
	case strings.HasPrefix(await, awaitRun):
		return "run " + strings.TrimPrefix(await, awaitRun)
	case !isSignal:
		return await
	case key == "":
		return "signal " + name
	}
	return "signal " + name + " (key " + key + ")"
}

// Limits of signals.
const (
	MaxSignalKey   = 256  // bytes of a key, and of a message id
	MaxRunSignals  = 16   // that a run keeps before it waits for them
	MaxFlowSignals = 1000 // that a flow keeps by key
)

// SignalWindow is how long a signal that nobody waits for is kept, and how long
// its message id is known.
const SignalWindow = Micros(24 * 3600 * 1e6)

// ParseSignalName checks the name of a signal: it is written like a task id.
// ErrInvalid.
func ParseSignalName(s string) (string, error) {
	if _, err := ParseTaskID(s); err != nil {
		return "", fmt.Errorf("%w: signal %.80q: a name has letters, digits, - and _, at most %d", ErrInvalid, s, MaxID)
	}
	return s, nil
}

// Why a turn that waited goes on.
const (
	WakeTime     = "time"     // its time has come
	WakeSignal   = "signal"   // the signal is there
	WakeApproval = "approval" // somebody has decided
	WakeRun      = "run"      // the run has ended, or, where its end is not waited for, was opened
	WakeRefused  = "refused"  // the run could not be opened
)

// WakeOpened is Wake.As of a run whose end is not waited for.
const WakeOpened = "opened"

// TriggerFlow is the trigger type of a run that a task of another one has opened;
// the trigger's id is that run.
const TriggerFlow = "flow"

// MaxDepth is how deep flows may be nested.
const MaxDepth = 8

// Parent is the task that has opened a run.
type Parent struct {
	Run   RunID      `cbor:"1,keyasint,omitempty"` // the fold fills it, and the next two
	Key   AttemptKey `cbor:"2,keyasint,omitzero"`  // of the turn that waits
	Depth int        `cbor:"3,keyasint,omitempty"`
	Waits bool       `cbor:"4,keyasint,omitempty"` // for its end: it is cancelled with the task
	XCom  TaskID     `cbor:"5,keyasint,omitempty"` // the task of the run whose value is given on
}

// Child is a run of another flow that a turn opens (Next.Open).
type Child struct {
	Flow      FlowID
	Variables []byte // JSON object
	Waits     bool
	XCom      TaskID
}

// Wake is what has ended the wait of a turn.
type Wake struct {
	Cause   string `cbor:"1,keyasint"`
	Value   []byte `cbor:"2,keyasint,omitempty"` // what came with it, JSON text
	At      Pos    `cbor:"3,keyasint,omitzero"`  // of the record that holds it, where it is not here
	As      string `cbor:"4,keyasint,omitempty"` // of an approval: approve or reject; of a run: its status, or WakeOpened
	By      string `cbor:"5,keyasint,omitempty"` // who; "" where no login showed it
	Comment string `cbor:"6,keyasint,omitempty"`
	Time    Micros `cbor:"7,keyasint,omitempty"` // when it was stored
	Run     RunID  `cbor:"8,keyasint,omitempty"` // that has ended, or was refused; Comment says why it failed
}

// SetWake gives the input what has ended its turn's wait.
func (in *TaskInput) SetWake(w *Wake) {
	if w != nil {
		in.values.more().wake = w
	}
}

// Wake is what has ended the wait of the turn before; nil where nothing did: it
// did not wait, or a run that repeats another one begins with this turn.
func (in *TaskInput) Wake() *Wake {
	if in.values.rare == nil {
		return nil
	}
	return in.values.rare.wake
}

// SignalRequest tells a run something from outside. It goes to a run, or, by a
// key, to whichever run of a flow waits for it.
type SignalRequest struct {
	Run   RunID
	Flow  FlowID // with Key, instead of Run
	Key   string
	Name  string
	Value []byte // JSON text; nil for none
	ID    string // of the message: the same within 24 h wakes nothing more
	By    string // who sends it; "" where no login showed it
}

// Signalled is what became of a signal.
type Signalled struct {
	Name  string `json:"signal"`
	Run   RunID  `json:"run_id,omitempty"`  // that it was for, or that it woke
	Task  TaskID `json:"task_id,omitempty"` // that it woke
	Kept  bool   `json:"kept"`              // nobody waits for it yet
	Known bool   `json:"known"`             // the same message id came before
}

// ApprovalRequest answers a task that waits for an approval.
type ApprovalRequest struct {
	Run     RunID
	Task    TaskID
	Approve bool
	Comment string
	Value   []byte // JSON text; nil for none
	By      string // whose login; "" where there is none
}

// MaxComment is the longest comment, in bytes.
const MaxComment = 2 << 10

// Signals is how a node is told of things from outside.
type Signals interface {
	// Signal stores a signal and returns when the fold has taken it. ErrNotFound:
	// no such open run or flow; ErrConflict: it keeps as many as it may;
	// ErrInvalid: name, key or value.
	Signal(ctx context.Context, req SignalRequest) (Signalled, error)
	// Approve stores a decision and returns the run. ErrConflict: the task waits
	// for none; ErrDenied: who decides is not among its approvers.
	Approve(ctx context.Context, req ApprovalRequest) error
}
