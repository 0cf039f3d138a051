package apicall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// fixed holds the parts of a task's request that no template changes. They are
// made once, when the flow is loaded, and shared by all attempts.
type fixed struct {
	target  *target     // nil: rendered for each attempt
	body    *content    // nil: rendered for each attempt, or there is none
	header  http.Header // what every attempt sends, never changed once made
	ownType bool        // the flow names the Content-Type
}

// fix makes the fixed parts. What cannot be made is a problem of the flow.
func (p *program) fix() (path string, err error) {
	ctx, none := context.Background(), jinja.MapVars{}
	if _, literal := p.url.Literal(); literal && p.constantParams() {
		if p.fixed.target, err = p.render(ctx, none); err != nil {
			return "url", err
		}
		p.fixed.target.key = hostKey(p.fixed.target.url)
		p.fixed.target.shown = cut(newRedactor(nil).url(p.fixed.target.url), engine.MaxURL)
	}
	if p.body != nil && p.body.isConstant() {
		if p.fixed.body, err = p.content(ctx, none); err != nil {
			return "body", err
		}
	}
	h := http.Header{"User-Agent": {p.t.agent}, "Accept-Encoding": {"gzip"}}
	if p.props.storeAs == "object" {
		h["Accept-Encoding"] = identity // half of a compressed stream could not be gone on with
	}
	if p.body != nil {
		h.Set("Content-Type", mimeTypes[p.props.bodyFormat])
	}
	var rendered []namedTemplate
	for _, t := range p.headers {
		p.fixed.ownType = p.fixed.ownType || t.name == "Content-Type"
		text, literal := t.tpl.Literal()
		if !literal || t.name == "Host" {
			rendered = append(rendered, t)
			continue
		}
		if err := setHeader(h, t.name, text); err != nil {
			return "headers", err
		}
	}
	p.headers, p.fixed.header = rendered, h
	return "", nil
}

func (p *program) constantParams() bool {
	for _, v := range p.params {
		if !v.tpl.isConstant() {
			return false
		}
	}
	return true
}

