package kvstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// BucketRuns holds one document per run.
const BucketRuns = "qarion_runs"

// maxDoc is the largest run document that is stored, in bytes; of a larger one
// the tasks that simply ended are left out.
const maxDoc = 900 << 10

// Runs is the bucket of run documents, a projection of the ledger.
type Runs struct{ *view }

var _ engine.Projection = (*Runs)(nil)

// OpenRuns opens the bucket; documents older than keep go away.
func OpenRuns(ctx context.Context, js jetstream.JetStream, keep time.Duration) (*Runs, error) {
	v, err := openView(ctx, js, BucketRuns, "qarion: one document per run", keep)
	if err != nil {
		return nil, err
	}
	return &Runs{v}, nil
}

// Project implements engine.Projection. Of a run that changes more than once
// in a batch only the newest document is written.
func (r *Runs) Project(ctx context.Context, changes []engine.Change) error {
	newest := make(map[engine.RunID]*engine.Change, len(changes)/4)
	order := make([]engine.RunID, 0, len(changes)/4)
	for i := range changes {
		c := &changes[i]
		if c.Doc == nil {
			continue
		}
		if newest[c.Run] == nil {
			order = append(order, c.Run)
		}
		newest[c.Run] = c
	}
	msgs := make([]*nats.Msg, 0, len(order))
	for _, run := range order {
		c := newest[run]
		data, err := encodeDoc(c.Doc)
		if err != nil {
			return fmt.Errorf("encode run %s: %w", run, err)
		}
		msgs = append(msgs, r.key(string(run), data, c.Pos))
	}
	return r.write(ctx, msgs)
}

func encodeDoc(d *engine.RunDoc) ([]byte, error) {
	data, err := json.Marshal(d)
	if err != nil || len(data) <= maxDoc {
		return data, err
	}
	short := *d
	short.Tasks = nil
	for _, t := range d.Tasks {
		if t.Status == engine.Failed || t.Status == engine.Interrupted {
			t.History = nil
			short.Tasks = append(short.Tasks, t)
		}
		if len(short.Tasks) == 100 {
			break
		}
	}
	return json.Marshal(&short)
}

// Get returns a run's document; engine.ErrNotFound when there is none.
func (r *Runs) Get(ctx context.Context, id engine.RunID) (*engine.RunDoc, error) {
	m, err := r.stream.GetLastMsgForSubject(ctx, "$KV."+BucketRuns+"."+string(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: no run %s", engine.ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	return decodeDoc(m.Data)
}

func decodeDoc(data []byte) (*engine.RunDoc, error) {
	d := new(engine.RunDoc)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("decode run document: %w", err)
	}
	return d, nil
}

// Scan hands run documents to fn, the last written first, until fn returns
// false. It reads backwards through the stream, so that the newest of a
// hundred thousand runs cost no more than those of a hundred.
func (r *Runs) Scan(ctx context.Context, fn func(*engine.RunDoc) bool) error {
	info, err := r.stream.Info(ctx)
	if err != nil {
		return err
	}
	for high := info.State.LastSeq; high >= info.State.FirstSeq && high > 0; {
		low := uint64(1)
		if high > scanStep {
			low = high - scanStep + 1
		}
		docs, err := r.between(ctx, low, high)
		if err != nil {
			return err
		}
		for i := len(docs) - 1; i >= 0; i-- {
			if !fn(docs[i]) {
				return nil
			}
		}
		if low == 1 {
			return nil
		}
		high = low - 1
	}
	return nil
}

// scanStep is how many sequences one step of a scan looks at.
const scanStep = 512

// between reads the documents between two sequences, in order.
func (r *Runs) between(ctx context.Context, low, high uint64) (docs []*engine.RunDoc, err error) {
	c, err := r.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: low, AckPolicy: jetstream.AckNonePolicy,
		FilterSubject: "$KV." + BucketRuns + ".>", MemoryStorage: true, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	defer func() { _ = r.stream.DeleteConsumer(context.WithoutCancel(ctx), c.CachedInfo().Name) }()
	batch, err := c.FetchNoWait(scanStep)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream > high {
			break
		}
		if doc, err := decodeDoc(m.Data()); err == nil {
			docs = append(docs, doc)
		}
	}
	return docs, batch.Error()
}
