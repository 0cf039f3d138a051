package kvstore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/feed"
)

// DefaultRunRetention is how long run documents are kept.
const DefaultRunRetention = engine.DefaultRetention

// Headers of a run's entry, so that lists need not read the documents.
const (
	headerFlow   = "Qarion-Flow"
	headerStatus = "Qarion-Status"
	headerSeeds  = "Qarion-Seeds" // engine.Seeds in base64: what another run can go on with
)

// maxDoc is the largest document in the bucket, in bytes: a message may have
// 1 MiB.
const maxDoc = 960 << 10

// Seeds take seven bytes or so for a task. A message has 64 KiB of headers at
// most: those of large flows stand in the document, as a field beside its own;
// those of the largest are left out, and such a run is repeated from its
// beginning only.
const (
	fieldSeeds     = "seeds"
	maxSeedsHeader = 32 << 10  // in base64
	maxSeeds       = 480 << 10 // bytes
)

// RunsConfig is how the bucket of runs is opened.
type RunsConfig struct {
	Conn      *nats.Conn
	Retention time.Duration // default DefaultRunRetention
	Max       int           // documents; 0 means DefaultMaxEntries, less no bound
}

// Runs is the bucket qarion_runs: one document per run, under its id. The first
// one is written when the run has lasted a second: most end before, and need
// no more than their last (runs_held.go). It implements engine.Projection and
// engine.Runs.
type Runs struct {
	feed *feed.Feed
	conn *nats.Conn
	buf  []byte
	held heldStarts
}

var (
	_ engine.Holding   = (*Runs)(nil)
	_ engine.Runs      = (*Runs)(nil)
	_ engine.SeedStore = (*Runs)(nil)
)

// OpenRuns opens the bucket.
func OpenRuns(ctx context.Context, cfg RunsConfig) (*Runs, error) {
	if cfg.Retention <= 0 {
		cfg.Retention = DefaultRunRetention
	}
	f, err := feed.Open(ctx, feed.Config{
		Conn: cfg.Conn, Mark: markSubject("runs"),
		Stream: bucketStream(BucketRuns, "qarion: one document per run", cfg.Retention, cfg.Max),
	})
	if err != nil {
		return nil, err
	}
	return &Runs{feed: f, conn: cfg.Conn}, nil
}

// Close ends the writing.
func (r *Runs) Close() { r.feed.Close() }

// Name implements engine.Projection.
func (r *Runs) Name() string { return engine.RunsView }

// Position implements engine.Projection.
func (r *Runs) Position(ctx context.Context) (engine.Pos, error) {
	p, err := r.feed.Position(ctx)
	return engine.Pos(p), unavailable(err)
}

// Mark implements engine.Projection.
func (r *Runs) Mark(ctx context.Context, at engine.Pos) error {
	if err := r.writeHeld(ctx, func(*heldStart) bool { return true }); err != nil {
		return err
	}
	return unavailable(r.feed.Mark(ctx, feed.Pos(at)))
}

// Project implements engine.Projection. Of several documents of one run only
// the newest is written: the bucket would keep no other. It is called by one
// goroutine.
func (r *Runs) Project(ctx context.Context, changes []engine.Change) error {
	newest := make(map[engine.RunID]int, len(changes)/4)
	var now engine.Micros
	for i := range changes {
		if now = max(now, changes[i].At); changes[i].Doc != nil {
			newest[changes[i].Run] = i
		}
	}
	b := r.feed.Begin(ctx)
	defer b.End()
	defer r.held.rollback() // what is written is committed by then
	for _, s := range r.held.list {
		if _, later := newest[s.run]; !later && s.at+holdMicros <= now {
			if err := r.write(ctx, b, s); err != nil {
				return err
			}
		}
	}
	for i := range changes {
		c := &changes[i]
		if c.Doc == nil || newest[c.Run] != i || b.Written(feed.Pos(c.Pos)) {
			continue
		}
		if c.Kind == engine.RunStarted && !c.Doc.Final && c.At+holdMicros > now && r.held.take(c) {
			continue
		}
		r.held.drop(c.Run)
		if err := r.add(ctx, b, c); err != nil {
			return err
		}
	}
	if err := b.Commit(ctx); err != nil {
		return unavailable(err)
	}
	r.held.commit()
	return nil
}

