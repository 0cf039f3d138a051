// Package feed writes a JetStream stream that follows the ledger: one writer
// fills it in order, and its last message says how far it has come.
//
// Messages go out without asking for an acknowledgement each. Every chunk ends
// in one that does, and since a connection's messages are stored in order, the
// sequence in its acknowledgement proves all that came before. That costs less
// than half of what asynchronous publishing does (BenchmarkFeed_Write).
//
// Each message says after which sequence it belongs, and the server refuses it
// elsewhere: when one is lost, those behind it are not stored before it, and
// whoever reads the stream finds rising positions.
package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// HeaderPos names the ledger position that a message was made from.
const HeaderPos = "Qarion-Pos"

// HeaderTaken names, where it is not the message's own, the position up to
// which the stream has everything with that message.
const HeaderTaken = "Qarion-Taken"

// A message with this header and value outlives the stream's age limit.
const (
	headerTTL = "Nats-TTL"
	ttlNever  = "never"
)

// How much may be on its way without an acknowledgement. The server drops what
// exceeds 100,000 messages or 128 MiB of a stream's queue.
const (
	chunkMessages = 512
	chunkBytes    = 1 << 20
	chunksAhead   = 3
	ackTimeout    = 5 * time.Second
)

// Pos is a place in the ledger, as in package engine: a sequence and the index
// of a change within it.
type Pos struct {
	Seq uint64
	N   int
}

// Before reports whether p comes before q.
func (p Pos) Before(q Pos) bool { return p.Seq < q.Seq || p.Seq == q.Seq && p.N < q.N }

// append writes the position as "<sequence>.<n>".
func (p Pos) append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, p.Seq, 10)
	return strconv.AppendInt(append(dst, '.'), int64(p.N), 10)
}

// ParsePos reads the value of a Qarion-Pos header.
func ParsePos(s string) (Pos, bool) {
	seq, n, ok := strings.Cut(s, ".")
	if !ok {
		return Pos{}, false
	}
	p := Pos{}
	var err1, err2 error
	p.Seq, err1 = strconv.ParseUint(seq, 10, 64)
	p.N, err2 = strconv.Atoi(n)
	return p, err1 == nil && err2 == nil
}

// ErrNotStored is returned when the stream did not take all messages: the same
// ones are to be written again.
var ErrNotStored = errors.New("not stored")

// Config says what a feed writes.
type Config struct {
	Conn   *nats.Conn
	Stream jetstream.StreamConfig
	Mark   string // subject, outside of the stream's others, that takes positions alone
}

// Feed is an open stream. Its methods are safe for concurrent use; batches
// take turns.
type Feed struct {
	nc     *nats.Conn
	stream jetstream.Stream
	mark   string
	inbox  string
	acks   *nats.Subscription

	mu     sync.Mutex
	last   uint64 // the stream's last sequence
	pos    Pos    // of the last message known to be stored
	asked  uint64 // acknowledgements asked for so far
	unsure bool   // a batch failed: last may be wrong
}

// Open creates the stream, or brings the configuration of the one that is
// there up to date.
func Open(ctx context.Context, cfg Config) (*Feed, error) {
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return nil, err
	}
	sc := cfg.Stream
	sc.Subjects = append(sc.Subjects[:len(sc.Subjects):len(sc.Subjects)], cfg.Mark)
	sc.AllowMsgTTL = true // marks outlive the stream's age limit
	sc.PersistMode = jetstream.AsyncPersistMode
	stream, err := js.CreateStream(ctx, sc)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		stream, err = js.UpdateStream(ctx, sc)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", sc.Name, err)
	}
	f := &Feed{nc: cfg.Conn, stream: stream, mark: cfg.Mark, inbox: cfg.Conn.NewInbox(), last: stream.CachedInfo().State.LastSeq}
	if f.acks, err = f.nc.SubscribeSync(f.inbox + ".*"); err != nil {
		return nil, fmt.Errorf("listen for acknowledgements of %s: %w", sc.Name, err)
	}
	return f, nil
}

// Stream is the feed's stream, for reading.
func (f *Feed) Stream() jetstream.Stream { return f.stream }

