package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	fetchSilence   = time.Second
)

// fetch asks for up to n messages, of no more than so many bytes together where
// bytes is not 0, and hands them to fn as they come. It returns how many came
// when these have, when the request has expired, or when fn or the connection
// fails. silent, when there is one, is asked whenever nothing has come for a
// while; its error ends the request too.
func fetch(ctx context.Context, c jetstream.Consumer, n, bytes int, fn func(jetstream.Msg) error, silent func() error) (got int, err error) {
	options := []jetstream.FetchOpt{jetstream.FetchMaxWait(fetchWait), jetstream.FetchHeartbeat(fetchHeartbeat)}
	if bytes > 0 {
		options = append(options, jetstream.FetchMaxBytes(bytes))
	}
	batch, err := c.Fetch(n, options...)
	if err != nil {
		return 0, err
	}
	messages := batch.Messages()
	var quiet <-chan time.Time
	if silent != nil {
		tick := time.NewTicker(fetchSilence)
		defer tick.Stop()
		quiet = tick.C
	}
	came := false // since the last tick
	for {
		select {
		case <-quiet:
			if !came {
				if err := silent(); err != nil {
					return got, err
				}
			}
			came = false
		case m, ok := <-messages:
			if !ok {
				return got, batch.Error()
			}
			got++
			came = true
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

// reading says what of a stream is read, and from where.
type reading struct {
	from    uint64                                       // sequence; 0 where since says
	since   time.Time                                    // or the first message that is not older
	filter  string                                       // subject; "" for all
	pending func(n uint64) bool                          // asked when a consumer is made, with what waits for it: false ends the reading
	resume  func(context.Context)                        // called before the reading goes on with a new consumer; it may change from and since
	silent  func(ctx context.Context, from uint64) error // asked when nothing comes though there was something, up to
	until   uint64                                       // this sequence; its error ends the reading
	conn    *nats.Conn                                   // when set, a reconnect is noticed at once, not by the silence that follows it
}

func (r *reading) consumer() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.from, FilterSubject: r.filter,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	}
	switch {
	case r.from == 0 && !r.since.IsZero():
		c.DeliverPolicy, c.OptStartSeq, c.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &r.since
	case r.from == 0:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	}
	return c
}

// errEnough ends a reading from inside its function, without an error.
var errEnough = errors.New("enough")

// readInOrder hands the messages of a stream to fn, in order and without gaps,
// until ctx ends. It uses a consumer without acknowledgements and makes a new
// one, from where it is, when a message is missing or the consumer has gone.
func readInOrder(ctx context.Context, stream jetstream.Stream, r *reading, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	for first := true; ctx.Err() == nil; first = false {
		if !first && r.from > 0 && r.resume != nil {
			r.resume(ctx)
		}
		consumer, err := stream.CreateConsumer(ctx, r.consumer())
		if err != nil {
			if fetchFailed(err) {
				return fmt.Errorf("read the stream: %w", err)
			}
			pause(ctx)
			continue
		}
		if r.pending != nil && !r.pending(consumer.CachedInfo().NumPending) {
			dropConsumer(ctx, stream, consumer)
			return nil
		}
		done, err := r.readOne(ctx, consumer, fn)
		dropConsumer(ctx, stream, consumer)
		if done {
			return err
		}
	}
	return nil
}

// untilReconnect is a context that ends when the connection comes back after
// an interruption: the consumer may have gone with the server's memory.
func (r *reading) untilReconnect(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if r.conn == nil {
		return ctx, cancel
	}
	back := r.conn.StatusChanged(nats.CONNECTED)
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-back:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		waiter.Wait()
		r.conn.RemoveStatusListener(back)
	}
}

// readOne reads through one consumer; done says that the reading is over.
func (r *reading) readOne(parent context.Context, c jetstream.Consumer, fn func(jetstream.Msg, *jetstream.MsgMetadata) error) (done bool, err error) {
	ctx, end := r.untilReconnect(parent)
	defer end()
	var final error   // of fn, which ends the reading
	next := uint64(1) // of the consumer's own count
	n, bytes, got := readAhead, readAheadBytes, 0
	for ctx.Err() == nil {
		asked := time.Now()
		got, err = fetch(ctx, c, n, bytes, func(m jetstream.Msg) error {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Consumer != next {
				return errGap
			}
			next++
			r.from = meta.Sequence.Stream + 1
			final = fn(m, meta)
			return final
		}, func() error {
			if r.silent != nil && r.from <= r.until {
				final = r.silent(ctx, r.from)
			}
			return final
		})
		switch {
		case errors.Is(final, errEnough):
			return true, nil
		case final != nil || fetchFailed(err):
			return true, errors.Join(final, err)
		case errors.Is(err, errGap), errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrNoHeartbeat), errors.Is(err, nats.ErrNoResponders):
			return false, nil
		}
		if n, bytes = readAhead, readAheadBytes; got == 0 && err == nil && time.Since(asked) < fetchWait/2 {
			n, bytes = 1, 0 // one message alone is larger than that
		}
	}
	return parent.Err() != nil, nil
}

// How many messages one request asks for when a stream is read in order, and of
// how many bytes: they wait in memory until they are read, and a bundle of the
// ledger has up to half a megabyte.
const (
	readAhead      = 1024
	readAheadBytes = 4 << 20
)

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
