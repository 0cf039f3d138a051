package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/fold"
	"github.com/qarion/qarion/internal/failpoint"
)

var _ engine.Signals = (*Engine)(nil)

// Signal implements engine.Signals.
func (e *Engine) Signal(ctx context.Context, req engine.SignalRequest) (engine.Signalled, error) {
	out := engine.Signalled{Name: req.Name, Run: req.Run}
	if err := checkSignal(&req); err != nil {
		return out, err
	}
	rec := &engine.ControlRecord{Kind: engine.ControlSignal, Run: req.Run, Name: req.Name, Value: req.Value, ID: req.ID, By: req.By}
	if req.Run == "" {
		rec.Flow, rec.For = req.Flow, req.Key
	}
	var missing error
	err := e.sched.ask(ctx, func() {
		switch s := e.sched.state; {
		case req.Run != "" && s.Run(req.Run) == nil:
			missing = fmt.Errorf("%w: no open run %s", engine.ErrNotFound, req.Run)
		case req.Run == "" && !s.Knows(req.Flow):
			missing = s.UnknownFlow(req.Flow)
		}
	})
	if err = cmp.Or(err, missing); err != nil {
		return out, err
	}
	h, err := e.tell(ctx, rec)
	out.Run, out.Task, out.Kept, out.Known = cmp.Or(h.Run, req.Run), h.Task, h.Kept, h.Known
	return out, err
}

func checkSignal(req *engine.SignalRequest) error {
	if _, err := engine.ParseSignalName(req.Name); err != nil {
		return err
	}
	switch {
	case len(req.Key) > engine.MaxSignalKey:
		return fmt.Errorf("%w: the key has %d bytes, at most %d", engine.ErrInvalid, len(req.Key), engine.MaxSignalKey)
	case len(req.ID) > engine.MaxSignalKey:
		return fmt.Errorf("%w: the message id has %d bytes, at most %d", engine.ErrInvalid, len(req.ID), engine.MaxSignalKey)
	case req.Run == "" && (req.Flow == "" || req.Key == ""):
		return fmt.Errorf("%w: a signal goes to a run, or to a flow and a key", engine.ErrInvalid)
	}
	return checkWord(req.Value)
}

// checkWord checks a value that comes from outside.
func checkWord(val []byte) error {
	switch {
	case len(val) > engine.MaxInlineValue:
		return fmt.Errorf("%w: a value of %d bytes is larger than %d", engine.ErrInvalid, len(val), engine.MaxInlineValue)
	case len(val) > 0 && !json.Valid(val):
		return fmt.Errorf("%w: the value is no JSON", engine.ErrInvalid)
	}
	return nil
}

// Approve implements engine.Signals.
func (e *Engine) Approve(ctx context.Context, req engine.ApprovalRequest) error {
	if len(req.Comment) > engine.MaxComment {
		return fmt.Errorf("%w: the comment has %d bytes, at most %d", engine.ErrInvalid, len(req.Comment), engine.MaxComment)
	}
	if err := checkWord(req.Value); err != nil {
		return err
	}
	rec := &engine.ControlRecord{Kind: engine.ControlSignal, Run: req.Run, Task: req.Task, As: "reject", Value: req.Value, Reason: req.Comment, By: req.By}
	if req.Approve {
		rec.As = "approve"
	}
	var refused error
	err := e.sched.ask(ctx, func() {
		r := e.sched.state.Run(req.Run)
		if r == nil {
			refused = fmt.Errorf("%w: no open run %s", engine.ErrNotFound, req.Run)
			return
		}
		if refused = r.AwaitsApproval(req.Task); refused != nil {
			return
		}
		i := r.Graph.Index[req.Task]
		rec.Key = r.Key(i)
		if may := r.Graph.Flow.Tasks[i].Approvers; len(may) > 0 && !slices.Contains(may, req.By) {
			refused = fmt.Errorf("%w: task %s is decided by %s; you are %s", engine.ErrDenied, req.Task, strings.Join(may, ", "), cmp.Or(req.By, "not logged in"))
		}
	})
	if err = cmp.Or(err, refused); err != nil {
		return err
	}
	_, err = e.tell(ctx, rec)
	return err
}

// tell stores word from outside and returns what the fold has made of it.
func (e *Engine) tell(ctx context.Context, rec *engine.ControlRecord) (fold.Heard, error) {
	rec.Token = string(e.cfg.NewID(e.cfg.Now()))
	rec.ID = cmp.Or(rec.ID, rec.Token) // so that one which is stored twice counts once
	heard, forget := e.waiters.expectWord(rec.Token)
	defer forget()
	failpoint.Here("signal.before")
	if _, err := e.cfg.Ledger.Append(ctx, rec); err != nil {
		return fold.Heard{}, fmt.Errorf("store the signal: %w", err)
	}
	failpoint.Here("signal.stored")
	select {
	case h := <-heard:
		return h, h.Err
	case <-ctx.Done():
		return fold.Heard{}, ctx.Err()
	}
}

// expectWord registers for what becomes of word from outside, before it is
// written.
func (w *waiters) expectWord(token string) (heard <-chan fold.Heard, forget func()) {
	ch := make(chan fold.Heard, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.words[token] = ch
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.words, token)
	}
}

// told says what the fold has made of word from outside.
func (w *waiters) told(h *fold.Heard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch := w.words[h.Token]; ch != nil {
		ch <- *h
		delete(w.words, h.Token) // it may be stored twice
	}
}

// timeUp says that the time of a task that waits has come.
func (c *closer) timeUp(key engine.AttemptKey) {
	c.add(&engine.ControlRecord{Kind: engine.ControlWake, Run: key.Run, Task: key.Task, Key: key})
}

// valueOfRun is the wake by a run, with the value that is given on.
func (w *worker) valueOfRun(ctx context.Context, wake *engine.Wake) (*engine.Wake, error) {
	up, err := w.Load(ctx, engine.ReadyInput{At: wake.At})
	if err != nil {
		return nil, fmt.Errorf("read what run %s has left: %w", wake.Run, err)
	}
	full := *wake
	if full.Value = up.Value; up.Blob != nil {
		if full.Value, err = engine.ReadValue(ctx, w, up.Blob, engine.MaxPart); err != nil {
			return nil, fmt.Errorf("read what run %s has left: %w", wake.Run, err)
		}
	}
	return &full, nil
}

// wakeOf is what has ended the wait of the turn before, with its value.
func (w *worker) wakeOf(ctx context.Context, rt *engine.ReadyTask) (*engine.Wake, error) {
	if rt.Wake == nil || rt.Wake.At.Seq == 0 {
		return rt.Wake, nil
	}
	rec, err := w.cfg.Ledger.Read(ctx, rt.Wake.At)
	if err != nil {
		return nil, fmt.Errorf("read what came with the signal: %w", err)
	}
	word, ok := rec.(*engine.ControlRecord)
	if rt.Wake.Cause == engine.WakeRun {
		return w.valueOfRun(ctx, rt.Wake)
	}
	if !ok {
		return nil, fmt.Errorf("%w: what came with the signal, at %d.%d", engine.ErrNotFound, rt.Wake.At.Seq, rt.Wake.At.N)
	}
	full := *rt.Wake
	full.Value = word.Value
	return &full, nil
}
