package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How a stream is read: in requests of many messages that come as soon as they
// are there. The client's own endless iterator is not used: when the messages
// of a request arrive before the goroutine that sent it has noted so, it asks
// for no more and stands still until the next heartbeat, half a minute later.
const (
	fetchWait      = 30 * time.Second
	fetchHeartbeat = 5 * time.Second
)

// fetch asks for up to n messages and hands them to fn as they come. It
// returns how many came when n have, when the request has expired, or when fn
// or the connection fails.
func fetch(ctx context.Context, c jetstream.Consumer, n int, fn func(jetstream.Msg) error) (got int, err error) {
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(fetchWait), jetstream.FetchHeartbeat(fetchHeartbeat))
	if err != nil {
		return 0, err
	}
	messages := batch.Messages()
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return got, batch.Error()
			}
			got++
			if err := fn(m); err != nil {
				return got, err
			}
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}

// fetchFailed reports whether an error ends the reading for good: the
// connection is closed. Anything else passes: the next request tries again.
func fetchFailed(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}

// errGap says that messages were lost between server and reader.
var errGap = errors.New("a gap in the delivery")

// readInOrder hands every message of a stream from a sequence on to fn, in
// order and without gaps, until ctx ends. It uses a consumer without
// acknowledgements and makes a new one, from where it is, when a message is
// missing or the consumer has gone.
func readInOrder(ctx context.Context, stream jetstream.Stream, from uint64, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	var final error // of fn, which ends the reading
	for ctx.Err() == nil {
		consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
		})
		if err != nil {
			if fetchFailed(err) {
				return fmt.Errorf("read the stream: %w", err)
			}
			pause(ctx)
			continue
		}
		next := uint64(1) // of the consumer's own count
		for ctx.Err() == nil {
			_, err = fetch(ctx, consumer, readAhead, func(m jetstream.Msg) error {
				meta, err := m.Metadata()
				if err != nil {
					return err
				}
				if meta.Sequence.Consumer != next {
					return errGap
				}
				next++
				from = meta.Sequence.Stream + 1
				final = fn(m, meta)
				return final
			})
			if final != nil || fetchFailed(err) {
				return errors.Join(final, err)
			}
			if errors.Is(err, errGap) || errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, nats.ErrNoResponders) {
				break
			}
		}
		dropConsumer(ctx, stream, consumer)
	}
	return nil
}

// readAhead is how many messages one request asks for when a stream is read in
// order.
const readAhead = 1024

// dropConsumer deletes a consumer that is no longer read; the server forgets
// it by itself when this does not arrive.
func dropConsumer(ctx context.Context, stream jetstream.Stream, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = stream.DeleteConsumer(ctx, c.CachedInfo().Name)
}

// pause waits a moment before something is tried again.
func pause(ctx context.Context) {
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
}
