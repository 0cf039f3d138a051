package runtime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/failpoint"
)

// fill turns a program's output into the rest of the attempt's record: the
// outcome, what happens next, the value for others and the details.
func (w *worker) fill(ctx context.Context, rec *engine.AttemptRecord, out *engine.TaskOutput, retry engine.RetryPolicy, in *engine.TaskInput) {
	task := in.Task
	keep := w.keepValue
	if task.Sensitive {
		keep = w.sealValue
	}
	rec.Status = out.Details.StatusCode
	if out.Err == nil {
		rec.Outcome, rec.Rows, rec.Skip = engine.OutcomeSuccess, out.Rows, out.Skip
		err := keep(ctx, rec, out)
		if err == nil && out.Next != nil {
			err = w.next(ctx, rec, out.Next, task)
		}
		if err != nil {
			out.Err = &engine.TaskError{Class: "store", Message: "store the value: " + err.Error(), Retryable: !task.UnrepeatableIn(rec.Turn)}
			out.Value, out.Large = nil, nil
		}
	}
	if out.Err != nil {
		w.failed(ctx, rec, out, retry, task.UnrepeatableIn(rec.Turn))
		if err := keep(ctx, rec, out); err != nil { // what was received helps to see why; it is no part of the outcome
			w.log.Warn("what a failed attempt received could not be kept", engine.LogRun, rec.Run, engine.LogTask, rec.Task, engine.LogErr, err)
		}
	}
	if err := w.sealCookies(ctx, rec, out, in); err != nil {
		w.log.Warn("cookies could not be kept", engine.LogRun, rec.Run, engine.LogTask, rec.Task, engine.LogErr, err)
		noteOf(out, "its cookies could not be kept")
	}
	details, err := json.Marshal(&out.Details)
	if err != nil {
		details = []byte("{}")
	}
	rec.Details = details
	if rec.Outcome.Good() {
		rec.Note = cut(out.Details.Note, 256)
	}
	if size := recordSize(rec); size > engine.MaxRecord {
		*rec = engine.AttemptRecord{
			AttemptKey: rec.AttemptKey, Flow: rec.Flow, Start: rec.Start, End: rec.End, Status: rec.Status,
			Type: rec.Type, Subtype: rec.Subtype, Worker: rec.Worker, BatchID: rec.BatchID,
		}
		failRecord(rec, &engine.TaskError{Class: "record", Message: fmt.Sprintf("record too large: %d bytes, at most %d", size, engine.MaxRecord)}, "")
	}
}

// failed decides what follows a failed attempt. unrepeatable says that its
// request must not be sent twice without being asked for.
func (w *worker) failed(ctx context.Context, rec *engine.AttemptRecord, out *engine.TaskOutput, retry engine.RetryPolicy, unrepeatable bool) {
	e := out.Err
	out.Details.ErrorClass = e.Class
	rec.Value, rec.Blob, rec.Response, rec.Carry, rec.Skip, rec.Await, rec.Open = nil, nil, nil, nil, nil, "", nil
	switch {
	case context.Cause(ctx) == errCancelled && e.Unknown && unrepeatable:
		rec.Outcome, rec.Class, rec.Error = engine.OutcomeCancelled, engine.ClassInterrupted,
			engine.UnknownOutcome+"under way when the run ended; the server may have carried it out"
	case context.Cause(ctx) == errCancelled:
		rec.Outcome, rec.Class, rec.Error = engine.OutcomeCancelled, "cancelled", "cancelled: "+cut(e.Message, engine.MaxErrorText)
	case e.Unknown && ctx.Err() != nil:
		rec.Outcome, rec.Class, rec.Error = engine.OutcomeInterrupted, engine.ClassInterrupted,
			engine.UnknownOutcome+"may have been sent at "+rec.Start.Format()+", no answer recorded"
		out.Details.Hint = "" // the commands that resolve it are
	case e.Ask:
		rec.Outcome, rec.Class, rec.Error = engine.OutcomeInterrupted, e.Class, engine.UnknownOutcome+cut(e.Message, engine.MaxErrorText)
		out.Details.Hint = ""
	case e.Defer > 0:
		rec.Outcome, rec.Class, rec.Error = engine.OutcomeDeferred, e.Class, cut(e.Message, engine.MaxErrorText)
		rec.NotBefore, rec.Parked = engine.At(w.cfg.Now().Add(e.Defer)), cut(e.DeferKey, 512)
	default:
		failRecord(rec, e, out.Details.NotRetried)
		w.planRetry(rec, out, retry)
	}
}

// planRetry makes a retry of a failure, if the task type's rules and the
// flow's policy allow one.
func (w *worker) planRetry(rec *engine.AttemptRecord, out *engine.TaskOutput, retry engine.RetryPolicy) {
	if !out.Err.Retryable {
		return
	}
	delay, ok := retry.Next(rec.Attempt, random())
	if !ok {
		if retry.Count > 0 {
			rec.Reason = "no retries left"
		}
		return
	}
	if after := out.Err.RetryAfter; after > delay {
		delay, out.Details.RetryReason = after, cmp.Or(out.Err.RetryAfterBy, "Retry-After")
	}
	rec.Outcome, rec.NotBefore = engine.OutcomeRetry, engine.At(w.cfg.Now().Add(delay))
	out.Details.RetryAt = rec.NotBefore.Format()
	rec.Reason = out.Details.RetryReason
}

