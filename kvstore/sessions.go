package kvstore

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// BucketSessions holds the browsers that are logged in, by the hash of their
// cookies. A session that is not ended is gone after engine.SessionLife.
const BucketSessions = "qarion_sessions"

// Sessions is the store of sessions. Its bucket is made with the first of them.
type Sessions struct{ bucket *lateBucket }

// OpenSessions opens the store.
func OpenSessions(conn *nats.Conn) (*Sessions, error) {
	b, err := openLate(conn, jetstream.KeyValueConfig{
		Bucket: BucketSessions, Description: "qarion: browsers that are logged in", History: 1, TTL: engine.SessionLife,
		Storage: jetstream.FileStorage, Replicas: 1,
	})
	return &Sessions{b}, err
}

// Begin keeps a new session.
func (s *Sessions) Begin(ctx context.Context, session engine.Session) error {
	kv, err := s.bucket.make(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(session)
	if err != nil {
		return err
	}
	_, err = kv.Create(ctx, session.ID, data)
	return unavailable(err)
}

// Find returns a session, and its revision for Used. engine.ErrNotFound.
func (s *Sessions) Find(ctx context.Context, id string) (session engine.Session, revision uint64, err error) {
	revision, err = s.bucket.read(ctx, "session", id, &session)
	return session, revision, err
}

// Used keeps when a session was used last, unless it was ended or written
// meanwhile.
func (s *Sessions) Used(ctx context.Context, session engine.Session, revision uint64) error {
	kv, err := s.bucket.make(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(session)
	if err != nil {
		return err
	}
	_, err = kv.Update(ctx, session.ID, data, revision)
	if errors.Is(err, jetstream.ErrKeyExists) { // another revision: somebody else was first
		return nil
	}
	return unavailable(err)
}

// End ends a session at once, if there is one.
func (s *Sessions) End(ctx context.Context, id string) error {
	kv, err := s.bucket.find(ctx)
	if err != nil || kv == nil {
		return err
	}
	return unavailable(kv.Purge(ctx, id))
}
