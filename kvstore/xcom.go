package kvstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/feed"
)

// DefaultXComRetention is how long values are kept in the bucket.
const DefaultXComRetention = 7 * 24 * time.Hour

// HeaderBlob marks an entry that only says where the value is: its payload is
// an engine.BlobRef.
const HeaderBlob = "Qarion-Blob"

// HeaderSensitive marks an entry of a sensitive task: its payload is
// engine.SealedValue.
const HeaderSensitive = "Qarion-Sensitive"

// maxValue is the largest value that Get fetches from the object store.
const maxValue = 1 << 30

// XComConfig is how the XCom bucket is opened.
type XComConfig struct {
	Conn      *nats.Conn
	Blobs     engine.Blobs
	Retention time.Duration // default DefaultXComRetention
	Max       int           // values; 0 means DefaultMaxEntries, less no bound
}

// XCom is the bucket qarion_xcom: for each task of a run the value that it
// left, as JSON, under the key <run>.<task>, or <run>.<task>.<index> for an
// item past the first. It implements engine.Projection.
type XCom struct {
	feed  *feed.Feed
	blobs engine.Blobs
}

var _ engine.Projection = (*XCom)(nil)

// OpenXCom opens the bucket.
func OpenXCom(ctx context.Context, cfg XComConfig) (*XCom, error) {
	if cfg.Retention <= 0 {
		cfg.Retention = DefaultXComRetention
	}
	f, err := feed.Open(ctx, feed.Config{
		Conn: cfg.Conn, Mark: markSubject("xcom"),
		Stream: bucketStream(BucketXCom, "qarion: values that tasks left", cfg.Retention, cfg.Max),
	})
	if err != nil {
		return nil, err
	}
	return &XCom{feed: f, blobs: cfg.Blobs}, nil
}

// Close ends the writing.
func (x *XCom) Close() { x.feed.Close() }

// Name implements engine.Projection.
func (x *XCom) Name() string { return "xcom" }

// Position implements engine.Projection.
func (x *XCom) Position(ctx context.Context) (engine.Pos, error) {
	p, err := x.feed.Position(ctx)
	return engine.Pos(p), unavailable(err)
}

// Mark implements engine.Projection.
func (x *XCom) Mark(ctx context.Context, at engine.Pos) error {
	return unavailable(x.feed.Mark(ctx, feed.Pos(at)))
}

// Project implements engine.Projection: the value of each attempt that
// succeeded and counts, those that a person gave, and what attempts received
// that failed because of it.
func (x *XCom) Project(ctx context.Context, changes []engine.Change) error {
	b := x.feed.Begin(ctx)
	defer b.End()
	for i := range changes {
		c := &changes[i]
		if b.Written(feed.Pos(c.Pos)) {
			continue
		}
		subject, data, marker, err := xcomEntry(c)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			continue
		}
		sealed := ""
		if marker == markSealed {
			marker, sealed = "", "1"
		}
		b.Header(HeaderBlob, marker)
		b.Header(HeaderSensitive, sealed)
		if err := b.Add(ctx, feed.Pos(c.Pos), subject, data); err != nil {
			return unavailable(err)
		}
	}
	return unavailable(b.Commit(ctx))
}

// markSealed is xcomEntry's marker of a value that is shown to nobody.
const markSealed = "sealed"

