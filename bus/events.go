package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Headers of events. Consumers that must see each thing once go by the
// position; what a rebuild publishes again carries the replay mark.
const (
	HeaderPos    = "Qarion-Pos"
	HeaderRun    = "Qarion-Run"
	HeaderReplay = "Qarion-Replay"
)

// positionEvents takes the marks of this view's position.
const positionEvents = "qarion.position.events"

// eventWindow is how many events may be on their way at once.
const eventWindow = 1024

// Events is the stream QARION_EVENTS: the operation log and what happened to
// runs, for anyone to follow and replay. It is a projection of the ledger.
type Events struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

var _ engine.Projection = (*Events)(nil)

// Events opens the stream; events older than keep go away.
func (b *Bus) Events(ctx context.Context, keep time.Duration) (*Events, error) {
	nc, err := b.Connect("events")
	if err != nil {
		return nil, err
	}
	b.extra = append(b.extra, nc)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(publishTimeout))
	if err != nil {
		return nil, err
	}
	s, err := ensureStream(ctx, js, jetstream.StreamConfig{
		Name: StreamEvents, Description: "qarion: operation log and events",
		Subjects: []string{SubjectLog + ">", SubjectEvent + ">", positionEvents},
		Storage:  jetstream.FileStorage, MaxAge: keep, Discard: jetstream.DiscardOld, AllowDirect: true,
		Duplicates: 100 * time.Millisecond, PersistMode: jetstream.AsyncPersistMode, Replicas: 1,
	})
	if err != nil {
		return nil, err
	}
	return &Events{js, s}, nil
}

// Name implements engine.Projection.
func (e *Events) Name() string { return StreamEvents }

// Position implements engine.Projection.
func (e *Events) Position(ctx context.Context) (p engine.Pos, err error) {
	info, err := e.stream.Info(ctx)
	if err != nil || info.State.Msgs == 0 {
		return p, err
	}
	m, err := e.stream.GetMsg(ctx, info.State.LastSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	_, err = fmt.Sscanf(m.Header.Get(HeaderPos), "%d.%d", &p.Seq, &p.N)
	return p, err
}

// Mark implements engine.Projection.
func (e *Events) Mark(ctx context.Context, at engine.Pos) error {
	_, err := e.js.PublishMsg(ctx, &nats.Msg{Subject: positionEvents, Header: nats.Header{HeaderPos: {position(at)}}})
	return err
}

func position(p engine.Pos) string {
	return strconv.FormatUint(p.Seq, 10) + "." + strconv.Itoa(p.N)
}

// Project implements engine.Projection.
func (e *Events) Project(ctx context.Context, changes []engine.Change) error {
	futures := make([]jetstream.PubAckFuture, 0, min(len(changes), eventWindow))
	for i := range changes {
		m := Event(&changes[i])
		if m == nil {
			continue
		}
		f, err := e.js.PublishMsgAsync(m)
		if err != nil {
			return fmt.Errorf("publish events: %w", err)
		}
		if futures = append(futures, f); len(futures) == cap(futures) {
			if err := settled(ctx, futures); err != nil {
				return err
			}
			futures = futures[:0]
		}
	}
	return settled(ctx, futures)
}

func settled(ctx context.Context, futures []jetstream.PubAckFuture) error {
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return fmt.Errorf("publish events: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Event is the message of a change; nil when it has none.
func Event(c *engine.Change) *nats.Msg {
	m := &nats.Msg{Header: nats.Header{HeaderPos: {position(c.Pos)}, HeaderRun: {string(c.Run)}}}
	if c.Replay {
		m.Header[HeaderReplay] = []string{"true"}
	}
	if c.Kind == engine.AttemptDone {
		m.Subject = SubjectLog + string(c.Attempt.Flow) + "." + string(c.Task)
		m.Data = AppendOperation(make([]byte, 0, 512+len(c.Attempt.Details)), c)
		return m
	}
	flow := string(c.Flow)
	if _, err := engine.ParseFlowID(flow); err != nil {
		flow = noFlow // a rejected trigger may have named anything
	}
	m.Subject = SubjectEvent + flow + "." + string(c.Kind)
	m.Data = appendEvent(make([]byte, 0, 256), c)
	return m
}

// appendEvent writes the document of an event. Runs that are done carry their
// whole document; a large one only its head.
func appendEvent(b []byte, c *engine.Change) []byte {
	b = append(b, `{"event":`...)
	b = value.AppendString(b, string(c.Kind))
	b = text(b, "time", c.At.Format())
	b = text(b, "run_id", string(c.Run))
	b = text(b, "flow_id", string(c.Flow))
	b = text(b, "task_id", string(c.Task))
	b = text(b, "reason", c.Reason)
	if c.Kind == engine.RunRejected {
		b = append(b, `,"sequence":`...)
		b = strconv.AppendUint(b, c.Pos.Seq, 10)
	}
	if c.Doc != nil {
		b = text(b, "status", string(c.Doc.Status))
		doc := *c.Doc
		if len(doc.Tasks) > maxEventTasks {
			doc.Tasks = nil
		}
		if data, err := json.Marshal(&doc); err == nil {
			b = append(append(b, `,"run":`...), data...)
		}
	}
	return append(b, '}')
}

// maxEventTasks is how many tasks a run's document in an event may list.
const maxEventTasks = 100

func text(b []byte, key, v string) []byte {
	if v == "" {
		return b
	}
	b = append(append(append(b, `,"`...), key...), `":`...)
	return value.AppendString(b, v)
}

// AppendOperation writes the operation-log document of an attempt. It is
// written by hand because one stands behind every call; a test holds it
// against engine.Operation.
func AppendOperation(b []byte, c *engine.Change) []byte {
	a := c.Attempt
	b = append(b, `{"operation_id":`...)
	b = value.AppendString(b, a.OperationID())
	b = text(b, "operation_type", a.Type)
	b = text(b, "operation_subtype", a.Subtype)
	b = text(b, "execution_id", string(a.Run))
	b = text(b, "flow_id", string(a.Flow))
	b = text(b, "task_id", string(a.Task))
	b = number(b, "item_index", int64(a.Item))
	b = number(b, "attempt", int64(a.Attempt))
	b = number(b, "batch_id", a.BatchID)
	b = text(b, "status", string(a.Outcome))
	b = append(b, `,"success":`...)
	b = strconv.AppendBool(b, a.Outcome == engine.OutcomeSuccess)
	b = text(b, "start_time", a.Start.Format())
	b = text(b, "end_time", a.End.Format())
	b = append(b, `,"duration_ms":`...)
	b = strconv.AppendFloat(b, float64(a.End-a.Start)/1000, 'f', -1, 64)
	b = text(b, "error_message", a.Error)
	b = append(b, `,"operation_details":`...)
	if len(a.Details) > 0 {
		b = append(b, a.Details...)
	} else {
		b = append(b, "{}"...)
	}
	b = append(b, `,"worker":`...)
	b = value.AppendString(b, a.Worker)
	if c.Superseded {
		b = append(b, `,"superseded":true`...)
	}
	return append(b, '}')
}

func number(b []byte, key string, n int64) []byte {
	b = append(append(append(b, `,"`...), key...), `":`...)
	return strconv.AppendInt(b, n, 10)
}
