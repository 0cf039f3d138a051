package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// xcomContent is an answer of xcom.get as it came: JSON text, or where the
// value is.
type xcomContent struct {
	text []byte
	ref  *engine.BlobRef
}

// Content is what a task has left, as it was stored.
type Content struct {
	Size        int64
	ContentType string // "" when nobody said one
	Bytes       bool   // it is neither JSON nor text
	SHA256      string // of bytes

	// Open reads it from its beginning; it may be called again.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// maxDownload is how long reading a value may take.
const maxDownload = 24 * time.Hour

// XCom finds what a task has left: the text of a string, JSON as it came, an
// object of any size as a stream.
func (c *Client) XCom(ctx context.Context, in XComRef) (*Content, error) {
	var got xcomContent
	in.Where = true
	if err := c.Call(ctx, "xcom.get", in, &got); err != nil {
		return nil, err
	}
	if ref := got.ref; ref != nil {
		return &Content{Size: ref.Size, ContentType: ref.ContentType, Bytes: ref.Bytes, SHA256: ref.SHA256, Open: func(ctx context.Context) (io.ReadCloser, error) {
			reading, cancel := context.WithTimeout(ctx, maxDownload) // without an end the client sets one of seconds
			r, err := c.open(reading, ref)
			if err != nil {
				cancel()
				return nil, err
			}
			return &objectStream{r, cancel}, nil
		}}, nil
	}
	content, kind := got.text, engine.TypeJSON
	if v, err := value.ParseJSON(got.text); err == nil {
		if s, ok := v.(string); ok {
			content, kind = []byte(s), ""
		}
	}
	return &Content{Size: int64(len(content)), ContentType: kind, Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}, nil
}

// objectStream ends with its reader.
type objectStream struct {
	jetstream.ObjectResult
	cancel context.CancelFunc
}

func (o *objectStream) Close() error {
	defer o.cancel()
	return o.ObjectResult.Close()
}

func (c *Client) open(ctx context.Context, ref *engine.BlobRef) (jetstream.ObjectResult, error) {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return nil, err
	}
	store, err := js.ObjectStore(ctx, bucketBlobs)
	if err != nil {
		return nil, fmt.Errorf("%w: open the object store at %s: %w", engine.ErrUnavailable, c.target, err)
	}
	r, err := store.Get(ctx, ref.Name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: object %s", engine.ErrNotFound, ref.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: read object %s: %w", engine.ErrUnavailable, ref.Name, err)
	}
	return r, nil
}

// object reads the value that an answer refers to, since it does not fit into
// a message, as JSON text.
func (c *Client) object(ctx context.Context, ref *engine.BlobRef) ([]byte, error) {
	reading, cancel := context.WithTimeout(ctx, maxDownload)
	defer cancel()
	r, err := c.open(reading, ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w: read object %s: %w", engine.ErrUnavailable, ref.Name, err)
	}
	return ref.JSON(data), nil
}
