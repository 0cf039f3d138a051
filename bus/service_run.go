package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// StartRun is the payload of run.start.
type StartRun struct {
	Flow          string          `json:"flow"`
	Variables     json.RawMessage `json:"variables,omitempty"`
	ID            string          `json:"id,omitempty"` // the caller's key: the same within 24 h starts nothing new
	BatchID       *int64          `json:"batch_id,omitempty"`
	ExecutionDate string          `json:"execution_date,omitempty"` // RFC 3339
	TriggerType   string          `json:"trigger_type,omitempty"`
	TriggerID     string          `json:"trigger_id,omitempty"`
	Wait          json.RawMessage `json:"wait,omitempty"` // seconds, or true for a minute
	XCom          []string        `json:"xcom,omitempty"` // tasks whose values the answer carries
}

// RunRef is the payload of run.get and run.cancel.
type RunRef struct {
	Run    string   `json:"run_id"`
	XCom   []string `json:"xcom,omitempty"`
	Reason string   `json:"reason,omitempty"`
	Wait   float64  `json:"wait,omitempty"` // run.get: seconds to wait for the end
}

// ListRuns is the payload of run.list.
type ListRuns struct {
	Flow   string `json:"flow,omitempty"`
	Status string `json:"status,omitempty"`
	Since  string `json:"since,omitempty"`  // RFC 3339
	Limit  int    `json:"limit,omitempty"`  // default 50, at most 1000
	Suffix string `json:"suffix,omitempty"` // of the run id
}

// RunList is the answer of run.list.
type RunList struct {
	Runs []*engine.RunDoc `json:"runs"`
	More bool             `json:"more"` // there are older ones
}

// ResolveTask is the payload of run.resolve.
type ResolveTask struct {
	Run   string          `json:"run_id"`
	Task  string          `json:"task_id"`
	As    string          `json:"as"` // success, failed, retry
	Value json.RawMessage `json:"value,omitempty"`
}

// XComRef is the payload of xcom.get.
type XComRef struct {
	Run  string `json:"run_id"`
	Task string `json:"task_id"`
}

// RunFlow is the payload of the admin's flow.run: a compiled flow, as
// engine.Flow.Encode writes it, that is run once without becoming a version.
type RunFlow struct {
	Flow json.RawMessage `json:"flow"`
	StartRun
}

func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (s *Service) endpoints() []Endpoint {
	return []Endpoint{
		{"run", "start", s.start},
		{"run", "get", s.get},
		{"run", "list", s.list},
		{"run", "cancel", s.cancel},
		{"run", "resolve", s.resolve},
		{"flow", "list", s.flows},
		{"flow", "get", s.flow},
		{"xcom", "get", s.xcom},
		{"node", "status", s.status},
	}
}

func (s *Service) adminEndpoints() []Endpoint {
	return []Endpoint{{"flow", "run", s.runFlow}}
}

func (s *Service) start(ctx context.Context, data []byte) (any, error) {
	var in StartRun
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	req, wait, err := in.request()
	if err != nil {
		return nil, err
	}
	flow, err := engine.ParseFlowID(in.Flow)
	if err != nil {
		return nil, err
	}
	req.Flow = flow
	return s.launch(ctx, req, wait, in.XCom)
}

func (s *Service) runFlow(ctx context.Context, data []byte) (any, error) {
	var in RunFlow
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	flow, err := engine.DecodeFlow(in.Flow)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	req, wait, err := in.request()
	if err != nil {
		return nil, err
	}
	req.Flow, req.AdHoc = flow.ID, flow
	return s.launch(ctx, req, wait, in.XCom)
}

