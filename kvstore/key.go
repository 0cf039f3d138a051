package kvstore

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/qarion/qarion/engine"
)

// KeyConfig says where the master key is. Exactly one of File and Text is used;
// Text wins.
type KeyConfig struct {
	File    string // 32 bytes as base64; made at first use when it is not there
	Text    string // the key itself, as base64 or hex (QARION_KEY)
	NewText string // the key that Rekey changes to, with Text (QARION_NEW_KEY)
}

// keySize is the length of a master key and of a data key, in bytes: AES-256.
const keySize = 32

// masterKey wraps the data keys of records.
type masterKey struct {
	id    string // a fingerprint; records name it
	bytes []byte
}

func newMasterKey(raw []byte) *masterKey {
	sum := sha256.Sum256(append([]byte("qarion master key id\n"), raw...))
	return &masterKey{id: hex.EncodeToString(sum[:8]), bytes: raw}
}

// errNoKey: there is no key, and nothing was to be made.
var errNoKey = errors.New("there is no key")

// missingKey is errNoKey with the file's name.
type missingKey struct{ file string }

func (e *missingKey) Error() string        { return "the key file " + e.file + " is not there" }
func (e *missingKey) Is(target error) bool { return target == errNoKey }

// keyring is the master key in use and, while a rekey is under way, the one
// that follows it.
type keyring struct {
	cfg     KeyConfig
	current *masterKey
	next    *masterKey
}

// newFile is where the next key is while a rekey is under way.
func (k *keyring) newFile() string { return k.cfg.File + ".new" }

// load reads the keys that are there. errNoKey when there are none.
func (k *keyring) load() (err error) {
	k.current, k.next = nil, nil
	if k.cfg.Text != "" {
		if k.current, err = parseKey(k.cfg.Text, "QARION_KEY"); err == nil && k.cfg.NewText != "" {
			k.next, err = parseKey(k.cfg.NewText, "QARION_NEW_KEY")
		}
		return err
	}
	if k.next, err = readKey(k.newFile()); err != nil && !errors.Is(err, errNoKey) {
		return err
	}
	k.current, err = readKey(k.cfg.File)
	if errors.Is(err, errNoKey) {
		return &missingKey{k.cfg.File}
	}
	return err
}

// seals is the key that new records are sealed with.
func (k *keyring) seals() *masterKey {
	if k.next != nil {
		return k.next
	}
	return k.current
}

// find returns the key of an id, nil when it is not there.
func (k *keyring) find(id string) *masterKey {
	for _, key := range []*masterKey{k.current, k.next} {
		if key != nil && key.id == id {
			return key
		}
	}
	return nil
}

// make creates the key file.
func (k *keyring) make() error {
	key, err := writeKey(k.cfg.File)
	k.current = key
	return err
}

// makeNext begins a rekey, or goes on with one that was cut off.
func (k *keyring) makeNext() error {
	if k.next != nil {
		return nil
	}
	if k.cfg.Text != "" {
		return fmt.Errorf("%w: the key comes from QARION_KEY; give the one that follows in QARION_NEW_KEY", engine.ErrInvalid)
	}
	key, err := writeKey(k.newFile())
	if err != nil {
		return fmt.Errorf("make the next key: %w", err)
	}
	k.next = key
	return nil
}

// finish ends a rekey: from now on there is the next key alone.
func (k *keyring) finish() error {
	if k.cfg.Text == "" {
		if err := os.Rename(k.newFile(), k.cfg.File); err != nil {
			return fmt.Errorf("put the new key in place: %w", err)
		}
		if err := syncDir(filepath.Dir(k.cfg.File)); err != nil {
			return err
		}
	}
	k.current, k.next = k.next, nil
	return nil
}

// parseKey reads 32 bytes as hex or base64. The error never quotes the text.
func parseKey(text, from string) (*masterKey, error) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString, base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if raw, err := decode(text); err == nil && len(raw) == keySize {
			return newMasterKey(raw), nil
		}
	}
	return nil, fmt.Errorf("%s is not a key: want 32 bytes as base64 or hex (openssl rand -base64 32)", from)
}

// readKey reads a key file that nobody else may read.
func readKey(path string) (*masterKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key file %s can be read by others; run: chmod 600 %s", path, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return parseKey(string(bytes.TrimSpace(data)), "the key file "+path)
}

// writeKey makes a key and writes it so that it is there, whole, after a crash.
func writeKey(path string) (*masterKey, error) {
	raw := make([]byte, keySize)
	_, _ = rand.Read(raw) // never fails
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	tmp := path + ".part"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a crash
		return nil, err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(raw) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return nil, err
	}
	if err := os.Link(tmp, path); err != nil { // unlike a rename, never over a key that is there
		return nil, err
	}
	return newMasterKey(raw), errors.Join(os.Remove(tmp), syncDir(filepath.Dir(path)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
