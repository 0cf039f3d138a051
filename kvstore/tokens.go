package kvstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// BucketTokens holds the tokens that let programs in, by id: their hashes.
const BucketTokens = "qarion_tokens"

// Tokens is the store of tokens. Its bucket is made with the first of them.
type Tokens struct{ bucket *lateBucket }

// OpenTokens opens the store.
func OpenTokens(conn *nats.Conn) (*Tokens, error) {
	b, err := openLate(conn, jetstream.KeyValueConfig{
		Bucket: BucketTokens, Description: "qarion: hashes of tokens", History: 1, Storage: jetstream.FileStorage, Replicas: 1,
	})
	return &Tokens{b}, err
}

// Store keeps a token.
func (t *Tokens) Store(ctx context.Context, token engine.Token) error {
	kv, err := t.bucket.make(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(token)
	if err != nil {
		return err
	}
	_, err = kv.Create(ctx, token.ID, data)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("%w: there is a token %s already", engine.ErrConflict, token.ID)
	}
	return unavailable(err)
}

// Find returns a token. engine.ErrNotFound.
func (t *Tokens) Find(ctx context.Context, id string) (token engine.Token, err error) {
	_, err = t.bucket.read(ctx, "token", id, &token)
	return token, err
}

// List returns the tokens without their hashes, oldest first.
func (t *Tokens) List(ctx context.Context) ([]engine.Token, error) {
	list := []engine.Token{}
	kv, err := t.bucket.find(ctx)
	if err != nil || kv == nil {
		return list, err
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	for id := range keys.Keys() {
		token, err := t.Find(ctx, id)
		if errors.Is(err, engine.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		token.Hash = ""
		list = append(list, token)
	}
	slices.SortFunc(list, func(a, b engine.Token) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return list, ctx.Err()
}

// Delete ends a token at once. engine.ErrNotFound.
func (t *Tokens) Delete(ctx context.Context, id string) error {
	if _, err := t.Find(ctx, id); err != nil && !errors.Is(err, engine.ErrDamaged) {
		return err
	}
	kv, err := t.bucket.find(ctx)
	if err != nil {
		return err
	}
	return unavailable(kv.Purge(ctx, id))
}
