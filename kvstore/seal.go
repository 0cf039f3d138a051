package kvstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/qarion/qarion/engine"
)

// sealed is a record at rest: envelope encryption with a data key of its own,
// AES-256-GCM (NIST SP 800-38D) with random nonces. What stands in the clear is
// bound to the record as additional data, with the bucket and the key that it
// is stored under: a record that is copied to another place does not open.
type sealed struct {
	Format   int    `json:"format"`
	Version  int    `json:"version"` // counts how often the record was written
	Type     string `json:"type"`
	StoredAt string `json:"stored_at"`
	Key      string `json:"key"`     // id of the master key
	Wrapped  []byte `json:"wrapped"` // the data key, sealed with the master key
	Data     []byte `json:"data"`    // the content, sealed with the data key
}

const sealFormat = 1

// sealError says why a record cannot be opened. Its text names no content.
type sealError struct{ text string }

func (e *sealError) Error() string { return e.text }

func sealErrorf(format string, args ...any) error { return &sealError{fmt.Sprintf(format, args...)} }

// bound is the additional data of a record stored under a name.
func (s *sealed) bound(part, name string) []byte {
	return []byte(strings.Join([]string{"qarion", fmt.Sprint(s.Format), part, BucketCredentials, name, fmt.Sprint(s.Version), s.Type, s.StoredAt, s.Key}, "\x00"))
}

// seal makes a record of content.
func seal(key *masterKey, name string, version int, kind, storedAt string, content []byte) ([]byte, error) {
	s := &sealed{Format: sealFormat, Version: version, Type: kind, StoredAt: storedAt, Key: key.id}
	dataKey := make([]byte, keySize)
	_, _ = rand.Read(dataKey) // never fails
	defer clear(dataKey)
	var err error
	if s.Wrapped, err = encrypt(key.bytes, dataKey, s.bound("key", name)); err != nil {
		return nil, err
	}
	if s.Data, err = encrypt(dataKey, content, s.bound("data", name)); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// parseSealed reads what stands in the clear.
func parseSealed(record []byte) (*sealed, error) {
	s := new(sealed)
	if err := json.Unmarshal(record, s); err != nil {
		return nil, sealErrorf("the record is damaged")
	}
	if s.Format != sealFormat {
		return nil, sealErrorf("the record has format %d, this program reads %d", s.Format, sealFormat)
	}
	return s, nil
}

// open returns the content of a record that is stored under a name.
func (s *sealed) open(keys *keyring, name string) ([]byte, error) {
	key := keys.find(s.Key)
	if key == nil {
		return nil, sealErrorf("it was sealed with another key (%s) than the one there is (%s); put the right key back, or store it again", s.Key, keys.seals().id)
	}
	dataKey, err := decrypt(key.bytes, s.Wrapped, s.bound("key", name))
	if err != nil {
		return nil, sealErrorf("the record does not open: it is damaged, or was copied from another credential; store it again")
	}
	defer clear(dataKey)
	content, err := decrypt(dataKey, s.Data, s.bound("data", name))
	if err != nil {
		return nil, sealErrorf("the record does not open: it is damaged; store it again")
	}
	return content, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrInvalid, err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func encrypt(key, plain, bound []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, bound), nil
}

func decrypt(key, box, bound []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, box, bound)
}
