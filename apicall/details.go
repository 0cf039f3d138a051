package apicall

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Bounds of what the operation log shows of a failed call, in bytes.
const (
	maxShownHeader  = 512     // of one header's value
	maxShownHeaders = 4 << 10 // of all
	maxShownBody    = 2 << 10 // of the request's body
)

// redactor hides what this attempt has learned of secrets. Attempts of one task
// mostly know the same ones and share it.
func (a *attempt) redactor() *redactor {
	if a.vars.marks > 0 || len(a.vars.leaves) > 0 { // rare, and another one each time
		return newRedactor(a.vars.secrets, slices.Concat(a.vars.used, a.vars.leaves)...)
	}
	r := a.prog.hides.Load()
	if r == nil || !slices.Equal(r.secrets, a.vars.secrets) {
		r = newRedactor(a.vars.secrets)
		a.prog.hides.Store(r)
	}
	return r
}

// describe fills in what a person needs to see of the request, redacted. Only
// failures pay for it.
func (a *attempt) describe() {
	d := &a.out.Details
	if a.target != nil {
		d.URL = a.shownURL()
	}
	if a.req != nil {
		d.RequestHeaders = a.shownHeaders(a.req.Header, func(name string) bool { return name != "Accept-Encoding" && name != "User-Agent" })
	}
	if a.body != nil {
		d.RequestBody = a.shownBody(maxShownBody)
	}
	d.Redirects = a.shownRedirects()
}

// announcement is what the ledger holds of a request that is about to be sent.
func (a *attempt) announcement() engine.Details {
	a.describe()
	d := a.out.Details
	a.out.Details.URL, a.out.Details.RequestHeaders, a.out.Details.RequestBody = "", nil, "" // only failures show them
	return d
}

// note keeps what was noticed about the call, beside what was noticed before.
func (a *attempt) note(s string) {
	d := &a.out.Details
	if d.Note != "" && s != "" {
		s = "; " + s
	}
	d.Note += s
}

// shownBody is the beginning of the request's body, or what it is made of.
func (a *attempt) shownBody(n int) string {
	c := a.body
	switch {
	case c.hidden:
		return fmt.Sprintf("(%d bytes, hidden: what a sensitive task has left is in it)", c.length())
	case c.form != nil:
		var b strings.Builder
		for i := range c.form {
			b.WriteString(c.form[i].String() + "\n")
		}
		return a.shownText([]byte(b.String()), n)
	case c.segments != nil:
		return fmt.Sprintf("(%d bytes of %s)", c.length(), c.mimeType)
	}
	return a.shownText(c.data, n)
}

// shownURL is the request's address, as the flow made it.
func (a *attempt) shownURL() string {
	if a.target.shown != "" {
		return a.target.shown
	}
	return cut(a.redactor().url(a.target.url), engine.MaxURL)
}

// excerpt keeps of a failed answer what a person needs.
func (a *attempt) excerpt(resp *http.Response, body []byte) {
	if a.hides() {
		a.excerptHidden(resp)
		return
	}
	d := &a.out.Details
	d.ResponseHeaders = map[string]string{}
	for name, v := range a.shownHeaders(resp.Header, func(string) bool { return true }) {
		d.ResponseHeaders[strings.ToLower(name)] = v
	}
	if text, err := decodeText(body, resp.Header.Get("Content-Type"), a.props().responseCharset); err == nil {
		body = text
	}
	d.ResponseExcerpt = a.shownText(body, engine.MaxExcerpt)
}

func (a *attempt) shownHeaders(h http.Header, wanted func(name string) bool) map[string]string {
	shown, size := map[string]string{}, 0
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if !wanted(name) {
			continue
		}
		v := cut(a.redactor().header(name, headerValue(strings.Join(h[name], ", "))), maxShownHeader)
		if size+len(name)+len(v) > maxShownHeaders {
			continue // others may fit
		}
		size += len(name) + len(v)
		shown[name] = v
	}
	return shown
}

// shownText is the beginning of a body. It is redacted before it is cut: half
// of a secret would not be found.
func (a *attempt) shownText(body []byte, n int) string {
	head := body[:min(len(body), 2*n)]
	if !utf8.Valid(body[:min(len(body), 64)]) && !utf8.Valid(body) || bytes.IndexByte(head, 0) >= 0 {
		return fmt.Sprintf("(%d bytes that are not text)", len(body))
	}
	text := a.redactor().text(string(head))
	if len(head) < len(body) && len(text) <= n {
		text += "... (cut)"
	}
	return cut(text, n)
}

// responseDoc is the resp_<task> document for the tasks that read it.
func (a *attempt) responseDoc(resp *http.Response) []byte {
	headers := value.NewMap(len(resp.Header))
	size := 0
	var withheld []any
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		v := headerValue(strings.Join(resp.Header[name], ", "))
		if name == "Set-Cookie" || name == "Set-Cookie2" || a.redactor().values(v) != v {
			withheld = append(withheld, "headers."+strings.ToLower(name))
			continue
		}
		if size+len(name)+len(v) > engine.MaxResponseHeaders {
			continue // others may fit
		}
		size += len(name) + len(v)
		headers.Set(strings.ToLower(name), v)
	}
	address := resp.Request.URL.String()
	if a.redactor().url(resp.Request.URL) != address {
		address, withheld = "", append(withheld, "url")
	}
	m := value.MapOf(
		"status_code", int64(resp.StatusCode), "headers", headers, "url", cut(address, engine.MaxURL/2),
		"elapsed_ms", time.Since(a.start).Milliseconds(),
	)
	links, hidden := a.links(resp)
	for k, v := range links.All() {
		m.Set(k, v)
	}
	if withheld = append(withheld, hidden...); len(withheld) > 0 {
		m.Set(engine.Withheld, withheld)
	}
	if a.page != nil {
		m.Set("pages", int64(a.pages))
		m.Set("items", a.items)
	}
	if a.trusted {
		m.Set(engine.Answerer, engine.OriginOf(resp.Request.URL))
	}
	doc, err := value.JSON(m)
	if err != nil {
		return nil
	}
	return doc
}

// cut shortens text to n bytes and says so.
func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n-len(cutMark)], "") + cutMark
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

const cutMark = "... (cut)"
