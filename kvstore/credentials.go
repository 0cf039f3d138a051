package kvstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// CredentialsConfig is how the credential store is opened.
type CredentialsConfig struct {
	Conn *nats.Conn
	Key  KeyConfig
	Log  *slog.Logger // nil: discard
}

// Credentials is the bucket qarion_credentials: sealed records, credentials
// under credential.<id> and the tokens fetched with them under token.<id>. All
// entries are held in memory as they are stored, kept up by a watch, so that
// an attempt's Get asks nobody; each is opened once.
type Credentials struct {
	kv    jetstream.KeyValue
	log   *slog.Logger
	watch jetstream.KeyWatcher
	done  sync.WaitGroup

	writing sync.Mutex // one change at a time, and none during a rekey

	mu      sync.Mutex
	keys    keyring
	keyErr  error // why there is no key
	entries map[string]*sealedEntry
}

// sealedEntry is what the bucket has under one name.
type sealedEntry struct {
	revision uint64
	record   []byte // nil: deleted
	opened   *engine.Credential
}

// CredentialInfo is what may be shown of a stored credential.
type CredentialInfo struct {
	ID       string     `json:"credential_id"`
	Type     string     `json:"type"`
	StoredAt string     `json:"stored_at"`
	Data     *value.Map `json:"data,omitempty"`  // secrets as "***"
	Error    string     `json:"error,omitempty"` // why it cannot be used
}

const (
	credentialPrefix = "credential."
	tokenPrefix      = "token."
	tokenType        = "token"
)

// OpenCredentials opens the store. A key that is missing or cannot be used is
// no error here: it is one for each credential, and for Store.
func OpenCredentials(ctx context.Context, cfg CredentialsConfig) (*Credentials, error) {
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return nil, err
	}
	c := &Credentials{entries: map[string]*sealedEntry{}, keys: keyring{cfg: cfg.Key}, log: engine.Logger(cfg.Log)}
	c.kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: BucketCredentials, Description: "qarion: sealed credentials and tokens", History: 1,
		Storage: jetstream.FileStorage, Replicas: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", BucketCredentials, err)
	}
	c.keyErr = c.keys.load()
	if c.watch, err = c.kv.WatchAll(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("follow bucket %s: %w", BucketCredentials, err)
	}
	for {
		select {
		case e := <-c.watch.Updates():
			if e != nil {
				c.note(e)
				continue
			}
			c.done.Go(c.follow)
			return c, nil
		case <-ctx.Done():
			_ = c.watch.Stop()
			return nil, ctx.Err()
		}
	}
}

// Close ends the watch.
func (c *Credentials) Close() {
	_ = c.watch.Stop()
	c.done.Wait()
}

func (c *Credentials) follow() {
	for e := range c.watch.Updates() {
		if e != nil {
			c.note(e)
		}
	}
}

func (c *Credentials) note(e jetstream.KeyValueEntry) {
	record := e.Value()
	if e.Operation() != jetstream.KeyValuePut {
		record = nil
	}
	c.set(e.Key(), e.Revision(), record)
}

// set notes the newest entry of a name.
func (c *Credentials) set(name string, revision uint64, record []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.entries[name]; old == nil || old.revision < revision {
		c.entries[name] = &sealedEntry{revision: revision, record: record}
	}
}

// KeyError says why credentials cannot be opened, nil when they can, or when
// there are none yet.
func (c *Credentials) KeyError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keyErr != nil && errors.Is(c.keyErr, errNoKey) && !c.anyRecord() {
		return nil
	}
	return c.keyErr
}

// anyRecord reports whether anything is stored. The caller holds mu.
func (c *Credentials) anyRecord() bool {
	for _, e := range c.entries {
		if e.record != nil {
			return true
		}
	}
	return false
}

