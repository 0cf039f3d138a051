package kvstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// Blobs is the object store qarion_blobs. Names of values are
// <run>/<task>/<item>/<generation>.<attempt>.<dispatch>; other names belong to
// no run. It implements engine.Blobs.
type Blobs struct {
	js     jetstream.JetStream
	store  jetstream.ObjectStore
	stream jetstream.Stream

	mu       sync.Mutex
	underWay map[string]bool // objects that are being written, by their ids

	streamed atomic.Int64 // bytes that were written and read
}

var _ engine.Blobs = (*Blobs)(nil)

// blobsStream is the configuration that makes a stream an object store, as the
// client writes it, but for the limit per subject. No object has so many
// chunks; with one, the server keeps its blocks at 4 MiB instead of 8, and a
// block is what it holds in memory for each object that is read or written.
var blobsStream = jetstream.StreamConfig{
	Name:              "OBJ_" + BucketBlobs,
	Description:       "qarion: values too large for a record",
	Subjects:          []string{chunkSubject(">"), "$O." + BucketBlobs + ".M.>"},
	Storage:           jetstream.FileStorage,
	Discard:           jetstream.DiscardNew,
	MaxMsgsPerSubject: 1 << 40,
	AllowRollup:       true,
	AllowDirect:       true,
	Replicas:          1,
}

// OpenBlobs opens the object store. It is written as safely as the ledger: an
// object is stored before the record that names it.
func OpenBlobs(ctx context.Context, conn *nats.Conn) (*Blobs, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	stream, err := js.CreateOrUpdateStream(ctx, blobsStream)
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", BucketBlobs, err)
	}
	store, err := js.ObjectStore(ctx, BucketBlobs)
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", BucketBlobs, err)
	}
	return &Blobs{js: js, store: store, stream: stream, underWay: map[string]bool{}}, nil
}

// Put implements engine.Blobs. The same bytes under a name that is there are
// not written again. Others replace it: then no record names the old ones,
// since its process died before it could write one.
func (b *Blobs) Put(ctx context.Context, name string, data []byte) error {
	info, err := b.store.GetInfo(ctx, name)
	if err == nil && info.Size == uint64(len(data)) && info.Digest == digest(data) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return unavailable(fmt.Errorf("look for object %s: %w", name, err))
	}
	_, err = b.Write(ctx, name, bytes.NewReader(data))
	return err
}

// digest is written as the object store does.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return digestText(sum[:])
}

func digestText(sum []byte) string { return digestPrefix + base64.URLEncoding.EncodeToString(sum) }

// Get implements engine.Blobs. What is read is checked against its digest.
func (b *Blobs) Get(ctx context.Context, name string, max int64) ([]byte, error) {
	r, err := b.open(ctx, name)
	if err != nil {
		return nil, err
	}
	if r.info.Size > uint64(max) {
		return nil, fmt.Errorf("%w: object %s has %d bytes, at most %d are read", engine.ErrInvalid, name, r.info.Size, max)
	}
	data := make([]byte, r.info.Size)
	_, err = io.ReadFull(r, data)
	return data, err
}

// Sweep deletes the objects of runs that keep does not want, once they are
// older than the given age: what an attempt stored before its process died has
// no record, and its run may be a moment away from being known. It returns how
// many it deleted. Objects that belong to no run stay.
func (b *Blobs) Sweep(ctx context.Context, keep func(engine.RunID) bool, olderThan time.Duration) (deleted int, err error) {
	list, err := b.store.List(ctx, jetstream.ListObjectsShowDeleted())
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, nil
	}
	if err != nil {
		return 0, unavailable(fmt.Errorf("list objects: %w", err))
	}
	before := time.Now().Add(-olderThan)
	for _, info := range list {
		owner, _, _ := strings.Cut(info.Name, "/")
		run, err := engine.ParseRunID(owner)
		if err != nil || info.ModTime.After(before) || keep(run) {
			continue
		}
		if err := b.remove(ctx, info); err != nil {
			return deleted, unavailable(fmt.Errorf("delete object %s: %w", info.Name, err))
		}
		deleted++
	}
	return deleted, nil
}

// remove takes an object away without the marker that a deletion leaves: the
// name first, so that nobody finds half an object.
func (b *Blobs) remove(ctx context.Context, info *jetstream.ObjectInfo) error {
	if err := b.stream.Purge(ctx, jetstream.WithPurgeSubject(entrySubject(info.Name))); err != nil {
		return err
	}
	return b.stream.Purge(ctx, jetstream.WithPurgeSubject(chunkSubject(info.NUID)))
}
