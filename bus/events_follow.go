package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Happened is an event or an operation of the stream without its document:
// where it stands, and what it is about.
type Happened struct {
	Seq             uint64 // in the stream, rising
	Kind            string // "run.done", "breaker.open"; "attempt" for an operation of the log
	Flow, Task, Run string // "" where it is of none
}

// EventSpan is which events there are.
type EventSpan struct {
	Origin      int64 // when the stream was made, in nanoseconds: one that is made anew counts anew
	First, Last uint64
}

// Span says which events there are now. engine.ErrUnavailable.
func (e *Events) Span(ctx context.Context) (EventSpan, error) {
	info, err := e.feed.Stream().Info(ctx)
	if err != nil {
		return EventSpan{}, unavailableView(err)
	}
	return EventSpan{info.Created.UnixNano(), info.State.FirstSeq, info.State.LastSeq}, nil
}

// Read tells of the events after a sequence, in order and each once: of those
// that there are, and with follow also of those to come, until ctx ends.
// Documents stay where they are. An audit is not told. engine.ErrUnavailable.
func (e *Events) Read(ctx context.Context, after uint64, follow bool, tell func(Happened)) error {
	ctx, cancel := context.WithCancel(ctx) // the consumer ends with it
	defer cancel()
	c, err := e.feed.Stream().OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{SubjectLog + "*.*", SubjectEvent + ">"}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
	})
	if err != nil {
		return unavailableView(fmt.Errorf("read events: %w", err))
	}
	if info := c.CachedInfo(); !follow && (info == nil || info.NumPending == 0) {
		return nil
	}
	msgs, err := c.Messages()
	if err != nil {
		return unavailableView(fmt.Errorf("read events: %w", err))
	}
	defer msgs.Stop()
	for {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the consumer makes itself anew
		case err != nil:
			return unavailableView(fmt.Errorf("read events: %w", err))
		}
		meta, err := m.Metadata()
		if err != nil {
			continue
		}
		if h, ok := happened(m.Subject()); ok {
			h.Seq, h.Run = meta.Sequence.Stream, m.Headers().Get(HeaderRun)
			tell(h)
		}
		if !follow && meta.NumPending == 0 {
			return nil
		}
	}
}

// happened reads what a subject says; ok: it may be told.
func happened(subject string) (h Happened, ok bool) {
	if rest, found := strings.CutPrefix(subject, SubjectLog); found {
		h.Kind = "attempt"
		h.Flow, h.Task, _ = strings.Cut(rest, ".")
	} else if rest, found := strings.CutPrefix(subject, SubjectEvent); found {
		h.Flow, h.Kind, _ = strings.Cut(rest, ".")
	}
	if h.Flow == noFlow {
		h.Flow = ""
	}
	return h, h.Kind != "" && h.Kind != "audit"
}
