package apicall

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// attempt is one call, from rendering to the record.
type attempt struct {
	prog  *program
	in    *engine.TaskInput
	vars  *vars
	out   engine.TaskOutput
	start time.Time

	target   *target
	req      *http.Request
	body     *content
	auth     Authenticator // nil: none
	wire     wire
	trusted  bool     // the flow file names the host that was asked last
	history  []string // redirects, as the operation log shows them
	cookies  *cookies // nil: there are none
	verdict  string   // of the hook that was asked last
	hookTold bool     // a hook of this attempt was told a secret

	page    *pageState // of a task that reads pages; nil: it does not
	poll    *pollState // of a task that waits for a job; nil: it does not
	whole   *program   // of a look at a job: the task's own
	first   *url.URL   // where the flow itself asks for pages
	foreign bool       // this page is at another origin: no credential is for it
	pages   int        // that were joined
	items   int64      // in them

	left   bool // a redirect has led away from the origin that the credential is for
	moved  bool // a redirect has turned the request into a GET: the first one was carried out
	traced traced
}

var errTimeout = errors.New("timeout")

// Execute implements engine.Program: one attempt, told in order.
func (p *program) Execute(ctx context.Context, in *engine.TaskInput) engine.TaskOutput {
	whole := p
	if p.looks != nil && in.Key.Turn > 0 {
		p = p.looks
	}
	a := &attempt{prog: p, whole: whole, in: in, vars: &vars{TaskInput: in, prog: whole}, start: time.Now()}
	a.out.Details.Method = p.props.method
	a.out.Details.TimeoutMS = p.props.timeout.Milliseconds()

	if err := a.openTurn(); err != nil {
		return a.failed(ctx, failure{class: classLedger}, err)
	}
	if err := a.build(ctx); err != nil {
		return a.failed(ctx, a.classifyBuild(err), a.explain(ctx, err))
	}
	done, postponed := a.admitted()
	if done == nil {
		return postponed
	}
	if held := a.heldBack(); held != nil {
		done(BreakerIgnored)
		a.out.Err = held
		return a.out
	}
	out := a.call(ctx)
	a.endSpan(&out)
	done(learned(&out))
	a.pause()
	return out
}

// openTurn reads what the turn before has left, of a task that takes several.
func (a *attempt) openTurn() error {
	switch p := a.props(); {
	case p.paging != nil:
		return a.openPage()
	case p.polling != nil:
		return a.openPoll()
	}
	return nil
}

// call makes the request, within the task's timeout.
func (a *attempt) call(ctx context.Context) engine.TaskOutput {
	ctx, cancel := context.WithTimeoutCause(ctx, a.props().timeout, errTimeout)
	defer cancel()
	ctx, err := a.throughProxy(ctx)
	if err != nil {
		return a.failed(ctx, a.classify(ctx, err), err)
	}
	if err := a.openJar(ctx); err != nil {
		return a.failed(ctx, failure{class: classLedger}, err)
	}
	if err := a.transformRequest(ctx); err != nil {
		return a.failed(ctx, hookFailure(err, false), errors.New(err.Message))
	}
	if err := a.authenticate(ctx); err != nil {
		return a.failed(ctx, a.classify(ctx, err), err)
	}
	if err := a.in.Sending(ctx, a.announcement); err != nil {
		return a.failed(ctx, failure{class: classLedger}, err)
	}
	resp, err := a.send(ctx)
	for n := 0; n < maxChallenges && err == nil && a.challenges(resp); n++ {
		resp, err = a.proven(ctx, resp)
	}
	if err == nil && a.stale(resp) {
		resp, err = a.renewed(ctx, resp)
	}
	if err != nil {
		return a.failed(ctx, a.classify(ctx, err), err)
	}
	defer resp.Body.Close()
	a.keepLastCookies(resp)
	return a.answer(ctx, resp)
}

func (a *attempt) props() *props { return a.prog.props }

