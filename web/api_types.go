package web

import (
	"encoding/json"

	"github.com/qarion/qarion/engine"
)

// The bodies and answers of the API that are no documents of the engine. They
// say what is in the OpenAPI document; a test of the node holds its answers
// against them.

type runStart struct {
	Variables     map[string]any `json:"variables,omitempty" doc:"what the run works with"`
	BatchID       *int64         `json:"batch_id,omitempty" doc:"default: counted per flow"`
	ExecutionDate string         `json:"execution_date,omitempty" doc:"RFC 3339; default: now"`
	TriggerType   string         `json:"trigger_type,omitempty" doc:"default: api"`
	TriggerID     string         `json:"trigger_id,omitempty"`
	XCom          []string       `json:"xcom,omitempty" doc:"tasks whose values the answer carries, at most 512 KiB together"`
}

type runCancel struct {
	Reason string `json:"reason,omitempty"`
}

type runResolve struct {
	TaskID string          `json:"task_id"`
	Item   int             `json:"item,omitempty" doc:"of a task with for_each, from 1"`
	As     string          `json:"as" doc:"success, failed or retry"`
	Value  json.RawMessage `json:"value,omitempty" doc:"with success: what the task leaves"`
}

type runDecision struct {
	TaskID  string          `json:"task_id"`
	As      string          `json:"as" doc:"approve or reject"`
	Comment string          `json:"comment,omitempty"`
	Value   json.RawMessage `json:"value,omitempty" doc:"what the task leaves beside the decision"`
}

type runSignal struct {
	Value json.RawMessage `json:"value,omitempty" doc:"what comes with it, at most 64 KiB"`
	ID    string          `json:"id,omitempty" doc:"of the message: the same within 24 hours wakes nothing more"`
}

type flowSignal struct {
	Key string `json:"key" doc:"that the run waits for"`
	runSignal
}

type runRerun struct {
	From      string         `json:"from,omitempty" doc:"failed (default): what did not succeed, and what follows it; a task: that one too; all"`
	Version   string         `json:"version,omitempty" doc:"same (default) or newest: of the flow"`
	Variables map[string]any `json:"variables,omitempty" doc:"they replace those of the run"`
	Keys      string         `json:"keys,omitempty" doc:"auto (default) or new: no request sends an idempotency key of the run"`
	DryRun    bool           `json:"dry_run,omitempty" doc:"only say what would be done"`
}

// runSummary is a run without its tasks.
type runSummary struct {
	engine.RunDoc
	Tasks []engine.TaskDoc `json:"tasks,omitempty"`
}

type runList struct {
	Runs []runSummary `json:"runs" doc:"newest first, without tasks"`
	More bool         `json:"more" doc:"there are older ones"`
}

type logList struct {
	Operations []engine.Operation `json:"operations" doc:"in the order of their start"`
	First      string             `json:"first,omitempty" doc:"before it: the page before"`
	Last       string             `json:"last,omitempty" doc:"after it: the page after"`
	More       bool               `json:"more"`
}

type scheduleList struct {
	Schedules []engine.ScheduleInfo `json:"schedules" doc:"by flow and trigger, at most 3,000"`
	More      bool                  `json:"more" doc:"there are others"`
}

type scheduleTicks struct {
	FlowID    string            `json:"flow_id"`
	TriggerID string            `json:"trigger_id"`
	Ticks     []engine.TickInfo `json:"ticks"`
	More      bool              `json:"more"`
}

type flowList struct {
	Flows []engine.FlowInfo `json:"flows"`
}

type flowProblem struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column" doc:"in characters, from 1"`
	Task       string `json:"task,omitempty"`
	Key        string `json:"key,omitempty"`
	Severity   string `json:"severity" doc:"error or warning"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitempty"`
}

type flowSource struct {
	FlowID   engine.FlowID `json:"flow_id"`
	Version  string        `json:"version" doc:"that new runs start with"`
	File     string        `json:"file"`
	Source   string        `json:"source" doc:"the file as it is now"`
	Current  bool          `json:"current" doc:"the version is what stands in the file"`
	Problems []flowProblem `json:"problems"`
}

