package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// StartRun is the payload of run.start.
type StartRun struct {
	Flow          string          `json:"flow"`
	Variables     json.RawMessage `json:"variables,omitempty"`      // object
	ID            string          `json:"id,omitempty"`             // the caller's key: the same within 24 h starts nothing new
	BatchID       *int64          `json:"batch_id,omitempty"`       // default: counted per flow
	ExecutionDate string          `json:"execution_date,omitempty"` // RFC 3339
	Environment   string          `json:"environment,omitempty"`    // the node must serve this one
	TriggerType   string          `json:"trigger_type,omitempty"`   // default "api"
	TriggerID     string          `json:"trigger_id,omitempty"`
	Wait          json.RawMessage `json:"wait,omitempty"` // seconds, or true for a minute
	XCom          []string        `json:"xcom,omitempty"` // tasks whose values the answer carries, at most 512 KiB together
}

// RunFlow is the payload of the admin's flow.run: a compiled flow, as
// engine.Flow.Encode writes it, that is run once without becoming a version.
// The other fields are those of run.start.
type RunFlow struct {
	Flow json.RawMessage `json:"flow"`
	StartRun
}

// RunRef is the payload of run.get and run.cancel.
type RunRef struct {
	Run    string   `json:"run_id"`           // or "last", or an ending of at least 4 characters
	XCom   []string `json:"xcom,omitempty"`   // run.get
	Wait   float64  `json:"wait,omitempty"`   // run.get: seconds to wait for the end
	Brief  bool     `json:"brief,omitempty"`  // run.get: without tasks
	Reason string   `json:"reason,omitempty"` // run.cancel
}

// ListRuns is the payload of run.list.
type ListRuns struct {
	Flow    string `json:"flow,omitempty"`
	Status  string `json:"status,omitempty"`
	Trigger string `json:"trigger,omitempty"` // type or id of what has started it
	Since   string `json:"since,omitempty"`   // RFC 3339, or an age such as 2h or 30d
	Before  string `json:"before,omitempty"`  // run id: the next page
	Limit   int    `json:"limit,omitempty"`   // default 50, at most 1000
}

// ListTasks is the payload of run.tasks.
type ListTasks struct {
	Run    string `json:"run_id"` // as in RunRef
	Status string `json:"status,omitempty"`
	After  string `json:"after,omitempty"` // task id: the next page
	Limit  int    `json:"limit,omitempty"` // default 200, at most 1000
}

// RunList is the answer of run.list: documents without tasks, newest first.
type RunList struct {
	Runs []*engine.RunDoc `json:"runs"`
	More bool             `json:"more"` // there are older ones
}

// ResolveTask is the payload of run.resolve.
type ResolveTask struct {
	Run   string          `json:"run_id"` // as in RunRef
	Task  string          `json:"task_id"`
	Item  int             `json:"item,omitempty"` // of a task with for_each: from 1
	As    string          `json:"as"`             // success, failed, retry
	Value json.RawMessage `json:"value,omitempty"`
}

// RerunRun is the payload of run.rerun.
type RerunRun struct {
	Run       string          `json:"run_id"`              // as in RunRef
	From      string          `json:"from,omitempty"`      // failed (default), a task, or all
	Version   string          `json:"version,omitempty"`   // same (default) or newest
	Variables json.RawMessage `json:"variables,omitempty"` // object: they replace those of the run
	Keys      string          `json:"keys,omitempty"`      // auto (default) or new
	DryRun    bool            `json:"dry_run,omitempty"`   // only say what would be done
	Wait      json.RawMessage `json:"wait,omitempty"`      // seconds, or true for a minute
}

// FlowRef is the payload of flow.get.
type FlowRef struct {
	Flow string `json:"flow"`
}

// XComRef is the payload of xcom.get.
type XComRef struct {
	Run     string `json:"run_id"` // as in RunRef
	Task    string `json:"task_id"`
	Attempt int    `json:"attempt,omitempty"` // what this attempt received; 0: the task's value
	Item    int    `json:"item,omitempty"`    // what this item of a task with for_each left, from 1
	Where   bool   `json:"where,omitempty"`   // of what lies in the object store, where that is
}

// How long a caller may wait for a run's end.
const (
	defaultWait = time.Minute
	maxWait     = time.Hour
)

// waitTime reads seconds or true; 0 for not at all.
func waitTime(raw json.RawMessage) (time.Duration, error) {
	switch string(raw) {
	case "", "null", "false":
		return 0, nil
	case "true":
		return defaultWait, nil
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return 0, fmt.Errorf("%w: wait is %.40s: want true, or seconds", engine.ErrInvalid, raw)
	}
	return waitSeconds(seconds)
}

func waitSeconds(seconds float64) (time.Duration, error) {
	if !(seconds >= 0 && seconds <= maxWait.Seconds()) {
		return 0, fmt.Errorf("%w: wait is %v seconds: want at most %v", engine.ErrInvalid, seconds, maxWait.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// maxCallerText bounds the caller's own words about a run, in bytes.
const maxCallerText = 256

// request turns the payload into what the engine takes.
func (in *StartRun) request() (req engine.StartRequest, wait time.Duration, err error) {
	req = engine.StartRequest{
		Variables: in.Variables, BatchID: in.BatchID, DedupeID: in.ID,
		TriggerType: in.TriggerType, TriggerID: in.TriggerID,
	}
	if string(in.Variables) == "null" {
		req.Variables = nil
	}
	for name, v := range map[string]string{"id": in.ID, "trigger_type": in.TriggerType, "trigger_id": in.TriggerID} {
		if len(v) > maxCallerText {
			return req, 0, fmt.Errorf("%w: %s has %d bytes, at most %d", engine.ErrInvalid, name, len(v), maxCallerText)
		}
	}
	if in.ExecutionDate != "" {
		if req.ExecutionDate, err = time.Parse(time.RFC3339Nano, in.ExecutionDate); err != nil {
			return req, 0, fmt.Errorf("%w: execution_date %.40q is not an RFC 3339 time such as 2026-01-31T06:00:00Z", engine.ErrInvalid, in.ExecutionDate)
		}
	}
	wait, err = waitTime(in.Wait)
	return req, wait, err
}

// Decode reads the payload of an endpoint of a neighbour, as those of the
// service's own are read: strictly, with an error that names what is wrong.
func Decode(data []byte, into any) error { return decode(data, into) }

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
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// jsonType names a Go type as JSON does.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int64:
		return "whole number"
	case reflect.Float64:
		return "number"
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