// build renders templates into a request. Nothing is sent.
func (a *attempt) build(ctx context.Context) (err error) {
	p := a.prog
	if a.target = p.fixed.target; a.target == nil {
		if a.target, err = p.render(ctx, a.vars); err != nil {
			return err
		}
	}
	if a.body = p.fixed.body; a.body == nil {
		if a.body, err = p.content(ctx, a.vars); err != nil {
			return err
		}
	}
	switch {
	case a.page != nil:
		err = cmp.Or(a.pageTarget(), a.pageBody())
	case a.poll != nil:
		err = a.pollTarget(ctx)
	}
	if err != nil {
		return err
	}
	a.req = &http.Request{
		Method: a.out.Details.Method, URL: a.target.url, Host: a.target.url.Host, Header: p.fixed.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if a.body != nil {
		a.out.Details.RequestBytes = a.body.length()
	}
	if len(p.headers) > 0 || a.page != nil || a.poll != nil || p.props.keyed || p.props.authType != "none" {
		a.req.Header = maps.Clone(p.fixed.header)
	}
	if err := a.headers(ctx); err != nil {
		return err
	}
	if err := a.typed(); err != nil {
		return err
	}
	if err := a.key(ctx); err != nil {
		return err
	}
	if a.page != nil {
		if err := a.pageHeaders(); err != nil {
			return err
		}
	}
	if a.foreign {
		dropSecrets(a.req)
	}
	a.load(ctx, a.req, a.body)
	return nil
}

func (a *attempt) headers(ctx context.Context) error {
	if a.prog.offers && len(a.prog.headers) > 0 {
		a.vars.request = a.requestDoc
		defer func() { a.vars.request = nil }()
	}
	for _, h := range a.prog.headers {
		v, given, err := h.render(ctx, a.vars)
		switch {
		case err != nil:
			return err
		case !given:
		case h.name == "Host" && !plainHost(v):
			return errors.New("headers.Host: the value is no host name")
		case h.name == "Host":
			a.req.Host = v
		default:
			if err := setHeader(a.req.Header, h.name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// render gives a header's value: flags, numbers and tables as they stand in a
// URL, so true is "true". One that is null and nothing else is not given.
func (h *namedTemplate) render(ctx context.Context, v jinja.Vars) (text string, given bool, err error) {
	pieces, err := h.tpl.Pieces(ctx, v)
	if err != nil {
		return "", false, err
	}
	var b strings.Builder
	var o value.Origin
	for i := range pieces {
		p := &pieces[i]
		if err := onlyText(p.Value); err != nil {
			return "", false, fmt.Errorf("headers.%s: %w", h.name, err)
		}
		o |= p.Origin
		shown := shownPiece(p)
		noteSecret(v, p.Origin, shown)
		b.WriteString(shown)
	}
	text = b.String()
	if o.Sensitive() {
		noteSecret(v, value.Sensitive, text)
	}
	return text, len(pieces) != 1 || pieces[0].Literal || pieces[0].Value != nil, nil
}

// setHeader sets a header whose value may come from data: it can fill the
// value and nothing else (RFC 9110, 5.5).
func setHeader(h http.Header, name, v string) error {
	v = strings.Trim(v, " \t")
	switch {
	case strings.ContainsAny(v, "\r\n\x00"):
		return fmt.Errorf("headers.%s: the value has a line break or a NUL, which no header may have", name)
	case strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		return fmt.Errorf("headers.%s: the value has a control character, which no header may have", name)
	case len(v) > engine.MaxHeaderValue:
		return fmt.Errorf("headers.%s: the value is longer than %d bytes", name, engine.MaxHeaderValue)
	}
	h[name] = []string{v}
	return nil
}

// plainHost reports whether text can stand in a Host header: a name or an
// address, and a port.
func plainHost(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") == ""
}

// load gives a request its body, such that net/http cannot send the request a
// second time by itself. It would, silently, when a kept connection turns out
// to be dead: a request without body or with GetBody, if the method is GET,
// HEAD or OPTIONS, or if it has a header Idempotency-Key or X-Idempotency-Key.
// The retry table would know nothing of it.
//
//   - A body is hidden in a reader of which net/http knows no way back.
//   - GET, HEAD, OPTIONS and DELETE without body get one that is empty. As
//     "identity" it is neither probed nor chunked, and HTTP/1 writes nothing.
//     HTTP/2 would send an empty DATA frame, which some servers refuse; it
//     repeats only what the server says it did not process, so hosts that are
//     known to speak it get no body.
//   - POST, PUT and PATCH without body must say Content-Length: 0, so they have
//     none; their key is written in lower case, which net/http does not see.
func (a *attempt) load(ctx context.Context, req *http.Request, body *content) {
	req.TransferEncoding = nil
	switch n := body.length(); {
	case n > 0:
		req.Body, req.ContentLength = body.reader(ctx), n
	case lengthExpected(req.Method), a.prog.client.speaksHTTP2(req.URL.Host):
		req.Body, req.ContentLength = http.NoBody, 0
		hideKeys(req)
	default:
		req.Body, req.ContentLength, req.TransferEncoding = emptyBody{}, 0, identity
	}
}

// identity is never changed.
var identity = []string{"identity"}

// emptyBody is a body that holds nothing and cannot be made again.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error)         { return 0, io.EOF }
func (emptyBody) WriteTo(io.Writer) (int64, error) { return 0, nil } // or net/http takes a buffer of 32 KiB for it
func (emptyBody) Close() error                     { return nil }

func lengthExpected(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// again makes a request anew of which nothing was sent.
func (a *attempt) again(req *http.Request) *http.Request {
	next := new(http.Request)
	*next = *req
	if req.ContentLength > 0 {
		next.Body = a.body.reader(req.Context())
	}
	return next
}
