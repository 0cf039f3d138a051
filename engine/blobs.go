package engine

import (
	"context"
	"encoding/json"

	"github.com/qarion/qarion/internal/value"
)

// Blobs is the object store for values that do not fit into a record.
type Blobs interface {
	// Put stores bytes under a name that is never written again.
	Put(ctx context.Context, name string, data []byte) error
	// Get reads at most max bytes; ErrInvalid when there is more.
	Get(ctx context.Context, name string, max int64) ([]byte, error)
}

// BlobJSON is the JSON text of a value from the object store: JSON as it is,
// anything else as a string.
func BlobJSON(data []byte, contentType string) []byte {
	if contentType == "application/json" && json.Valid(data) {
		return data
	}
	return value.AppendString(make([]byte, 0, len(data)+2), string(data))
}
