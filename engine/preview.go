package engine

import (
	"context"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// Previewer is a program that can show what an attempt would do, without doing
// it.
type Previewer interface {
	Preview(ctx context.Context, in *TaskInput) (*Preview, error)
	// Worst is how long all attempts take together at most, with their waits,
	// but for waits that others ask for.
	Worst() time.Duration
}

// Preview is what an attempt would do, for people: a request, or statements on
// a database. Secrets are *** in what is shown, and variables of the shell in
// Curl.
type Preview struct {
	Task    TaskID          `json:"task_id"`
	Method  string          `json:"method,omitempty"`
	URL     string          `json:"url,omitempty"`
	Headers []PreviewHeader `json:"headers,omitzero"`
	Body    string          `json:"body,omitempty"`
	Hook    string          `json:"hook,omitempty"` // what a transform_request did, or that it was not run
	Curl    string          `json:"curl,omitempty"`

	Database   string             `json:"database,omitempty"` // "warehouse (sqlite)"
	Statements []PreviewStatement `json:"statements,omitempty"`

	Policy string `json:"policy"` // timeout and retries in words
}

// PreviewHeader is one header of a Preview.
type PreviewHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Note  string `json:"note,omitempty"` // where it comes from
}

// PreviewStatement is one statement of a Preview, with what would be bound to
// its parameters.
type PreviewStatement struct {
	SQL        string             `json:"sql"`
	Parameters []PreviewParameter `json:"parameters,omitempty"`
}

// PreviewParameter is a parameter of a statement.
type PreviewParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"` // as JSON, cut
}

// SampleRun is what a task of on_failure or finally might read as run, for
// previews: the first task has failed, and what waits for nothing else is done.
func SampleRun(f *Flow) []byte {
	tasks, first := new(value.Map), TaskID("")
	for i := range f.Tasks {
		t := &f.Tasks[i]
		if t.Stage > StageTasks || tasks.Len() == MaxRunDocTasks {
			continue
		}
		status := Success
		if first == "" {
			first, status = t.ID, Failed
		}
		tasks.Set(string(t.ID), value.MapOf("status", string(status)))
	}
	text, err := value.JSON(value.MapOf("status", string(Failed), "error", value.MapOf(
		"class", "status", "message", "503 Service Unavailable", "task_id", string(first), "status_code", int64(503), "response_excerpt", "",
	), "tasks", tasks))
	if err != nil {
		return nil // never: it holds texts and numbers
	}
	return text
}
