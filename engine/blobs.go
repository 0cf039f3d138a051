package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/qarion/qarion/internal/value"
)

// TypeJSON is the content type of values that are parsed when they are read
// back.
const TypeJSON = "application/json"

// Blobs is the object store for values that do not fit into a record.
type Blobs interface {
	// Put stores bytes under a name that is never written again.
	Put(ctx context.Context, name string, data []byte) error
	// Get reads at most max bytes; ErrInvalid when there is more.
	Get(ctx context.Context, name string, max int64) ([]byte, error)
	// Write stores what can be read from a reader, of any length and with as
	// much memory as a few chunks of it. What lay under the name is replaced. An
	// error of the reader leaves nothing behind and is returned as it is.
	Write(ctx context.Context, name string, from io.Reader) (Stored, error)
	// Open reads an object from its beginning. Its last bytes are given out only
	// when all of them match their digest; ErrNotFound.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// Stored says what was written.
type Stored struct {
	Size   int64
	SHA256 string // hex
}

// BlobRef points to a value in the object store.
type BlobRef struct {
	Name        string `cbor:"1,keyasint" json:"object"`
	Size        int64  `cbor:"2,keyasint" json:"size"`
	ContentType string `cbor:"3,keyasint,omitempty" json:"content_type"`
	Bytes       bool   `cbor:"4,keyasint,omitempty" json:"bytes,omitempty"` // it is neither JSON nor text
	SHA256      string `cbor:"5,keyasint,omitempty" json:"sha256,omitempty"`
	Sealed      bool   `cbor:"6,keyasint,omitempty" json:"-"` // of a sensitive task; Size is that of the content
}

// JSON is the JSON text of a value whose content is given: JSON as it is, text
// as a string, bytes as a description, with the content in base64 where it is
// short. data may be nil where Described.
func (r *BlobRef) JSON(data []byte) []byte {
	switch {
	case r.Bytes:
		text, err := value.JSON(r.bytes().Shown(data))
		if err != nil {
			return []byte("null") // never: it holds texts and a number
		}
		return text
	case r.ContentType == TypeJSON && json.Valid(data):
		return data
	}
	return value.AppendString(make([]byte, 0, len(data)+2), string(data))
}

// Described reports whether JSON needs no content: it says no more than what
// the value is.
func (r *BlobRef) Described() bool { return r.Bytes && r.Size > value.MaxShownBytes }

func (r *BlobRef) bytes() *value.Bytes {
	return &value.Bytes{ContentType: r.ContentType, Size: r.Size, SHA256: r.SHA256}
}

// ReadValue reads the content of a value, at most max bytes of it; ErrInvalid
// when there is more.
func ReadValue(ctx context.Context, store ValueStore, ref *BlobRef, max int64) ([]byte, error) {
	if ref.Size > max {
		return nil, fmt.Errorf("%w: the value has %d bytes, at most %d are read", ErrInvalid, ref.Size, max)
	}
	r, err := store.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, ref.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("%w: read the value: %w", ErrUnavailable, err)
	}
	return data, nil
}

// Upstream is what an upstream task has left, as its record says.
type Upstream struct {
	Value    []byte   // XCom value, JSON text
	Blob     *BlobRef // instead of Value
	Response []byte   // resp_<task>, JSON text
	Cookies  []byte   // that the answer set, by name, as JSON text: sealed
	Prev     Pos      // of the record with the part before this one
	Run      RunID    // that has left it, when it is not the input's own
}

// ValueStore is how an input reads what did not travel with its task. The
// worker that makes the attempt is one.
type ValueStore interface {
	// Load finds what an upstream task has left.
	Load(ctx context.Context, in ReadyInput) (Upstream, error)
	// Open reads a value from its beginning; it may be called again.
	Open(ctx context.Context, ref *BlobRef) (io.ReadCloser, error)
	// Store puts the value of an attempt into the object store while it comes,
	// sealed where its task is sensitive.
	Store(ctx context.Context, key AttemptKey, sensitive bool, from io.Reader) (*BlobRef, error)
	// Jar reads the cookie jar in the record at a place, opened.
	Jar(ctx context.Context, at Pos) ([]byte, error)
	// Unseal opens a part of what a sensitive task has left.
	Unseal(ctx context.Context, place string, sealed []byte) ([]byte, error)
}
