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
	DedupeID      string        // the caller's own key: the same within 24 h starts nothing new
	Trace         *TraceContext // that the trigger belongs to; nil for none
	// End, with room for one, gets the run when it is final and every view shows
	// it, or when a task of it waits for a person. It is closed instead where
	// there is no new run. nil: nobody waits.
	End   chan *RunDoc
	AdHoc *Flow  // run this compiled flow instead of the newest version of Flow
	Rerun *Rerun // it repeats another run; its seeds are by the tasks of AdHoc
}

// MaxStarts is how many runs one request may start.
const MaxStarts = 1000

// Started is what became of one of many requests for runs: its run, or why there
// is none.
type Started struct {
	Doc   *RunDoc // as Start returns it; nil with Err
	Known bool    // a run that an earlier request with the same key has started
	Err   error
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
	Installation     string         `json:"installation"`
	Worker           string         `json:"worker"`
	Started          string         `json:"started"`
	Slots            int            `json:"slots"`
	InFlight         int            `json:"in_flight"`   // attempts being made now
	ReadyTasks       int            `json:"ready_tasks"` // waiting for a slot
	Waiting          int            `json:"waiting"`     // for a retry or another time
	Parked           map[string]int `json:"parked"`      // for a breaker: key -> tasks
	OpenRuns         int            `json:"open_runs"`
	Triggers         uint64         `json:"triggers_waiting"` // published by clients, no run yet
	Rejected         uint64         `json:"rejected"`         // triggers that were refused, since the installation
	LastHour         RunCounts      `json:"last_hour"`
	LastDay          RunCounts      `json:"last_day"`
	Interrupted      []TaskRef      `json:"interrupted"`       // tasks that need a person; at most 20
	InterruptedTasks int            `json:"interrupted_tasks"` // how many there are
	LedgerSeq        uint64         `json:"ledger_seq"`        // last sequence folded
	ProjectedSeq     uint64         `json:"projected_seq"`     // every view has passed it
	Views            []ViewStatus   `json:"views"`
	BadRecords       int            `json:"bad_records"`
	DedupeFull       bool           `json:"dedupe_full"` // over a million keys in 24 h: the oldest are forgotten
}

// RunCounts counts runs by how they began and ended.
type RunCounts struct {
	Started   uint64 `json:"started" cbor:"1,keyasint,omitempty"`
	Success   uint64 `json:"success" cbor:"2,keyasint,omitempty"`
	Failed    uint64 `json:"failed" cbor:"3,keyasint,omitempty"`
	Cancelled uint64 `json:"cancelled" cbor:"4,keyasint,omitempty"`
	Rejected  uint64 `json:"rejected" cbor:"5,keyasint,omitempty"` // triggers that were refused
}

// ViewStatus is how far a view of the ledger is.
type ViewStatus struct {
	View     string   `json:"view"`
	Seq      uint64   `json:"seq"`                 // everything up to this ledger sequence is shown
	Behind   uint64   `json:"behind"`              // ledger entries
	Rereads  bool     `json:"rereads,omitempty"`   // too far behind for memory: it reads the ledger again
	WaitsFor []string `json:"waits_for,omitempty"` // views that must show the end of a run before it
	Problem  string   `json:"problem,omitempty"`   // why it did not take what it was given last
}

// NodeShort begins the keys under which tasks wait for what the node itself
// lacks, such as file descriptors; the others name breakers.
const NodeShort = "node: "

// TaskRef names a task of a run.
type TaskRef struct {
	Run  RunID  `json:"run_id"`
	Flow FlowID `json:"flow_id"`
	Task TaskID `json:"task_id"`
	Item int    `json:"item,omitempty"` // of a task with for_each: from 1
}
