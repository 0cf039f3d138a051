package feed

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/internal/failpoint"
)

// Batch is messages on their way into a feed. It has the feed to itself from
// Begin to End.
type Batch struct {
	f       *Feed
	msg     nats.Msg // the newest message: sent when the next one comes, or with the request to acknowledge
	taken   Pos      // of msg: everything up to there is stored once it is
	data    []byte   // of msg: a copy of what the caller gave
	edits   []edit   // headers of the message to come
	text    []byte
	number  []byte
	waiting bool // msg is there

	sent   uint64 // messages since Begin
	chunk  int    // messages and bytes since the last request to acknowledge
	bytes  int
	from   uint64 // the stream's last sequence at Begin
	asks   []ask
	failed error
}

type edit struct{ name, value string }

// ask is a request to acknowledge that is on its way.
type ask struct {
	n    uint64 // which one
	upTo uint64 // messages of the batch before and with it
	at   Pos    // everything up to there is stored then
}

// Begin starts a batch. It waits while another one is being written.
func (f *Feed) Begin(ctx context.Context) *Batch {
	f.mu.Lock()
	b := &Batch{f: f, msg: nats.Msg{Header: make(nats.Header, 4)}}
	if f.unsure {
		b.failed = f.sync(ctx)
	}
	b.from = f.last
	return b
}

// End gives the feed free. What was added after the last Commit may be lost.
func (b *Batch) End() {
	if b.failed != nil || b.waiting || b.chunk > 0 || len(b.asks) > 0 {
		b.f.unsure = true
	}
	b.f.mu.Unlock()
}

// Written reports whether a position is known to be stored already, by an
// earlier attempt at the same batch.
func (b *Batch) Written(p Pos) bool { return !b.f.pos.Before(p) }

// Header sets a header of the messages to come; an empty value takes it away.
func (b *Batch) Header(name, value string) { b.edits = append(b.edits, edit{name, value}) }

// Add writes one message; the data may be reused after the call. Positions
// never fall within a batch. It waits when much is on its way.
func (b *Batch) Add(ctx context.Context, at Pos, subject string, data []byte) error {
	return b.AddBefore(ctx, at, at, subject, data)
}

// AddBefore is Add of a message that is written before others with an earlier
// position: once it is stored, everything up to taken is, and the feed's
// position is no more than that. It is taken that never falls then.
func (b *Batch) AddBefore(ctx context.Context, at, taken Pos, subject string, data []byte) error {
	if b.waiting && b.failed == nil {
		b.send(ctx, b.chunk+1 >= chunkMessages || b.bytes+len(b.data) >= chunkBytes)
	}
	if b.failed != nil {
		return b.failed
	}
	for _, e := range b.edits {
		b.setHeader(e.name, e.value)
	}
	b.edits = b.edits[:0]
	b.text = at.append(b.text[:0])
	b.setHeader(HeaderPos, string(b.text))
	b.data = append(b.data[:0], data...)
	if taken.Before(at) {
		b.text = taken.append(b.text[:0])
		b.setHeader(HeaderTaken, string(b.text))
	} else {
		b.setHeader(HeaderTaken, "")
	}
	b.msg.Subject, b.msg.Data, b.taken, b.waiting = subject, b.data, taken, true
	return nil
}

// setHeader keeps the map and its slices, which each message would otherwise
// have to allocate.
func (b *Batch) setHeader(name, value string) {
	have := b.msg.Header[name]
	switch {
	case value == "":
		delete(b.msg.Header, name)
	case len(have) == 1:
		have[0] = value
	default:
		b.msg.Header[name] = []string{value}
	}
}

// send publishes the message that waits, with a request to acknowledge if so
// asked, and waits for older acknowledgements when too many are on their way.
func (b *Batch) send(ctx context.Context, acknowledged bool) {
	f := b.f
	b.msg.Reply, b.waiting = "", false
	b.number = strconv.AppendUint(b.number[:0], b.from+b.sent, 10)
	b.setHeader(jetstream.ExpectedLastSeqHeader, string(b.number))
	b.sent++
	b.chunk++
	b.bytes += len(b.data)
	if acknowledged {
		f.asked++
		b.msg.Reply = f.reply(f.asked)
		b.asks = append(b.asks, ask{f.asked, b.sent, b.taken})
		b.chunk, b.bytes = 0, 0
	}
	if failpoint.Fails("feed.lost") {
		return
	}
	if err := f.nc.PublishMsg(&b.msg); err != nil {
		b.failed = fmt.Errorf("%w: %w", ErrNotStored, err)
		return
	}
	if len(b.asks) > chunksAhead {
		b.take(ctx)
	}
}

// take waits for the oldest acknowledgement and checks that nothing before it
// is missing.
func (b *Batch) take(ctx context.Context) {
	next := b.asks[0]
	b.asks = b.asks[1:]
	seq, err := b.f.waitAck(ctx, next.n)
	if err != nil {
		b.failed = err
		return
	}
	if want := b.from + next.upTo; seq < want {
		b.failed = fmt.Errorf("%w: %d of %d messages are missing", ErrNotStored, want-seq, next.upTo)
		return
	}
	b.f.last, b.f.pos = seq, next.at
}

// Commit sends what was added and returns when all of it is stored. After an
// error the same messages are to be written again, in a new batch.
func (b *Batch) Commit(ctx context.Context) error {
	if b.waiting && b.failed == nil {
		b.send(ctx, true)
	}
	for len(b.asks) > 0 && b.failed == nil {
		b.take(ctx)
	}
	return b.failed
}

func (f *Feed) reply(n uint64) string { return f.inbox + "." + strconv.FormatUint(n, 10) }

// sync learns the stream's last sequence after a failure, when messages may
// still be on their way: a mark goes the same way behind them.
func (f *Feed) sync(ctx context.Context) error {
	f.asked++
	m := &nats.Msg{Subject: f.mark, Reply: f.reply(f.asked), Header: nats.Header{
		HeaderPos: {string(f.pos.append(nil))}, headerTTL: {ttlNever},
	}}
	if err := f.nc.PublishMsg(m); err != nil {
		return fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	seq, err := f.waitAck(ctx, f.asked)
	if err == nil {
		f.last, f.unsure = seq, false
	}
	return err
}
