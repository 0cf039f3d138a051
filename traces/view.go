package traces

import (
	"context"
	"encoding/json"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/qarion/qarion/engine"
)

// From says where the view begins: what the ledger holds already was sent by
// the process that saw it. It is called once, before the engine starts.
func (t *Traces) From(last uint64) { t.at = engine.Pos{Seq: last, N: 1<<31 - 1} }

// Name implements engine.Projection.
func (t *Traces) Name() string { return "traces" }

// Position implements engine.Projection.
func (t *Traces) Position(context.Context) (engine.Pos, error) { return t.at, nil }

// Mark implements engine.Projection: nothing is remembered.
func (t *Traces) Mark(context.Context, engine.Pos) error { return nil }

// Project implements engine.Projection. It is called by one goroutine.
func (t *Traces) Project(_ context.Context, changes []engine.Change) error {
	for i := range changes {
		c := &changes[i]
		if !t.at.Before(c.Pos) {
			continue
		}
		t.at = c.Pos
		if c.Replay {
			continue
		}
		switch c.Kind {
		case engine.AttemptDone:
			if c.Attempt.Outcome != engine.OutcomeStarted {
				t.attempt(c)
			}
		case engine.TaskClosed:
			t.task(c, string(c.Status), c.Reason, c.At)
		case engine.RunDone:
			t.runDone(c)
		}
	}
	return nil
}

func (t *Traces) attempt(c *engine.Change) {
	rec := c.Attempt
	parent := t.within(c.Run, c.Trace, taskSpan(c.Run, c.Task))
	attrs := []attribute.KeyValue{
		attribute.String("qarion.run_id", string(c.Run)), attribute.String("qarion.task_id", string(c.Task)),
		attribute.Int("qarion.attempt", rec.Attempt), attribute.String("qarion.outcome", string(rec.Outcome)), attribute.String("qarion.worker", rec.Worker),
	}
	if c.Superseded {
		attrs = append(attrs, attribute.Bool("qarion.superseded", true))
	}
	if rec.Status > 0 {
		attrs = append(attrs, attribute.Int("http.response.status_code", rec.Status))
	}
	if rec.Class != "" {
		attrs = append(attrs, attribute.String("error.type", rec.Class))
	}
	var d struct {
		URL string `json:"url"` // as the operation log shows it, redacted
	}
	if json.Unmarshal(rec.Details, &d) == nil && d.URL != "" {
		attrs = append(attrs, attribute.String("url.full", d.URL))
	}
	span := t.start(parent, wanted{parent.TraceID(), attemptSpan(rec.AttemptKey)}, "attempt", trace.SpanKindInternal, rec.Start.Time(), attrs...)
	end(span, rec.Outcome.Good() || rec.Outcome == engine.OutcomeDeferred || rec.Outcome == engine.OutcomeSkipped, rec.Error, rec.End.Time())
	status := engine.Failed
	switch rec.Outcome {
	case engine.OutcomeSuccess:
		status = engine.Success
	case engine.OutcomeCancelled:
		status = engine.Cancelled
	}
	t.task(c, string(status), rec.Error, rec.End)
}

// task sends the span of a task that the change ends.
func (t *Traces) task(c *engine.Change, status, reason string, at engine.Micros) {
	if c.Began == 0 {
		return
	}
	parent := t.within(c.Run, c.Trace, runSpan(c.Run))
	span := t.start(parent, wanted{parent.TraceID(), taskSpan(c.Run, c.Task)}, "task "+string(c.Task), trace.SpanKindInternal, c.Began.Time(),
		attribute.String("qarion.run_id", string(c.Run)), attribute.String("qarion.flow_id", string(c.Flow)), attribute.String("qarion.task_id", string(c.Task)),
		attribute.String("qarion.status", status))
	end(span, status == string(engine.Success), reason, at.Time())
}

func (t *Traces) runDone(c *engine.Change) {
	began, err := time.Parse(time.RFC3339, c.Doc.StartTime)
	if err != nil {
		began = c.At.Time()
	}
	span := t.run(c.Run, c.Trace, "run "+string(c.Flow), began,
		attribute.String("qarion.run_id", string(c.Run)), attribute.String("qarion.flow_id", string(c.Flow)), attribute.String("qarion.flow_version", c.Doc.FlowVersion),
		attribute.String("qarion.status", string(c.Doc.Status)), attribute.String("qarion.trigger_type", c.Doc.TriggerType),
		attribute.Int64("qarion.batch_id", c.Doc.BatchID), attribute.Int("qarion.calls", c.Doc.Calls))
	reason := ""
	if c.Doc.Error != nil {
		reason = c.Doc.Error.Message
	}
	end(span, c.Doc.Status == engine.Success, reason, c.At.Time())
}

// end ends a span as what it stands for has ended.
func end(span trace.Span, ok bool, reason string, at time.Time) {
	if !ok {
		span.SetStatus(codes.Error, reason)
	}
	span.End(trace.WithTimestamp(at))
}
