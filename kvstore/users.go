package kvstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// BucketUsers holds who logs in with a password, by name: hashes of passwords.
const BucketUsers = "qarion_users"

// Users is the store of users. Its bucket is made with the first of them.
type Users struct{ bucket *lateBucket }

// OpenUsers opens the store.
func OpenUsers(conn *nats.Conn) (*Users, error) {
	b, err := openLate(conn, jetstream.KeyValueConfig{
		Bucket: BucketUsers, Description: "qarion: who logs in with a password", History: 1, Storage: jetstream.FileStorage, Replicas: 1,
	})
	return &Users{b}, err
}

// Store keeps a user, in place of the one of that name.
func (u *Users) Store(ctx context.Context, user engine.User) error {
	kv, err := u.bucket.make(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(user)
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, user.Name, data)
	return unavailable(err)
}

// Find returns a user. engine.ErrNotFound.
func (u *Users) Find(ctx context.Context, name string) (user engine.User, err error) {
	_, err = u.bucket.read(ctx, "user", name, &user)
	return user, err
}

// List returns the users without their hashes, by name.
func (u *Users) List(ctx context.Context) ([]engine.User, error) {
	list := []engine.User{}
	kv, err := u.bucket.find(ctx)
	if err != nil || kv == nil {
		return list, err
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	for name := range keys.Keys() {
		user, err := u.Find(ctx, name)
		if errors.Is(err, engine.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		user.Hash = ""
		list = append(list, user)
	}
	slices.SortFunc(list, func(a, b engine.User) int { return cmp.Compare(a.Name, b.Name) })
	return list, ctx.Err()
}

// Delete takes a user away at once. engine.ErrNotFound.
func (u *Users) Delete(ctx context.Context, name string) error {
	if _, err := u.Find(ctx, name); err != nil && !errors.Is(err, engine.ErrDamaged) {
		return err
	}
	kv, err := u.bucket.find(ctx)
	if err != nil {
		return err
	}
	return unavailable(kv.Purge(ctx, name))
}