// send sends the request and follows redirects as far as the flow allows.
func (a *attempt) send(ctx context.Context) (*http.Response, error) {
	req, trusted := a.req.WithContext(a.wire.trace(ctx)), a.target.trusted
	if !trusted {
		origin := engine.OriginOf(a.target.url)
		trusted = a.in.Flow.OwnOrigin(origin) || a.in.AnsweredFrom(origin)
	}
	a.left = false
	if own := a.req.Header["Cookie"]; own != nil || a.cookies != nil {
		a.kept().own = strings.Join(own, "; ")
	}
	a.sendCookies(req)
	for {
		a.trusted = trusted
		err := a.prog.t.checkProxied(ctx, a.prog.props, req.URL, trusted)
		var resp *http.Response
		if err == nil {
			resp, err = a.roundTrip(a.prog.client.to(trusted), req)
		}
		if err != nil {
			return nil, a.offLimits(req.URL, err)
		}
		next, err := a.redirect(req, resp)
		if next == nil && err == nil {
			return resp, nil
		}
		drain(resp.Body)
		if err != nil {
			return nil, err
		}
		trusted = a.leadsOn(req.URL, next.URL, trusted) // else the server's word is data
		req = next
	}
}

// roundTrip sends one request. A kept connection may have been closed by the
// server while nobody used it; when not one byte of the request was written,
// another connection is taken, which is no repeat.
func (a *attempt) roundTrip(transport *http.Transport, req *http.Request) (*http.Response, error) {
	a.beginSpan(req)
	for range a.prog.t.cfg.Slots {
		a.wire.begin()
		resp, err := transport.RoundTrip(req)
		if err == nil {
			a.traced.status = resp.StatusCode
			a.prog.client.note(transport, resp)
			return resp, nil
		}
		if !a.wire.reused.Load() || a.wire.sent() || req.Context().Err() != nil {
			return nil, err
		}
		req = a.again(req)
	}
	return transport.RoundTrip(req)
}

// failed turns an error into the attempt's output.
func (a *attempt) failed(ctx context.Context, f failure, err error) engine.TaskOutput {
	p, d := a.prog, &a.out.Details
	a.describe()
	a.describeJar()
	if what := ownShortage(err); what != "" && !f.sent && ctx.Err() == nil {
		return a.postponedByNode(what)
	}
	message := a.redactor().message(a.message(ctx, f, err))
	if a.page != nil && a.page.Pages > 0 && f.class != classPage {
		message = fmt.Sprintf("page %d: %s", a.page.Pages+1, message)
	}
	if a.poll != nil && a.in.Key.Turn > 0 && f.class != classPoll {
		message = fmt.Sprintf("poll %d: %s", a.in.Key.Turn, message)
	}
	e := &engine.TaskError{Class: f.class, Message: cut(message, engine.MaxErrorText), Retryable: p.props.retryable(f)}
	// The run or the node ended the call: whether it arrived is not known.
	e.Unknown = f.sent && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout)
	if f.class == classConnect && f.status != 0 {
		d.Hint = p.props.proxyHint(f.status)
	}
	if p.props.asks && f.sent && f.lost() {
		e.Ask, e.Retryable = true, false
		d.NotRetried = `on_lost = "ask"`
	} else if e.Retryable {
		d.RetryReason = reason(f)
	} else if f.class != classTemplate {
		d.NotRetried = p.props.whyNot(f)
	}
	if f.sent && (f.lost() || e.Unknown) && a.in.Task.UnrepeatableIn(a.in.Key.Turn) {
		d.Hint = "the server may have carried it out: look there before it is sent again"
	}
	switch f.class {
	case classConnect, classDNS, classTLS, classEgress:
		if !f.sent {
			d.Hint = strings.TrimSuffix("nothing was sent; "+d.Hint, "; ")
		}
	}
	a.out.Value, a.out.Large, a.out.Stored, a.out.Next, a.out.Err = nil, nil, nil, nil, e
	return a.out
}

func reason(f failure) string {
	if f.class == classStatus {
		return strconv.Itoa(f.status)
	}
	return f.class
}
