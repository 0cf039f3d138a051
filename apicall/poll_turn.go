package apicall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jinja"
	"github.com/qarion/qarion/internal/value"
)

// pollState is what one look at the job leaves for the next: the carry of a turn.
type pollState struct {
	Looks  int             `json:"n"`           // at the job, so far
	Since  int64           `json:"t"`           // when the first answer came, in milliseconds since 1970
	URL    string          `json:"u,omitempty"` // where to look; "": as the flow says
	Own    bool            `json:"o,omitempty"` // it leads to where the flow file itself goes
	Fill   []string        `json:"f,omitempty"` // its parameters that held a secret
	Start  json.RawMessage `json:"s,omitempty"` // the first answer, for templates that read it
	Result bool            `json:"r,omitempty"` // the job is done, and this fetches what it has made
}

// openPoll reads what the turn before has left.
func (a *attempt) openPoll() error {
	a.poll = &pollState{}
	carry := a.in.Carry()
	if carry == nil {
		return nil
	}
	if err := json.Unmarshal(carry, a.poll); err != nil {
		return fmt.Errorf("read what turn %d of the poll has left: %w", a.in.Key.Turn, err)
	}
	a.vars.answer = map[string]any{"polls": int64(a.poll.Looks)}
	if len(a.poll.Start) > 0 {
		start, err := value.ParseJSON(a.poll.Start)
		if err != nil {
			return fmt.Errorf("read the first answer of the poll: %w", err)
		}
		a.vars.answer["start"] = start
	}
	return nil
}

// pollTarget turns the address that the flow gives into that of the job.
func (a *attempt) pollTarget(ctx context.Context) (err error) {
	a.first = a.target.url
	if a.in.Key.Turn > 0 && a.prog.props.polling.url != "" {
		own, err := a.whole.render(ctx, a.vars)
		if err != nil {
			return err
		}
		a.first = own.url
	}
	if a.poll.URL != "" {
		if a.target, err = a.leadTo(a.poll.URL, a.poll.Fill, a.poll.Own); err != nil {
			return err
		}
	}
	a.foreign = !sameOrigin(a.first, a.target.url) && !(a.poll.URL == "" && a.target.trusted)
	return nil
}

// looked decides what an answer about the job means: done, or another look, or
// a failure.
func (a *attempt) looked(ctx context.Context, resp *http.Response, doc *document) (done bool, bad *unfit) {
	if a.poll.Result {
		return true, nil
	}
	g, now := a.props().polling, time.Now()
	wrong := func(err error) (bool, *unfit) {
		return false, &unfit{failure{class: classPoll, status: resp.StatusCode, sent: true}, err, *doc}
	}
	body, err := doc.value()
	if err != nil {
		return wrong(fmt.Errorf("poll: %w", err))
	}
	next := *a.poll
	if a.in.Key.Turn == 0 {
		next.Since = now.UnixMilli()
		if err := a.keepStart(body, &next); err != nil {
			return wrong(err)
		}
	}
	a.vars.answer = a.pollVars(resp, body, &next)
	defer func() { a.vars.answer = nil }()
	more, err := a.goesOn(ctx, resp)
	switch {
	case err != nil:
		return wrong(err)
	case !more && g.result == nil:
		return true, nil
	case !more:
		if err := a.resultAt(ctx, resp, &next); err != nil {
			return wrong(err)
		}
		return false, a.lookAgain(wrong, &next, 0)
	}
	if g.follow && resp.Header.Get("Location") != "" {
		if err := a.leads(resp, resp.Header.Get("Location"), &next); err != nil {
			return wrong(fmt.Errorf("poll: %w", err))
		}
	} else if g.follow && next.URL == "" {
		return wrong(fmt.Errorf("poll: follow = \"location\", but the answer has no Location (%d)", resp.StatusCode))
	}
	next.Looks++
	wait := g.wait(next.Looks)
	if asked, _, ok := askedWait(resp.Header, resp.StatusCode, now); ok {
		wait = asked
	}
	left := time.UnixMilli(next.Since).Add(g.timeout).Sub(now)
	if left <= 0 {
		return wrong(fmt.Errorf("poll: not done after %s, %d polls", g.timeout, a.poll.Looks))
	}
	return false, a.lookAgain(wrong, &next, min(wait, left))
}

