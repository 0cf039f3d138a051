package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/qarion/qarion/engine"
)

// StartedRuns is the answer of run.start to a list: what became of each of its
// runs, in their order.
type StartedRuns struct {
	Started int          `json:"started"` // with those that were known
	Refused int          `json:"refused"`
	Runs    []StartedRun `json:"runs"`
}

// StartedRun is one of them: a run, or the reason why there is none.
type StartedRun struct {
	RunID   engine.RunID  `json:"run_id,omitempty"`
	FlowID  engine.FlowID `json:"flow_id,omitempty"`
	Status  engine.Status `json:"status,omitempty"`
	BatchID int64         `json:"batch_id,omitempty"`
	Known   bool          `json:"known,omitempty"` // a run that an earlier request with the same id has started
	Error   *StartError   `json:"error,omitempty"`
}

// StartError is why a run of a list was not started: code and text as in the
// headers of an answer.
type StartError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Err is the refusal as an error of the kind that the code means; nil where
// there is a run.
func (r *StartedRun) Err() error {
	if r.Error == nil {
		return nil
	}
	return &CallError{Code: r.Error.Code, Message: r.Error.Message}
}

// isList reports whether a payload is a JSON array.
func isList(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '['
}

// startAll starts the runs of a list. One that is refused says so in its place
// and keeps none of the others from running.
func (s *Service) startAll(ctx context.Context, data []byte) (any, error) {
	var list []json.RawMessage
	if err := decode(data, &list); err != nil {
		return nil, err
	}
	if len(list) > engine.MaxStarts {
		return nil, fmt.Errorf("%w: %d runs in one list, at most %d: nothing was started; send them in several", engine.ErrInvalid, len(list), engine.MaxStarts)
	}
	out := StartedRuns{Runs: make([]StartedRun, len(list))}
	refuse := func(i int, err error) {
		out.Refused++
		out.Runs[i].Error = new(StartError)
		out.Runs[i].Error.Code, out.Runs[i].Error.Message = describe(err)
	}
	reqs, places := make([]engine.StartRequest, 0, len(list)), make([]int, 0, len(list))
	for i, text := range list {
		req, err := s.listed(ctx, text)
		if err != nil {
			refuse(i, err)
			continue
		}
		reqs, places = append(reqs, req), append(places, i)
	}
	s.fresh(ctx)
	for n, started := range s.cfg.Runner.StartAll(ctx, reqs) {
		if started.Err != nil {
			refuse(places[n], s.withFile(ctx, reqs[n].Flow, started.Err))
			continue
		}
		out.Started++
		d := started.Doc
		out.Runs[places[n]] = StartedRun{RunID: d.RunID, FlowID: d.FlowID, Status: d.Status, BatchID: d.BatchID, Known: started.Known}
	}
	return &out, nil
}

// listed reads one entry of a list.
func (s *Service) listed(ctx context.Context, text []byte) (req engine.StartRequest, err error) {
	var in StartRun
	if err = decode(text, &in); err != nil {
		return req, err
	}
	if len(in.Wait) > 0 || len(in.XCom) > 0 {
		return req, fmt.Errorf("%w: a list is not waited for: leave out wait and xcom, and ask run.get for the run", engine.ErrInvalid)
	}
	if req, _, err = in.request(); err != nil {
		return req, err
	}
	req.Trace = s.callOf(ctx).who.Trace
	req.Flow, err = s.startable(ctx, &in)
	return req, err
}
