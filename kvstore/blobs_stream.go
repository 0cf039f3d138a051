package kvstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/qarion/qarion/engine"
)

// Objects are written and read here, in the object store's own format (chunks
// under one subject, and an entry that names them), so that any NATS client
// reads them. The client's Put and Get are not used for what is large: Put
// keeps up to 4,000 chunks under way and makes a chunk of every short read.

// chunkSize is how much of an object goes into a message, and chunksUnderWay
// how many of them wait for the store at a time: what a write holds in memory.
const (
	chunkSize      = 256 << 10
	chunksUnderWay = 4
)

// Write implements engine.Blobs.
func (b *Blobs) Write(ctx context.Context, name string, from io.Reader) (engine.Stored, error) {
	old, err := b.store.GetInfo(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return engine.Stored{}, unavailable(fmt.Errorf("look for object %s: %w", name, err))
	}
	info := &jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize}},
		Bucket:     BucketBlobs, NUID: nuid.Next(),
	}
	b.writing(info.NUID, true)
	defer b.writing(info.NUID, false)
	sum, err := b.writeChunks(ctx, info, from)
	if err == nil {
		info.Digest = digestPrefix + base64.URLEncoding.EncodeToString(sum)
		err = b.writeEntry(ctx, info)
	}
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		_ = b.stream.Purge(clean, jetstream.WithPurgeSubject(chunkSubject(info.NUID))) // else the sweep does it
		return engine.Stored{}, err
	}
	if old != nil {
		if err := b.stream.Purge(ctx, jetstream.WithPurgeSubject(chunkSubject(old.NUID))); err != nil {
			return engine.Stored{}, unavailable(fmt.Errorf("delete what object %s was before: %w", name, err))
		}
	}
	return engine.Stored{Size: int64(info.Size), SHA256: hex.EncodeToString(sum)}, nil
}

// cleanTimeout is how long a failed write may take to remove its chunks.
const cleanTimeout = 5 * time.Second

const digestPrefix = "SHA-256="

func chunkSubject(id string) string { return "$O." + BucketBlobs + ".C." + id }

func entrySubject(name string) string {
	return "$O." + BucketBlobs + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// writing notes objects that this process is writing: their chunks have no
// entry yet, and are no strays.
func (b *Blobs) writing(id string, begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if begins {
		b.underWay[id] = true
	} else {
		delete(b.underWay, id)
	}
}

// writeChunks stores the content and returns its digest. Size and number of
// the chunks go into info.
func (b *Blobs) writeChunks(ctx context.Context, info *jetstream.ObjectInfo, from io.Reader) ([]byte, error) {
	sum := sha256.New()
	var pending []jetstream.PubAckFuture
	free := make([][]byte, 0, chunksUnderWay)
	settle := func() error { // waits for the oldest and takes its memory back
		p := pending[0]
		pending = pending[1:]
		select {
		case <-p.Ok():
			free = append(free, p.Msg().Data[:chunkSize])
			return nil
		case err := <-p.Err():
			return unavailable(fmt.Errorf("store object %s: %w", info.Name, err))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for {
		var chunk []byte
		if n := len(free); n > 0 {
			chunk, free = free[n-1], free[:n-1]
		} else {
			chunk = make([]byte, chunkSize)
		}
		n, err := io.ReadFull(from, chunk)
		if n > 0 {
			sum.Write(chunk[:n])
			p, err := b.js.PublishMsgAsync(&nats.Msg{Subject: chunkSubject(info.NUID), Data: chunk[:n:chunkSize]})
			if err != nil {
				return nil, unavailable(fmt.Errorf("store object %s: %w", info.Name, err))
			}
			pending = append(pending, p)
			info.Size, info.Chunks = info.Size+uint64(n), info.Chunks+1
			b.passed(info.Size, n)
		}
		for len(pending) > 0 && (len(pending) == chunksUnderWay || err != nil) {
			if err := settle(); err != nil {
				return nil, err
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return sum.Sum(nil), nil
		default:
			return nil, err
		}
	}
}

// writeEntry makes the object known, in place of one of its name.
func (b *Blobs) writeEntry(ctx context.Context, info *jetstream.ObjectInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	m := &nats.Msg{Subject: entrySubject(info.Name), Data: data, Header: nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}}}
	if _, err := b.js.PublishMsg(ctx, m); err != nil {
		return unavailable(fmt.Errorf("store object %s: %w", info.Name, err))
	}
	return nil
}

// Open implements engine.Blobs.
func (b *Blobs) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := b.open(ctx, name)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (b *Blobs) open(ctx context.Context, name string) (*objectReader, error) {
	info, err := b.store.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: object %s", engine.ErrNotFound, name)
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("read object %s: %w", name, err))
	}
	return &objectReader{ctx: ctx, blobs: b, info: info, sum: sha256.New(), next: 1}, nil
}

// objectReader reads an object chunk by chunk. Its context is that of whoever
// opened it.
type objectReader struct {
	ctx   context.Context
	blobs *Blobs
	info  *jetstream.ObjectInfo
	sum   hash.Hash
	next  uint64 // sequence from which the next chunk is looked for
	read  uint64 // bytes that came
	chunk []byte // what of the last one was not given out
	err   error
}

func (r *objectReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 && r.err == nil {
		r.err = r.fetch()
	}
	if len(r.chunk) == 0 {
		return 0, r.err
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// fetch gets the next chunk; io.EOF when there is none. The last one is given
// out only when the whole matches its digest.
func (r *objectReader) fetch() error {
	if r.read == r.info.Size {
		return io.EOF
	}
	m, err := r.blobs.stream.GetMsg(r.ctx, r.next, jetstream.WithGetMsgSubject(chunkSubject(r.info.NUID)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: object %s ends after %d of %d bytes", engine.ErrUnavailable, r.info.Name, r.read, r.info.Size)
	}
	if err != nil {
		return unavailable(fmt.Errorf("read object %s: %w", r.info.Name, err))
	}
	r.next, r.read = m.Sequence+1, r.read+uint64(len(m.Data))
	r.sum.Write(m.Data)
	r.blobs.passed(r.info.Size, len(m.Data))
	if r.read >= r.info.Size && digestPrefix+base64.URLEncoding.EncodeToString(r.sum.Sum(nil)) != r.info.Digest {
		return fmt.Errorf("%w: object %s does not match its digest", engine.ErrUnavailable, r.info.Name)
	}
	r.chunk = m.Data
	return nil
}

func (r *objectReader) Close() error {
	r.chunk, r.err = nil, errors.New("the object was closed")
	return nil
}