// Close ends the feed; what was not acknowledged may be stored or not.
func (f *Feed) Close() { _ = f.acks.Unsubscribe() }

// lookBack bounds the search for the last message with a position: behind a
// position is safe, since the same changes are then written again.
const lookBack = 1000

// Taken is the position up to which a stream has everything, as the headers of a
// message say; get reads a header.
func Taken(get func(name string) string) (Pos, bool) {
	if text := get(HeaderTaken); text != "" {
		return ParsePos(text)
	}
	return ParsePos(get(HeaderPos))
}

// Position is up to where the stream has everything, as its last message says;
// the zero Pos in a new stream.
// Messages that others wrote, and deleted ones, are stepped over.
func (f *Feed) Position(ctx context.Context) (Pos, error) {
	p, err := f.position(ctx)
	if err != nil {
		return Pos{}, fmt.Errorf("read the position of %s: %w", f.stream.CachedInfo().Config.Name, err)
	}
	f.mu.Lock()
	f.pos = p
	f.mu.Unlock()
	return p, nil
}

func (f *Feed) position(ctx context.Context) (Pos, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return Pos{}, err
	}
	last, first := info.State.LastSeq, info.State.FirstSeq
	for seq := last; seq >= first && seq > 0 && last-seq < lookBack; seq-- {
		m, err := f.stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return Pos{}, err
		}
		if p, ok := Taken(m.Header.Get); ok {
			return p, nil
		}
	}
	m, err := f.stream.GetLastMsgForSubject(ctx, f.mark)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Pos{}, nil
	}
	if err != nil {
		return Pos{}, err
	}
	p, _ := ParsePos(m.Header.Get(HeaderPos))
	return p, nil
}

// Mark stores that everything up to a position was taken, also where it left
// no message. A mark never expires; the next one replaces it.
func (f *Feed) Mark(ctx context.Context, at Pos) error {
	if err := f.writeMark(ctx, at); err != nil {
		return err
	}
	err := f.stream.Purge(ctx, jetstream.WithPurgeSubject(f.mark), jetstream.WithPurgeKeep(1))
	if err != nil {
		return fmt.Errorf("drop the older mark: %w", err)
	}
	return nil
}

func (f *Feed) writeMark(ctx context.Context, at Pos) error {
	b := f.Begin(ctx)
	defer b.End()
	b.Header(headerTTL, ttlNever)
	if err := b.Add(ctx, at, f.mark, nil); err != nil {
		return err
	}
	return b.Commit(ctx)
}

// Live writes one message that has no place in the ledger: it is stored, and
// not written again when the stream is rebuilt.
func (f *Feed) Live(subject string, header nats.Header, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.nc.PublishMsg(&nats.Msg{Subject: subject, Header: header, Data: data}); err != nil {
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	f.last++
	return nil
}

// pubAck is the server's answer to a publish.
type pubAck struct {
	Sequence uint64 `json:"seq"`
	Error    *struct {
		Code        int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// codeNoSpace is the server's error for a store that is full.
const codeNoSpace = 10023

// waitAck waits for the n-th acknowledgement that was asked for, and passes
// over earlier ones that came too late.
func (f *Feed) waitAck(ctx context.Context, n uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	want := strconv.FormatUint(n, 10)
	for {
		m, err := f.acks.NextMsgWithContext(ctx)
		if err != nil {
			return 0, fmt.Errorf("%w: no acknowledgement: %w", ErrNotStored, err)
		}
		if m.Subject[len(f.inbox)+1:] != want {
			continue
		}
		if len(m.Data) == 0 {
			return 0, fmt.Errorf("%w: %s", ErrNotStored, "no stream takes the subject")
		}
		var ack pubAck
		if err := json.Unmarshal(m.Data, &ack); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrNotStored, err)
		}
		switch {
		case ack.Error == nil:
			return ack.Sequence, nil
		case ack.Error.Code == codeNoSpace:
			return 0, fmt.Errorf("%w: the store is full; free space on its disk", ErrNotStored)
		}
		return 0, fmt.Errorf("%w: %s", ErrNotStored, ack.Error.Description)
	}
}
