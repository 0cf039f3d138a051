package apicall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/internal/value"
)

// maxHookXCom bounds what a hook is told of another task, in bytes of JSON.
const maxHookXCom = 64 << 10

// noteHead is the part of a note that is the same in every call. A note is what the
// operation log says of a hook: {"hook", "module", "sha256", "us", "verdict", "error"},
// where verdict is unchanged, changed, valid, invalid, skipped or failed.
func noteHead(h *hook) []byte {
	b := append([]byte(`{"hook":"`), h.point...)
	b = value.AppendString(append(b, `","module":`...), h.name())
	return append(b, `,"sha256":"`...)
}

// noteHook adds a note to those of the attempt.
func (a *attempt) noteHook(h *hook, sha256 string, took time.Duration, verdict, failed string) {
	before := a.out.Details.Hooks // of the hook of the request; the ledger may have it
	b := append(make([]byte, 0, len(before)+len(h.noted)+len(sha256)+64+len(failed)), '[')
	if len(before) > 0 {
		b = append(append(b[:0], before[:len(before)-1]...), ',')
	}
	b = append(append(append(b, h.noted...), sha256...), `","us":`...)
	b = strconv.AppendInt(b, took.Microseconds(), 10)
	b = append(append(append(b, `,"verdict":"`...), verdict...), '"')
	if failed != "" {
		b = value.AppendString(append(b, `,"error":`...), failed)
	}
	a.verdict, a.out.Details.Hooks = verdict, append(b, "}]"...)
}

// metas are buffers for what hooks are told.
var metas = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// askHook makes a call and notes it. An error is a *HookError; with on_failure =
// "skip" it is noted, and there is none.
func (a *attempt) askHook(ctx context.Context, h *hook, resp *http.Response, body []byte) (ans HookAnswer, err *HookError) {
	meta := metas.Get().(*[]byte)
	text, failed := a.hookMeta(ctx, h, resp, (*meta)[:0])
	ans.Err = h.ready(ctx, a.prog.t.cfg.Hooks)
	switch {
	case ans.Err != nil:
	case failed != nil:
		ans.Err = &HookError{classTemplate, failed.Error(), false}
	default:
		ans = a.prog.t.cfg.Hooks.Call(ctx, &HookCall{Name: h.name(), Ref: h.ref, Latest: h.latest, Validate: h.validates(), Meta: text, Body: body})
	}
	if failed == nil && cap(text) <= 64<<10 {
		*meta = text
		metas.Put(meta)
	}
	a.hookLines(h, ans.Lines)
	took, verdict, note, asked := ans.Took, "", "", cmp.Or(ans.SHA256, h.ref.SHA256)
	if ans.Err != nil {
		note = a.redactor().said(ans.Err.Message)
	}
	if a.hides() && note != "" {
		note = "what it says is not shown: the task is sensitive"
	}
	switch {
	case ans.Err != nil && h.skips:
		verdict = "skipped"
		a.note(fmt.Sprintf("the hook %s was skipped: %s", h.name(), note))
		ans = HookAnswer{}
	case ans.Err != nil:
		verdict = "failed"
		err = &HookError{ans.Err.Class, "hook " + h.name() + ": " + note, ans.Err.Retry || h.again && ans.Err.Class == classHookTrap}
	case h.validates() && len(ans.Violations) > 0:
		verdict = "invalid"
	case h.validates():
		verdict = "valid"
	case ans.Changed:
		verdict = "changed"
	default:
		verdict = "unchanged"
	}
	a.noteHook(h, asked, took, verdict, note)
	return ans, err
}

// hookLines takes what a hook has said into the operator's log.
func (a *attempt) hookLines(h *hook, lines []HookLine) {
	if len(lines) == 0 || a.hides() {
		return
	}
	log := a.prog.t.cfg.Log
	if log == nil {
		return
	}
	for _, l := range lines {
		log.Log(context.Background(), l.Level, a.redactor().said(l.Text), "hook", h.name(), engine.LogFlow, a.in.Flow.ID, engine.LogRun, a.in.Key.Run, engine.LogTask, a.in.Task.ID)
	}
}