// wait is how long the n-th look waits; 1 is the first.
func (g *polling) wait(n int) time.Duration {
	d := float64(g.interval) * math.Pow(g.backoff, float64(min(n-1, 1000)))
	return time.Duration(min(d, float64(g.longest)))
}

// goesOn applies the conditions.
func (a *attempt) goesOn(ctx context.Context, resp *http.Response) (more bool, err error) {
	g := a.props().polling
	holds := func(key string, t *jinja.Template) bool {
		if t == nil || err != nil {
			return false
		}
		var is bool
		if is, err = t.Truth(ctx, a.vars); err != nil {
			err = a.quiet(err, "poll."+key+" cannot be evaluated")
		}
		return is
	}
	fails, until, while := holds("fail_when", g.failWhen), holds("until", g.until), holds("while", g.while)
	switch {
	case err != nil:
		return false, err
	case fails:
		return false, errors.New("poll: fail_when holds: the job has failed")
	case until:
		return false, nil
	case while:
		return true, nil
	case g.until != nil && g.while != nil:
		return false, errors.New("poll: the answer fits neither until, while nor fail_when")
	case g.until == nil && g.while == nil:
		return resp.StatusCode == http.StatusAccepted, nil
	}
	return g.until != nil, nil
}

// pollVars are the names that the templates of poll read.
func (a *attempt) pollVars(resp *http.Response, body any, next *pollState) map[string]any {
	headers := value.NewMap(len(resp.Header))
	for name, v := range resp.Header {
		headers.Set(strings.ToLower(name), headerValue(strings.Join(v, ", ")))
	}
	start := body
	if len(next.Start) > 0 {
		start, _ = value.ParseJSON(next.Start)
	}
	return map[string]any{"body": body, "status_code": int64(resp.StatusCode), "headers": headers, "polls": int64(a.poll.Looks), "start": start}
}

// maxStart is the largest first answer that is kept for the templates that read
// it, in bytes.
const maxStart = 8 << 10

// keepStart keeps the first answer where something reads it.
func (a *attempt) keepStart(body any, next *pollState) error {
	if !a.prog.readsStart {
		return nil
	}
	text, err := value.JSON(body)
	if err == nil && len(text) > maxStart {
		err = fmt.Errorf("poll: start is an answer of %d bytes, at most %d are kept", len(text), maxStart)
	}
	next.Start = text
	return err
}

// resultAt finds where to fetch what the job has made.
func (a *attempt) resultAt(ctx context.Context, resp *http.Response, next *pollState) error {
	r, err := a.props().polling.result.Text(ctx, a.vars)
	if err != nil {
		return a.quiet(err, "poll.result cannot be evaluated")
	}
	next.Result = true
	text, _ := r.Value.(string)
	if err := a.leads(resp, text, next); err != nil {
		return fmt.Errorf("poll.result: %w", err)
	}
	return nil
}

// leads notes an address that the server names.
func (a *attempt) leads(resp *http.Response, ref string, next *pollState) (err error) {
	next.URL, next.Fill, next.Own, err = a.leadsFrom(resp.Request.URL, ref)
	return err
}

// lookAgain leaves the job for another turn.
func (a *attempt) lookAgain(wrong func(error) (bool, *unfit), next *pollState, wait time.Duration) *unfit {
	carry, err := json.Marshal(next)
	if err == nil && a.redactor().values(string(carry)) != string(carry) {
		err = errors.New("poll: what the answer says of the job has a secret of this request in it")
	}
	if err == nil && len(carry) > engine.MaxCarry {
		err = fmt.Errorf("poll: what the answer says of the job has %d bytes, at most %d are possible", len(carry), engine.MaxCarry)
	}
	if err != nil {
		_, bad := wrong(err)
		return bad
	}
	a.out.Value, a.out.Large = nil, nil
	a.out.Next = &engine.Next{Carry: carry, After: wait}
	return nil
}