// Get returns a credential. engine.ErrNotFound: there is none of that id; any
// other error says why it cannot be opened. It serves as the CredentialStore
// of api_call.
func (c *Credentials) Get(_ context.Context, id string) (engine.Credential, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[credentialPrefix+id]
	if e == nil || e.record == nil {
		return engine.Credential{}, fmt.Errorf("credential %s: %w", id, engine.ErrNotFound)
	}
	if e.opened == nil {
		s, content, err := c.open(credentialPrefix+id, e)
		if err != nil {
			return engine.Credential{}, err
		}
		data, ok := content.(*value.Map)
		if !ok {
			return engine.Credential{}, sealErrorf("the record holds no fields")
		}
		e.opened = &engine.Credential{ID: id, Type: s.Type, Data: data}
	}
	return *e.opened, nil
}

// open opens an entry. The caller holds mu.
func (c *Credentials) open(name string, e *sealedEntry) (*sealed, any, error) {
	s, err := parseSealed(e.record)
	if err != nil {
		return nil, nil, err
	}
	if c.keyErr != nil { // it may have been put right in the meantime
		if c.keyErr = c.keys.load(); c.keyErr != nil {
			return s, nil, c.keyErr
		}
	}
	plain, err := s.open(&c.keys, name)
	if err != nil {
		return s, nil, err
	}
	content, err := value.ParseJSON(plain)
	if err != nil {
		return s, nil, sealErrorf("the record's content is damaged")
	}
	return s, content, nil
}

