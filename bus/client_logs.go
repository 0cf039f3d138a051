package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/feed"
)

// LogFilter chooses operations of the log. The zero filter is everything.
type LogFilter struct {
	Flow, Task, Status string
	Run                engine.RunID
	Since              time.Time
	Follow             bool // go on with what comes, until ctx ends
}

// Logs hands operations to fn in their order, each once, also over a
// reconnect and a restart of the node. fn gets the document as it is on NATS,
// and decoded; its error ends the reading.
func (c *Client) Logs(ctx context.Context, f LogFilter, fn func(raw []byte, op *engine.Operation) error) error {
	flow, task := f.Flow, f.Task
	if flow == "" {
		flow = "*"
	} else if _, err := engine.ParseFlowID(flow); err != nil {
		return err
	}
	if task == "" {
		task = "*"
	} else if _, err := engine.ParseTaskID(task); err != nil {
		return err
	}
	return c.replay(ctx, SubjectLog+flow+"."+task, f.Since, f.Follow, func(m jetstream.Msg) error {
		if f.Run != "" && m.Headers().Get(HeaderRun) != string(f.Run) {
			return nil
		}
		op := new(engine.Operation)
		if err := json.Unmarshal(m.Data(), op); err != nil {
			return nil // not ours: somebody may have written it by hand
		}
		if f.Status != "" && op.Status != f.Status {
			return nil
		}
		return fn(m.Data(), op)
	})
}

// Events hands the events of a flow ("" for all) to fn as Logs does: the
// kind, such as "run.done", and the document.
func (c *Client) Events(ctx context.Context, flow engine.FlowID, since time.Time, follow bool, fn func(kind string, raw []byte) error) error {
	token := string(flow)
	if token == "" {
		token = "*"
	} else if _, err := engine.ParseFlowID(token); err != nil {
		return err
	}
	return c.replay(ctx, SubjectEvent+token+".>", since, follow, func(m jetstream.Msg) error {
		return fn(eventKind(m.Subject()), m.Data())
	})
}

// eventKind is what stands behind the flow in an event's subject.
func eventKind(subject string) string {
	rest := subject[len(SubjectEvent):]
	for i := range len(rest) {
		if rest[i] == '.' {
			return rest[i+1:]
		}
	}
	return ""
}

// replay reads the event stream in order from a time. Positions in the ledger
// only grow, so a message that comes again after the node lost it and wrote it
// once more is known by its position.
func (c *Client) replay(ctx context.Context, subject string, since time.Time, follow bool, fn func(jetstream.Msg) error) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, StreamEvents)
	if err != nil {
		return fmt.Errorf("%w: open the events at %s: %w", engine.ErrUnavailable, c.target, err)
	}
	var seen feed.Pos
	var last time.Time // when the newest message that was read had been stored
	r := reading{since: since, filter: subject, conn: c.nc}
	r.resume = func(ctx context.Context) {
		if !sameMessage(ctx, stream, r.from-1, seen) {
			r.from, r.since = 0, last.Add(-resumeBack)
		}
	}
	if !follow {
		r.pending = func(n uint64) bool { return n > 0 }
	}
	return readInOrder(ctx, stream, &r, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		at, placed := feed.ParsePos(m.Headers().Get(HeaderPos))
		if !placed || seen.Before(at) {
			if err := fn(m); err != nil {
				return err
			}
		}
		if placed && seen.Before(at) {
			seen = at
		}
		last = meta.Timestamp
		if !follow && meta.NumPending == 0 {
			return errEnough
		}
		return nil
	})
}

// resumeBack is how much is read again when the stream has lost its end, which
// is never older than what the server had not yet written to its disk.
const resumeBack = 5 * time.Minute

// sameMessage reports whether a message is still the one that was read: after
// a crash the stream may have lost its end, and its numbers mean others now.
func sameMessage(ctx context.Context, stream jetstream.Stream, seq uint64, want feed.Pos) bool {
	m, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false
	}
	if err != nil {
		return true // the next request says what is wrong
	}
	at, placed := feed.ParsePos(m.Header.Get(HeaderPos))
	return !placed || !at.Before(want) && !want.Before(at)
}
