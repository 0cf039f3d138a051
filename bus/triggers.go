package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// Bounds of the stream of triggers: what waits for a node that is down or
// busy. Beyond them a publisher with an ack hears that the stream is full.
const (
	MaxTriggers     = 1_000_000
	MaxTriggerBytes = 1 << 30
)

// How many triggers are asked for at once: few at first and after trouble,
// twice as many after each request that was filled. What has arrived waits in
// this process's memory, and a message may have a megabyte. (A request bounded
// by bytes stood still for seconds under load: client and server count them
// differently.)
const (
	fetchFirst = 16
	fetchMost  = 256
)

// codeNoStorage is the server's error code for a stream whose bounds are
// larger than what the store may take.
const codeNoStorage = 10047

// Triggers is the stream QARION_TRIGGERS, into which any client publishes. It
// implements engine.Triggers.
//
// It is a work queue: what stands in it waits. A message is removed when its
// submit record is in the ledger, so that a crash in between brings it again.
type Triggers struct {
	stream jetstream.Stream
	made   int64 // when the stream was made
	in     chan jetstream.Msg
	next   jetstream.Msg // taken from in, too large for the last batch
	newest uint64        // the last one that Next has returned
	log    *slog.Logger
	end    context.CancelFunc
	wg     sync.WaitGroup
}

var _ engine.Triggers = (*Triggers)(nil)

func triggersConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamTriggers,
		Description: "qarion: triggers that wait to become runs",
		Subjects:    []string{subjectTrigger + ">"},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.WorkQueuePolicy,
		Discard:     jetstream.DiscardNew,
		MaxMsgs:     MaxTriggers,
		MaxBytes:    MaxTriggerBytes,
		Duplicates:  100 * time.Millisecond, // the shortest: the fold knows callers' keys, for a day
		AllowDirect: true,
		Replicas:    1,
	}
}

// Triggers opens the stream of triggers and begins to read it. Open the ledger
// first: in older stores the subjects were its own.
func (b *Bus) Triggers(ctx context.Context) (*Triggers, error) {
	cfg := triggersConfig()
	stream, err := ensureStream(ctx, b.js, cfg)
	for (hasCode(err, codeNoStorage) || hasCode(err, codeNoRoom)) && cfg.MaxBytes > 1<<20 {
		cfg.MaxBytes /= 2 // the bound is set aside in the store, and the disk is small
		stream, err = ensureStream(ctx, b.js, cfg)
	}
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	t := &Triggers{stream: stream, made: stream.CachedInfo().Created.UnixMicro(), in: make(chan jetstream.Msg), log: b.log, end: end}
	t.wg.Go(func() { t.read(life) })
	return t, nil
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

// Close ends the reading.
func (t *Triggers) Close() {
	t.end()
	t.wg.Wait()
}

// read hands messages to Next, in order and without gaps. Where one is missing
// or comes a second time it starts again from the first that is not removed.
func (t *Triggers) read(ctx context.Context) {
	for ctx.Err() == nil {
		_ = t.stream.DeleteConsumer(ctx, intakeConsumer) // of an earlier reading: a work queue has one
		c, err := t.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Name: intakeConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour, MaxAckPending: -1,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Hour,
		})
		if err != nil {
			if ctx.Err() == nil {
				t.log.Warn("the triggers cannot be read; trying again", engine.LogErr, err)
			}
			pause(ctx)
			continue
		}
		if err := t.readOne(ctx, c); err != nil && ctx.Err() == nil {
			t.log.Debug("the triggers are read anew, from the first that waits", engine.LogErr, err)
			pause(ctx)
		}
	}
}

const intakeConsumer = "intake"

func (t *Triggers) readOne(ctx context.Context, c jetstream.Consumer) error {
	next := uint64(1) // of the consumer's own count
	for n := fetchFirst; ctx.Err() == nil; {
		batch, err := c.Fetch(n, jetstream.FetchMaxWait(fetchWait), jetstream.FetchHeartbeat(fetchHeartbeat))
		if err != nil {
			return err
		}
		before := next
		if err := t.hand(ctx, batch, &next); err != nil {
			return err
		}
		if next-before == uint64(n) {
			n = min(2*n, fetchMost)
		}
	}
	return ctx.Err()
}

// hand passes the messages of one request on.
func (t *Triggers) hand(ctx context.Context, batch jetstream.MessageBatch, next *uint64) error {
	messages := batch.Messages()
	for {
		var m jetstream.Msg
		select {
		case got, ok := <-messages:
			if !ok {
				return batch.Error()
			}
			m = got
		case <-ctx.Done():
			return ctx.Err()
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != *next || meta.NumDelivered > 1 {
			return errGap
		}
		*next++
		select {
		case t.in <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Next implements engine.Triggers.
func (t *Triggers) Next(ctx context.Context, n int) ([]engine.Trigger, error) {
	m := t.next
	if m == nil {
		select {
		case m = <-t.in:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	t.next = nil
	timer := time.NewTimer(gather)
	defer timer.Stop()
	var out []engine.Trigger
	for size := 0; ; {
		trigger, err := t.trigger(m)
		if err != nil {
			return nil, err
		}
		if size += len(trigger.Payload) + 512; size > maxBundleBytes && len(out) > 0 {
			t.next = m
			return out, nil
		}
		out = append(out, trigger)
		t.newest = trigger.Place.Seq
		if len(out) >= n {
			return out, nil
		}
		select {
		case m = <-t.in:
		case <-timer.C:
			return out, nil
		}
	}
}

// gather is how long a batch takes in what is already on its way from the
// server: next to nothing for a single trigger, and full bundles under load.
const gather = time.Millisecond

func (t *Triggers) trigger(m jetstream.Msg) (engine.Trigger, error) {
	meta, err := m.Metadata()
	if err != nil {
		return engine.Trigger{}, fmt.Errorf("read a trigger: %w", err)
	}
	return engine.Trigger{
		TriggerRecord: readTrigger(m.Subject(), m.Headers(), m.Data()),
		Place:         engine.TriggerPlace{Stream: t.made, Seq: meta.Sequence.Stream},
		Stored:        engine.At(meta.Timestamp),
	}, nil
}

// Taken implements engine.Triggers. One purge is cheaper than an
// acknowledgement per message, and does the same.
func (t *Triggers) Taken(ctx context.Context) error {
	if t.newest == 0 {
		return nil
	}
	if err := t.stream.Purge(ctx, jetstream.WithPurgeSequence(t.newest+1)); err != nil {
		return unavailable(err)
	}
	t.newest = 0
	return nil
}

// Waiting implements engine.Triggers.
func (t *Triggers) Waiting(ctx context.Context) (uint64, error) {
	info, err := t.stream.Info(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	return info.State.Msgs, nil
}
