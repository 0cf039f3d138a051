package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// maxAnswerXCom bounds the values that a run's answer carries, in bytes.
const maxAnswerXCom = 512 << 10

func (s *Service) runStart(ctx context.Context, data []byte) (any, error) {
	if isList(data) {
		return s.startAll(ctx, data)
	}
	var in StartRun
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	req, wait, err := in.request()
	if err != nil {
		return nil, err
	}
	if req.Flow, err = s.startable(ctx, &in); err != nil {
		return nil, err
	}
	s.fresh(ctx)
	var notes []string
	if why := s.leftOut(ctx, req.Flow); why != "" {
		notes = []string{"the version before runs: " + why}
	}
	answer, err := s.start(ctx, req, wait, in.XCom, notes...)
	return answer, s.withFile(ctx, req.Flow, err)
}

// startable is the flow of a request, where its caller may start it and the node
// serves the environment that is meant.
func (s *Service) startable(ctx context.Context, in *StartRun) (engine.FlowID, error) {
	flow, err := engine.ParseFlowID(in.Flow)
	if err != nil {
		return "", err
	}
	if err := s.callOf(ctx).who.MayStart(flow); err != nil {
		return "", err
	}
	return flow, s.serves(in.Environment)
}

// serves refuses a start that is meant for another environment.
func (s *Service) serves(environment string) error {
	switch environment {
	case "", s.cfg.Environment:
		return nil
	}
	if s.cfg.Environment == "" {
		return fmt.Errorf("%w: the node serves no environment, the run is for %s: qarion serve --env %s", engine.ErrConflict, value.Quoted(environment), environment)
	}
	return fmt.Errorf("%w: the node serves environment %s, the run is for %s", engine.ErrConflict, s.cfg.Environment, value.Quoted(environment))
}

// flowRun starts a run of a flow that comes with the request.
func (s *Service) flowRun(ctx context.Context, data []byte) (any, error) {
	var in RunFlow
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	f, err := engine.DecodeFlow(in.Flow)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	req, wait, err := in.request()
	if err != nil {
		return nil, err
	}
	if req.Flow, err = engine.ParseFlowID(string(f.ID)); err != nil {
		return nil, err
	}
	req.AdHoc = f
	return s.start(ctx, req, wait, in.XCom)
}

