package engine

import (
	"encoding/json"
	"time"
)

// Details is the operation_details document of one attempt. Everything in it
// is redacted and bounded before it gets here.
type Details struct {
	Method          string            `json:"method,omitempty"`
	URL             string            `json:"url,omitempty"`
	StatusCode      int               `json:"status_code,omitempty"`
	RequestHeaders  map[string]string `json:"request_headers,omitempty"` // failures only
	RequestBody     string            `json:"request_body,omitempty"`    // failures only, cut
	RequestBytes    int64             `json:"request_bytes,omitempty"`
	ResponseBytes   int64             `json:"response_bytes,omitempty"`
	ContentType     string            `json:"content_type,omitempty"`
	ResponseHeaders map[string]string `json:"response_headers,omitempty"` // failures only
	ResponseExcerpt string            `json:"response_excerpt,omitempty"` // failures only, 4 KiB
	ErrorClass      string            `json:"error_class,omitempty"`
	Validation      []string          `json:"validation,omitempty"`
	Credential      string            `json:"credential,omitempty"` // "shop_api (oauth)"
	CookieJar       string            `json:"cookie_jar,omitempty"` // "shop (sent: sid; set: lang)"
	IdempotencyKey  string            `json:"idempotency_key,omitempty"`
	RetryAt         string            `json:"retry_at,omitempty"`     // RFC 3339, set by the engine
	RetryReason     string            `json:"retry_reason,omitempty"` // "503", "Retry-After", "timeout"
	RetryAfterMS    int64             `json:"retry_after_ms,omitempty"`
	NotRetried      string            `json:"not_retried,omitempty"` // why no attempt follows: "422 is not retried"
	Breaker         string            `json:"breaker,omitempty"`
	Redirects       []string          `json:"redirects,omitempty"`
	Repeated        bool              `json:"repeated,omitempty"`
	TimeoutMS       int64             `json:"timeout_ms,omitempty"`
	Note            string            `json:"note,omitempty"` // what was noticed about an answer that was taken all the same
	Hint            string            `json:"hint,omitempty"` // a way out for a person, one line
	Hooks           json.RawMessage   `json:"hooks,omitempty"`
	Database        string            `json:"database,omitempty"`       // where statements ran: "warehouse (sqlite)"
	Statements      []Statement       `json:"statements,omitempty"`     // that ran, in order; the last may have failed
	RowsProcessed   int64             `json:"rows_processed,omitempty"` // read and written
}

// Statement is one statement that a task ran, as its flow has it: what was
// bound to its parameters is not shown.
type Statement struct {
	SQL        string  `json:"sql"`  // cut
	Rows       int64   `json:"rows"` // read or written
	DurationMS float64 `json:"duration_ms"`
}

// Operation is the operation-log document: one per attempt, on the subject
// qarion.log.<flow>.<task> and as a row of xt_operation_logs. Times are
// RFC 3339 in UTC with milliseconds.
type Operation struct {
	OperationID      string          `json:"operation_id"` // <run>.<task>.<item>.<generation>.<attempt>.<dispatch>, and .t<turn> where there is one
	OperationType    string          `json:"operation_type"`
	OperationSubtype string          `json:"operation_subtype,omitempty"`
	ExecutionID      RunID           `json:"execution_id"`
	FlowID           FlowID          `json:"flow_id"`
	TaskID           TaskID          `json:"task_id"`
	ItemIndex        int             `json:"item_index"`
	Turn             int             `json:"turn,omitempty"` // of a task that takes several: 0 is the first
	Attempt          int             `json:"attempt"`
	BatchID          int64           `json:"batch_id"`
	Status           string          `json:"status"` // success, again, failed, retry, deferred, interrupted, cancelled
	Success          bool            `json:"success"`
	StartTime        string          `json:"start_time"`
	EndTime          string          `json:"end_time"`
	DurationMS       float64         `json:"duration_ms"`
	ErrorMessage     string          `json:"error_message,omitempty"`
	Details          json.RawMessage `json:"operation_details"`
	Worker           string          `json:"worker"`
	Superseded       bool            `json:"superseded,omitempty"` // the record came too late and changed nothing
}

// timeLayout is RFC 3339 with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// FormatTime writes a time as every document does: RFC 3339, UTC, milliseconds.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }
