package bus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/qarion/qarion/engine"
)

func (s *Service) flowList(ctx context.Context, data []byte) ([]byte, error) {
	if err := decode(data, &struct{}{}); err != nil {
		return nil, err
	}
	list, err := s.cfg.Engine.Flows(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// flowGet answers the newest definition of a flow, as it stands in the ledger.
func (s *Service) flowGet(ctx context.Context, data []byte) ([]byte, error) {
	var req FlowRequest
	if w := words(data); len(w) == 1 {
		req.Flow = engine.FlowID(w[0])
	} else if err := decode(data, &req); err != nil {
		return nil, err
	}
	if _, err := engine.ParseFlowID(string(req.Flow)); err != nil {
		return nil, err
	}
	f, err := s.cfg.Engine.Flow(ctx, req.Flow)
	if err != nil {
		return nil, err
	}
	definition, _, err := f.Encode()
	return definition, err
}

// HeaderBlob marks an answer of xcom.get, and an entry of the XCom bucket, that
// only says where the value is: in the object store, under "object".
const HeaderBlob = "Qarion-Blob"

func (s *Service) xcomGet(ctx context.Context, data []byte) ([]byte, error) {
	var req XComRequest
	if w := words(data); len(w) == 2 {
		req.Run, req.Task = w[0], engine.TaskID(w[1])
	} else if err := decode(data, &req); err != nil {
		return nil, err
	}
	if _, err := engine.ParseTaskID(string(req.Task)); err != nil {
		return nil, err
	}
	id, err := engine.FindRun(ctx, s.runs, req.Run)
	if err != nil {
		return nil, err
	}
	text, ref, err := s.cfg.XCom.Lookup(ctx, id, req.Task)
	if err != nil {
		return nil, s.whyNoValue(ctx, id, req.Task, err)
	}
	if ref == nil {
		return text, nil
	}
	if ref.Size <= maxAnswer {
		if text, err = s.cfg.XCom.Get(ctx, id, req.Task); err != nil {
			return nil, err
		}
		if len(text) <= maxAnswer {
			return text, nil
		}
	}
	setHeader(ctx, HeaderBlob, "1")
	return json.Marshal(ref)
}

// whyNoValue says more than "not found" where the run is known.
func (s *Service) whyNoValue(ctx context.Context, id engine.RunID, task engine.TaskID, err error) error {
	doc, missing := s.runs.Get(ctx, id)
	if missing != nil {
		return missing
	}
	var names []string
	for _, t := range doc.Tasks {
		if t.TaskID == task {
			if t.Status != engine.Success {
				return fmt.Errorf("%w: task %s of run %s is %s and left no value", engine.ErrNotFound, task, id, t.Status)
			}
			return err
		}
		names = append(names, string(t.TaskID))
	}
	if near := engine.Nearest(string(task), names); near != "" {
		return fmt.Errorf("%w: run %s has no task %q (did you mean %q?)", engine.ErrNotFound, id, task, near)
	}
	return fmt.Errorf("%w: run %s has no task %q", engine.ErrNotFound, id, task)
}

// NodeStatus is the answer of status.
type NodeStatus struct {
	Version string `json:"version"` // of the program
	engine.NodeStatus
}

func (s *Service) status(ctx context.Context, data []byte) ([]byte, error) {
	if err := decode(data, &struct{}{}); err != nil {
		return nil, err
	}
	st, err := s.cfg.Engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(NodeStatus{Version: s.cfg.Version, NodeStatus: st})
}