// Store checks and stores a credential, in place of the one of that id. made
// is the path of the key file where this has made it.
func (c *Credentials) Store(ctx context.Context, cred engine.Credential) (replaced bool, made string, err error) {
	if err := cred.Check(); err != nil {
		return false, "", err
	}
	content, err := value.JSON(cred.Data)
	if err != nil {
		return false, "", err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if made, err = c.needKey(); err != nil {
		return false, "", err
	}
	replaced, err = c.put(ctx, credentialPrefix+cred.ID, cred.Type, content)
	return replaced, made, err
}

// needKey makes the key at first use.
func (c *Credentials) needKey() (made string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keyErr == nil {
		return "", nil
	}
	c.keyErr = c.keys.load() // it may have been put right in the meantime
	if !errors.Is(c.keyErr, errNoKey) {
		return "", c.keyErr
	}
	if c.anyRecord() {
		return "", fmt.Errorf("%w, but credentials are sealed with it; put it back, or delete them first: qarion credentials list", c.keyErr)
	}
	if err := c.keys.make(); err != nil {
		return "", fmt.Errorf("make the key file: %w", err)
	}
	c.keyErr = nil
	return c.keys.cfg.File, nil
}

// put seals and writes a record. The caller holds writing.
func (c *Credentials) put(ctx context.Context, name, kind string, content []byte) (replaced bool, err error) {
	c.mu.Lock()
	old, key := c.entries[name], c.keys.seals()
	c.mu.Unlock()
	version := 1
	if old != nil {
		if s, err := parseSealed(old.record); err == nil {
			version = s.Version + 1
		}
		replaced = old.record != nil
	}
	record, err := seal(key, name, version, kind, engine.FormatTime(time.Now()), content)
	if err != nil {
		return false, err
	}
	at, err := c.kv.Put(ctx, name, record) // one node writes: the lock on the data directory
	if err != nil {
		return false, unavailable(fmt.Errorf("store: %w", err))
	}
	c.set(name, at, record)
	return replaced, nil
}

// Delete removes a credential and its token. engine.ErrNotFound: there is none.
func (c *Credentials) Delete(ctx context.Context, id string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	e := c.entries[credentialPrefix+id]
	_, token := c.entries[tokenPrefix+id]
	c.mu.Unlock()
	if e == nil || e.record == nil {
		return c.notFound(id)
	}
	names := []string{credentialPrefix + id}
	if token {
		names = append(names, tokenPrefix+id)
	}
	for _, name := range names {
		if err := c.kv.Purge(ctx, name); err != nil {
			return unavailable(fmt.Errorf("delete: %w", err))
		}
		c.mu.Lock()
		c.entries[name] = &sealedEntry{revision: c.entries[name].revision}
		c.mu.Unlock()
	}
	return nil
}

// notFound names the nearest id.
func (c *Credentials) notFound(id string) error {
	text := fmt.Sprintf("no credential %q", id)
	if near := engine.Nearest(id, c.ids()); near != "" {
		text += fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fmt.Errorf("%w: %s", engine.ErrNotFound, text)
}

// ids lists the ids of all credentials, sorted.
func (c *Credentials) ids() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, e := range c.entries {
		if id, ok := strings.CutPrefix(name, credentialPrefix); ok && e.record != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// List returns what may be shown of all credentials, by id, without their
// data. One that cannot be opened is listed with the reason.
func (c *Credentials) List(ctx context.Context) []CredentialInfo {
	out := []CredentialInfo{}
	for _, id := range c.ids() {
		info, err := c.Show(ctx, id)
		if err != nil {
			continue // deleted in the meantime
		}
		info.Data = nil
		out = append(out, info)
	}
	return out
}

// Show returns what may be shown of one credential. engine.ErrNotFound: there
// is none of that id.
func (c *Credentials) Show(ctx context.Context, id string) (CredentialInfo, error) {
	cred, err := c.Get(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		return CredentialInfo{}, c.notFound(id)
	}
	info := CredentialInfo{ID: id}
	c.mu.Lock()
	if e := c.entries[credentialPrefix+id]; e != nil {
		if s, bad := parseSealed(e.record); bad == nil {
			info.Type, info.StoredAt = s.Type, s.StoredAt
		}
	}
	c.mu.Unlock()
	if err != nil {
		info.Error = err.Error()
		return info, nil
	}
	info.Data = cred.Redacted()
	return info, nil
}

// Rekey makes a new master key and seals everything again with it. It can be
// cut off at any moment: both keys are kept until every record is sealed with
// the new one, and the next call goes on. Records that cannot be opened stay
// as they are and are counted as failed.
func (c *Credentials) Rekey(ctx context.Context) (done, failed int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	if c.keyErr != nil {
		c.keyErr = c.keys.load()
	}
	if err = c.keyErr; err == nil {
		err = c.keys.makeNext()
	}
	names := make([]string, 0, len(c.entries))
	for name, e := range c.entries {
		if e.record != nil {
			names = append(names, name)
		}
	}
	c.mu.Unlock()
	if err != nil {
		return 0, 0, err
	}
	slices.Sort(names)
	for _, name := range names {
		var closed *sealError
		switch again, err := c.reseal(ctx, name); {
		case errors.As(err, &closed):
			failed++
		case err != nil:
			return done, failed, err
		case again:
			done++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return done, failed, c.keys.finish()
}

// reseal seals one record with the next key, unless it is already.
func (c *Credentials) reseal(ctx context.Context, name string) (bool, error) {
	c.mu.Lock()
	e, next := c.entries[name], c.keys.next.id
	s, content, err := c.open(name, e)
	c.mu.Unlock()
	if err != nil {
		return false, err
	}
	if s.Key == next {
		return false, nil
	}
	plain, err := value.JSON(content)
	if err != nil {
		return false, err
	}
	_, err = c.put(ctx, name, s.Type, plain)
	return err == nil, err
}

// Load returns the token that was fetched with a credential, as it was saved.
// engine.ErrNotFound: there is none that can be used.
func (c *Credentials) Load(_ context.Context, credential string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[tokenPrefix+credential]
	if e == nil || e.record == nil {
		return nil, engine.ErrNotFound
	}
	_, content, err := c.open(tokenPrefix+credential, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	return value.JSON(content)
}

// Save keeps a token, JSON, sealed like the credential that it was fetched
// with.
func (c *Credentials) Save(ctx context.Context, credential string, token []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	err := c.keyErr
	c.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = c.put(ctx, tokenPrefix+credential, tokenType, token)
	return err
}
