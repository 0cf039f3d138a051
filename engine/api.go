package engine

import "time"

// StartRequest asks for a run.
type StartRequest struct {
	Flow          FlowID
	Variables     []byte // JSON object; nil for none
	BatchID       *int64 // nil: counted per flow
	ExecutionDate time.Time
	TriggerType   string // cli, api, schedule, webhook
	TriggerID     string
	DedupeID      string // the caller's own key: the same within 24 h starts nothing new
	AdHoc         *Flow  // run this compiled flow instead of the newest version of Flow
}

// FlowInfo is a flow as lists show it.
type FlowInfo struct {
	FlowID      FlowID        `json:"flow_id"`
	Name        string        `json:"name,omitempty"`
	Description string        `json:"description,omitempty"`
	Version     string        `json:"version"` // hash of the newest version
	File        string        `json:"file,omitempty"`
	Tasks       int           `json:"tasks"`
	Triggers    []TriggerSpec `json:"triggers,omitempty"`
	Running     int           `json:"running"` // open runs
}

// NodeStatus is what `status` shows about the engine.
type NodeStatus struct {
	Installation string         `json:"installation"`
	Worker       string         `json:"worker"`
	Started      string         `json:"started"`
	Slots        int            `json:"slots"`
	InFlight     int            `json:"in_flight"`    // attempts being made now
	ReadyTasks   int            `json:"ready_tasks"`  // waiting for a slot
	Waiting      int            `json:"waiting"`      // for a retry or another time
	Parked       map[string]int `json:"parked"`       // for a breaker: key -> tasks
	OpenRuns     int            `json:"open_runs"`
	Interrupted  []TaskRef      `json:"interrupted"`  // tasks that need a person; at most 20
	LedgerSeq    uint64         `json:"ledger_seq"`   // last sequence folded
	ProjectedSeq uint64         `json:"projected_seq"` // every projection has passed it
	BadRecords   int            `json:"bad_records"`
	DedupeFull   bool           `json:"dedupe_full"` // over a million keys in 24 h: the oldest are forgotten
}

// TaskRef names a task of a run.
type TaskRef struct {
	Run  RunID  `json:"run_id"`
	Flow FlowID `json:"flow_id"`
	Task TaskID `json:"task_id"`
}

/*
Engine (engine.go) offers to the doors around it (service, commands, web):

	func New(cfg Config) (*Engine, error)
	func (e *Engine) Run(ctx context.Context) error        // returns after everything it started has ended
	func (e *Engine) Ready() <-chan struct{}               // closed when folded up to date and taking work
	func (e *Engine) Start(ctx, StartRequest) (*RunDoc, error)      // stored and accepted by the fold; a refusal is ErrNotFound, ErrInvalid or ErrConflict with the reason; a known DedupeID gives the existing run
	func (e *Engine) Get(ctx, RunID) (*RunDoc, error)               // an open run as it is now; ErrNotFound once it is final (the runs bucket has it)
	func (e *Engine) Wait(ctx, RunID) (*RunDoc, error)              // until final and shown by every projection, or interrupted; ErrNotFound as Get
	func (e *Engine) Open(ctx) ([]*RunDoc, error)                   // all open runs, newest first (at most 1000)
	func (e *Engine) Cancel(ctx, RunID, reason string) error        // stored; ErrNotFound when the run is not open
	func (e *Engine) Resolve(ctx, RunID, TaskID, as string, value []byte) error
	func (e *Engine) PutFlow(ctx, *Flow) (changed bool, err error)
	func (e *Engine) RemoveFlow(ctx, FlowID) error
	func (e *Engine) Flows(ctx) ([]FlowInfo, error)
	func (e *Engine) Flow(ctx, FlowID) (*Flow, error)
	func (e *Engine) Status(ctx) (NodeStatus, error)
	func (e *Engine) Release(deferKey string)                       // a breaker closed or admits a probe: parked tasks may go

	func Compile(f *Flow, types map[string]TaskType) []Problem   // compile.go: checks the graph, fills the derived task fields
*/
