package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/qarion/qarion/engine"
)

// What a sensitive task leaves is sealed before it is in any record, and opened
// where a later task of the run reads it. Nobody else can open it.

// sealable makes sure that what a task will leave can be sealed, before it
// sends anything.
func (w *worker) sealable(ctx context.Context, task *engine.Task) error {
	if !task.Sensitive && task.Jar == "" {
		return nil
	}
	err := errNoSealer
	if w.cfg.Sealer != nil {
		err = w.cfg.Sealer.Ready(ctx)
	}
	if err != nil {
		if !task.Sensitive {
			return fmt.Errorf("the cookie jar %s cannot be sealed: %w", task.Jar, err)
		}
		return fmt.Errorf("the task is sensitive, and its value cannot be sealed: %w", err)
	}
	return nil
}

var errNoSealer = errors.New("there is no key for it")

// sealValue is keepValue for a sensitive task. What a failed attempt received is
// not kept: nobody may look at it.
func (w *worker) sealValue(ctx context.Context, rec *engine.AttemptRecord, out *engine.TaskOutput) (err error) {
	if out.Err != nil {
		return nil
	}
	place := func(part string) string { return engine.SealPlace(rec.Run, rec.Task, rec.Item, part) }
	if len(out.Response) > 0 {
		if rec.Response, err = w.cfg.Sealer.Seal(ctx, place(engine.PartResponse), out.Response); err != nil {
			return err
		}
	}
	large := out.Large
	switch {
	case out.Stored != nil: // sealed while it came
		rec.Blob = out.Stored
		return nil
	case large == nil && len(out.Value) == 0:
		return nil
	case large == nil && len(out.Value) <= engine.MaxInlineValue:
		rec.Value, err = w.cfg.Sealer.Seal(ctx, place(engine.PartValue), out.Value)
		return err
	case large == nil:
		large = &engine.LargeValue{Data: out.Value, ContentType: engine.TypeJSON}
	}
	rec.Blob, err = w.Store(ctx, rec.AttemptKey, true, bytes.NewReader(large.Data))
	if err == nil {
		rec.Blob.ContentType, rec.Blob.Bytes = large.ContentType, large.Bytes
	}
	return err
}

// Store implements engine.ValueStore. The hash of what is sensitive is not
// kept: of a short secret it would give too much away.
func (w *worker) Store(ctx context.Context, key engine.AttemptKey, sensitive bool, from io.Reader) (*engine.BlobRef, error) {
	ref := &engine.BlobRef{Name: blobName(key), Sealed: sensitive}
	count := &counted{r: from}
	var err error
	if from = count; sensitive {
		if from, err = w.cfg.Sealer.SealStream(ctx, placeOf(ref), count); err != nil {
			return nil, err
		}
	}
	stored, err := w.cfg.Blobs.Write(ctx, ref.Name, from)
	if err != nil {
		return nil, err
	}
	if ref.Size = count.n; !sensitive {
		ref.SHA256 = stored.SHA256
	}
	return ref, nil
}

// Open implements engine.ValueStore.
func (w *worker) Open(ctx context.Context, ref *engine.BlobRef) (io.ReadCloser, error) {
	r, err := w.cfg.Blobs.Open(ctx, ref.Name)
	if err != nil || !ref.Sealed {
		return r, err
	}
	if w.cfg.Sealer == nil {
		return nil, errors.Join(errNoSealer, r.Close())
	}
	plain, err := w.cfg.Sealer.UnsealStream(ctx, placeOf(ref), r)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &unsealed{plain, r}, nil
}

// Unseal implements engine.ValueStore.
func (w *worker) Unseal(ctx context.Context, place string, sealed []byte) ([]byte, error) {
	if w.cfg.Sealer == nil {
		return nil, errNoSealer
	}
	return w.cfg.Sealer.Unseal(ctx, place, sealed)
}

// placeOf is the place of a value in the object store: its name without the
// attempt.
func placeOf(ref *engine.BlobRef) string {
	task, _, _ := cutLast(ref.Name, "/")
	return task + "/" + engine.PartValue
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

type unsealed struct {
	io.Reader
	io.Closer
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
