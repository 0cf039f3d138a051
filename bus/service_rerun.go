package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// runRerun starts a run that repeats a closed one.
func (s *Service) runRerun(ctx context.Context, data []byte) (any, error) {
	var in RerunRun
	if w := words(data); len(w) == 1 {
		in.Run = w[0]
	} else if err := decode(data, &in); err != nil {
		return nil, err
	}
	req, wait, err := in.request()
	if err != nil {
		return nil, err
	}
	if req.Run, err = engine.FindRun(ctx, s.runs, in.Run); err != nil {
		return nil, err
	}
	doc, err := s.runs.Get(ctx, req.Run)
	if err != nil {
		return nil, err
	}
	if err := s.callOf(ctx).who.MayStart(doc.FlowID); err != nil {
		return nil, err
	}
	if err := s.serves(doc.Environment); err != nil {
		return nil, err
	}
	if wait > 0 && !req.DryRun {
		if err := s.wait(ctx); err != nil { // before anything is stored
			return nil, err
		}
		req.End = make(chan *engine.RunDoc, 1)
	}
	req.Trace = s.callOf(ctx).who.Trace
	out, err := s.cfg.Runner.Rerun(ctx, req)
	if err != nil {
		return nil, err
	}
	if req.End != nil {
		life := s.callOf(ctx).life
		if end, _ := ended(life, req.End, wait); end != nil {
			out.Run = end
		} else if out.Run, err = s.runs.wait(life, out.Run.RunID, 0); err != nil {
			return nil, err
		}
	}
	return s.rerunAnswer(out)
}

// rerunAnswer is a rerun with no more of its run than fits.
func (s *Service) rerunAnswer(out *engine.Rerunning) (any, error) {
	if out.Run != nil {
		brief := *out.Run
		brief.Tasks = nil
		out.Run = &brief
	}
	text, err := json.Marshal(out)
	return json.RawMessage(text), err
}

// request turns the payload into what the engine takes.
func (in *RerunRun) request() (req engine.RerunRequest, wait time.Duration, err error) {
	req = engine.RerunRequest{From: in.From, Newest: in.Version == "newest", Variables: in.Variables, NewKeys: in.Keys == "new", DryRun: in.DryRun}
	if string(in.Variables) == "null" {
		req.Variables = nil
	}
	for _, f := range []struct {
		name, got string
		words     []string
	}{{"version", in.Version, []string{"same", "newest"}}, {"keys", in.Keys, []string{"auto", "new"}}} {
		if f.got != "" && !slices.Contains(f.words, f.got) {
			return req, 0, fmt.Errorf("%w: %s is %s, want %q or %q", engine.ErrInvalid, f.name, value.Quoted(f.got), f.words[0], f.words[1])
		}
	}
	wait, err = waitTime(in.Wait)
	return req, wait, err
}

// lookup finds the value of a task: in its run, or, where a rerun has kept it, in
// the run that has made it.
func (s *Service) lookup(ctx context.Context, run engine.RunID, task engine.TaskID, attempt int) (in engine.RunID, text []byte, ref *engine.BlobRef, err error) {
	text, ref, err = s.cfg.XCom.Lookup(ctx, run, task, attempt)
	if !errors.Is(err, engine.ErrNotFound) {
		return run, text, ref, err
	}
	if from := s.keptFrom(ctx, run, task); from != "" {
		if kept, ref, err := s.cfg.XCom.Lookup(ctx, from, task, attempt); err == nil {
			return from, kept, ref, nil
		}
	}
	return run, nil, nil, err
}

// maxReruns bounds how far back the origin of a value is looked for.
const maxReruns = 100

// keptFrom is the run from which a rerun has kept a task; "" where it has not. A
// document that does not list the task leads to the one before it.
func (s *Service) keptFrom(ctx context.Context, run engine.RunID, task engine.TaskID) engine.RunID {
	for range maxReruns {
		doc, err := s.runs.Get(ctx, run)
		if err != nil {
			return ""
		}
		for i := range doc.Tasks {
			if doc.Tasks[i].TaskID == task {
				return doc.Tasks[i].KeptFrom
			}
		}
		if doc.RerunOf == "" || doc.ListsAll() {
			return ""
		}
		if _, _, err := s.cfg.XCom.Lookup(ctx, doc.RerunOf, task, 0); err == nil {
			return doc.RerunOf
		}
		run = doc.RerunOf
	}
	return ""
}
