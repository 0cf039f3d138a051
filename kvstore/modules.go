package kvstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// BucketHooks is the object store of hook modules.
const BucketHooks = "qarion_hooks"

// Modules keeps hook modules in the object store: each under the hash of its
// content, which never changes, and names that say which hash they stand for now.
// It serves as the Store of wasmhooks.
type Modules struct {
	js    jetstream.JetStream
	store jetstream.ObjectStore
	mu    sync.Mutex // between keeping a module and deleting it
}

const (
	modulePrefix = "sha256/"
	namePrefix   = "name/"
)

// ModuleObject is the name of the object that a module of a hash is kept in.
func ModuleObject(hash string) string { return modulePrefix + hash }

// maxModule bounds what is read of a module, in bytes.
const maxModule = 32 << 20

// FindModules opens the object store if it is there. engine.ErrNotFound: no module was
// ever kept.
func FindModules(ctx context.Context, conn *nats.Conn) (*Modules, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	store, err := js.ObjectStore(ctx, BucketHooks)
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: object store %s", engine.ErrNotFound, BucketHooks)
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("open object store %s: %w", BucketHooks, err))
	}
	return &Modules{js: js, store: store}, nil
}

// OpenModules opens the object store, and makes it when it is not there.
func OpenModules(ctx context.Context, conn *nats.Conn) (*Modules, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	store, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: BucketHooks, Description: "qarion: modules of hooks", Storage: jetstream.FileStorage, Replicas: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("open object store %s: %w", BucketHooks, err)
	}
	return &Modules{js: js, store: store}, nil
}

// Resolve is the hash that a name stands for. engine.ErrNotFound: nothing was
// pushed under it.
func (m *Modules) Resolve(ctx context.Context, name string) (string, error) {
	hash, err := m.store.GetString(ctx, namePrefix+name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return "", fmt.Errorf("%w: no hook %q", engine.ErrNotFound, name)
	}
	return hash, unavailable(err)
}

// Module reads a module. engine.ErrNotFound: there is none of that hash.
func (m *Modules) Module(ctx context.Context, hash string) ([]byte, error) {
	info, err := m.store.GetInfo(ctx, modulePrefix+hash)
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return nil, fmt.Errorf("%w: the module %.12s", engine.ErrNotFound, hash)
	case err != nil:
		return nil, unavailable(err)
	case info.Size > maxModule:
		return nil, fmt.Errorf("%w: the module %.12s has %d bytes", engine.ErrInvalid, hash, info.Size)
	}
	data, err := m.store.GetBytes(ctx, modulePrefix+hash)
	return data, unavailable(err)
}

// Keep stores a module, unless it is there.
func (m *Modules) Keep(ctx context.Context, hash string, module []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if info, err := m.store.GetInfo(ctx, modulePrefix+hash); err == nil {
		return m.mark(ctx, info, "")
	}
	_, err := m.store.PutBytes(ctx, modulePrefix+hash, module)
	return unavailable(err)
}

// unusedSince is the metadata of a module that nothing names: since when.
const unusedSince = "unused_since"

// mark notes since when a module is not used; "": it is.
func (m *Modules) mark(ctx context.Context, info *jetstream.ObjectInfo, since string) error {
	if info.Metadata[unusedSince] == since {
		return nil
	}
	meta := info.ObjectMeta
	meta.Metadata = maps.Clone(meta.Metadata)
	if since == "" {
		delete(meta.Metadata, unusedSince)
	} else {
		meta.Metadata = map[string]string{unusedSince: since}
	}
	return unavailable(m.store.UpdateMeta(ctx, info.Name, meta))
}

