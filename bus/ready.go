package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// ReadyQueue is the stream QARION_READY. It lives in memory: it is derived
// from the ledger, and starts empty with every start of the server.
type ReadyQueue struct {
	js       jetstream.JetStream
	push     jetstream.JetStream
	stream   jetstream.Stream
	consumer jetstream.Consumer
	log      *slog.Logger
	wg       sync.WaitGroup
}

var _ engine.ReadyQueue = (*ReadyQueue)(nil)

// ReadyQueue makes the queue anew.
func (b *Bus) ReadyQueue(ctx context.Context) (*ReadyQueue, error) {
	err := b.js.DeleteStream(ctx, StreamReady)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("empty stream %s: %w", StreamReady, err)
	}
	q := &ReadyQueue{js: b.dataJS, push: b.js, log: b.log}
	return q, q.open(ctx)
}

// open makes the stream and its consumer; they are gone with the server's
// memory when the store was reopened.
func (q *ReadyQueue) open(ctx context.Context) (err error) {
	stream, err := ensureStream(ctx, q.js, readyConfig())
	if err != nil {
		return err
	}
	if q.stream == nil { // read by others from then on; it stands for whatever stream has the name
		q.stream = stream
	}
	q.consumer, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "workers", FilterSubject: subjectReady + defaultPool, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: ackWait, MaxAckPending: -1, MaxDeliver: -1,
	})
	if err != nil {
		return fmt.Errorf("open the workers' consumer: %w", err)
	}
	return nil
}

// readyMessage is the payload of a READY message.
type readyMessage struct {
	Format int                `cbor:"1,keyasint"`
	Tasks  []engine.ReadyTask `cbor:"2,keyasint"`
}

// maxReady is the largest READY message, in bytes: a message may have
// maxPayload, and one task with everything that it may read (engine.MaxTasks
// values, each by its place) takes less.
const maxReady = maxPayload - 4<<10

// Push implements engine.ReadyQueue. A bundle that is too large for a message
// goes out as several.
func (q *ReadyQueue) Push(ctx context.Context, tasks []engine.ReadyTask, accepted func(uint64, error)) {
	data, err := cbor.Marshal(readyMessage{engine.FormatVersion, tasks})
	if err != nil {
		accepted(0, err)
		return
	}
	if half := len(tasks) / 2; len(data) > maxReady && half > 0 {
		q.Push(ctx, tasks[:half], accepted)
		q.Push(ctx, tasks[half:], accepted)
		return
	}
	future, err := q.push.PublishMsgAsync(&nats.Msg{Subject: subjectReady + defaultPool, Data: data})
	if err != nil {
		accepted(0, unavailable(err))
		return
	}
	q.wg.Go(func() {
		select {
		case ack := <-future.Ok():
			accepted(ack.Sequence, nil)
		case err := <-future.Err():
			accepted(0, unavailable(err))
		case <-ctx.Done():
		}
	})
}

// Pull implements engine.ReadyQueue. It asks for as many bundles as there are
// places, so that other workers get what this one could not start.
func (q *ReadyQueue) Pull(ctx context.Context, ahead int, fn func(engine.Delivery)) error {
	defer q.wg.Wait()
	places := make(chan struct{}, ahead)
	for range ahead {
		places <- struct{}{}
	}
	for ctx.Err() == nil {
		n := takePlaces(ctx, places, max(1, ahead/4))
		got, err := fetch(ctx, q.consumer, max(n, 1), 0, func(m jetstream.Msg) error {
			d, err := newDelivery(m, func() { places <- struct{}{} })
			if err != nil {
				q.log.Warn("a ready message cannot be read and is dropped", engine.LogErr, err)
				d.settle(m.Term())
				return nil
			}
			fn(d)
			return nil
		}, nil)
		for range n - got {
			places <- struct{}{}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case fetchFailed(err):
			return fmt.Errorf("take ready tasks: %w", err)
		case err != nil:
			q.log.Debug("a request for ready tasks ended early", engine.LogErr, err)
			pause(ctx)
			if err := q.open(ctx); err != nil && ctx.Err() == nil {
				q.log.Debug("the ready queue is not there", engine.LogErr, err)
			}
		}
	}
	return nil
}

// takePlaces waits for at least the given number of places and takes all that
// are free; a request for one bundle at a time would cost more than its tasks.
func takePlaces(ctx context.Context, places chan struct{}, least int) (n int) {
	for ; n < least; n++ {
		select {
		case <-places:
		case <-ctx.Done():
			return n
		}
	}
	for {
		select {
		case <-places:
			n++
		default:
			return n
		}
	}
}

// Holds implements engine.ReadyQueue.
func (q *ReadyQueue) Holds(ctx context.Context, seq uint64) (bool, error) {
	_, err := q.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

// delivery is one READY message in a worker's hands.
type delivery struct {
	msg         jetstream.Msg
	tasks       []engine.ReadyTask
	redelivered bool
	leave       func()
}

func newDelivery(m jetstream.Msg, leave func()) (*delivery, error) {
	d := &delivery{msg: m, leave: sync.OnceFunc(leave)}
	var rm readyMessage
	if err := messageDec.Unmarshal(m.Data(), &rm); err != nil {
		return d, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return d, err
	}
	d.tasks, d.redelivered = rm.Tasks, meta.NumDelivered > 1
	return d, nil
}

// Tasks implements engine.Delivery.
func (d *delivery) Tasks() []engine.ReadyTask { return d.tasks }

// Redelivered implements engine.Delivery.
func (d *delivery) Redelivered() bool { return d.redelivered }

// Done implements engine.Delivery.
func (d *delivery) Done() { d.settle(d.msg.Ack()) }

// Return implements engine.Delivery.
func (d *delivery) Return() { d.settle(d.msg.Nak()) }

// Ignore implements engine.Delivery.
func (d *delivery) Ignore() { d.leave() }

// InProgress implements engine.Delivery.
func (d *delivery) InProgress() { _ = d.msg.InProgress() }

// settle ends the delivery. A lost acknowledgement is only a redelivery, which
// asks before it does anything.
func (d *delivery) settle(error) { d.leave() }