// xcomEntry is what a change leaves in the bucket; no data means nothing.
func xcomEntry(c *engine.Change) (subject string, data []byte, marker string, err error) {
	switch {
	case c.Kind == engine.RunChanged && engine.IsSealed(c.Value):
		return xcomSubject(c.Run, c.Task, 0), []byte(engine.SealedValue), markSealed, nil
	case c.Kind == engine.RunChanged: // resolved by a person
		return xcomSubject(c.Run, c.Task, 0), c.Value, "", nil
	case c.Kind != engine.AttemptDone || c.Superseded || c.Attempt.Item > 0: // of items there may be very many: the ledger has them
		return "", nil, "", nil
	}
	rec := c.Attempt
	switch rec.Outcome {
	case engine.OutcomeSuccess:
		subject = xcomSubject(rec.Run, rec.Task, rec.Item)
	case engine.OutcomeFailed, engine.OutcomeRetry:
		subject = receivedSubject(rec.Run, rec.Task, rec.Attempt)
	default:
		return "", nil, "", nil
	}
	switch {
	case engine.IsSealed(rec.Value), rec.Blob != nil && rec.Blob.Sealed:
		return subject, []byte(engine.SealedValue), markSealed, nil
	case rec.Blob == nil:
		return subject, rec.Value, "", nil
	}
	if data, err = json.Marshal(rec.Blob); err != nil {
		err = fmt.Errorf("value of %s: %w", rec.OperationID(), err)
	}
	return subject, data, "1", err
}

func xcomSubject(run engine.RunID, task engine.TaskID, item int) string {
	subject := keyPrefix(BucketXCom) + string(run) + "." + string(task)
	if item > 0 {
		subject += "." + strconv.Itoa(item)
	}
	return subject
}

// receivedSubject is where a failed attempt leaves what it received.
func receivedSubject(run engine.RunID, task engine.TaskID, attempt int) string {
	return xcomSubject(run, task, 0) + ".attempt." + strconv.Itoa(attempt)
}

// Lookup returns what the bucket holds: the value as JSON text, or where it is
// when it is large; with an attempt over 0 what that one received and failed
// because of. ErrNotFound when there is none, or its time is over; ErrDenied
// when its task is sensitive.
func (x *XCom) Lookup(ctx context.Context, run engine.RunID, task engine.TaskID, attempt int) (text []byte, ref *engine.BlobRef, err error) {
	subject := xcomSubject(run, task, 0)
	if attempt > 0 {
		subject = receivedSubject(run, task, attempt)
	}
	m, err := x.feed.Stream().GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Header.Get(headerOperation) != "" {
		if attempt > 0 {
			return nil, nil, fmt.Errorf("%w: attempt %d of task %s in run %s kept nothing", engine.ErrNotFound, attempt, task, run)
		}
		return nil, nil, fmt.Errorf("%w: no value of task %s in run %s: it left none, or values of that age are gone", engine.ErrNotFound, task, run)
	}
	if err != nil {
		return nil, nil, unavailable(fmt.Errorf("read the value of %s: %w", task, err))
	}
	switch {
	case m.Header.Get(HeaderSensitive) != "":
		return nil, nil, fmt.Errorf("%w: task %s is sensitive: what it left is sealed, and only tasks of its run read it", engine.ErrDenied, task)
	case m.Header.Get(HeaderBlob) == "":
		return m.Data, nil, nil
	}
	ref = new(engine.BlobRef)
	if err := json.Unmarshal(m.Data, ref); err != nil {
		return nil, nil, fmt.Errorf("read where the value of %s is: %w", task, err)
	}
	return nil, ref, nil
}

// Get returns what Lookup finds as JSON text, wherever it is.
func (x *XCom) Get(ctx context.Context, run engine.RunID, task engine.TaskID, attempt int) ([]byte, error) {
	text, ref, err := x.Lookup(ctx, run, task, attempt)
	if err != nil || ref == nil {
		return text, err
	}
	if ref.Described() {
		return ref.JSON(nil), nil
	}
	data, err := x.blobs.Get(ctx, ref.Name, maxValue)
	if err != nil {
		return nil, fmt.Errorf("read the value of %s: %w", task, err)
	}
	return ref.JSON(data), nil
}

// codeNoSpace is the server's error code for a store that is full.
const codeNoSpace = 10023

// unavailable says that a bucket could not be read or written now.
func unavailable(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &api) && api.ErrorCode == codeNoSpace:
		return fmt.Errorf("%w: the store is full; free space on its disk", engine.ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", engine.ErrUnavailable, err)
}