// start starts a run and, where asked, waits for its end. When the time is up
// the answer has the present state and says that it is not final. notes are
// warnings to the caller.
func (s *Service) start(ctx context.Context, req engine.StartRequest, wait time.Duration, xcom []string, notes ...string) (any, error) {
	if wait > 0 {
		if err := s.wait(ctx); err != nil { // before anything is stored
			return nil, err
		}
	}
	req.Trace = s.callOf(ctx).who.Trace
	began := time.Now()
	if wait > 0 {
		req.End = make(chan *engine.RunDoc, 1)
	}
	doc, err := s.cfg.Runner.Start(ctx, req)
	if err != nil {
		return nil, err
	}
	warnings := append(notes, doc.Warnings...)
	if wait > 0 || doc.Final { // final: an earlier run of the same key, of which only the id is known here
		life := s.callOf(ctx).life
		end, known := ended(life, req.End, wait-time.Since(began))
		switch {
		case end != nil:
			doc = end
		case known: // an earlier run: its end may have been long ago
			doc, err = s.runs.wait(life, doc.RunID, wait)
		default:
			doc, err = s.runs.wait(life, doc.RunID, 0)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(warnings) > 0 {
		with := *doc
		with.Warnings = warnings
		doc = &with
	}
	return s.runAnswer(ctx, doc, xcom)
}

// ended is the run that comes within a time; nil where none does. closed: none
// will ever.
func ended(ctx context.Context, end <-chan *engine.RunDoc, within time.Duration) (doc *engine.RunDoc, closed bool) {
	if end == nil {
		return nil, true
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case doc, ok := <-end:
		return doc, !ok
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, false
}

// runAnswer writes a run's document, with the values that were asked for.
func (s *Service) runAnswer(ctx context.Context, doc *engine.RunDoc, tasks []string) (any, error) {
	if len(tasks) > 0 {
		with := *doc
		var err error
		if with.XCom, err = s.values(ctx, doc.RunID, tasks); err != nil {
			return nil, err
		}
		doc = &with
	}
	text, err := doc.AppendWithin(make([]byte, 0, 1024), maxAnswer)
	return json.RawMessage(text), err
}

// values reads the values of tasks. A large one that does not fit is given as
// where it is.
func (s *Service) values(ctx context.Context, run engine.RunID, tasks []string) (map[engine.TaskID]any, error) {
	ctx, cancel := context.WithTimeout(s.callOf(ctx).life, callTimeout)
	defer cancel()
	values, left := make(map[engine.TaskID]any, len(tasks)), maxAnswerXCom
	for _, name := range tasks {
		task, err := engine.ParseTaskID(name)
		if err != nil {
			return nil, err
		}
		text, err := s.value(ctx, run, task, left)
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if errors.Is(err, engine.ErrDenied) {
			text, err = []byte(engine.SealedValue), nil
		}
		if err != nil {
			return nil, err
		}
		if left -= len(text); left < 0 {
			return nil, fmt.Errorf("%w: the values of run %s have more than %d bytes together: read them with xcom.get", engine.ErrInvalid, run, maxAnswerXCom)
		}
		values[task] = json.RawMessage(text)
	}
	return values, nil
}

// value is a task's value, or where it is when it is larger than that.
func (s *Service) value(ctx context.Context, run engine.RunID, task engine.TaskID, limit int) ([]byte, error) {
	run, text, ref, err := s.lookup(ctx, run, task, 0)
	if err != nil || ref == nil {
		return text, err
	}
	if ref.Size <= int64(limit) || ref.Described() {
		if text, err = s.cfg.XCom.Get(ctx, run, task, 0); err != nil || len(text) <= limit {
			return text, err
		}
	}
	return json.Marshal(ref)
}

func (s *Service) runGet(ctx context.Context, data []byte) (any, error) {
	in, id, err := s.runRef(ctx, data)
	if err != nil {
		return nil, err
	}
	wait, err := waitSeconds(in.Wait)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
	}
	doc, err := s.runs.wait(s.callOf(ctx).life, id, wait)
	if err != nil {
		return nil, err
	}
	if in.Brief {
		brief := *doc
		brief.Tasks = nil
		doc = &brief
	}
	return s.runAnswer(ctx, doc, in.XCom)
}

// runRef reads a request that names a run.
func (s *Service) runRef(ctx context.Context, data []byte) (in RunRef, id engine.RunID, err error) {
	if w := words(data); len(w) == 1 {
		in.Run = w[0]
	} else if err := decode(data, &in); err != nil {
		return in, "", err
	}
	id, err = engine.FindRun(ctx, s.runs, in.Run)
	return in, id, err
}

func (s *Service) runList(ctx context.Context, data []byte) (any, error) {
	var in ListRuns
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	filter := engine.RunFilter{
		Flow: engine.FlowID(in.Flow), Status: engine.Status(in.Status), Trigger: in.Trigger, Before: engine.RunID(in.Before), Limit: in.Limit,
	}
	if filter.Status != "" && !slices.Contains(engine.ListStatuses, filter.Status) {
		return nil, fmt.Errorf("%w: status %s: want one of %s", engine.ErrInvalid, value.Quoted(in.Status), listStatuses())
	}
	if in.Since != "" {
		var err error
		if filter.Since, err = engine.ParseSince(in.Since, time.Now()); err != nil {
			return nil, err
		}
	}
	docs, more, err := s.runs.list(ctx, filter)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, 1024*(1+len(docs))), `{"runs":[`...)
	for i, doc := range docs {
		start := len(out)
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = doc.AppendSummary(out); err != nil {
			return nil, err
		}
		if len(out) > maxAnswer-100 { // the caller goes on before the last one
			out, more = out[:start], true
			break
		}
	}
	out = strconv.AppendBool(append(out, `],"more":`...), more)
	return json.RawMessage(append(out, '}')), nil
}

// listStatuses names what a list of runs may be asked for.
func listStatuses() string {
	names := make([]string, len(engine.ListStatuses))
	for i, s := range engine.ListStatuses {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

func (s *Service) runCancel(ctx context.Context, data []byte) (any, error) {
	in, id, err := s.runRef(ctx, data)
	if err != nil {
		return nil, err
	}
	doc, err := s.runs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if doc.Final {
		return nil, fmt.Errorf("%w: run %s has ended already: %s", engine.ErrConflict, id, doc.Status)
	}
	if err := s.cfg.Runner.Cancel(ctx, id, cmp.Or(in.Reason, "cancelled by a caller")); err != nil {
		return nil, err
	}
	return s.runs.Get(ctx, id)
}

func (s *Service) runResolve(ctx context.Context, data []byte) (any, error) {
	var in ResolveTask
	if err := decode(data, &in); err != nil {
		return nil, err
	}
	id, err := engine.FindRun(ctx, s.runs, in.Run)
	if err != nil {
		return nil, err
	}
	task, err := engine.ParseTaskID(in.Task)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Runner.ResolveItem(ctx, id, task, in.Item, in.As, in.Value); err != nil {
		return nil, err
	}
	return s.runs.Get(ctx, id)
}
