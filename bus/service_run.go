package bus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
)

// maxAnswerXCom bounds the values that a run's answer carries, in bytes.
const maxAnswerXCom = 512 << 10

// triggerTypes are what a caller may call itself.
var triggerTypes = [...]string{"api", "cli", "schedule", "webhook"}

func (s *Service) runStart(ctx context.Context, data []byte) ([]byte, error) {
	var req StartRequest
	if err := decode(data, &req); err != nil {
		return nil, err
	}
	if req.Definition != nil {
		return nil, fmt.Errorf("%w: a definition is taken by %s.flow.run alone", engine.ErrInvalid, subjectAdmin)
	}
	if _, err := engine.ParseFlowID(string(req.Flow)); err != nil {
		return nil, err
	}
	return s.start(ctx, &req, nil)
}

// flowRun starts a run of a flow that comes with the request.
func (s *Service) flowRun(ctx context.Context, data []byte) ([]byte, error) {
	var req StartRequest
	if err := decode(data, &req); err != nil {
		return nil, err
	}
	f, err := engine.DecodeFlow(req.Definition)
	if err != nil {
		return nil, fmt.Errorf("%w: definition: %w", engine.ErrInvalid, err)
	}
	if _, err := engine.ParseFlowID(string(f.ID)); err != nil {
		return nil, err
	}
	req.Flow = f.ID
	return s.start(ctx, &req, f)
}

func (s *Service) start(ctx context.Context, req *StartRequest, adHoc *engine.Flow) ([]byte, error) {
	start := engine.StartRequest{
		Flow: req.Flow, Variables: req.Variables, BatchID: req.BatchID, TriggerType: cmp.Or(req.TriggerType, "api"),
		TriggerID: req.TriggerID, DedupeID: req.ID, AdHoc: adHoc,
	}
	if !slices.Contains(triggerTypes[:], start.TriggerType) {
		return nil, fmt.Errorf("%w: trigger_type %.40q is none of %q", engine.ErrInvalid, req.TriggerType, triggerTypes)
	}
	if bytes.Equal(start.Variables, []byte("null")) {
		start.Variables = nil
	}
	if req.ExecutionDate != nil {
		start.ExecutionDate = *req.ExecutionDate
	}
	if req.Wait > 0 {
		if err := s.wait(ctx); err != nil { // before anything is stored
			return nil, err
		}
	}
	doc, err := s.cfg.Engine.Start(ctx, start)
	if err != nil {
		return nil, err
	}
	if req.Wait > 0 || doc.Final { // final: an earlier run of the same key, of which only the id is known here
		doc, err = s.runs.wait(s.ctx, doc.RunID, time.Duration(req.Wait))
	}
	if err != nil {
		return nil, err
	}
	return s.runAnswer(ctx, doc, req.XCom)
}

// runAnswer writes a run's document, with the values that were asked for.
func (s *Service) runAnswer(ctx context.Context, doc *engine.RunDoc, tasks []engine.TaskID) ([]byte, error) {
	limit := maxAnswer
	if len(tasks) > 0 {
		values, size, err := s.values(context.WithoutCancel(ctx), doc.RunID, tasks)
		if err != nil {
			return nil, err
		}
		with := *doc
		with.XCom = values
		doc, limit = &with, limit-0*size
	}
	return doc.AppendWithin(make([]byte, 0, 1024), limit)
}

// values reads the values of tasks. A value that does not fit any more is
// given as where it is.
func (s *Service) values(ctx context.Context, run engine.RunID, tasks []engine.TaskID) (map[engine.TaskID]any, int, error) {
	values, left := make(map[engine.TaskID]any, len(tasks)), maxAnswerXCom
	for _, task := range tasks {
		if _, err := engine.ParseTaskID(string(task)); err != nil {
			return nil, 0, err
		}
		text, ref, err := s.cfg.XCom.Lookup(ctx, run, task)
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err == nil && ref != nil && ref.Size <= int64(left) {
			text, err = s.cfg.XCom.Get(ctx, run, task)
		}
		if err != nil {
			return nil, 0, err
		}
		if ref != nil && (text == nil || len(text) > left) {
			text, err = json.Marshal(ref)
		}
		if err == nil && len(text) > left {
			err = fmt.Errorf("%w: the values asked for have more than %d bytes together: read them with xcom.get", engine.ErrInvalid, maxAnswerXCom)
		}
		if err != nil {
			return nil, 0, err
		}
		values[task] = json.RawMessage(text)
		left -= len(text)
	}
	return values, maxAnswerXCom - left, nil
}

func (s *Service) runGet(ctx context.Context, data []byte) ([]byte, error) {
	req, id, err := s.runRequest(ctx, data)
	if err != nil {
		return nil, err
	}
	var doc *engine.RunDoc
	if req.Wait > 0 {
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
		doc, err = s.runs.wait(s.ctx, id, time.Duration(req.Wait))
	} else {
		doc, err = s.runs.Get(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return s.runAnswer(ctx, doc, req.XCom)
}

// runRequest reads a request that names a run.
func (s *Service) runRequest(ctx context.Context, data []byte) (req RunRequest, id engine.RunID, err error) {
	if w := words(data); len(w) == 1 {
		req.Run = w[0]
	} else if err := decode(data, &req); err != nil {
		return req, "", err
	}
	id, err = engine.FindRun(ctx, s.runs, req.Run)
	return req, id, err
}

func (s *Service) runList(ctx context.Context, data []byte) ([]byte, error) {
	var req ListRequest
	if err := decode(data, &req); err != nil {
		return nil, err
	}
	filter := engine.RunFilter{Flow: req.Flow, Status: req.Status, Before: req.Before, Limit: req.Limit}
	if req.Since != "" {
		var err error
		if filter.Since, err = engine.ParseSince(req.Since, time.Now()); err != nil {
			return nil, err
		}
	}
	docs, err := s.runs.List(ctx, filter)
	if err != nil {
		return nil, err
	}
	out := []byte{'['}
	for i, doc := range docs {
		before := len(out)
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = doc.AppendSummary(out); err != nil {
			return nil, err
		}
		if len(out) >= maxAnswer { // the caller goes on before the last one
			out = out[:before]
			break
		}
	}
	return append(out, ']'), nil
}

func (s *Service) runCancel(ctx context.Context, data []byte) ([]byte, error) {
	req, id, err := s.runRequest(ctx, data)
	if err != nil {
		return nil, err
	}
	doc, err := s.runs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if doc.Final {
		return nil, fmt.Errorf("%w: run %s is %s already", engine.ErrConflict, id, doc.Status)
	}
	if err := s.cfg.Engine.Cancel(ctx, id, cmp.Or(req.Reason, "cancelled by a caller")); err != nil {
		return nil, err
	}
	if doc, err = s.runs.Get(ctx, id); err != nil {
		return nil, err
	}
	return s.runAnswer(ctx, doc, nil)
}

func (s *Service) runResolve(ctx context.Context, data []byte) ([]byte, error) {
	var req ResolveRequest
	if err := decode(data, &req); err != nil {
		return nil, err
	}
	id, err := engine.FindRun(ctx, s.runs, req.Run)
	if err != nil {
		return nil, err
	}
	if _, err := engine.ParseTaskID(string(req.Task)); err != nil {
		return nil, err
	}
	if err := s.cfg.Engine.Resolve(ctx, id, req.Task, req.As, req.Value); err != nil {
		return nil, err
	}
	doc, err := s.runs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.runAnswer(ctx, doc, nil)
}
