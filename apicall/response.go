package apicall

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// answer reads a response, decides whether it is a success, and turns it into
// the value to store.
func (a *attempt) answer(ctx context.Context, resp *http.Response) engine.TaskOutput {
	d := &a.out.Details
	d.StatusCode = resp.StatusCode
	d.ContentType = mediaType(resp)
	body, err := a.read(resp)
	d.ResponseBytes = int64(len(body))
	if err != nil {
		a.excerpt(resp, body)
		f := a.classify(ctx, err)
		if f.class == classConnect {
			f.class = classClosed
		}
		f.sent = true
		return a.failed(ctx, f, err)
	}
	if a.prog.answered {
		a.out.Response = a.responseDoc(resp)
	}
	if !a.accepted(resp.StatusCode) {
		return a.refused(ctx, resp, body)
	}
	isJSON := looksJSON(d.ContentType, body)
	if rules := a.props().rules; rules != nil && a.props().handling != "ignore" {
		if bad := a.violations(rules, body, isJSON); len(bad) > 0 {
			d.Validation = bad
			a.excerpt(resp, body)
			a.store(body, isJSON)
			return a.invalid(ctx, resp, bad)
		}
	}
	if a.props().handling != "ignore" {
		a.store(body, isJSON)
	}
	d.URL = a.shownURL()
	d.Repeated = a.in.Again
	return a.out
}

// shownURL is the request's address as the operation log of a success has it.
func (a *attempt) shownURL() string {
	return cut(newRedactor(a.vars.secrets).url(a.target.url), engine.MaxURL)
}

// accepted decides about a status: below 400, unless the flow names what it
// expects. A DELETE that was sent again after a crash and finds nothing has
// done its work the first time.
func (a *attempt) accepted(status int) bool {
	if r := a.props().rules; r != nil && len(r.statuses) > 0 {
		return slices.Contains(r.statuses, status)
	}
	if a.in.Again && a.props().operation == "delete" && (status == http.StatusNotFound || status == http.StatusGone) {
		return true
	}
	return status < 400
}

// refused is an answer that says no.
func (a *attempt) refused(ctx context.Context, resp *http.Response, body []byte) engine.TaskOutput {
	a.excerpt(resp, body)
	f := failure{class: classStatus, status: resp.StatusCode, sent: true}
	text := statusText(resp.StatusCode)
	if r := a.props().rules; r != nil && len(r.statuses) > 0 {
		text += ", expected " + joinInts(r.statuses)
	}
	out := a.failed(ctx, f, errors.New(text))
	return a.waitAsAsked(out, resp)
}

// waitAsAsked honours Retry-After (RFC 9110, 10.2.3): seconds or a date. A
// longer wait than the flow allows fails at once and says so.
func (a *attempt) waitAsAsked(out engine.TaskOutput, resp *http.Response) engine.TaskOutput {
	if !out.Err.Retryable {
		return out
	}
	wait, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if !ok {
		return out
	}
	limit := a.props().retry.AfterMax
	if wait > limit {
		out.Err.Retryable = false
		out.Err.Message += fmt.Sprintf(", Retry-After %s", round(wait))
		out.Details.NotRetried = fmt.Sprintf("Retry-After %s is longer than retry_after_max (%s)", round(wait), round(limit))
		out.Details.Hint = fmt.Sprintf("retry_after_max is %s; raise it or try later", round(limit))
		return out
	}
	out.Err.RetryAfter = wait
	out.Details.RetryAfterMS = wait.Milliseconds()
	return out
}

// retryAfter reads a Retry-After header.
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 || n > 1e9 {
			return 0, false
		}
		return time.Duration(n) * time.Second, true
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return 0, false
	}
	return max(0, t.Sub(now)), true
}

// invalid is an answer that fails its checks. What it was is stored all the
// same, so that a person can look at it.
func (a *attempt) invalid(ctx context.Context, resp *http.Response, bad []string) engine.TaskOutput {
	text := fmt.Sprintf("%s, %d checks failed: %s", statusText(resp.StatusCode), len(bad), bad[0])
	if len(bad) == 1 {
		text = fmt.Sprintf("%s, 1 check failed: %s", statusText(resp.StatusCode), bad[0])
	}
	return a.failed(ctx, failure{class: classValidation, status: resp.StatusCode, sent: true}, errors.New(text))
}

func (a *attempt) violations(r *rules, body []byte, isJSON bool) []string {
	if len(r.required) == 0 && len(r.checks) == 0 {
		return nil
	}
	var v any
	if isJSON {
		var err error
		if v, err = value.ParseJSON(body); err != nil {
			return []string{"the response is not JSON: " + err.Error()}
		}
	}
	return r.violations(v, isJSON)
}

