package apicall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
)

// answer reads a response, decides whether it is a success, and turns it into
// the value to store.
func (a *attempt) answer(ctx context.Context, resp *http.Response) engine.TaskOutput {
	d := &a.out.Details
	d.StatusCode = resp.StatusCode
	d.ContentType = mediaType(resp.Header)
	a.learnLimit(resp)
	if a.streams(resp) {
		return a.storeObject(ctx, resp)
	}
	body, err := a.read(resp)
	d.ResponseBytes = int64(len(body))
	accepted := a.accepted(resp.StatusCode)
	if err != nil && !a.enough(ctx, err, accepted) {
		a.excerpt(resp, body)
		return a.failed(ctx, a.classifyBody(ctx, err), err)
	}
	if !accepted {
		return a.refused(ctx, resp, body)
	}
	if leadsNowhere(resp) && a.props().redirects > 0 && !a.props().expects(resp.StatusCode) {
		a.excerpt(resp, body)
		return a.failed(ctx, failure{class: classRedirect, sent: true, done: a.moved}, fmt.Errorf(
			"%s without a Location to go to; expected_status_code = %d takes it as the answer", statusText(resp.StatusCode), resp.StatusCode))
	}
	if a.props().handling != "ignore" {
		if failed := a.take(ctx, resp, body); failed != nil {
			return a.unfit(ctx, resp, body, failed)
		}
	}
	return a.succeeded(resp)
}

// succeeded completes the output of an attempt whose value is there.
func (a *attempt) succeeded(resp *http.Response) engine.TaskOutput {
	if a.prog.answered && a.out.Next == nil {
		a.out.Response = a.responseDoc(resp)
		a.giveCookies()
	}
	d := &a.out.Details
	d.URL, d.Redirects = a.shownURL(), a.shownRedirects()
	d.Repeated = a.in.Again
	a.describeJar()
	return a.out
}

// enough reports whether an answer whose body could not be read to its end says
// all the same what became of the request: a status that is a failure does, and
// nobody looks at a body that is ignored, however large.
func (a *attempt) enough(ctx context.Context, err error, accepted bool) bool {
	if !accepted {
		return ctx.Err() == nil || errors.Is(context.Cause(ctx), errTimeout)
	}
	return a.props().handling == "ignore" && classOf(err, "") == classTooLarge
}

// leadsNowhere reports whether an answer is a redirect that does not say where
// to.
func leadsNowhere(resp *http.Response) bool {
	return isRedirect(resp.StatusCode) && resp.Header.Get("Location") == ""
}

// unfit is an accepted answer whose content is not what the flow wants.
type unfit struct {
	failure
	err error
	doc document // what was received
}

// unfit fails the attempt and keeps what was received, so that people can see
// what was wrong with it: as all that is shown of failures, without the secrets
// that were sent.
func (a *attempt) unfit(ctx context.Context, resp *http.Response, body []byte, u *unfit) engine.TaskOutput {
	a.excerpt(resp, body)
	out := a.failed(ctx, u.failure, u.err)
	if a.hides() {
		return out
	}
	if r := a.redactor(); r.any {
		u.doc.data = []byte(r.values(string(u.doc.data)))
	}
	out.Value, out.Large = u.doc.stored()
	return out
}

