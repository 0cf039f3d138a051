package apicall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// An answer with store_as = "object" is never in memory: what comes from the
// connection goes to the object store, chunk by chunk. When the connection
// breaks and the server has named the version that it sends, the rest of that
// version is asked for (RFC 9110, 14): the request goes on and is no retry.

// How often a download is resumed without a byte having come in between, and
// how long it waits before: the first time not at all.
const (
	maxResumes  = 5
	resumeWait  = 100 * time.Millisecond
	resumeLimit = 2 * time.Second
)

// streams reports whether an answer goes to the object store unread.
func (a *attempt) streams(resp *http.Response) bool {
	p := a.props()
	return p.storeAs == "object" && p.paging == nil && p.handling != "ignore" && a.accepted(resp.StatusCode) && (!leadsNowhere(resp) || p.redirects == 0 || p.expects(resp.StatusCode))
}

// storeObject streams an answer to the object store and makes it the value.
func (a *attempt) storeObject(ctx context.Context, resp *http.Response) engine.TaskOutput {
	d := &download{a: a, ctx: ctx, first: resp, resp: resp, etag: strongETag(resp)}
	defer func() { d.resp.Body.Close() }()
	ref, err := d.store(ctx)
	a.out.Details.ResponseBytes = d.got
	if d.resumed > 0 {
		a.note(fmt.Sprintf("the connection broke and the download was resumed, %s", times(d.resumed)))
	}
	if err != nil && d.failed == nil {
		d.failed = ctx.Err() // the store was told to stop
	}
	switch {
	case d.failed != nil:
		a.excerpt(resp, nil)
		return a.failed(ctx, a.classifyBody(ctx, d.failed), d.failed)
	case err != nil:
		a.excerpt(resp, nil)
		return a.failed(ctx, failure{class: classStore, sent: true, done: true}, fmt.Errorf("store the value: %w", err))
	}
	a.out.Stored = ref
	return a.succeeded(resp)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

// download is the body of an answer, over as many connections as it takes.
type download struct {
	a       *attempt
	ctx     context.Context // of the attempt
	first   *http.Response  // the answer that began it
	resp    *http.Response  // the one that is being read
	etag    string          // strong: what may be resumed; "" for nothing
	got     int64
	idle    int // resumes since a byte has come
	resumed int
	failed  error // why reading ended early
	limit   int64 // 0: none
}

func (d *download) store(ctx context.Context) (*engine.BlobRef, error) {
	body, err := decoded(d.first)
	if err != nil {
		d.failed = &classifiedError{classResponse, err}
		return nil, d.failed
	}
	if contentCoding(d.first.Header) != "" {
		d.etag = "" // half of a compressed stream cannot be gone on with
		d.resp.Body = io.NopCloser(body)
	}
	d.limit = d.a.props().objectLimit
	return d.a.in.Store(ctx, cut(headerValue(d.first.Header.Get("Content-Type")), maxContentType), d)
}

// Read reads on, over the end of a broken connection.
func (d *download) Read(p []byte) (int, error) {
	for d.failed == nil {
		n, err := d.resp.Body.Read(p)
		d.got += int64(n)
		switch {
		case d.limit > 0 && d.got > d.limit:
			d.failed = &classifiedError{classTooLarge, fmt.Errorf("the response is larger than max_response_bytes (%d)", d.limit)}
			return 0, d.failed
		case n > 0:
			d.idle = 0
			return n, nil // an error comes again
		case err == io.EOF:
			return 0, err
		case err != nil:
			d.again(damaged(err))
		}
	}
	return 0, d.failed
}

// again goes on after an error, if that is possible; else the error stays.
func (d *download) again(err error) {
	for d.etag != "" && d.first.Request.Method == http.MethodGet && d.idle < maxResumes && classOf(err, "") == "" {
		if d.idle > 0 && !d.wait(min(resumeWait<<(d.idle-1), resumeLimit)) {
			break
		}
		d.idle++
		if d.ctx.Err() != nil {
			break
		}
		resp, failed := d.rest()
		if failed == nil {
			d.resp.Body.Close()
			d.resp = resp
			d.resumed++
			return
		}
		if errors.Is(failed, errNoRest) {
			break
		}
	}
	d.failed = err
}

func (d *download) wait(span time.Duration) bool {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// errNoRest says that the server does not give the rest of what it began.
var errNoRest = errors.New("the server does not go on with what it began")

// rest asks for what is missing.
func (d *download) rest() (*http.Response, error) {
	req := d.first.Request.Clone(d.first.Request.Context())
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.got))
	req.Header.Set("If-Range", d.etag)
	d.a.load(d.ctx, req, nil)
	if err := d.a.prog.t.checkProxied(d.ctx, d.a.prog.props, req.URL, d.a.trusted); err != nil {
		return nil, errNoRest
	}
	resp, err := d.a.roundTrip(d.a.prog.client.to(d.a.trusted), req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && startsAt(resp, d.got) && sameVersion(resp, d.etag):
		return resp, nil
	case resp.StatusCode == http.StatusOK && strongETag(resp) == d.etag: // the whole once more, and the same
		if _, err = io.CopyN(io.Discard, resp.Body, d.got); err == nil {
			return resp, nil
		}
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		err = errors.New(statusText(resp.StatusCode)) // it may be on its way back
	default:
		err = errNoRest
	}
	drain(resp.Body)
	return nil, err
}

// startsAt reports whether a part begins where it was asked for.
func startsAt(resp *http.Response, at int64) bool {
	span, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	from, _, _ := strings.Cut(span, "-")
	n, err := strconv.ParseInt(strings.TrimSpace(from), 10, 64)
	return ok && err == nil && n == at
}

// sameVersion reports whether a part says nothing else than that it is of the
// version that was asked for; a server need not say it again.
func sameVersion(resp *http.Response, etag string) bool {
	got := resp.Header.Get("ETag")
	return got == "" || got == etag
}

// strongETag names the version of an answer byte by byte; "" when it does not.
func strongETag(resp *http.Response) string {
	if etag := resp.Header.Get("ETag"); strings.HasPrefix(etag, `"`) {
		return etag
	}
	return ""
}