// read reads the whole body, decoded, within max_response_bytes.
func (a *attempt) read(resp *http.Response) ([]byte, error) {
	limit := a.props().maxResponse
	if a.req.Method == http.MethodHead {
		return nil, nil
	}
	r, err := decoded(resp)
	if err != nil {
		return nil, &classifiedError{classResponse, err}
	}
	var buf bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= limit {
		buf.Grow(int(n) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	if n > limit {
		return buf.Bytes()[:limit], &classifiedError{classTooLarge, fmt.Errorf("the response is larger than max_response_bytes (%d)", limit)}
	}
	if err != nil && (errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)) {
		err = &classifiedError{classResponse, errors.New("the response's gzip data is damaged")}
	}
	return buf.Bytes(), err
}

func decoded(resp *http.Response) (io.Reader, error) {
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		return &lazyGzip{r: resp.Body}, nil
	case "deflate":
		z, err := zlib.NewReader(resp.Body)
		if err != nil {
			return nil, errors.New("the response's deflate data is damaged")
		}
		return z, nil
	default:
		return nil, fmt.Errorf("the response has Content-Encoding %.40q, which was not asked for", enc)
	}
}

// lazyGzip opens the stream at the first read, so that an empty body is empty.
type lazyGzip struct {
	r io.Reader
	z *gzip.Reader
}

func (g *lazyGzip) Read(p []byte) (int, error) {
	if g.z == nil {
		var err error
		if g.z, err = gzip.NewReader(g.r); err != nil {
			return 0, err
		}
	}
	return g.z.Read(p)
}

// store turns a body into the XCom value: JSON as it is, other text as a
// string, anything else and everything large as an object.
func (a *attempt) store(body []byte, isJSON bool) {
	switch {
	case len(body) == 0:
		a.out.Value = []byte("null")
	case isJSON && len(body) <= engine.MaxInlineValue:
		a.out.Value = body
	case isJSON:
		a.out.Large = &engine.LargeValue{Data: body, ContentType: "application/json"}
	case utf8.Valid(body) && len(body) <= engine.MaxInlineValue/2:
		a.out.Value = value.AppendString(make([]byte, 0, len(body)+2), string(body))
	default:
		a.out.Large = &engine.LargeValue{Data: body, ContentType: orText(a.out.Details.ContentType)}
	}
}

func orText(mediaType string) string {
	if mediaType == "" || mediaType == "application/json" {
		return "text/plain"
	}
	return mediaType
}

// looksJSON takes a body as JSON by its content type, or when it is text that
// parses as an object or a list.
func looksJSON(mediaType string, body []byte) bool {
	declared := mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) == 0 || !declared && trimmed[0] != '{' && trimmed[0] != '[' {
		return false
	}
	return json.Valid(body)
}

func mediaType(resp *http.Response) string {
	t := resp.Header.Get("Content-Type")
	if t == "application/json" || t == "" {
		return t
	}
	m, _, err := mime.ParseMediaType(t)
	if err != nil {
		m, _, _ = strings.Cut(t, ";")
	}
	return cut(strings.ToLower(strings.TrimSpace(m)), 128)
}

// excerpt keeps of a failed answer what a person needs, redacted.
func (a *attempt) excerpt(resp *http.Response, body []byte) {
	r := newRedactor(a.vars.secrets)
	d := &a.out.Details
	d.ResponseHeaders = map[string]string{}
	size := 0
	for _, name := range slices.Sorted(headerNames(resp.Header)) {
		v := cut(r.header(name, strings.Join(resp.Header[name], ", ")), 512)
		if size += len(name) + len(v); size > 4<<10 {
			break
		}
		d.ResponseHeaders[strings.ToLower(name)] = v
	}
	if utf8.Valid(body[:min(len(body), 64)]) {
		d.ResponseExcerpt = cut(r.text(string(body[:min(len(body), engine.MaxExcerpt)])), engine.MaxExcerpt)
	} else if len(body) > 0 {
		d.ResponseExcerpt = fmt.Sprintf("(%d bytes that are not text)", len(body))
	}
}

func headerNames(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

// responseDoc is the resp_<task> document for the tasks that read it.
func (a *attempt) responseDoc(resp *http.Response) []byte {
	r := newRedactor(a.vars.secrets)
	headers := value.NewMap(len(resp.Header))
	size := 0
	for _, name := range slices.Sorted(headerNames(resp.Header)) {
		v := strings.Join(resp.Header[name], ", ")
		if strings.EqualFold(name, "Set-Cookie") {
			v = hidden
		}
		if size += len(name) + len(v); size > engine.MaxResponseHeaders {
			break
		}
		headers.Set(strings.ToLower(name), v)
	}
	doc, err := value.JSON(value.MapOf(
		"status_code", int64(resp.StatusCode), "headers", headers, "url", r.url(resp.Request.URL),
		"elapsed_ms", time.Since(a.start).Milliseconds(),
	))
	if err != nil {
		return nil
	}
	return doc
}

func statusText(code int) string {
	if t := http.StatusText(code); t != "" {
		return strconv.Itoa(code) + " " + t
	}
	return strconv.Itoa(code)
}

func joinInts(list []int) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = strconv.Itoa(n)
	}
	return strings.Join(out, " or ")
}
