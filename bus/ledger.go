package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// Ledger is the stream QARION_LEDGER. It implements engine.Ledger, and keeps
// the checkpoints that the runtime writes.
type Ledger struct {
	js       jetstream.JetStream
	stream   jetstream.Stream
	codec    *codec
	blobs    engine.Blobs
	log      *slog.Logger
	attempts *bundler
	submits  *bundler
	end      *ledgerEnd
	close    context.CancelFunc

	acceptLoss bool
	syncEvery  time.Duration // 0: every write

	mu    sync.Mutex
	cache [readCache]cachedEntry // recently read entries: the values of one bundle are often read together
	next  int
}

var _ engine.Ledger = (*Ledger)(nil)

const readCache = 16

type cachedEntry struct {
	seq     uint64
	records []engine.Record
}

// LedgerConfig is how a ledger is opened.
type LedgerConfig struct {
	Node    string       // subject token of this node
	Version string       // of the program, written into every bundle
	Blobs   engine.Blobs // for flow definitions that are too large for a record

	// AcceptLoss goes on without entries that are missing; otherwise that is
	// an error (see Verify).
	AcceptLoss bool
}

// Ledger opens the ledger on the bus.
func (b *Bus) Ledger(ctx context.Context, cfg LedgerConfig) (*Ledger, error) {
	stream, err := ensureStream(ctx, b.js, ledgerConfig())
	if err != nil {
		return nil, err
	}
	c, err := newCodec(cfg.Version)
	if err != nil {
		return nil, err
	}
	end, err := openLedgerEnd(b.cfg.Dir)
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.Background())
	l := &Ledger{js: b.js, stream: stream, codec: c, blobs: cfg.Blobs, log: b.log, end: end, close: stop, acceptLoss: cfg.AcceptLoss, syncEvery: b.cfg.SyncInterval}
	l.attempts = newBundler(life, b.dataJS, l, "attempt", subjectAttempt+cfg.Node)
	l.submits = newBundler(life, b.dataJS, l, "submit", subjectSubmit+cfg.Node)
	if err := l.noteWhole(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// noteWhole notes of a stream of an older layout that gaps before its present
// end mean nothing: its checkpoints stood between the entries, and have left.
func (l *Ledger) noteWhole(ctx context.Context) error {
	info := l.stream.CachedInfo()
	if info.Config.Metadata[metaWhole] != "" {
		return nil
	}
	return l.note(ctx, metaWhole, strconv.FormatUint(info.State.LastSeq+1, 10))
}

// Close ends the writers; what was not acknowledged by then gets an error.
func (l *Ledger) Close() {
	l.close()
	l.attempts.wg.Wait()
	l.submits.wg.Wait()
	l.end.close()
}

// Append implements engine.Ledger.
func (l *Ledger) Append(ctx context.Context, rec engine.Record) (uint64, error) {
	switch rec := rec.(type) {
	case *engine.AttemptRecord:
		return l.attempts.append(ctx, rec)
	case *engine.SubmitRecord:
		return l.submits.append(ctx, rec)
	case *engine.ControlRecord:
		return l.write(ctx, subjectControl+cmp.Or(string(rec.Run), noRun), rec)
	case *engine.InstallRecord:
		return l.write(ctx, subjectInstall, rec)
	case *engine.FlowRecord:
		m, err := l.flowMessage(ctx, rec)
		if err != nil {
			return 0, err
		}
		return l.write(ctx, subjectFlow+string(rec.Flow), m)
	}
	return 0, fmt.Errorf("%w: a %T is not written by the engine", engine.ErrInvalid, rec)
}

// AppendTogether implements engine.Ledger.
func (l *Ledger) AppendTogether(ctx context.Context, recs []*engine.SubmitRecord) (uint64, error) {
	raw := make([]cbor.RawMessage, len(recs))
	for i, rec := range recs {
		data, err := cbor.Marshal(rec)
		if err != nil {
			return 0, fmt.Errorf("encode record: %w", err)
		}
		raw[i] = data
	}
	return l.writeBundle(ctx, l.submits.subject, raw)
}

// write publishes one record as a bundle of its own.
func (l *Ledger) write(ctx context.Context, subject string, rec any) (uint64, error) {
	raw, err := cbor.Marshal(rec)
	if err != nil {
		return 0, fmt.Errorf("encode record: %w", err)
	}
	return l.writeBundle(ctx, subject, []cbor.RawMessage{raw})
}

func (l *Ledger) writeBundle(ctx context.Context, subject string, records []cbor.RawMessage) (uint64, error) {
	data, err := l.codec.bundle(records)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ack, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data})
	if err != nil {
		return 0, unavailable(err)
	}
	l.end.reached(ack.Sequence)
	return ack.Sequence, nil
}

// flowMessage compresses a definition; a large one goes to the object store
// before the record that names it exists.
func (l *Ledger) flowMessage(ctx context.Context, rec *engine.FlowRecord) (*flowMessage, error) {
	m := &flowMessage{FlowRecord: *rec}
	m.Definition = nil
	if len(rec.Definition) == 0 {
		return m, nil
	}
	m.Compressed = l.codec.zip.EncodeAll(rec.Definition, nil)
	if len(m.Compressed) > maxFlowInline {
		m.Object = flowObject + rec.Hash
		if err := l.blobs.Put(ctx, m.Object, m.Compressed); err != nil {
			return nil, fmt.Errorf("store the definition of flow %s: %w", rec.Flow, err)
		}
		m.Compressed = nil
	}
	return m, nil
}

