package apicall

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// read reads the whole body, decoded, within max_response_bytes.
func (a *attempt) read(resp *http.Response) ([]byte, error) {
	if resp.ContentLength == 0 || resp.Request.Method == http.MethodHead {
		return nil, nil
	}
	limit := a.props().maxResponse
	r, err := decoded(resp)
	if err != nil {
		return nil, &classifiedError{classResponse, err}
	}
	expect := resp.ContentLength
	if expect > firstBuffer && contentCoding(resp.Header) != "" {
		expect = -1 // it is the size on the wire
	}
	body, err := gather(r, expect, limit)
	if int64(len(body)) > limit {
		return body[:limit], &classifiedError{classTooLarge, fmt.Errorf("the response is larger than max_response_bytes (%d)", limit)}
	}
	return body, damaged(err)
}

// gather reads everything, up to a byte more than limit. expect is how much
// there is said to be, -1 where nobody says it; who has sent firstBuffer of it is
// believed. What is large and of unknown size is read in parts that are joined at
// the end: a buffer that doubles leaves behind as much memory as it has at the
// end, and up to half of that is empty.
func gather(r io.Reader, expect, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	if expect > 0 && expect <= min(limit, firstBuffer) {
		buf.Grow(int(expect) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r, min(limit, firstBuffer)+1))
	switch {
	case err != nil || n <= firstBuffer || n > limit:
		return buf.Bytes(), err
	case n < expect && expect <= limit:
		buf.Grow(int(expect-n) + bytes.MinRead)
		_, err = buf.ReadFrom(io.LimitReader(r, limit+1-n))
		return buf.Bytes(), err
	}
	parts := [][]byte{buf.Bytes()}
	for err == nil && n <= limit {
		part := make([]byte, min(max(firstBuffer, n/4), limit+1-n))
		filled := 0
		for err == nil && filled < len(part) {
			var got int
			got, err = r.Read(part[filled:])
			filled += got
		}
		parts, n = append(parts, part[:filled]), n+int64(filled)
	}
	if err == io.EOF {
		err = nil
	}
	return bytes.Join(parts, nil), err
}

// firstBuffer is how much memory a Content-Length alone can claim, in bytes.
const firstBuffer = 1 << 20

// decoded undoes the Content-Encoding. net/http would undo gzip too, but then
// nobody could tell the size on the wire from the size in memory, and the cap
// has to count what a bomb becomes.
func decoded(resp *http.Response) (io.Reader, error) {
	switch enc := contentCoding(resp.Header); enc {
	case "":
		return resp.Body, nil
	case "gzip", "x-gzip":
		return &lazyReader{from: resp.Body, open: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }}, nil
	case "deflate":
		return &lazyReader{from: resp.Body, open: func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }}, nil
	default:
		return nil, fmt.Errorf("the response has Content-Encoding %.40q, which was not asked for", enc)
	}
}

// contentCoding is the coding of a body, "" for none. Some servers write there
// that there is none, or the charset.
func contentCoding(h http.Header) string {
	var codings []string
	for enc := range strings.SplitSeq(strings.Join(h["Content-Encoding"], ","), ",") {
		enc = strings.ToLower(strings.TrimSpace(enc))
		switch {
		case enc == "", enc == "identity", enc == "none", enc == "binary", charset(enc) != nil:
		default:
			codings = append(codings, enc)
		}
	}
	return strings.Join(codings, ", ")
}

// lazyReader opens a compressed stream at the first read, so that an empty body
// is empty and not a broken stream.
type lazyReader struct {
	from  io.Reader
	open  func(io.Reader) (io.Reader, error)
	r     io.Reader
	whole bool // the answer itself has ended in good order
}

func (l *lazyReader) Read(p []byte) (n int, err error) {
	if l.r == nil {
		l.r, err = l.open(readerFunc(l.body))
	}
	if err == nil {
		n, err = l.r.Read(p)
	}
	if l.whole && errors.Is(err, io.ErrUnexpectedEOF) {
		err = &classifiedError{classResponse, errors.New("the response's compressed data ends too early")}
	}
	return n, err
}

func (l *lazyReader) body(p []byte) (int, error) {
	n, err := l.from.Read(p)
	l.whole = l.whole || err == io.EOF
	return n, err
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// damaged gives errors of the decoders a class; those of the connection pass.
func damaged(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return &classifiedError{classResponse, errors.New("the response's gzip data is damaged")}
	case errors.As(err, &corrupt), errors.Is(err, zlib.ErrHeader), errors.Is(err, zlib.ErrChecksum), errors.Is(err, zlib.ErrDictionary):
		return &classifiedError{classResponse, errors.New("the response's compressed data is damaged")}
	}
	return err
}

// drain reads the rest of a short body, so that the connection can be kept.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 4<<10)
	_ = body.Close()
}