// request turns the payload into what the engine takes.
func (in *StartRun) request() (req engine.StartRequest, wait time.Duration, err error) {
	req = engine.StartRequest{
		Variables: in.Variables, BatchID: in.BatchID, DedupeID: in.ID,
		TriggerType: in.TriggerType, TriggerID: in.TriggerID,
	}
	for _, v := range []string{in.ID, in.TriggerType, in.TriggerID} {
		if len(v) > 256 {
			return req, 0, fmt.Errorf("%w: id, trigger_type and trigger_id have at most 256 bytes", engine.ErrInvalid)
		}
	}
	if in.ExecutionDate != "" {
		if req.ExecutionDate, err = time.Parse(time.RFC3339Nano, in.ExecutionDate); err != nil {
			return req, 0, fmt.Errorf("%w: execution_date %q is not an RFC 3339 time such as 2026-01-31T06:00:00Z", engine.ErrInvalid, in.ExecutionDate)
		}
	}
	wait, err = waitTime(in.Wait)
	return req, wait, err
}

func waitTime(raw json.RawMessage) (time.Duration, error) {
	switch s := strings.TrimSpace(string(raw)); s {
	case "", "null", "false":
		return 0, nil
	case "true":
		return defaultWait, nil
	}
	var seconds float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds < 0 {
		return 0, fmt.Errorf("%w: wait is seconds, or true for a minute", engine.ErrInvalid)
	}
	return min(time.Duration(seconds*float64(time.Second)), maxWait), nil
}

// launch starts a run and, where asked, waits for its end. When the time is up
// the answer has the present state and says that it is not final.
func (s *Service) launch(ctx context.Context, req engine.StartRequest, wait time.Duration, xcom []string) (any, error) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	doc, err := s.cfg.Runner.Start(call, req)
	if err != nil {
		return nil, err
	}
	if doc.StartTime == "" { // known by its key, and over already
		if doc, err = s.find(ctx, doc.RunID); err != nil {
			return nil, err
		}
	}
	if wait > 0 && !doc.Final {
		if doc, err = s.await(ctx, doc.RunID, wait); err != nil {
			return nil, err
		}
	}
	return s.withXCom(ctx, doc, xcom)
}

// await waits for a run's end, for a task that needs a person, or until the
// time is up.
func (s *Service) await(ctx context.Context, id engine.RunID, wait time.Duration) (*engine.RunDoc, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	doc, err := s.cfg.Runner.Wait(waiting, id)
	if err != nil {
		return s.find(ctx, id)
	}
	return doc, nil
}

// find returns a run, open or closed.
func (s *Service) find(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	doc, err := s.cfg.Runner.Get(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		doc, err = s.cfg.Runs.Get(ctx, id)
	}
	return doc, err
}

func (s *Service) withXCom(ctx context.Context, doc *engine.RunDoc, tasks []string) (any, error) {
	if len(tasks) == 0 {
		return doc, nil
	}
	out := *doc
	out.XCom = map[engine.TaskID]any{}
	size := 0
	for _, name := range tasks {
		task, err := engine.ParseTaskID(name)
		if err != nil {
			return nil, err
		}
		v, err := s.cfg.XCom.Get(ctx, doc.RunID, task)
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if size += len(v); size > maxAnswerXCom {
			return nil, fmt.Errorf("%w: the values have more than %d bytes; read them with xcom.get", engine.ErrInvalid, maxAnswerXCom)
		}
		out.XCom[task] = json.RawMessage(v)
	}
	return &out, nil
}

func (s *Service) get(ctx context.Context, data []byte) (any, error) {
	var in RunRef
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	id, err := engine.ParseRunID(in.Run)
	if err != nil {
		return nil, err
	}
	doc, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if in.Wait > 0 && !doc.Final && doc.Status != engine.Interrupted {
		if doc, err = s.await(ctx, id, min(time.Duration(in.Wait*float64(time.Second)), maxWait)); err != nil {
			return nil, err
		}
	}
	return s.withXCom(ctx, doc, in.XCom)
}