// flowObject is where definitions stand in the object store.
const flowObject = "flows/"

// Follow implements engine.Ledger. Entries that are missing are an error, or
// an entry that says so (see Verify).
func (l *Ledger) Follow(ctx context.Context, from uint64, fn func(engine.Entry) error) error {
	last, err := l.Last(ctx)
	if err != nil {
		return err
	}
	next := from
	r := &reading{from: from, until: last, silent: l.unreadable, conn: l.js.Conn()}
	err = readInOrder(ctx, l.stream, r, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if seq := meta.Sequence.Stream; seq > next {
			loss, err := l.gap(ctx, Range{next, seq - 1})
			if err != nil {
				return err
			}
			if loss != nil {
				missing := engine.Entry{Seq: loss.To, At: engine.At(meta.Timestamp), Records: []engine.Record{loss}}
				if err := fn(missing); err != nil {
					return err
				}
			}
		}
		next = meta.Sequence.Stream + 1
		entry, err := l.entry(ctx, m, meta)
		if err != nil {
			return err
		}
		return fn(entry)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// unreadable looks why a reading gets nothing though there is something: the
// server passes over an entry that it cannot read, and over the last one
// without a word.
func (l *Ledger) unreadable(ctx context.Context, from uint64) error {
	f, err := l.facts(ctx)
	if err != nil || f.last < from {
		return err
	}
	missing := Range{from, f.last}
	m, err := l.stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(">"))
	switch {
	case err == nil && m.Sequence == from:
		return nil // it is only slow
	case err == nil:
		missing.To = m.Sequence - 1
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return unavailable(err)
	}
	if _, err := l.gap(ctx, missing); err != nil || missing.To < f.last {
		return err
	}
	_, err = l.js.Publish(ctx, subjectLost, nil) // whatever comes next shows the gap
	return err
}

func (l *Ledger) entry(ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata) (engine.Entry, error) {
	records, err := l.codec.records(m)
	if err != nil {
		return engine.Entry{}, err
	}
	l.complete(ctx, m.Subject(), m.Data(), records)
	for _, rec := range records {
		if b, ok := rec.(*engine.BadRecord); ok {
			l.log.Warn("a ledger record cannot be read and is skipped", "subject", b.Subject, "seq", meta.Sequence.Stream, engine.LogErr, b.Problem)
		}
	}
	return engine.Entry{Seq: meta.Sequence.Stream, At: engine.At(meta.Timestamp), Records: records}, nil
}

// complete fetches flow definitions that stand in the object store.
func (l *Ledger) complete(ctx context.Context, subject string, data []byte, records []engine.Record) {
	for i, rec := range records {
		f, ok := rec.(*engine.FlowRecord)
		if !ok || f.Removed || len(f.Definition) > 0 {
			continue
		}
		def, err := l.fetchDefinition(ctx, f.Hash)
		if err != nil {
			records[i] = &engine.BadRecord{Subject: subject, Problem: fmt.Sprintf("definition of flow %s, version %s: %v", f.Flow, f.Hash, err)}
			continue
		}
		f.Definition = def
	}
}

func (l *Ledger) fetchDefinition(ctx context.Context, hash string) ([]byte, error) {
	packed, err := l.blobs.Get(ctx, flowObject+hash, maxDefinition)
	if err != nil {
		return nil, err
	}
	return l.codec.unzip.DecodeAll(packed, nil)
}

// Last implements engine.Ledger.
func (l *Ledger) Last(ctx context.Context) (uint64, error) {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	return info.State.LastSeq, nil
}

// Read implements engine.Ledger.
func (l *Ledger) Read(ctx context.Context, at engine.Pos) (engine.Record, error) {
	records, ok := l.cached(at.Seq)
	if !ok {
		m, err := l.stream.GetMsg(ctx, at.Seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("%w: ledger record %d.%d was purged or lost", engine.ErrNotFound, at.Seq, at.N)
		}
		if err != nil {
			return nil, unavailable(err)
		}
		if records, err = l.codec.read(m.Subject, m.Header, m.Data); err != nil {
			return nil, err
		}
		l.remember(at.Seq, records)
	}
	if at.N < 0 || at.N >= len(records) {
		return nil, fmt.Errorf("%w: ledger record %d.%d", engine.ErrNotFound, at.Seq, at.N)
	}
	if c, ok := records[at.N].(*engine.ControlRecord); ok && c.Kept != nil {
		return c.Kept.Record(), nil
	}
	return records[at.N], nil
}

func (l *Ledger) cached(seq uint64) ([]engine.Record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.cache {
		if c.seq == seq && c.seq != 0 {
			return c.records, true
		}
	}
	return nil, false
}

func (l *Ledger) remember(seq uint64, records []engine.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cache[l.next%readCache] = cachedEntry{seq, records}
	l.next++
}
