package kvstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// lateBucket is a bucket of JSON documents that is made with the first of them.
type lateBucket struct {
	js     jetstream.JetStream
	config jetstream.KeyValueConfig

	mu sync.Mutex
	kv jetstream.KeyValue // nil until there is one
}

func openLate(conn *nats.Conn, config jetstream.KeyValueConfig) (*lateBucket, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return &lateBucket{js: js, config: config}, nil
}

// find is the bucket; nil where there is none yet.
func (b *lateBucket) find(ctx context.Context) (jetstream.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kv != nil {
		return b.kv, nil
	}
	kv, err := b.js.KeyValue(ctx, b.config.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("open bucket %s: %w", b.config.Bucket, err))
	}
	b.kv = kv
	return kv, nil
}

// make is the bucket, made where there is none yet.
func (b *lateBucket) make(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := b.find(ctx)
	if err != nil || kv != nil {
		return kv, err
	}
	if kv, err = b.js.CreateOrUpdateKeyValue(ctx, b.config); err != nil {
		return nil, unavailable(fmt.Errorf("make bucket %s: %w", b.config.Bucket, err))
	}
	return kv, nil
}

// read fills out with a document. engine.ErrNotFound, naming it as what;
// engine.ErrDamaged when it is no document.
func (b *lateBucket) read(ctx context.Context, what, key string, out any) (revision uint64, err error) {
	none := fmt.Errorf("%w: no %s %.40q", engine.ErrNotFound, what, key)
	kv, err := b.find(ctx)
	if err != nil {
		return 0, err
	}
	if kv == nil {
		return 0, none
	}
	entry, err := kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey):
		return 0, none
	case err != nil:
		return 0, unavailable(err)
	}
	if err := json.Unmarshal(entry.Value(), out); err != nil {
		return 0, fmt.Errorf("%w: %s %.40s cannot be read: %w", engine.ErrDamaged, what, key, err)
	}
	return entry.Revision(), nil
}