func (s *Service) cancel(ctx context.Context, data []byte) (any, error) {
	var in RunRef
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	id, err := engine.ParseRunID(in.Run)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.cfg.Runner.Cancel(ctx, id, in.Reason); err != nil {
		if doc, found := s.cfg.Runs.Get(ctx, id); found == nil && doc.Final {
			return nil, fmt.Errorf("%w: run %s has ended already: %s", engine.ErrConflict, id, doc.Status)
		}
		return nil, err
	}
	return s.find(ctx, id)
}

func (s *Service) resolve(ctx context.Context, data []byte) (any, error) {
	var in ResolveTask
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	id, err := engine.ParseRunID(in.Run)
	if err != nil {
		return nil, err
	}
	task, err := engine.ParseTaskID(in.Task)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.cfg.Runner.Resolve(ctx, id, task, in.As, in.Value); err != nil {
		return nil, err
	}
	return s.find(ctx, id)
}

// list answers with runs, newest first: the open ones as they are now, the
// others from the store.
func (s *Service) list(ctx context.Context, data []byte) (any, error) {
	var in ListRuns
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	since := ""
	if in.Since != "" {
		t, err := time.Parse(time.RFC3339, in.Since)
		if err != nil {
			return nil, fmt.Errorf("%w: since %q is not an RFC 3339 time", engine.ErrInvalid, in.Since)
		}
		since = engine.FormatTime(t)
	}
	limit := in.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 1000)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	match := func(d *engine.RunDoc) bool {
		return (in.Flow == "" || string(d.FlowID) == in.Flow) && (in.Status == "" || string(d.Status) == in.Status) &&
			(in.Suffix == "" || strings.HasSuffix(string(d.RunID), in.Suffix)) && d.StartTime >= since
	}
	open, err := s.cfg.Runner.Open(ctx)
	if err != nil {
		return nil, err
	}
	out := RunList{Runs: []*engine.RunDoc{}}
	seen := map[engine.RunID]bool{}
	for _, d := range open {
		seen[d.RunID] = true
		if match(d) {
			out.Runs = append(out.Runs, d)
		}
	}
	closed, scanned := 0, 0
	err = s.cfg.Runs.Scan(ctx, func(d *engine.RunDoc) bool {
		scanned++
		if !seen[d.RunID] && d.Final && match(d) {
			seen[d.RunID] = true
			if closed++; closed > limit {
				out.More = true
				return false
			}
			out.Runs = append(out.Runs, d)
		}
		return scanned < maxScanned
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out.Runs, func(a, b *engine.RunDoc) int { return strings.Compare(string(b.RunID), string(a.RunID)) })
	if len(out.Runs) > limit {
		out.Runs, out.More = out.Runs[:limit], true
	}
	for i, d := range out.Runs {
		short := *d // lists show heads; run.get has the tasks
		short.Tasks = nil
		out.Runs[i] = &short
	}
	return out, nil
}

// maxScanned bounds how many runs a filter looks through.
const maxScanned = 200_000

func (s *Service) flows(ctx context.Context, _ []byte) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := s.cfg.Runner.Flows(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"flows": list}, nil
}

func (s *Service) flow(ctx context.Context, data []byte) (any, error) {
	var in struct {
		Flow string `json:"flow"`
	}
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	id, err := engine.ParseFlowID(in.Flow)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return s.cfg.Runner.Flow(ctx, id)
}

func (s *Service) xcom(ctx context.Context, data []byte) (any, error) {
	var in XComRef
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	run, err := engine.ParseRunID(in.Run)
	if err != nil {
		return nil, err
	}
	task, err := engine.ParseTaskID(in.Task)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	v, err := s.cfg.XCom.Get(ctx, run, task)
	return json.RawMessage(v), err
}

func (s *Service) status(ctx context.Context, _ []byte) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	st, err := s.cfg.Runner.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"engine": st}
	if s.cfg.Info != nil {
		info, err := s.cfg.Info(ctx)
		if err != nil {
			return nil, err
		}
		for k, v := range info {
			out[k] = v
		}
	}
	return out, nil
}