type flowProblems struct {
	Problems []flowProblem `json:"problems"`
	Files    int           `json:"files" doc:"that were looked at"`
	LeftOut  []string      `json:"left_out" doc:"files with errors"`
}

type breaker struct {
	Key      string `json:"key" doc:"scheme, host and port, or the name that the flow gave"`
	State    string `json:"state" doc:"closed, open or half_open"`
	Failures int    `json:"failures" doc:"in a row"`
	Until    string `json:"open_until,omitempty" doc:"when the next probe may go"`
	Paused   string `json:"paused_until,omitempty" doc:"until when a 429 keeps calls back"`
	Open     int64  `json:"open,omitempty" doc:"nanoseconds that it stays open this time"`
}

type breakerList struct {
	Breakers []breaker `json:"breakers"`
}

type breakerKey struct {
	Key string `json:"key"`
}

type hook struct {
	Name     string   `json:"name"`
	SHA256   string   `json:"sha256"`
	Size     uint64   `json:"size" doc:"bytes"`
	Exports  []string `json:"exports,omitempty" doc:"what it can be asked: validate, transform"`
	StoredAt string   `json:"stored_at"`
}

type hookList struct {
	Hooks []hook `json:"hooks"`
}

type credential struct {
	ID       string         `json:"credential_id"`
	Type     string         `json:"type"`
	StoredAt string         `json:"stored_at"`
	Data     map[string]any `json:"data,omitempty" doc:"secrets as ***"`
	Error    string         `json:"error,omitempty" doc:"why it cannot be used"`
}

type credentialList struct {
	Credentials []credential `json:"credentials"`
}

type tokenList struct {
	Tokens []engine.Token `json:"tokens" doc:"without their hashes"`
}

type userList struct {
	Users []engine.User `json:"users" doc:"without their hashes"`
}

type store struct {
	Full   bool   `json:"full"`
	Broken string `json:"broken,omitempty"`
	Used   int64  `json:"used_bytes"`
	Limit  int64  `json:"limit_bytes"`
	Free   int64  `json:"free_bytes" doc:"on the disk; -1 where the system does not say"`
}

type flowFiles struct {
	Dir     string   `json:"dir"`
	Loaded  int      `json:"loaded"`
	LeftOut []string `json:"left_out"`
}

type streamDoc struct {
	Name     string `json:"stream"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

type environment struct {
	Name      string   `json:"name"`
	Variables []string `json:"variables" doc:"that it has values for"`
}

type nodeDoc struct {
	Engine    engine.NodeStatus `json:"engine"`
	Version   string            `json:"version"`
	UptimeMS  int64             `json:"uptime_ms"`
	PID       int               `json:"pid"`
	NATS      string            `json:"nats"`
	HTTP      string            `json:"http"`
	DataDir   string            `json:"data_dir"`
	DataBytes int64             `json:"data_bytes"`
	Store     store             `json:"store"`
	Sync      string            `json:"sync" doc:"always: what is accepted is on the disk first; or within a time span"`
	Streams   []streamDoc       `json:"streams"`
	FlowFiles flowFiles         `json:"flow_files,omitzero"`
	// Environment is what `qarion serve --env` names.
	Environment environment `json:"environment,omitzero"`
}

type question struct {
	SQL     string  `json:"sql,omitempty"`
	Limit   int     `json:"limit,omitempty" doc:"rows; default 10,000, at most 1,000,000"`
	Timeout float64 `json:"timeout,omitempty" doc:"seconds; default 10, at most 25"`
	Next    string  `json:"next,omitempty" doc:"of the part before; alone"`
}

type rows struct {
	Columns   []string            `json:"columns"`
	Rows      [][]json.RawMessage `json:"rows"`
	Next      string              `json:"next,omitempty" doc:"there is another part: ask for it within ten seconds"`
	More      bool                `json:"more,omitempty" doc:"rows were left out: the limit is reached"`
	Behind    uint64              `json:"behind,omitempty" doc:"ledger entries that the tables did not show yet"`
	ElapsedMS float64             `json:"elapsed_ms"`
}

// anything is a value of any kind.
type anything struct{}
