package apicall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
)

// attempt is one call, from rendering to the record.
type attempt struct {
	prog  *program
	in    *engine.TaskInput
	vars  *vars
	out   engine.TaskOutput
	start time.Time

	target  *target
	req     *http.Request
	body    *content
	redact  *redactor
	wrote   atomic.Bool // a part of the request may have reached the server
	history []string    // redirects
}

// Execute implements engine.Program: one attempt, told in order.
func (p *program) Execute(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
	a := &attempt{prog: p, in: in, vars: &vars{TaskInput: in, prog: p}, start: time.Now()}
	a.out.Details.Method = strings.ToUpper(p.props.operation)
	a.out.Details.TimeoutMS = p.props.timeout.Milliseconds()

	if err := a.build(ctx); err != nil {
		return a.failed(ctx, failure{class: classOf(err, classTemplate)}, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.props.timeout, errTimeout)
	defer cancel()
	if p.props.proxy != "" {
		if err := p.t.checkProxied(ctx, a.target.url, a.target.trusted); err != nil {
			return a.failed(ctx, failure{class: classEgress}, err)
		}
	}
	if err := in.Sending(ctx); err != nil {
		return a.failed(ctx, failure{class: "ledger"}, err)
	}
	resp, err := a.send(ctx)
	if err != nil {
		return a.failed(ctx, a.classify(ctx, err), err)
	}
	defer resp.Body.Close()
	return a.answer(ctx, resp)
}

var errTimeout = errors.New("timeout")

// build renders templates into a request. Nothing is sent.
func (a *attempt) build(ctx context.Context) (err error) {
	p := a.prog
	if a.target, err = p.render(ctx, a.vars); err != nil {
		return a.explain(err)
	}
	if a.body, err = p.content(ctx, a.vars); err != nil {
		return a.explain(err)
	}
	var body io.Reader = emptyBody{}
	if p.client.speaksHTTP2(a.target.url.Host) {
		body = http.NoBody // HTTP/2 would send an empty frame; it repeats only what was not processed
	}
	if a.body != nil {
		body = onceBody{bytes.NewReader(a.body.data)}
	}
	a.req, err = http.NewRequest(a.out.Details.Method, "", body)
	if err != nil {
		return err
	}
	a.req.URL, a.req.Host = a.target.url, a.target.url.Host
	if a.body != nil {
		a.req.ContentLength = int64(len(a.body.data))
		a.out.Details.RequestBytes = a.req.ContentLength
		a.req.Header.Set("Content-Type", a.body.mimeType)
	}
	a.req.Header.Set("Accept-Encoding", "gzip")
	a.req.Header.Set("User-Agent", userAgent)
	if err := a.headers(ctx); err != nil {
		return a.explain(err)
	}
	return a.key(ctx)
}

const userAgent = "qarion"

func (a *attempt) headers(ctx context.Context) error {
	for _, h := range a.prog.headers {
		r, err := h.tpl.Text(ctx, a.vars)
		if err != nil {
			return err
		}
		v, _ := r.Value.(string)
		switch {
		case strings.ContainsAny(v, "\r\n\x00"):
			return fmt.Errorf("headers.%s: the value has a line break or a NUL, which no header may have", h.name)
		case len(v) > engine.MaxHeaderValue:
			return fmt.Errorf("headers.%s: the value is longer than %d bytes", h.name, engine.MaxHeaderValue)
		case h.name == "Host":
			a.req.Host = v
		default:
			a.req.Header.Set(h.name, strings.Trim(v, " \t"))
		}
	}
	return nil
}

// key adds the idempotency key, the same in every attempt of the task.
func (a *attempt) key(ctx context.Context) error {
	p := a.prog
	if !p.props.keyed {
		return nil
	}
	key := engine.IdempotencyKey(a.in.Installation, a.in.Key.Run, a.in.Key.Task, a.in.Key.Item)
	if p.key != nil {
		r, err := p.key.Text(ctx, a.vars)
		if err != nil {
			return a.explain(err)
		}
		key, _ = r.Value.(string)
		if key == "" || len(key) > 255 || strings.ContainsFunc(key, func(c rune) bool { return c < 0x21 || c > 0x7e }) {
			return errors.New("idempotency_key: the rendered text must have 1 to 255 visible ASCII characters")
		}
	}
	a.req.Header.Set("Idempotency-Key", key)
	a.out.Details.IdempotencyKey = key
	return nil
}

// explain puts an undefined name into words that help: which task returned
// what.
func (a *attempt) explain(err error) error {
	var u *jinja.UndefinedError
	if !errors.As(err, &u) {
		return err
	}
	if id, ok := strings.CutPrefix(u.Name, "xcom_"); ok && len(u.Available) > 0 {
		if task, _, found := strings.Cut(id, "."); found {
			return fmt.Errorf("%w (%s returned: %s)", err, task, strings.Join(u.Available, ", "))
		}
	}
	return err
}

// send sends the request and follows redirects as far as the flow allows.
func (a *attempt) send(ctx context.Context) (*http.Response, error) {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { a.wrote.Store(true) }}
	req := a.req.WithContext(httptrace.WithClientTrace(ctx, trace))
	transport := a.prog.client.trusted
	if !a.target.trusted {
		transport = a.prog.client.guarded
	}
	for {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if resp.ProtoMajor == 2 {
			a.prog.client.http2.Store(req.URL.Host, true)
		}
		next, err := a.redirect(req, resp)
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if next == nil {
			return resp, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be kept
		resp.Body.Close()
		if !sameOrigin(req.URL, next.URL) {
			transport = a.prog.client.guarded // the server's word is data
		}
		req = next
	}
}

func (c *clients) speaksHTTP2(host string) bool {
	_, ok := c.http2.Load(host)
	return ok
}

// failed turns an error into the attempt's output.
func (a *attempt) failed(ctx context.Context, f failure, err error) engine.TaskOutput {
	p, d := a.prog, &a.out.Details
	a.describe()
	message := a.redact.text(a.message(ctx, f, err))
	e := &engine.TaskError{Class: f.class, Message: cut(message, engine.MaxErrorText), Retryable: p.props.retryable(f)}
	// The run or the node ended the call: whether it arrived is not known.
	e.Unknown = f.sent && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout)
	if e.Retryable {
		d.RetryReason = reason(f)
	} else if f.class != classTemplate {
		d.NotRetried = p.props.whyNot(f)
	}
	a.out.Value, a.out.Large, a.out.Err = nil, nil, e
	return a.out
}

func reason(f failure) string {
	if f.class == classStatus {
		return strconv.Itoa(f.status)
	}
	return f.class
}

// describe fills what a person needs to see of the request, redacted. Only
// failures pay for it.
func (a *attempt) describe() {
	d := &a.out.Details
	a.redact = newRedactor(a.vars.secrets)
	if a.target != nil {
		d.URL = cut(a.redact.url(a.target.url), engine.MaxURL)
	}
	if a.req == nil {
		return
	}
	d.RequestHeaders = map[string]string{}
	for name := range a.req.Header {
		if name == "Accept-Encoding" || name == "User-Agent" {
			continue
		}
		d.RequestHeaders[name] = cut(a.redact.header(name, a.req.Header.Get(name)), 512)
	}
	if a.body != nil {
		d.RequestBody = cut(a.redact.text(string(a.body.data[:min(len(a.body.data), 2048)])), 2048)
	}
	d.Redirects = a.history
}

// cut shortens text to n bytes and says so.
func cut(s string, n int) string {
	if len(s) <= n {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:n-12], "") + "... (cut)"
}
