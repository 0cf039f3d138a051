package engine

import (
	"context"
	"time"

	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/ratelimit"
)

// TaskType is one kind of task, such as api_call. Prepare is called when a
// flow is loaded and again, once per flow version, on every worker that runs
// it; it checks everything that can be known without data and returns the
// program to run and every problem that it found. With an error among them the
// program may be nil; if it is not, it only tells what it needs, as far as that
// could be read, and every attempt with it fails.
type TaskType interface {
	Name() string // as written in a flow: "api_call"
	Prepare(flow *Flow, task *Task) (Program, []Problem)
}

// PropertyNamer is a TaskType that lists the properties which its tasks may
// have, for messages about such as stand in a wrong place.
type PropertyNamer interface {
	PropertyNames() []string
}

// HookUser is a TaskType whose tasks may have hooks.
type HookUser interface{ UsesHooks() }

// DatabaseUser is a TaskType whose tasks may name a database.
type DatabaseUser interface{ UsesDatabase() }

// Includer is a TaskType whose tasks name files that lie beside the flow's.
// Include is called when the flow is loaded, before Prepare, and returns their
// texts by name: they become part of the flow version (Task.Files), so that a
// run has them as they were.
type Includer interface {
	Include(flow *Flow, task *Task) (files map[string]string, problems []Problem)
}

// Refused returns the first problem because of which a flow must not run; nil:
// there is none.
func Refused(problems []Problem) *Problem {
	for i := range problems {
		if !problems[i].Warning {
			return &problems[i]
		}
	}
	return nil
}

// Program is a prepared task: immutable, and used by many attempts at once.
type Program interface {
	// Needs says what the engine must know to plan the task.
	Needs() Needs
	// Execute makes exactly one attempt. It never sleeps for a retry: what
	// should happen next stands in the output. ctx ends when the run is
	// cancelled or the node stops; Execute then returns promptly.
	Execute(ctx context.Context, in *TaskInput) TaskOutput
}

// Needs is what a program tells the engine when its flow is loaded.
type Needs struct {
	Subtype         string      // operation subtype in the operation log: "get"
	Target          string      // what it talks to, for people, where no property "url" says it: a database
	Names           []NameUse   // every free name that its templates read
	Pulls           []NameUse   // task ids it pulls explicitly (xcom_pull)
	Branches        []NameUse   // tasks among which it chooses those that follow: they depend on it
	Credentials     []NameUse   // ids of credentials it will ask for
	Origins         []string    // addresses that the flow file itself names (see OriginOf)
	Retry           RetryPolicy // when another attempt follows a failed one
	NoValue         string      // why it leaves no value that others could read; "" when it does
	Unrepeatable    bool        // a request whose outcome is unknown must not be sent again by itself
	Approvers       []string    // who may decide what it waits for; none: whoever may at all
	Jar             string      // name of the run's cookie jar that it uses; "" for none
	RepeatableTurns bool        // of an unrepeatable task: only its first turn is
	OnInterrupted   string      // "", "retry" or "fail"; "" leaves an unknown outcome to a person

	Limit ratelimit.Call // its first turn, as far as the flow file says where it goes
}

// NameUse is a name and the key where it stands, for messages.
type NameUse struct {
	Name     string
	Path     []string // of keys below the task: "properties", "url"
	Optional bool     // the template does without it
}

// Problem is something wrong in a flow. Whoever knows the file adds the place.
type Problem struct {
	Task       TaskID   // "" for the flow itself
	Index      int      // of the task in the flow, from 1; filled by Compile
	Path       []string // keys below the task (or the flow): "properties", "time_out"
	Value      string   // the offending piece of text inside the value, to place the column; may be empty
	Code       string   // short and stable: "unknown-property"
	Message    string   // one lower-case line
	Suggestion string   // the nearest right word, may be empty
	Warning    bool     // true: the flow still runs
}

// TaskInput is what one attempt works with. It is a jinja.Vars: templates look
// their names up in it, and a value is decoded when it is first asked for.
type TaskInput struct {
	Key           AttemptKey
	Flow          *Flow
	Task          *Task
	Installation  string
	BatchID       int64
	ExecutionDate time.Time
	Worker        string
	Again         bool      // the same attempt may have been sent before a crash
	WaitingSince  time.Time // when it was first postponed; zero if it never was
	KeyRun        RunID     // whose idempotency keys it sends; "": its own run's
	Started       time.Time // of the attempt, as its record has it; zero where there is none: the present

	values   inputValues
	sending  Sending
	trace    *TraceContext // of the run; nil: its trigger brought none
	spans    Spans         // nil: requests have none
	requests int           // that have one
	limits   limiting
}

// Sending hears that a request is about to leave. what describes it, for those
// who will have to find out what became of it.
type Sending func(ctx context.Context, what func() Details) error

// Sending is called by a program right before a request leaves, once per
// attempt. For a task that must not be repeated by itself it returns only when
// the ledger holds that the request is about to be sent; with an error nothing
// may be sent.
func (in *TaskInput) Sending(ctx context.Context, what func() Details) error {
	if in.sending == nil {
		return nil
	}
	return in.sending(ctx, what)
}

var _ jinja.Vars = (*TaskInput)(nil)

// TaskOutput is the outcome of one attempt: a success when Err is nil.
type TaskOutput struct {
	// Value is the XCom value as JSON text, nil when nothing is stored.
	Value []byte
	// Large, when set, replaces Value: a value of any size or kind of bytes
	// that goes to the object store. The worker closes nothing; Data is whole.
	Large *LargeValue
	// Stored, when set, replaces Value: what the program has put into the object
	// store itself (TaskInput.Store).
	Stored *BlobRef
	// Response is the resp_<task> document as JSON text, nil when there is none.
	Response []byte
	// Cookies are what servers have set in the attempt; nil when nobody needs them.
	Cookies *SetCookies
	Rows    int64 // that it has read or written
	// Next, when set, says that the task is not done: this turn went well, and
	// another follows. The value of this turn is a part of what the task leaves.
	Next *Next
	// Skip are those of its branches that do not follow (Needs.Branches).
	Skip    []TaskID
	Details Details
	Err     *TaskError
}

// SetCookies are the cookies that an attempt was given.
type SetCookies struct {
	Jar    []Cookie // what is new in the task's cookie jar, in order
	Values []byte   // all of them by name, as JSON text, for the tasks that read resp_<task>
}

// LargeValue is a value too large for a record, or no text.
type LargeValue struct {
	Data        []byte
	ContentType string // TypeJSON is parsed when read back
	Bytes       bool   // it is neither JSON nor text
}

// TaskError is a failed attempt, in the terms the engine steers by.
type TaskError struct {
	Class   string // short and stable: "timeout", "status", "connect", "validation", "template", ...
	Message string // one lower-case line without secrets

	// Retryable: the task type's rules allow another attempt. Whether one
	// follows is the engine's decision (RetryPolicy).
	Retryable bool
	// RetryAfter is the shortest wait before it; 0 when nobody asked for one.
	RetryAfter   time.Duration
	RetryAfterBy string // who asks for it, in a word: "Retry-After"

	// Defer postpones the task without spending an attempt: nothing was sent.
	// DeferKey names what it waits for (a breaker); tasks with one key are
	// released together.
	Defer    time.Duration
	DeferKey string

	// Unknown: a request may have been sent and no answer is known.
	Unknown bool
	// Ask: it was sent, no answer came, and the flow wants a person to say what
	// became of it. No other attempt is made.
	Ask bool
}

func (e *TaskError) Error() string { return e.Message }
