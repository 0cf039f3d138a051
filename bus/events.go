package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/feed"
	"github.com/qarion/qarion/internal/value"
)

// Headers of event and log messages.
const (
	HeaderPos    = feed.HeaderPos  // ledger position, rising: a consumer that sees one twice may drop the second
	HeaderRun    = "Qarion-Run"    // run id
	HeaderReplay = "Qarion-Replay" // "true": written again after the stream was lost or deleted
)

// DefaultEventRetention is how long events and operations are kept.
const DefaultEventRetention = 30 * 24 * time.Hour

// EventsConfig is how the event stream is opened.
type EventsConfig struct {
	Conn      *nats.Conn
	Retention time.Duration // default DefaultEventRetention
}

// Events is the stream QARION_EVENTS: one operation document per attempt and
// one event per start, end and ready task. It implements engine.Projection.
type Events struct {
	feed *feed.Feed
	buf  []byte
}

var _ engine.Projection = (*Events)(nil)

// OpenEvents opens the event stream.
func OpenEvents(ctx context.Context, cfg EventsConfig) (*Events, error) {
	if cfg.Retention <= 0 {
		cfg.Retention = DefaultEventRetention
	}
	f, err := feed.Open(ctx, feed.Config{
		Conn: cfg.Conn,
		Mark: subjectPosition + "events",
		Stream: jetstream.StreamConfig{
			Name:        StreamEvents,
			Description: "qarion: what happened, for people and programs",
			Subjects:    []string{SubjectLog + "*.*", SubjectEvent + ">"},
			Storage:     jetstream.FileStorage,
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      cfg.Retention,
			Duplicates:  100 * time.Millisecond,
			AllowDirect: true,
			Replicas:    1,
		},
	})
	if err != nil {
		return nil, err
	}
	return &Events{feed: f}, nil
}

// Close ends the writing.
func (e *Events) Close() { e.feed.Close() }

// Name implements engine.Projection.
func (e *Events) Name() string { return "events" }

// Position implements engine.Projection.
func (e *Events) Position(ctx context.Context) (engine.Pos, error) {
	p, err := e.feed.Position(ctx)
	return engine.Pos(p), unavailableView(err)
}

// Mark implements engine.Projection.
func (e *Events) Mark(ctx context.Context, at engine.Pos) error {
	return unavailableView(e.feed.Mark(ctx, feed.Pos(at)))
}

// Project implements engine.Projection. It is called by one goroutine.
func (e *Events) Project(ctx context.Context, changes []engine.Change) error {
	b := e.feed.Begin(ctx)
	defer b.End()
	for i := range changes {
		c := &changes[i]
		at := feed.Pos(c.Pos)
		if b.Written(at) {
			continue
		}
		subject, err := e.encode(c)
		if err != nil {
			return err
		}
		if subject == "" {
			continue
		}
		replay := ""
		if c.Replay {
			replay = "true"
		}
		b.Header(HeaderReplay, replay)
		b.Header(HeaderRun, string(c.Run))
		if err := b.Add(ctx, at, subject, e.buf); err != nil {
			return unavailableView(err)
		}
	}
	return unavailableView(b.Commit(ctx))
}

// encode writes a change's document into the buffer and returns its subject;
// "" when there is no event for it.
func (e *Events) encode(c *engine.Change) (subject string, err error) {
	e.buf = e.buf[:0]
	switch c.Kind {
	case engine.AttemptDone:
		if c.Attempt.Outcome == engine.OutcomeStarted {
			return "", nil
		}
		e.buf = c.Attempt.AppendOperation(e.buf, c.Superseded)
		return SubjectLog + flowToken(c.Flow) + "." + taskToken(c.Task), nil
	case engine.RunStarted, engine.RunDone:
		if e.buf, err = c.Doc.AppendSummary(e.buf); err != nil {
			return "", fmt.Errorf("event of run %s: %w", c.Run, err)
		}
	case engine.TaskClosed, engine.TaskKept:
		return "", nil // the end of its run tells
	default:
		e.buf = appendEvent(e.buf, c)
	}
	return SubjectEvent + flowToken(c.Flow) + "." + string(c.Kind), nil
}

// maxEventText bounds what a stranger's text takes in an event, in bytes.
const maxEventText = 1024

// appendEvent writes the document of an event that is not a run's.
func appendEvent(dst []byte, c *engine.Change) []byte {
	text := func(name, s string) {
		if s == "" {
			return
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), '"', ':')
		dst = value.AppendString(dst, s[:min(len(s), maxEventText)])
	}
	dst = append(dst, '{')
	text("run_id", string(c.Run))
	text("flow_id", string(c.Flow))
	text("task_id", string(c.Task))
	if c.Doc != nil {
		text("status", string(c.Doc.Status))
	}
	text("reason", c.Reason)
	text("time", c.At.Format())
	if c.Kind == engine.RunRejected {
		dst = fmt.Appendf(dst, `,"ledger_seq":%d`, c.Pos.Seq)
		if c.Untold > 0 { // refused since the last event about it: at most a hundred a second are written
			dst = fmt.Appendf(dst, `,"more":%d`, c.Untold)
		}
	}
	return append(dst, '}')
}

// Live publishes an event that has no record in the ledger, such as a
// breaker's: kind is "breaker.open", data a JSON object. It is kept with the
// others, and not written again when the stream is rebuilt.
func (e *Events) Live(kind string, data []byte) error {
	if kind == "" || strings.ContainsAny(kind, "*> \t\r\n") {
		return fmt.Errorf("%w: %.64q is not the kind of an event", engine.ErrInvalid, kind)
	}
	return unavailableView(e.feed.Live(SubjectEvent+noFlow+"."+kind, nats.Header{}, data))
}

// flowToken is a flow's subject token; a trigger may have named anything.
func flowToken(id engine.FlowID) string {
	if _, err := engine.ParseFlowID(string(id)); err != nil {
		return noFlow
	}
	return string(id)
}

func taskToken(id engine.TaskID) string {
	if _, err := engine.ParseTaskID(string(id)); err != nil {
		return noFlow
	}
	return string(id)
}

// unavailableView says that a view could not be read or written now.
func unavailableView(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
}
