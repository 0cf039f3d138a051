package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/qarion/qarion/engine"
)

func (s *Service) flowList(ctx context.Context, _ []byte) (any, error) {
	list, err := s.cfg.Runner.Flows(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"flows": list}, nil
}

// flowGet answers the newest definition of a flow.
func (s *Service) flowGet(ctx context.Context, data []byte) (any, error) {
	var in FlowRef
	if w := words(data); len(w) == 1 {
		in.Flow = w[0]
	} else if err := decode(data, &in); err != nil {
		return nil, err
	}
	id, err := engine.ParseFlowID(in.Flow)
	if err != nil {
		return nil, err
	}
	s.fresh(ctx)
	f, err := s.cfg.Runner.Flow(ctx, id)
	return f, s.withFile(ctx, id, err)
}

// fresh lets changed flow files be read before a flow is asked for.
func (s *Service) fresh(ctx context.Context) {
	if s.cfg.Files != nil {
		s.cfg.Files.Fresh(ctx)
	}
}

// leftOut says what keeps a flow's file from being what runs; "" for nothing.
func (s *Service) leftOut(ctx context.Context, id engine.FlowID) string {
	if s.cfg.Files == nil {
		return ""
	}
	return s.cfg.Files.LeftOut(ctx, id)
}

// withFile says of a flow that is not known what is wrong with its file.
func (s *Service) withFile(ctx context.Context, id engine.FlowID, err error) error {
	if !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	if why := s.leftOut(ctx, id); why != "" {
		return fmt.Errorf("%w: no flow %q: %s", engine.ErrNotFound, id, why)
	}
	return err
}

// HeaderBlob marks an answer of xcom.get, and an entry of the XCom bucket, that
// only says where the value is: in the object store, under "object".
const HeaderBlob = "Qarion-Blob"

func (s *Service) xcomGet(ctx context.Context, data []byte) (any, error) {
	var in XComRef
	if w := words(data); len(w) == 2 {
		in.Run, in.Task = w[0], w[1]
	} else if err := decode(data, &in); err != nil {
		return nil, err
	}
	task, err := engine.ParseTaskID(in.Task)
	if err != nil {
		return nil, err
	}
	id, err := engine.FindRun(ctx, s.runs, in.Run)
	if err != nil {
		return nil, err
	}
	if in.Item != 0 {
		text, err := s.cfg.Runner.ItemValue(ctx, id, task, in.Item)
		return json.RawMessage(text), err
	}
	of, text, ref, err := s.lookup(ctx, id, task, in.Attempt)
	if errors.Is(err, engine.ErrNotFound) && in.Attempt > 0 && s.succeeded(ctx, id, task, in.Attempt) {
		in.Attempt = 0 // what it received is the task's value
		of, text, ref, err = s.lookup(ctx, id, task, 0)
	}
	if err != nil {
		return nil, s.whyNoValue(ctx, id, task, in.Attempt, err)
	}
	if ref == nil {
		return json.RawMessage(text), nil
	}
	if !in.Where && (ref.Size <= maxAnswer || ref.Described()) {
		if text, err = s.cfg.XCom.Get(ctx, of, task, in.Attempt); err != nil {
			return nil, err
		}
		if len(text) <= maxAnswer {
			return json.RawMessage(text), nil
		}
	}
	s.callOf(ctx).object = ref
	return ref, nil
}

// succeeded reports whether a task succeeded in an attempt.
func (s *Service) succeeded(ctx context.Context, id engine.RunID, task engine.TaskID, attempt int) bool {
	doc, err := s.runs.Get(ctx, id)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(doc.Tasks, func(t engine.TaskDoc) bool {
		return t.TaskID == task && t.Status == engine.Success && t.Attempts == attempt
	})
}

// whyNoValue says more than "not found" where the run is known.
func (s *Service) whyNoValue(ctx context.Context, id engine.RunID, task engine.TaskID, attempt int, err error) error {
	if !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	doc, missing := s.runs.Get(ctx, id)
	if missing != nil {
		return missing
	}
	var names []string
	for _, t := range doc.Tasks {
		if t.TaskID == task {
			if t.Status == engine.Success || attempt > 0 {
				return err
			}
			text := fmt.Sprintf("task %s of run %s is %s and left no value", task, id, t.Status)
			if _, _, none := s.cfg.XCom.Lookup(ctx, id, task, t.Attempts); none == nil && t.Attempts > 0 {
				text += fmt.Sprintf("; what attempt %d received was kept: --attempt %d", t.Attempts, t.Attempts)
			}
			return fmt.Errorf("%w: %s", engine.ErrNotFound, text)
		}
		names = append(names, string(t.TaskID))
	}
	if near := engine.Nearest(string(task), names); near != "" {
		return fmt.Errorf("%w: run %s has no task %q (did you mean %q?)", engine.ErrNotFound, id, task, near)
	}
	return fmt.Errorf("%w: run %s has no task %q", engine.ErrNotFound, id, task)
}

// nodeStatus answers how the engine is, and what the node adds to it.
func (s *Service) nodeStatus(ctx context.Context, _ []byte) (any, error) {
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
		maps.Copy(out, info)
	}
	return out, nil
}
