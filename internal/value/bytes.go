package value

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
)

// Bytes is a value that is no text, or too much of it to be one: an image, an
// archive, a download of any size. It is carried from answer to request without
// being looked at; its content is read only where somebody asks for it.
type Bytes struct {
	Name        string // as templates call it, such as xcom_logo; for messages
	ContentType string
	Size        int64
	SHA256      string // of the content, in hex

	// Open reads the content from its beginning. It may be called again, and
	// from several goroutines.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// NewBytes makes a value of bytes that are at hand.
func NewBytes(data []byte, contentType string) *Bytes {
	sum := sha256.Sum256(data)
	return &Bytes{
		ContentType: contentType, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
	}
}

// NotText says why the value cannot stand where text is wanted: "xcom_logo is
// 268 bytes of image/png, not text".
func (b *Bytes) NotText() string {
	name, kind := b.Name, b.ContentType
	if name == "" {
		name = "the value"
	}
	if kind == "" {
		kind = "no known type"
	}
	return fmt.Sprintf("%s is %d bytes of %s, not text", name, b.Size, kind)
}

// Read returns the content, if it is not larger than max.
func (b *Bytes) Read(ctx context.Context, max int64) ([]byte, error) {
	if b.Size > max {
		return nil, fmt.Errorf("%s; at most %d bytes are read here", b.NotText(), max)
	}
	r, err := b.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, b.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("read %d bytes of %s: %w", b.Size, b.ContentType, err)
	}
	return data, nil
}

// MaxShownBytes is the largest content that Shown includes.
const MaxShownBytes = 64 << 10

// Shown is how the value stands in JSON for people and programs: content type,
// size, hash and, of at most MaxShownBytes, the content as base64. data may be
// nil when it is larger.
func (b *Bytes) Shown(data []byte) *Map {
	m := MapOf("content_type", b.ContentType, "size", b.Size, "sha256", b.SHA256)
	if b.Size <= MaxShownBytes && int64(len(data)) == b.Size {
		m.Set("base64", base64.StdEncoding.EncodeToString(data))
	}
	return m
}
