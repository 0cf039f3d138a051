package kvstore

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// What sensitive tasks leave is sealed with keys that follow from one more key.
// That one is a record in the bucket of credentials, sealed as they are, so
// that a rekey seals it again and what lies in the ledger still opens.
const (
	valuesKey  = "values.key"
	valuesType = "values"
)

var _ engine.Sealer = (*Credentials)(nil)

// Ready implements engine.Sealer.
func (c *Credentials) Ready(ctx context.Context) error {
	_, err := c.valuesKey(ctx, true)
	return err
}

// valuesKey is the key from which those of values follow, made at first use.
func (c *Credentials) valuesKey(ctx context.Context, make bool) ([]byte, error) {
	key, err := c.storedValuesKey()
	if !make || !errors.Is(err, engine.ErrNotFound) {
		return key, err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if key, err = c.storedValuesKey(); !errors.Is(err, engine.ErrNotFound) {
		return key, err // somebody else has just made it
	}
	made, err := c.needKey()
	if err != nil {
		return nil, err
	}
	if made != "" {
		c.log.Info("made the key that values and credentials are sealed with; keep a copy", "file", made)
	}
	raw := [keySize]byte{}
	_, _ = rand.Read(raw[:]) // never fails
	content, err := value.JSON(value.MapOf("key", base64.StdEncoding.EncodeToString(raw[:])))
	if err != nil {
		return nil, err
	}
	if _, err := c.put(ctx, valuesKey, valuesType, content); err != nil {
		return nil, err
	}
	return c.storedValuesKey()
}

func (c *Credentials) storedValuesKey() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[valuesKey]
	if e == nil || e.record == nil {
		return nil, fmt.Errorf("%w: the key of sensitive values", engine.ErrNotFound)
	}
	if e.opened == nil {
		_, content, err := c.open(valuesKey, e)
		if err != nil {
			return nil, err
		}
		data, ok := content.(*value.Map)
		if !ok {
			return nil, sealErrorf("the key of sensitive values is damaged")
		}
		e.opened = &engine.Credential{Data: data}
	}
	key, err := base64.StdEncoding.DecodeString(e.opened.Text("key"))
	if err != nil || len(key) != keySize {
		return nil, sealErrorf("the key of sensitive values is damaged")
	}
	return key, nil
}

// placeCipher is the cipher for one place. Random nonces would do for 2^32
// values of one key; here each place has its own.
func placeCipher(key, salt []byte, place string) (cipher.Block, error) {
	own, err := hkdf.Key(sha256.New, key, salt, "qarion value\x00"+place, keySize)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(own)
}

// sealVersion is the second byte of what is sealed: how it was done.
const (
	sealWhole  = 1
	sealFrames = 2
)

// Seal implements engine.Sealer: AES-256-GCM with a random nonce.
func (c *Credentials) Seal(ctx context.Context, place string, plain []byte) ([]byte, error) {
	key, err := c.valuesKey(ctx, true)
	if err != nil {
		return nil, err
	}
	block, err := placeCipher(key, nil, place)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte{engine.SealedMark, sealWhole}, nil, plain, []byte(place)), nil
}

var errNotOpen = sealErrorf("it does not open: it is damaged, or was sealed for another place")

// Unseal implements engine.Sealer.
func (c *Credentials) Unseal(ctx context.Context, place string, sealed []byte) ([]byte, error) {
	key, err := c.valuesKey(ctx, false)
	if err != nil {
		return nil, err
	}
	if !engine.IsSealed(sealed) || len(sealed) < 2 || sealed[1] != sealWhole {
		return nil, errNotOpen
	}
	block, err := placeCipher(key, nil, place)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed[2:], []byte(place))
	if err != nil {
		return nil, errNotOpen
	}
	return plain, nil
}

// A stream is sealed frame by frame (the STREAM construction of Hoang, Reyhanitabar,
// Rogaway and Vizár): the number of a frame and whether it is the last one are
// its nonce, so frames can be neither left out nor moved, nor the end cut off.
const (
	frameSize = 64 << 10
	saltSize  = 16
)

type frames struct {
	aead cipher.AEAD
	from *bufio.Reader
	size int // of what is read for a frame
	seal bool
	n    uint32
	out  []byte // of this frame, not given out yet
	err  error
}

// SealStream implements engine.Sealer.
func (c *Credentials) SealStream(ctx context.Context, place string, plain io.Reader) (io.Reader, error) {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails
	f, err := c.frames(ctx, place, salt, true)
	if err != nil {
		return nil, err
	}
	f.from, f.size, f.seal = bufio.NewReader(plain), frameSize, true
	f.out = append([]byte{engine.SealedMark, sealFrames}, salt...)
	return f, nil
}

// UnsealStream implements engine.Sealer.
func (c *Credentials) UnsealStream(ctx context.Context, place string, sealed io.Reader) (io.Reader, error) {
	head := make([]byte, 2+saltSize)
	if _, err := io.ReadFull(sealed, head); err != nil || head[0] != engine.SealedMark || head[1] != sealFrames {
		return nil, errNotOpen
	}
	f, err := c.frames(ctx, place, head[2:], false)
	if err != nil {
		return nil, err
	}
	f.from, f.size = bufio.NewReader(sealed), frameSize+f.aead.Overhead()
	return f, nil
}

func (c *Credentials) frames(ctx context.Context, place string, salt []byte, make bool) (*frames, error) {
	key, err := c.valuesKey(ctx, make)
	if err != nil {
		return nil, err
	}
	block, err := placeCipher(key, salt, place)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &frames{aead: aead}, nil
}

func (f *frames) Read(p []byte) (int, error) {
	for len(f.out) == 0 && f.err == nil {
		f.err = f.frame()
	}
	if len(f.out) == 0 {
		return 0, f.err
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}

// frame makes the output of the next frame; io.EOF with the last one, which
// may be empty. An error of the reader below is returned as it is.
func (f *frames) frame() error {
	buf := make([]byte, f.size, frameSize+f.aead.Overhead())
	n, err := io.ReadFull(f.from, buf)
	last := err == io.EOF || err == io.ErrUnexpectedEOF
	if err == nil {
		_, err = f.from.Peek(1)
		last = err == io.EOF
	}
	if err != nil && !last {
		return err
	}
	var nonce [12]byte
	binary.BigEndian.PutUint32(nonce[7:11], f.n)
	if last {
		nonce[11] = 1
	}
	if f.n++; f.n == 0 {
		return errors.New("a value is too long to be sealed")
	}
	if f.seal {
		f.out = f.aead.Seal(buf[:0], nonce[:], buf[:n], nil)
	} else if f.out, err = f.aead.Open(buf[:0], nonce[:], buf[:n], nil); err != nil {
		return errNotOpen
	}
	if last {
		return io.EOF
	}
	return nil
}
