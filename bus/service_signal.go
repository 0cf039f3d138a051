package bus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// SendSignal is the payload of run.signal: to a run, or to a flow by a key.
type SendSignal struct {
	Signal string          `json:"signal"`           // its name
	Run    string          `json:"run_id,omitempty"` // as in RunRef
	Flow   string          `json:"flow,omitempty"`   // with key, instead of run_id
	Key    string          `json:"key,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"` // what comes with it, at most 64 KiB
	ID     string          `json:"id,omitempty"`    // of the message: the same within 24 h wakes nothing more
}

// DecideTask is the payload of run.decide.
type DecideTask struct {
	Run     string          `json:"run_id"` // as in RunRef
	Task    string          `json:"task_id"`
	As      string          `json:"as"` // approve, reject
	Comment string          `json:"comment,omitempty"`
	Value   json.RawMessage `json:"value,omitempty"` // that the task leaves beside the decision
}

// runSignal tells a run, or whichever run of a flow waits for a key, something from
// outside.
func (s *Service) runSignal(ctx context.Context, data []byte) (any, error) {
	var in SendSignal
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	who := s.callOf(ctx).who
	req := engine.SignalRequest{Name: in.Signal, Key: in.Key, Value: given(in.Value), ID: in.ID, By: who.By()}
	switch {
	case (in.Run == "") == (in.Flow == "" && in.Key == ""):
		return nil, fmt.Errorf("%w: a signal goes to a run (run_id), or to a flow and a key (flow, key)", engine.ErrInvalid)
	case in.Run != "":
		id, err := engine.FindRun(ctx, s.runs, in.Run)
		if err != nil {
			return nil, err
		}
		doc, err := s.runs.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := who.MayStart(doc.FlowID); err != nil {
			return nil, err
		}
		if doc.Final {
			return nil, fmt.Errorf("%w: run %s has ended already: %s", engine.ErrConflict, id, doc.Status)
		}
		req.Run = id
	default:
		flow, err := engine.ParseFlowID(in.Flow)
		if err != nil {
			return nil, err
		}
		if err := who.MayStart(flow); err != nil {
			return nil, err
		}
		req.Flow = flow
	}
	return s.cfg.Runner.Signal(ctx, req)
}

// runDecide approves or rejects what a task waits for.
func (s *Service) runDecide(ctx context.Context, data []byte) (any, error) {
	var in DecideTask
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	if in.As != "approve" && in.As != "reject" {
		return nil, fmt.Errorf("%w: as is %s, want \"approve\" or \"reject\"", engine.ErrInvalid, value.Quoted(in.As))
	}
	id, err := engine.FindRun(ctx, s.runs, in.Run)
	if err != nil {
		return nil, err
	}
	task, err := engine.ParseTaskID(in.Task)
	if err != nil {
		return nil, err
	}
	doc, err := s.runs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if doc.Final {
		return nil, fmt.Errorf("%w: task %s waits for no approval: %s", engine.ErrConflict, task, howEnded(doc, task))
	}
	req := engine.ApprovalRequest{Run: id, Task: task, Approve: in.As == "approve", Comment: in.Comment, Value: given(in.Value), By: s.callOf(ctx).who.By()}
	if err := s.cfg.Runner.Approve(ctx, req); err != nil {
		return nil, err
	}
	return s.runs.Get(ctx, id)
}

// howEnded says how a task of an ended run is.
func howEnded(doc *engine.RunDoc, task engine.TaskID) string {
	for i := range doc.Tasks {
		if doc.Tasks[i].TaskID == task {
			return "it is " + string(doc.Tasks[i].Status)
		}
	}
	return fmt.Sprintf("the run has ended: %s", doc.Status)
}

// given is a value of a request, nil where there is none.
func given(v json.RawMessage) []byte {
	if len(v) == 0 || string(v) == "null" {
		return nil
	}
	return v
}