// failRecord marks the record as a failure after which nothing follows.
func failRecord(rec *engine.AttemptRecord, e *engine.TaskError, why string) {
	rec.Outcome, rec.Class, rec.Error, rec.Reason = engine.OutcomeFailed, e.Class, cut(e.Message, engine.MaxErrorText), cut(why, 256)
}

// keepValue puts the value into the record, or into the object store when it
// is large or not text. The object is acknowledged before the record that
// names it exists.
func (w *worker) keepValue(ctx context.Context, rec *engine.AttemptRecord, out *engine.TaskOutput) error {
	if out.Err == nil {
		rec.Response = out.Response
	}
	if out.Stored != nil {
		rec.Blob = out.Stored
		return nil
	}
	large := out.Large
	if large == nil && len(out.Value) > engine.MaxInlineValue {
		large = &engine.LargeValue{Data: out.Value, ContentType: engine.TypeJSON}
	}
	if large == nil {
		rec.Value = out.Value
		return nil
	}
	sum := sha256.Sum256(large.Data)
	ref := &engine.BlobRef{
		Name: blobName(rec.AttemptKey), Size: int64(len(large.Data)), ContentType: large.ContentType, Bytes: large.Bytes,
		SHA256: hex.EncodeToString(sum[:]),
	}
	if err := w.cfg.Blobs.Put(ctx, ref.Name, large.Data); err != nil {
		return err
	}
	failpoint.Here("value.stored")
	rec.Blob = ref
	return nil
}

// blobName is where the value of an attempt lies in the object store.
func blobName(k engine.AttemptKey) string {
	name := fmt.Sprintf("%s/%s/%d/%d.%d.%d", k.Run, k.Task, k.Item, k.Generation, k.Attempt, k.Dispatch)
	if k.Turn > 0 {
		name += fmt.Sprintf(".t%d", k.Turn)
	}
	return name
}

// Load implements engine.ValueStore: from the ledger.
func (w *worker) Load(ctx context.Context, in engine.ReadyInput) (engine.Upstream, error) {
	rec, err := w.cfg.Ledger.Read(ctx, in.At)
	if err != nil {
		return engine.Upstream{}, err
	}
	switch rec := rec.(type) {
	case *engine.AttemptRecord:
		if !rec.Outcome.Good() { // it failed, and the flow goes on
			return engine.Upstream{Value: engine.ErrorValue(rec.Class, rec.Error, rec.Status, rec.Details)}, nil
		}
		return engine.Upstream{Value: rec.Value, Blob: rec.Blob, Response: rec.Response, Cookies: rec.Cookies, Prev: rec.Prev, Run: rec.Run}, nil
	case *engine.ControlRecord: // resolved as a success by a person, or failed by one or by a rule
		switch {
		case rec.Kind == engine.ControlInterrupt:
			return engine.Upstream{Value: engine.ErrorValue("interrupted", rec.Reason, 0, nil)}, nil
		case rec.As != "success":
			return engine.Upstream{Value: engine.ErrorValue("resolved", cmp.Or(rec.Reason, engine.ResolvedFailed), 0, nil)}, nil
		}
		return engine.Upstream{Value: rec.Value, Run: rec.Run}, nil
	}
	return engine.Upstream{}, fmt.Errorf("%w: the record at %d.%d holds no value", engine.ErrNotFound, in.At.Seq, in.At.N)
}

func (w *worker) loadVariables(ctx context.Context, at engine.Pos) ([]byte, error) {
	rec, err := w.cfg.Ledger.Read(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("read the run's variables: %w", err)
	}
	switch rec := rec.(type) {
	case *engine.SubmitRecord:
		return rec.Variables, nil
	case *engine.TriggerRecord:
		return rec.Payload, nil
	case *engine.AttemptRecord:
		if rec.Open != nil {
			return rec.Open.Variables, nil
		}
	}
	return nil, fmt.Errorf("%w: the run's variables at %d.%d", engine.ErrNotFound, at.Seq, at.N)
}

func openSize(rec *engine.AttemptRecord) int {
	if rec.Open == nil {
		return 0
	}
	return 256 + len(rec.Open.Variables)
}

// recordSize is about what the record takes in the ledger, in bytes.
func recordSize(rec *engine.AttemptRecord) int {
	return 512 + len(rec.Value) + len(rec.Response) + len(rec.Details) + len(rec.Error) + len(rec.Reason) + len(rec.Parked) + len(rec.Note) + len(rec.Jar) + len(rec.Cookies) + len(rec.Carry) + len(rec.Await) + openSize(rec) + (engine.MaxID+3)*len(rec.Skip)
}

// cut shortens a text to at most n bytes and says so.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const more = "... (cut)"
	s = s[:n-len(more)]
	for !utf8.ValidString(s) && len(s) > 0 {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "") + more
}
