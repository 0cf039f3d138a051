package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/failpoint"
)

// Bounds of a bundle, and how many may be on their way at once: with two, one
// collects while the other is being written.
const (
	maxBundleRecords = 512
	maxBundleBytes   = 512 << 10
	bundlesInFlight  = 2
	publishTimeout   = 5 * time.Second
)

// The server's error codes for a store that is full: of the server, and of the
// account, whose limit follows the disk.
const (
	codeNoSpace = 10023
	codeNoRoom  = 10002
)

// bundler is group commit: what is appended while the previous bundle is being
// written goes out as one message, so that one disk write and one sync cover
// all of it.
type bundler struct {
	js      jetstream.JetStream
	ledger  *Ledger
	subject string
	points  bundlePoints
	in      chan pending
	flights chan struct{}
	ctx     context.Context // of the ledger's life: set once, ends the writer
	wg      sync.WaitGroup
}

// pending is a record on its way into the ledger.
type pending struct {
	data []byte
	done chan appended
}

type appended struct {
	seq uint64
	err error
}

// bundlePoints are the failpoints of a writer: it takes nothing, what it wrote
// is stored, the acknowledgement is lost.
type bundlePoints struct{ full, stored, unacknowledged string }

func pointsOf(kind string) bundlePoints {
	return bundlePoints{kind + ".full", kind + ".stored", kind + ".unacknowledged"}
}

func newBundler(ctx context.Context, js jetstream.JetStream, l *Ledger, kind, subject string) *bundler {
	b := &bundler{
		js: js, ledger: l, subject: subject, points: pointsOf(kind), ctx: ctx,
		in: make(chan pending, maxBundleRecords), flights: make(chan struct{}, bundlesInFlight),
	}
	b.wg.Go(b.run)
	return b
}

// answers are channels that nobody is told anything by any more. One that was not
// waited for to the end never comes back.
var answers = sync.Pool{New: func() any { return make(chan appended, 1) }}

// append returns when the record's bundle is stored.
func (b *bundler) append(ctx context.Context, rec engine.Record) (uint64, error) {
	data, err := cbor.Marshal(rec)
	if err != nil {
		return 0, fmt.Errorf("encode record: %w", err)
	}
	most := engine.MaxTriggerPayload + engine.MaxRecord
	if submit, ok := rec.(*engine.SubmitRecord); ok && submit.Rerun != nil {
		most += engine.MaxItemPlacesBytes // where the items stand that it keeps
	}
	if len(data) > most {
		return 0, fmt.Errorf("%w: record of %d bytes is too large", engine.ErrInvalid, len(data))
	}
	p := pending{data: data, done: answers.Get().(chan appended)}
	select {
	case b.in <- p:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-b.ctx.Done():
		return 0, errClosed
	}
	select {
	case r := <-p.done:
		answers.Put(p.done) // it was told once, and is empty again
		return r.seq, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-b.ctx.Done():
		return 0, errClosed
	}
}

var errClosed = fmt.Errorf("%w: the ledger is closed", engine.ErrUnavailable)

func (b *bundler) run() {
	var next *pending // collected, but too large for the last bundle
	for {
		var batch []pending
		size := 0
		if next != nil {
			batch, size, next = append(batch, *next), len(next.data), nil
		} else {
			select {
			case p := <-b.in:
				batch, size = append(batch, p), len(p.data)
			case <-b.ctx.Done():
				return
			}
		}
		select {
		case b.flights <- struct{}{}:
		case <-b.ctx.Done():
			return
		}
	collect:
		for len(batch) < maxBundleRecords {
			select {
			case p := <-b.in:
				if size+len(p.data) > maxBundleBytes {
					large := p // of its own: p would be allocated for every record
					next = &large
					break collect
				}
				batch, size = append(batch, p), size+len(p.data)
			default:
				break collect
			}
		}
		b.publish(batch)
	}
}

// publish writes one bundle and tells everyone in it how it went.
func (b *bundler) publish(batch []pending) {
	records := make([]cbor.RawMessage, len(batch))
	for i := range batch {
		records[i] = batch[i].data
	}
	tell := func(r appended) {
		for i := range batch {
			batch[i].done <- r
		}
		<-b.flights
	}
	data, err := b.ledger.codec.bundle(records)
	if err != nil {
		tell(appended{err: err})
		return
	}
	if failpoint.Fails(b.points.full) {
		tell(appended{err: unavailable(&jetstream.APIError{ErrorCode: codeNoSpace})})
		return
	}
	future, err := b.js.PublishMsgAsync(&nats.Msg{Subject: b.subject, Data: data})
	if err != nil {
		tell(appended{err: unavailable(err)})
		return
	}
	b.wg.Go(func() {
		select {
		case ack := <-future.Ok():
			b.ledger.end.reached(ack.Sequence)
			failpoint.Here(b.points.stored)
			if failpoint.Fails(b.points.unacknowledged) {
				tell(appended{err: unavailable(nats.ErrTimeout)})
				return
			}
			tell(appended{seq: ack.Sequence})
		case err := <-future.Err():
			tell(appended{err: unavailable(err)})
		case <-b.ctx.Done():
		}
	})
}

// unavailable turns a refused write into the engine's error for it, in words
// that name the way out.
func unavailable(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == codeNoSpace || api.ErrorCode == codeNoRoom) {
		return fmt.Errorf("%w: the store is full; free space on its disk", engine.ErrUnavailable)
	}
	if errors.Is(err, jetstream.ErrAsyncPublishTimeout) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: the store did not confirm it within %s, so whether it was stored is not known (a trigger may be repeated with the same id: it starts one run)", engine.ErrUnavailable, publishTimeout)
	}
	if errors.Is(err, jetstream.ErrMaxBytesExceeded) || errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
}