// add writes the document of a change.
func (r *Runs) add(ctx context.Context, b *feed.Batch, c *engine.Change) (err error) {
	seeds := ""
	if r.buf, seeds, err = appendRun(r.buf[:0], c); err != nil {
		return err
	}
	b.Header(headerSeeds, seeds)
	b.Header(headerFlow, string(c.Doc.FlowID))
	b.Header(headerStatus, string(c.Doc.Status))
	at := feed.Pos(c.Pos)
	return unavailable(b.AddBefore(ctx, at, feed.Pos(r.held.taken(c.Pos)), keyPrefix(BucketRuns)+string(c.Run), r.buf))
}

// appendRun appends the entry of a run as a change makes it, and returns the
// seeds that stand in its header.
func appendRun(dst []byte, c *engine.Change) (entry []byte, seeds string, err error) {
	if c.Seeds != nil && len(c.Seeds) <= maxSeeds {
		seeds = base64.RawStdEncoding.EncodeToString(c.Seeds)
	}
	if dst, err = c.Doc.AppendWithin(dst, maxDoc-len(seeds)); err != nil {
		return dst, "", err
	}
	if len(seeds) > maxSeedsHeader {
		dst = append(append(append(dst[:len(dst)-1], `,"`+fieldSeeds+`":"`...), seeds...), `"}`...)
		seeds = ""
	}
	return dst, seeds, nil
}

// Get implements engine.Runs.
func (r *Runs) Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	m, err := r.feed.Stream().GetLastMsgForSubject(ctx, keyPrefix(BucketRuns)+string(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Header.Get(headerOperation) != "" {
		return nil, fmt.Errorf("%w: no run %s", engine.ErrNotFound, id)
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("read run %s: %w", id, err))
	}
	doc := new(engine.RunDoc)
	if err := json.Unmarshal(m.Data, doc); err != nil {
		return nil, fmt.Errorf("read run %s: %w", id, err)
	}
	return doc, nil
}

// Seeds implements engine.SeedStore.
func (r *Runs) Seeds(ctx context.Context, id engine.RunID) ([]byte, error) {
	m, err := r.feed.Stream().GetLastMsgForSubject(ctx, keyPrefix(BucketRuns)+string(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: no run %s", engine.ErrNotFound, id)
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("read run %s: %w", id, err))
	}
	text := m.Header.Get(headerSeeds)
	if text == "" {
		var doc map[string]json.RawMessage
		if err := json.Unmarshal(m.Data, &doc); err != nil {
			return nil, fmt.Errorf("read run %s: %w", id, err)
		}
		if text, err = unquoted(doc[fieldSeeds]); err != nil {
			return nil, fmt.Errorf("read run %s: %w", id, err)
		}
	}
	seeds, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(seeds) == 0 {
		return nil, err
	}
	return seeds, nil
}

// unquoted is a text in JSON; "" where there is none.
func unquoted(raw json.RawMessage) (text string, err error) {
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &text)
	}
	return text, err
}

// Ending implements engine.Runs. It looks at the keys alone.
func (r *Runs) Ending(ctx context.Context, ending string) ([]engine.RunID, error) {
	prefix := keyPrefix(BucketRuns)
	info, err := r.feed.Stream().Info(ctx, jetstream.WithSubjectFilter(prefix+"*"))
	if err != nil {
		return nil, unavailable(fmt.Errorf("list the runs: %w", err))
	}
	var ids []engine.RunID
	for subject := range info.State.Subjects {
		id := strings.TrimPrefix(subject, prefix)
		if !strings.HasSuffix(id, ending) {
			continue
		}
		if ids = append(ids, engine.RunID(id)); len(ids) == 2 {
			break
		}
	}
	return ids, nil
}