// hookMeta is what a hook is told beside the body, behind what stands in b.
func (a *attempt) hookMeta(ctx context.Context, h *hook, resp *http.Response, b []byte) ([]byte, error) {
	key := &a.in.Key
	b = append(append(append(b, h.head...), `,"run_id":"`...), key.Run...)
	b = strconv.AppendInt(append(b, `","map_index":`...), int64(key.Item), 10)
	b = strconv.AppendInt(append(b, `,"attempt":`...), int64(key.Attempt), 10)
	b = append(append(append(b, `,"request":{"method":"`...), a.req.Method...), `","url":`...)
	b = value.AppendString(b, a.requestURL())
	header := a.req.Header
	if b = append(b, '}'); resp != nil {
		header = resp.Header
		b = strconv.AppendInt(append(b, `,"response":{"status":`...), int64(resp.StatusCode), 10)
		b = strconv.AppendInt(append(b, `,"duration_ms":`...), time.Since(a.start).Milliseconds(), 10)
		b = append(h.appendHeaders(append(b, `,"headers":`...), header), '}')
	}
	b = append(b, `,"body":{"encoding":"raw","truncated":false,"content_type":`...)
	b = append(value.AppendString(b, header.Get("Content-Type")), '}')
	b, err := a.hookXCom(ctx, h, b)
	if err == nil {
		b, err = a.hookSecrets(ctx, h, b)
	}
	return append(b, '}'), err
}

// requestURL is the address of the request as people may see it.
func (a *attempt) requestURL() string {
	r := a.redactor()
	if !r.any && a.req.URL == a.target.url && a.target.shown != "" && len(a.target.shown) < engine.MaxURL {
		return a.target.shown
	}
	return r.url(a.req.URL)
}

// maxHeaderNames bounds how many names of headers a hook remembers.
const maxHeaderNames = 200

// ofTheWay says how a body was sent. A hook gets it as it was before, and may get one that
// another hook has changed.
func ofTheWay(header string) bool { return header == "Content-Encoding" || header == "Content-Length" }

// header is the name of a header as it stands in meta: in lower case, as a JSON string.
// It is nil for what is as good as a password, and for what does not hold for the body that
// the hook gets, unless the hook asks for it by name.
func (h *hook) header(name string) []byte {
	if text, ok := h.names.Load(name); ok {
		return text.([]byte)
	}
	var text []byte
	if !secret.Name(name) && !ofTheWay(name) || slices.ContainsFunc(h.expose, func(e string) bool { return strings.EqualFold(e, name) }) {
		text = append(value.AppendString(nil, strings.ToLower(name)), ':', '[')
	}
	if h.count.Add(1) <= maxHeaderNames { // an upstream may make up new ones for each answer
		h.names.Store(name, text)
	}
	return text
}

