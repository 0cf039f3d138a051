package apicall

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/ratelimit"
	"github.com/qarion/qarion/internal/value"
)

// readLimit reads the limit that the task names.
func (c *compiler) readLimit(p *props, limits *ratelimit.Rules) {
	if p.limit == "" || slices.Contains(limits.Names(), p.limit) {
		return
	}
	c.Add("limit", engine.Problem{
		Code: "unknown-limit", Value: p.limit, Suggestion: engine.Nearest(p.limit, limits.Names()),
		Message: fmt.Sprintf("no limit %s in qarion.toml", value.Quoted(p.limit)),
	})
}

// limited is a call of the task as rate limits see it. u is where it goes; nil where
// that is not known yet.
func (p *props) limited(u *url.URL) ratelimit.Call {
	call := ratelimit.Call{Limit: p.limit, Credential: p.credentialID}
	if u != nil {
		call.Host = strings.ToLower(u.Host)
	}
	return call
}

// firstCall is the first call of the task, as far as the flow file says where it
// goes.
func (p *program) firstCall() ratelimit.Call {
	var to *url.URL
	if text, literal := p.url.Literal(); literal {
		to, _ = parseURL(text)
	}
	return p.props.limited(to)
}

// heldBack asks the rate limit that the call falls under; nil: it may be made.
func (a *attempt) heldBack() *engine.TaskError {
	held := a.in.Limited(a.props().limited(a.target.url))
	if held == nil {
		return nil
	}
	a.describe()
	if held.Defer == 0 {
		a.out.Details.NotRetried = "limit_max_wait is shorter"
	}
	return held
}

// learnLimit looks at what an answer says of its server's own limit.
func (a *attempt) learnLimit(resp *http.Response) {
	if !a.in.Learns() || !limitReached(resp) {
		return
	}
	now := time.Now()
	if wait, _, ok := askedWait(resp.Header, resp.StatusCode, now); ok && wait > 0 {
		a.in.HoldBack(now.Add(wait))
	}
}

// limitReached reports whether an answer says that its server's limit is used up: by
// its status, or by a header that tells of no call left.
func limitReached(resp *http.Response) bool {
	none := slices.ContainsFunc(rateLimits(resp.Header), func(l rateLimit) bool { return l.remaining == "0" })
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusForbidden: // some say it so
		return none || resp.Header.Get("Retry-After") != ""
	}
	return none
}
