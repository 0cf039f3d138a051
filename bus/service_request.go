package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// StartRequest is the payload of run.start.
type StartRequest struct {
	Flow          engine.FlowID   `json:"flow"`
	Variables     json.RawMessage `json:"variables,omitempty"` // object
	ID            string          `json:"id,omitempty"`        // the caller's key: the same within 24 h starts nothing new
	BatchID       *int64          `json:"batch_id,omitempty"`
	ExecutionDate *time.Time      `json:"execution_date,omitempty"`
	TriggerType   string          `json:"trigger_type,omitempty"` // default "api"
	TriggerID     string          `json:"trigger_id,omitempty"`
	Wait          Wait            `json:"wait,omitempty"`
	XCom          []engine.TaskID `json:"xcom,omitempty"` // whose values the answer carries, at most 512 KiB together

	// Definition, in flow.run alone, is what engine.Flow.Encode wrote: a flow
	// that only this run uses.
	Definition json.RawMessage `json:"definition,omitempty"`
}

// RunRequest is the payload of run.get and run.cancel.
type RunRequest struct {
	Run    string          `json:"run"` // id, ending of at least 4 characters, or "last"
	Wait   Wait            `json:"wait,omitempty"`
	XCom   []engine.TaskID `json:"xcom,omitempty"`
	Reason string          `json:"reason,omitempty"`
}

// ListRequest is the payload of run.list.
type ListRequest struct {
	Flow   engine.FlowID `json:"flow,omitempty"`
	Status engine.Status `json:"status,omitempty"`
	Since  string        `json:"since,omitempty"` // RFC 3339, or an age such as 2h or 30d
	Before engine.RunID  `json:"before,omitempty"`
	Limit  int           `json:"limit,omitempty"`
}

// ResolveRequest is the payload of run.resolve.
type ResolveRequest struct {
	Run   string          `json:"run"`
	Task  engine.TaskID   `json:"task"`
	As    string          `json:"as"` // success, failed, retry
	Value json.RawMessage `json:"value,omitempty"`
}

// FlowRequest is the payload of flow.get.
type FlowRequest struct {
	Flow engine.FlowID `json:"flow"`
}

// XComRequest is the payload of xcom.get.
type XComRequest struct {
	Run  string        `json:"run"`
	Task engine.TaskID `json:"task"`
}

// Wait is how long a caller waits for a run's end: in JSON seconds, or true
// for DefaultWait.
type Wait time.Duration

// Bounds of Wait.
const (
	DefaultWait = 60 * time.Second
	MaxWait     = time.Hour
)

// UnmarshalJSON reads seconds, true or false.
func (w *Wait) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "true":
		*w = Wait(DefaultWait)
		return nil
	case "false", "null":
		*w = 0
		return nil
	}
	seconds, err := strconv.ParseFloat(string(data), 64)
	if err != nil || seconds < 0 || seconds > MaxWait.Seconds() {
		return fmt.Errorf("wait is %.40s: want true or seconds, at most %d", data, int(MaxWait.Seconds()))
	}
	*w = Wait(seconds * float64(time.Second))
	return nil
}

// MarshalJSON writes seconds.
func (w Wait) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(w).Seconds(), 'f', -1, 64), nil
}

// decode reads a request into a struct; nothing at all is an empty object. A
// field that is not known is an error, so that a slip of the pen does not
// silently do something else.
func decode(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		return fmt.Errorf("%w: more after the request's JSON object", engine.ErrInvalid)
	}
	var wrong *json.UnmarshalTypeError
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("%w: unknown field %s; there are %s", engine.ErrInvalid, name, strings.Join(fieldNames(into), ", "))
	}
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("%w: the request is a JSON %s, want an object", engine.ErrInvalid, wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%w: field %q is a JSON %s, want %s", engine.ErrInvalid, wrong.Field, wrong.Value, jsonType(wrong.Type))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the request's JSON ends too early", engine.ErrInvalid)
	}
	return fmt.Errorf("%w: the request is not as it should be: %s", engine.ErrInvalid, strings.TrimPrefix(err.Error(), "json: "))
}

func fieldNames(of any) (names []string) {
	t := reflect.TypeOf(of).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// jsonType names a Go type as JSON does.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int64:
		return "whole number"
	case reflect.Slice:
		return "list of strings"
	}
	return "another type"
}

// words reads a request that a person typed without JSON: `nats req
// qarion.api.run.get last`. It gives nil for JSON.
func words(data []byte) []string {
	text := bytes.TrimSpace(data)
	if len(text) == 0 || text[0] == '{' || text[0] == '[' || text[0] == '"' {
		return nil
	}
	return strings.Fields(string(text))
}
