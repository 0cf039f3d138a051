package kvstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// BucketBlobs is the object store for values that do not fit into a record.
const BucketBlobs = "qarion_blobs"

// maxBlob bounds what is read of one object, in bytes.
const maxBlob = 1 << 30

// Blobs is the object store. A name is written once and never again: putting
// it a second time would break readers of the first.
type Blobs struct{ store jetstream.ObjectStore }

var _ engine.Blobs = (*Blobs)(nil)

// OpenBlobs opens the object store.
func OpenBlobs(ctx context.Context, js jetstream.JetStream) (*Blobs, error) {
	cfg := jetstream.ObjectStoreConfig{Bucket: BucketBlobs, Description: "qarion: values too large for a record", Storage: jetstream.FileStorage}
	s, err := js.ObjectStore(ctx, BucketBlobs)
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = js.CreateObjectStore(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", BucketBlobs, err)
	}
	return &Blobs{s}, nil
}

// Put implements engine.Blobs. An object of that name is left as it is.
func (b *Blobs) Put(ctx context.Context, name string, data []byte) error {
	if _, err := b.store.GetInfo(ctx, name); err == nil {
		return nil
	}
	if _, err := b.store.Put(ctx, jetstream.ObjectMeta{Name: name}, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("%w: put object %s: %w", engine.ErrUnavailable, name, err)
	}
	return nil
}

// Get implements engine.Blobs.
func (b *Blobs) Get(ctx context.Context, name string, max int64) ([]byte, error) {
	r, err := b.store.Get(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: object %s", engine.ErrNotFound, name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: get object %s: %w", engine.ErrUnavailable, name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, fmt.Errorf("%w: read object %s: %w", engine.ErrUnavailable, name, err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%w: the value has more than %d bytes", engine.ErrInvalid, max)
	}
	return data, nil
}

// Sweep deletes objects that are older than a time and whose run is neither
// open nor remembered: values whose record was never written, and those of
// runs whose time has passed. Flow definitions stay.
func (b *Blobs) Sweep(ctx context.Context, olderThan time.Time, known func(engine.RunID) bool) (deleted int, err error) {
	list, err := b.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list objects: %w", err)
	}
	for _, o := range list {
		run, rest, _ := strings.Cut(o.Name, "/")
		if run == "flows" || rest == "" || o.ModTime.After(olderThan) || known(engine.RunID(run)) {
			continue
		}
		if err := b.store.Delete(ctx, o.Name); err != nil {
			return deleted, fmt.Errorf("delete object %s: %w", o.Name, err)
		}
		deleted++
	}
	return deleted, nil
}