// appendHeaders writes headers by name, their values in lists.
func (h *hook) appendHeaders(b []byte, from http.Header) []byte {
	names := make([]string, 0, 32)
	for name := range from {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	first := true
	for _, name := range names {
		text := h.header(name)
		if text == nil {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, text...)
		for i, v := range from[name] {
			if i > 0 {
				b = append(b, ',')
			}
			b = value.AppendString(b, headerValue(v))
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// hookXCom adds the values of the tasks that the hook names.
func (a *attempt) hookXCom(ctx context.Context, h *hook, b []byte) ([]byte, error) {
	if len(h.xcom) == 0 {
		return b, nil
	}
	b = append(b, `,"xcom":{`...)
	for i, id := range h.xcom {
		v, ok, err := a.vars.Lookup(ctx, "xcom_"+id.TemplateName())
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("hook %s: the task %s has left no value", h.name(), id)
		}
		text, err := value.JSON(v.Value)
		if err != nil || len(text) > maxHookXCom {
			return nil, fmt.Errorf("hook %s: the value of the task %s is too large for a hook, or no JSON", h.name(), id)
		}
		if v.Origin.Sensitive() {
			noteSecret(a.vars, v.Origin, string(text))
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(value.AppendString(b, string(id)), ':'), text...)
	}
	return append(b, '}'), nil
}

// hookSecrets adds the fields of credentials that the hook names, and hides them in
// all that comes back.
func (a *attempt) hookSecrets(ctx context.Context, h *hook, b []byte) ([]byte, error) {
	if len(h.secrets) == 0 {
		return b, nil
	}
	b = append(b, `,"secrets":{`...)
	for i, ref := range h.secrets {
		v, err := a.prog.secret(ctx, ref)
		if err != nil {
			return nil, err
		}
		a.hideTold(v)
		name := ref.id
		if ref.field != "" {
			name += "." + ref.field
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = value.AppendString(append(value.AppendString(b, name), ':'), v)
	}
	return append(b, '}'), nil
}

// minTold is the shortest secret told to a hook that is looked for in what it gives:
// it is known to be there more often than by chance.
const minTold = 4

// hideTold notes what a hook of this attempt was told and must not show.
func (a *attempt) hideTold(secret string) {
	a.hookTold = true
	a.vars.secrets = append(a.vars.secrets, secret)
	if n := len(secret); minTold <= n && n < minSecret {
		a.vars.leaves = append(a.vars.leaves, secret)
	}
}

// hookFailure is a hook's failure for the retry table.
func hookFailure(e *HookError, sent bool) failure {
	return failure{class: e.Class, sent: sent, again: e.Retry}
}

// transformRequest lets the task's hook change the body, after it was built and
// before anything proves who sends it.
func (a *attempt) transformRequest(ctx context.Context) *HookError {
	h := a.prog.hooks["transform_request"]
	if h == nil {
		return nil
	}
	var body []byte
	if a.body != nil {
		if a.body.segments != nil {
			return &HookError{classBody, "hook " + h.name() + ": a body that is sent while it is read does not go through a hook", false}
		}
		body = a.body.data
	}
	before := a.vars.marks
	ans, err := a.askHook(ctx, h, nil, body)
	if err != nil || !ans.Changed {
		return err
	}
	next := &content{data: ans.Body, mimeType: "application/octet-stream", hidden: a.vars.marks > before}
	if a.body != nil {
		next.mimeType, next.hidden = a.body.mimeType, next.hidden || a.body.hidden
	}
	a.body = next
	a.req.Header = maps.Clone(a.req.Header)
	if a.req.Header.Get("Content-Type") == "" {
		a.req.Header.Set("Content-Type", next.mimeType)
	}
	a.out.Details.RequestBytes = next.length()
	a.load(ctx, a.req, next)
	return nil
}

// transformResponse lets the task's hook change an accepted answer's body.
func (a *attempt) transformResponse(ctx context.Context, resp *http.Response, body []byte) ([]byte, *unfit) {
	h := a.prog.hooks["transform_response"]
	if h == nil {
		return body, nil
	}
	marks := a.vars.marks
	ans, err := a.askHook(ctx, h, resp, body)
	if err != nil {
		return body, &unfit{hookFailure(err, true), errors.New(err.Message), a.received(body)}
	}
	if !ans.Changed {
		return body, nil
	}
	if r := a.redactor(); a.hookTold || a.vars.marks > marks { // it may hold what the hook was told
		return []byte(r.escaped(r.values(string(ans.Body)))), nil
	}
	return ans.Body, nil
}

// received is a body as it came, to be kept for people.
func (a *attempt) received(body []byte) document {
	doc, err := readDocument(&props{responseFormat: "auto"}, body, "")
	if err != nil {
		return document{shape: shapeBytes, data: body}
	}
	return doc
}

// validateByHook asks the task's hook for what is wrong with a response.
func (a *attempt) validateByHook(ctx context.Context, resp *http.Response, body []byte) (bad []string, retry bool, err *HookError) {
	h := a.prog.hooks["validate"]
	if h == nil {
		return nil, false, nil
	}
	ans, err := a.askHook(ctx, h, resp, body)
	for _, v := range ans.Violations {
		if a.hides() {
			v = "what the hook says is not shown: the task is sensitive"
		}
		bad = append(bad, cut(a.redactor().said(v), maxViolation))
	}
	return bad, ans.Retry, err
}