// Sweep deletes modules that have not been used for an age, and returns how many. Used
// are those whose hash is in used, and those that a name stands for.
func (m *Modules) Sweep(ctx context.Context, used map[string]bool, now time.Time, age time.Duration) (deleted int, err error) {
	all, err := m.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, nil
	}
	if err != nil {
		return 0, unavailable(err)
	}
	used = maps.Clone(used)
	if used == nil {
		used = map[string]bool{}
	}
	for _, o := range all {
		if name, ok := strings.CutPrefix(o.Name, namePrefix); ok {
			hash, err := m.Resolve(ctx, name)
			if err != nil {
				return 0, err // or what it stands for would be deleted
			}
			used[hash] = true
		}
	}
	for _, o := range all {
		hash, ok := strings.CutPrefix(o.Name, modulePrefix)
		if !ok {
			continue
		}
		gone, err := m.sweep(ctx, o.Name, used[hash], now, age)
		if err != nil {
			return deleted, err
		}
		if gone {
			deleted++
		}
	}
	return deleted, nil
}

// sweep marks one module, or deletes it when it has been marked for long.
func (m *Modules) sweep(ctx context.Context, name string, used bool, now time.Time, age time.Duration) (gone bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	info, err := m.store.GetInfo(ctx, name) // it may have been kept anew
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return false, nil
	case err != nil:
		return false, unavailable(err)
	case used:
		return false, m.mark(ctx, info, "")
	}
	since, err := time.Parse(time.RFC3339, info.Metadata[unusedSince])
	switch {
	case err != nil:
		return false, m.mark(ctx, info, now.UTC().Format(time.RFC3339))
	case now.Sub(since) < age:
		return false, nil
	}
	return true, unavailable(m.store.Delete(ctx, name))
}

// SweepChunks deletes parts of modules that no entry names: those of a push that was cut
// off. They are left alone while the last of them is younger than an age: any client may
// be pushing. It returns how many modules they were of.
func (m *Modules) SweepChunks(ctx context.Context, olderThan time.Duration) (deleted int, err error) {
	stream, err := m.js.Stream(ctx, "OBJ_"+BucketHooks)
	if err != nil {
		return 0, unavailable(fmt.Errorf("list the parts of modules: %w", err))
	}
	return sweepChunks(ctx, BucketHooks, stream, m.store, olderThan, func(string) bool { return false })
}

// Name makes a name stand for a module that is kept. exports is what it can be asked, for
// List.
func (m *Modules) Name(ctx context.Context, name, hash string, exports []string) error {
	_, err := m.store.Put(ctx, jetstream.ObjectMeta{Name: namePrefix + name, Metadata: map[string]string{exportsOf: strings.Join(exports, ",")}}, strings.NewReader(hash))
	return unavailable(err)
}

// exportsOf is the metadata of a name: what its module can be asked.
const exportsOf = "exports"

// NamedModule is a module that was pushed.
type NamedModule struct {
	Name     string   `json:"name"`
	SHA256   string   `json:"sha256"`
	Size     uint64   `json:"size"`
	Exports  []string `json:"exports,omitempty"` // "validate", "transform"; none where an older version has pushed it
	StoredAt string   `json:"stored_at"`
}

// List returns what was pushed, by name.
func (m *Modules) List(ctx context.Context) ([]NamedModule, error) {
	all, err := m.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	sizes := map[string]uint64{}
	var out []NamedModule
	for _, o := range all {
		if hash, ok := strings.CutPrefix(o.Name, modulePrefix); ok {
			sizes[hash] = o.Size
		}
	}
	for _, o := range all {
		name, ok := strings.CutPrefix(o.Name, namePrefix)
		if !ok {
			continue
		}
		hash, err := m.Resolve(ctx, name)
		if err != nil {
			return nil, err
		}
		named := NamedModule{Name: name, SHA256: hash, Size: sizes[hash], StoredAt: engine.FormatTime(o.ModTime)}
		if text := o.Metadata[exportsOf]; text != "" {
			named.Exports = strings.Split(text, ",")
		}
		out = append(out, named)
	}
	slices.SortFunc(out, func(a, b NamedModule) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
