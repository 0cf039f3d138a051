package apicall

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/qarion/qarion/internal/value"
)

// segment is a part of a body: bytes at hand, or a source of a known size that
// is opened when its turn comes. A body of any length takes no more memory
// than what is being sent of it.
type segment struct {
	data []byte
	open func(ctx context.Context) (io.ReadCloser, error) // instead of data
	size int64
	what string // of open, for messages
}

func dataSegment(data []byte) segment { return segment{data: data, size: int64(len(data))} }

func bytesSegment(b *value.Bytes) segment {
	return segment{open: b.Open, size: b.Size, what: b.Name}
}

// reader reads a body from its beginning; every call begins anew.
func (c *content) reader(ctx context.Context) io.ReadCloser {
	if c.segments == nil {
		return io.NopCloser(bytes.NewReader(c.data))
	}
	return &segmentReader{ctx: ctx, left: c.segments}
}

// length is the size of a body in bytes.
func (c *content) length() int64 {
	if c == nil {
		return 0
	}
	n := int64(len(c.data))
	for _, s := range c.segments {
		n += s.size
	}
	return n
}

// segmentReader reads segments one after the other. What a source gives less
// or more than its size is an error: the length of the body was promised.
type segmentReader struct {
	ctx  context.Context // of the request that is sent
	left []segment
	now  io.ReadCloser
	rest int64 // of the present segment
}

func (r *segmentReader) Read(p []byte) (int, error) {
	for r.now == nil {
		if len(r.left) == 0 {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	if r.rest == 0 {
		if err := r.finish(); err != nil {
			return 0, err
		}
		return r.Read(p)
	}
	n, err := r.now.Read(p[:min(int64(len(p)), r.rest)])
	r.rest -= int64(n)
	switch {
	case err == io.EOF && r.rest > 0:
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		err = nil
	}
	return n, r.failed(err)
}

func (r *segmentReader) next() error {
	s := r.left[0]
	r.rest = s.size
	if s.open == nil {
		r.now = io.NopCloser(bytes.NewReader(s.data))
		return nil
	}
	var err error
	r.now, err = s.open(r.ctx)
	return r.failed(err)
}

// finish goes on to the next segment, if the source has no more.
func (r *segmentReader) finish() error {
	now, opened := r.now, r.left[0].open != nil
	if opened {
		if n, _ := now.Read(make([]byte, 1)); n > 0 {
			return r.failed(fmt.Errorf("there is more than %d bytes", r.left[0].size))
		}
	}
	r.now, r.left = nil, r.left[1:]
	return now.Close()
}

func (r *segmentReader) failed(err error) error {
	if err == nil {
		return nil
	}
	return &classifiedError{classBody, fmt.Errorf("read %s: %w", r.left[0].what, err)}
}

func (r *segmentReader) Close() error {
	if r.now == nil {
		return nil
	}
	return r.now.Close()
}
