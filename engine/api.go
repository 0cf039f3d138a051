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
	InFlight     int            `json:"in_flight"`   // attempts being made now
	ReadyTasks   int            `json:"ready_tasks"` // waiting for a slot
	Waiting      int            `json:"waiting"`     // for a retry or another time
	Parked       map[string]int `json:"parked"`      // for a breaker: key -> tasks
	OpenRuns     int            `json:"open_runs"`
	Interrupted  []TaskRef      `json:"interrupted"`   // tasks that need a person; at most 20
	LedgerSeq    uint64         `json:"ledger_seq"`    // last sequence folded
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
