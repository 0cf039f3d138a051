package engine

import (
	"encoding/json"

	"github.com/qarion/qarion/internal/value"
)

// RunDoc is the public document of a run: what run.get answers, what the
// qarion_runs bucket holds and what `runs show --output json` prints. Times
// are RFC 3339 in UTC with milliseconds.
type RunDoc struct {
	RunID         RunID          `json:"run_id"`
	FlowID        FlowID         `json:"flow_id"`
	FlowVersion   string         `json:"flow_version"`
	File          string         `json:"file,omitempty"`
	Environment   string         `json:"environment,omitempty"` // whose values it started with
	Status        Status         `json:"status"`
	Final         bool           `json:"final"`
	BatchID       int64          `json:"batch_id"`
	ExecutionDate string         `json:"execution_date"`
	TriggerType   string         `json:"trigger_type"`
	TriggerID     string         `json:"trigger_id,omitempty"`
	RerunOf       RunID          `json:"rerun_of,omitempty"` // the run that it repeats
	Root          RunID          `json:"root,omitempty"`     // the first one of the row of reruns
	Variables     *value.Map     `json:"variables,omitempty"`
	StartTime     string         `json:"start_time"`
	EndTime       string         `json:"end_time,omitempty"`
	DurationMS    float64        `json:"duration_ms"`
	Counts        map[Status]int `json:"task_counts"`              // status -> tasks
	Calls         int            `json:"calls"`                    // attempts made
	Rows          int64          `json:"rows_processed,omitempty"` // by tasks that read or write rows
	Tasks         []TaskDoc      `json:"tasks"`                    // past MaxRunDocTasks only those that did not simply succeed
	Waiting       *TaskDoc       `json:"waiting,omitempty"`        // of an open run that calls nothing now: the task that goes on first
	Error         *RunError      `json:"error,omitempty"`
	XCom          map[TaskID]any `json:"xcom,omitempty"`     // only where asked for
	Warnings      []string       `json:"warnings,omitempty"` // only in the answer to the start of a run
}

// MaxRunDocTasks bounds the tasks that a run document lists.
const MaxRunDocTasks = 1000

// TaskDoc is one task of a RunDoc, in the order of the flow.
type TaskDoc struct {
	TaskID     TaskID       `json:"task_id"`
	Status     Status       `json:"status"`
	Operation  string       `json:"operation,omitempty"`   // "get"
	Turns      int          `json:"turns,omitempty"`       // that the task has begun, when it takes more than one: pages, polls
	Attempts   int          `json:"attempts"`              // of the last turn
	StatusCode int          `json:"status_code,omitempty"` // of the last attempt
	StartTime  string       `json:"start_time,omitempty"`  // of the first attempt
	EndTime    string       `json:"end_time,omitempty"`
	DurationMS float64      `json:"duration_ms,omitempty"`
	NotBefore  string       `json:"not_before,omitempty"` // when the next attempt may start; of a waiting task: until when it waits
	Awaits     string       `json:"awaits,omitempty"`     // what a waiting task waits for: "signal paid", "approval", "time"
	Reason     string       `json:"reason,omitempty"`     // why it failed, waits or was skipped
	Note       string       `json:"note,omitempty"`       // what was noticed about the answer of one that succeeded
	History    []AttemptDoc `json:"history,omitempty"`    // every attempt, when there was more than one or it failed
	Line       int          `json:"line,omitempty"`       // in the flow file
	Items      *ItemsDoc    `json:"items,omitempty"`      // of a task with for_each, once its list is known
	KeptFrom   RunID        `json:"kept_from,omitempty"`  // of a rerun: the run that has done it
}

// AttemptDoc is one attempt of a task, in short.
type AttemptDoc struct {
	Turn       int    `json:"turn,omitempty"` // 0 is the first
	Attempt    int    `json:"attempt"`
	Status     string `json:"status"`
	StartTime  string `json:"start_time"`
	EndTime    string `json:"end_time"`
	StatusCode int    `json:"status_code,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAt    string `json:"retry_at,omitempty"`
	Reason     string `json:"reason,omitempty"` // why the wait, or why no attempt followed
}

// RunError is the first failure of a run, with what a person needs to see why.
type RunError struct {
	TaskID          TaskID          `json:"task_id,omitempty"` // "" when the run itself ended (timeout)
	Class           string          `json:"class"`
	Message         string          `json:"message"`
	Method          string          `json:"method,omitempty"`
	URL             string          `json:"url,omitempty"`
	StatusCode      int             `json:"status_code,omitempty"`
	ResponseExcerpt string          `json:"response_excerpt,omitempty"`
	Attempts        []AttemptDoc    `json:"attempts,omitempty"`
	Details         json.RawMessage `json:"details,omitempty"` // operation_details of the last attempt
}
