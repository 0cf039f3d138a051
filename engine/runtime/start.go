package runtime

import (
	"cmp"
	"context"
	"fmt"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Start stores a trigger and returns the run when the fold has accepted it. A
// refusal is ErrInvalid with the reason, ErrNotFound where there is no such
// flow. A DedupeID that is known gives the run that it has started before. When
// the node is so far behind that the run is not opened within a few seconds, or
// ctx ends meanwhile, the answer is a pending run with its id: it is stored, and
// nothing more is known of it yet.
func (e *Engine) Start(ctx context.Context, req engine.StartRequest) (doc *engine.RunDoc, err error) {
	rec, err := e.submission(&req)
	if err != nil {
		return nil, err
	}
	if req.AdHoc != nil {
		if err := e.putAdHoc(ctx, req.AdHoc, rec); err != nil {
			return nil, err
		}
	}
	if e.cfg.OnlyOwn {
		if err := e.sched.ask(ctx, func() { e.sched.own[rec.Run] = true }); err != nil {
			return nil, err
		}
	}
	result, forget := e.waiters.expectStart(rec.Run)
	defer forget()
	if req.End != nil {
		forgetEnd := e.waiters.endTo(rec.Run, req.End)
		defer func() {
			if err != nil || doc.RunID != rec.Run {
				forgetEnd()
			}
			if err == nil && doc.RunID != rec.Run {
				close(req.End)
			}
		}()
	}
	if _, err := e.cfg.Ledger.Append(ctx, rec); err != nil {
		return nil, notStored(err)
	}
	waiting, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	started := e.opened(ctx, waiting, rec, result)
	return started.Doc, started.Err
}

// StartAll starts many runs and says of each, in their order, what Start would
// have said. They are stored in a few messages, so each costs a part of what a
// start by itself does. What is refused does not keep the others from running.
// Flows that come with a request (AdHoc) are not for lists.
func (e *Engine) StartAll(ctx context.Context, reqs []engine.StartRequest) []engine.Started {
	out := make([]engine.Started, len(reqs))
	recs := make([]*engine.SubmitRecord, len(reqs))
	results := make([]<-chan startResult, len(reqs))
	var bundle []int // what is stored next, together
	size := 0
	store := func() {
		together := make([]*engine.SubmitRecord, len(bundle))
		for n, i := range bundle {
			together[n] = recs[i]
		}
		if _, err := e.cfg.Ledger.AppendTogether(ctx, together); err != nil {
			for _, i := range bundle {
				out[i].Err = notStored(err)
			}
		}
		bundle, size = bundle[:0], 0
	}
	for i := range reqs {
		if recs[i], out[i].Err = e.submission(&reqs[i]); out[i].Err != nil {
			continue
		}
		if e.cfg.OnlyOwn {
			if out[i].Err = e.sched.ask(ctx, func() { e.sched.own[recs[i].Run] = true }); out[i].Err != nil {
				continue
			}
		}
		var forget func()
		results[i], forget = e.waiters.expectStart(recs[i].Run)
		defer forget()
		if len(bundle) == maxTogether || size+len(reqs[i].Variables) > maxTogetherBytes {
			store()
		}
		bundle, size = append(bundle, i), size+len(reqs[i].Variables)
	}
	if len(bundle) > 0 {
		store()
	}
	waiting, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	for i := range out {
		if out[i].Err == nil {
			out[i] = e.opened(ctx, waiting, recs[i], results[i])
		}
	}
	return out
}

// How many submissions go into one message, and how many bytes of variables: a
// message may have 1 MiB.
const (
	maxTogether      = 512
	maxTogetherBytes = 256 << 10
)

// submission is the record of a request, with a new run's id.
func (e *Engine) submission(req *engine.StartRequest) (*engine.SubmitRecord, error) {
	if len(req.Variables) > engine.MaxTriggerPayload {
		return nil, fmt.Errorf("%w: variables of %d bytes are larger than %d", engine.ErrInvalid, len(req.Variables), engine.MaxTriggerPayload)
	}
	rec := &engine.SubmitRecord{
		Run: e.cfg.NewID(e.cfg.Now()), Flow: req.Flow, Variables: req.Variables, ExecutionDate: engine.At(req.ExecutionDate),
		TriggerType: cmp.Or(req.TriggerType, "api"), TriggerID: req.TriggerID, DedupeID: req.DedupeID, Trace: req.Trace, Rerun: req.Rerun,
	}
	if req.BatchID != nil {
		rec.BatchID, rec.HasBatchID = *req.BatchID, true
	}
	return rec, nil
}

func notStored(err error) error { return fmt.Errorf("store the trigger: %w", err) }

// opened waits, until waiting ends, for what the fold makes of a submission that
// is stored.
func (e *Engine) opened(ctx, waiting context.Context, rec *engine.SubmitRecord, result <-chan startResult) (out engine.Started) {
	pending := &engine.RunDoc{
		RunID: rec.Run, FlowID: rec.Flow, FlowVersion: rec.Version, Status: engine.Pending, BatchID: rec.BatchID,
		TriggerType: rec.TriggerType, TriggerID: rec.TriggerID, StartTime: engine.FormatTime(e.cfg.Now()),
	}
	r, opened := e.waiters.await(waiting, result, pending)
	switch {
	case !opened:
		out.Doc = pending
	case r.noFlow:
		out.Err = fmt.Errorf("%w: %s", engine.ErrNotFound, r.refused)
	case r.refused != "":
		out.Err = fmt.Errorf("%w: %s", engine.ErrInvalid, r.refused)
	case r.known != "":
		out.Known = true
		out.Doc, out.Err = e.knownRun(ctx, r.known)
	default:
		out.Doc = e.warned(r.doc)
	}
	return out
}

// warned adds to a started run what its caller should hear: variables that the
// flow does not know. They are most often a mistake.
func (e *Engine) warned(doc *engine.RunDoc) *engine.RunDoc {
	f := e.cfg.programs.flow(doc.FlowVersion)
	if f == nil || doc.Variables == nil {
		return doc
	}
	names := engine.Undeclared(f, doc.Variables)
	if len(names) == 0 {
		return doc
	}
	with := *doc
	for _, name := range names {
		with.Warnings = append(with.Warnings, fmt.Sprintf("variable %s is not declared in flow %s: nothing reads it", value.Quoted(name), doc.FlowID))
	}
	return &with
}

// putAdHoc writes a flow version that only this run uses.
func (e *Engine) putAdHoc(ctx context.Context, f *engine.Flow, rec *engine.SubmitRecord) error {
	def, hash, err := f.Encode()
	if err != nil {
		return err
	}
	rec.Flow, rec.Version = f.ID, hash
	_, err = e.cfg.Ledger.Append(ctx, &engine.FlowRecord{Flow: f.ID, Hash: hash, Definition: def, AdHoc: true})
	if err != nil {
		return fmt.Errorf("store flow %s: %w", f.ID, err)
	}
	return nil
}

// knownRun is the document of a run that an earlier trigger with the same key
// has started. When it is final already only its id is known here.
func (e *Engine) knownRun(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	doc, err := e.Get(ctx, id)
	if err != nil {
		return &engine.RunDoc{RunID: id, Final: true}, nil
	}
	return doc, nil
}
