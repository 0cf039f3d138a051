package kvstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// SweepChunks deletes what a process that died in the middle of a write has
// left: chunks that no entry names, of which the last is older than the given
// age. It returns of how many objects.
func (b *Blobs) SweepChunks(ctx context.Context, olderThan time.Duration) (deleted int, err error) {
	return sweepChunks(ctx, BucketBlobs, b.stream, b.store, olderThan, func(id string) bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.underWay[id]
	})
}

// sweepChunks deletes chunks of a bucket that no entry names and that are not under way.
func sweepChunks(ctx context.Context, bucket string, stream jetstream.Stream, store jetstream.ObjectStore, olderThan time.Duration, underWay func(id string) bool) (deleted int, err error) {
	prefix := "$O." + bucket + ".C."
	state, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+"*"))
	if err != nil {
		return 0, unavailable(fmt.Errorf("list the parts of objects: %w", err))
	}
	stray := map[string]bool{}
	for subject := range state.State.Subjects {
		if id := strings.TrimPrefix(subject, prefix); !underWay(id) {
			stray[id] = true
		}
	}
	list, err := store.List(ctx, jetstream.ListObjectsShowDeleted()) // after the chunks: what was finished meanwhile has an entry
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, unavailable(fmt.Errorf("list objects: %w", err))
	}
	for _, info := range list {
		delete(stray, info.NUID)
	}
	before := time.Now().Add(-olderThan)
	for id := range stray {
		m, err := stream.GetLastMsgForSubject(ctx, prefix+id)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Time.After(before) {
			continue
		}
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(prefix+id))
		}
		if err != nil {
			return deleted, unavailable(fmt.Errorf("delete parts of an object: %w", err))
		}
		deleted++
	}
	return deleted, nil
}
