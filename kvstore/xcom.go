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

// BucketXCom holds the values that tasks leave for others: <run>.<task>.
const BucketXCom = "qarion_xcom"

// headerBlob marks a key whose value stands in the object store; the data is
// the reference.
const headerBlob = "Qarion-Blob"

// XCom is the bucket of XCom values, a projection of the ledger.
type XCom struct {
	*view
	blobs engine.Blobs
}

var _ engine.Projection = (*XCom)(nil)

// OpenXCom opens the bucket; values older than keep go away.
func OpenXCom(ctx context.Context, js jetstream.JetStream, blobs engine.Blobs, keep time.Duration) (*XCom, error) {
	v, err := openView(ctx, js, BucketXCom, "qarion: values that tasks left, by run and task", keep)
	if err != nil {
		return nil, err
	}
	return &XCom{v, blobs}, nil
}

// Project implements engine.Projection.
func (x *XCom) Project(ctx context.Context, changes []engine.Change) error {
	var msgs []*nats.Msg
	for i := range changes {
		c := &changes[i]
		if c.Kind != engine.AttemptDone || c.Superseded || c.Attempt.Outcome != engine.OutcomeSuccess {
			continue
		}
		key := string(c.Run) + "." + string(c.Task)
		switch {
		case c.Attempt.Blob != nil:
			ref, err := json.Marshal(c.Attempt.Blob)
			if err != nil {
				return err
			}
			m := x.key(key, ref, c.Pos)
			m.Header.Set(headerBlob, "1")
			msgs = append(msgs, m)
		case len(c.Attempt.Value) > 0:
			msgs = append(msgs, x.key(key, c.Attempt.Value, c.Pos))
		}
	}
	return x.write(ctx, msgs)
}

// Get returns the value that a task of a run left, as JSON text; what stands
// in the object store is read from there. engine.ErrNotFound: it left none, or
// its time has passed.
func (x *XCom) Get(ctx context.Context, run engine.RunID, task engine.TaskID) ([]byte, error) {
	m, err := x.stream.GetLastMsgForSubject(ctx, "$KV."+BucketXCom+"."+string(run)+"."+string(task))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: task %s of run %s left no value", engine.ErrNotFound, task, run)
	}
	if err != nil {
		return nil, err
	}
	if m.Header.Get(headerBlob) == "" {
		return m.Data, nil
	}
	var ref engine.BlobRef
	if err := json.Unmarshal(m.Data, &ref); err != nil {
		return nil, fmt.Errorf("read the reference of %s.%s: %w", run, task, err)
	}
	data, err := x.blobs.Get(ctx, ref.Name, maxBlob)
	if err != nil {
		return nil, err
	}
	return engine.BlobJSON(data, ref.ContentType), nil
}