// take checks a body against the rules of the flow and makes the XCom value of
// it.
func (a *attempt) take(ctx context.Context, resp *http.Response, body []byte) *unfit {
	body, failed := a.transformResponse(ctx, resp, body)
	if failed != nil {
		return failed
	}
	doc, err := readDocument(a.props(), body, resp.Header.Get("Content-Type"))
	if err != nil {
		err = a.quiet(err, "the response is not "+a.props().responseFormat)
		return &unfit{failure{class: classResponse, status: resp.StatusCode, sent: true}, err, doc}
	}
	if a.poll != nil {
		if done, bad := a.looked(ctx, resp, &doc); !done {
			return bad
		}
	}
	if doc.why != "" && a.hides() {
		doc.why = "it is not what its content type says"
	}
	a.note(doc.why)
	bad := a.breaches(&doc)
	byHook, again, broken := a.validateByHook(ctx, resp, body)
	if broken != nil {
		return &unfit{hookFailure(broken, true), errors.New(broken.Message), doc}
	}
	if bad = append(bad, byHook...); len(bad) > 0 {
		a.out.Details.Validation = bad
		return &unfit{failure{class: classValidation, status: resp.StatusCode, sent: true, again: again}, errors.New(statusText(resp.StatusCode) + ", " + checksFailed(bad)), doc}
	}
	if a.props().selects != "" {
		picked, err := a.pick(ctx, &doc)
		if err != nil {
			return &unfit{a.unselected(ctx, err), a.quiet(err, "select"), doc}
		}
		doc = picked
	}
	if a.page != nil {
		return a.takePage(ctx, resp, &doc)
	}
	a.out.Value, a.out.Large = doc.stored()
	return nil
}

// maxViolation bounds one failed check in the operation log, in bytes.
const maxViolation = 300

// breaches holds a document against the rules of the flow and tells every
// breach in the operation's details.
func (a *attempt) breaches(doc *document) []string {
	bad := a.props().rules.violations(doc, a.hides())
	for i, v := range bad {
		bad[i] = cut(a.redactor().message(v), maxViolation)
	}
	a.out.Details.Validation = bad
	return bad
}

func checksFailed(bad []string) string {
	if len(bad) == 1 {
		return "1 check failed: " + bad[0]
	}
	return fmt.Sprintf("%d checks failed: %s", len(bad), bad[0])
}

// otherBreaches are what else is wrong with an answer whose status was not
// expected. A success should have been what the flow wants; the body of an
// error or a redirect is something else by its nature.
func (a *attempt) otherBreaches(resp *http.Response, body []byte) string {
	if resp.StatusCode < 200 || resp.StatusCode >= 300 || a.props().handling == "ignore" {
		return ""
	}
	doc, err := readDocument(a.props(), body, resp.Header.Get("Content-Type"))
	if err != nil {
		return "; " + a.quiet(err, "the response is not "+a.props().responseFormat).Error()
	}
	if bad := a.breaches(&doc); len(bad) > 0 {
		return "; " + checksFailed(bad)
	}
	return ""
}

// accepted decides about a status: below 400, unless the flow names what it
// expects. A DELETE that was sent again after a crash and finds nothing has
// done its work the first time.
func (a *attempt) accepted(status int) bool {
	gone := status == http.StatusNotFound || status == http.StatusGone
	switch {
	case a.in.Again && a.props().operation == "delete" && gone:
		return true
	case a.props().rules.names():
		return a.props().expects(status)
	}
	return status < 400
}

// refused is an answer that says no.
func (a *attempt) refused(ctx context.Context, resp *http.Response, body []byte) engine.TaskOutput {
	a.excerpt(resp, body)
	a.out.Details.Hint = cmp.Or(a.props().proxyHint(resp.StatusCode), a.refusedHint(resp.StatusCode, resp.Header))
	text := statusText(resp.StatusCode) + a.perhapsProxy(ctx, resp)
	if r := a.props().rules; r.names() {
		text += ", expected " + joinInts(r.statuses) + a.otherBreaches(resp, body)
	}
	status := resp.StatusCode
	if status == http.StatusForbidden && a.in.Learns() && limitReached(resp) {
		status = http.StatusTooManyRequests // by another number
	}
	out := a.failed(ctx, failure{class: classStatus, status: status, sent: true, done: a.moved}, errors.New(text))
	return a.waitAsAsked(out, resp)
}

// perhapsProxy names the proxy in a status that may be its own: over http, the
// answers of the host and those of the proxy look the same.
func (a *attempt) perhapsProxy(ctx context.Context, resp *http.Response) string {
	switch resp.StatusCode {
	case 407, 502, 503, 504:
		if a.props().proxy != "" && resp.Request.URL.Scheme == "http" {
			return " through the proxy " + a.proxyHost(ctx)
		}
	}
	return ""
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
