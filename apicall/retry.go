package apicall

import (
	"slices"
	"strconv"

	"github.com/qarion/qarion/engine"
)

// Classes of failure, as operation_details name them; see Classes.
const (
	classTemplate   = "template"
	classCredential = "credential"
	classAuth       = "auth"
	classBreaker    = "breaker"
	classLimit      = engine.ClassLimit
	classLedger     = "ledger"
	classNode       = "node"
	classEgress     = "egress"
	classDNS        = "dns"
	classConnect    = "connect"
	classTLS        = "tls"
	classTimeout    = "timeout"
	classClosed     = "closed"
	classCancelled  = "cancelled"
	classRedirect   = "redirect"
	classTooLarge   = "too_large"
	classResponse   = "response"
	classStatus     = "status"
	classValidation = "validation"
	classSelect     = "select"
	classPage       = "pagination"
	classPoll       = "poll"
	classBody       = "body"
	classStore      = "store"

	classHookTrap     = "hook_trap"
	classHookTimeout  = "hook_timeout"
	classHookProtocol = "hook_protocol"
	classHookError    = "hook_error"
	classHookBusy     = "hook_busy"
	classHookLoad     = "hook_load"
)

// Class is a row of the table of failure classes.
type Class struct {
	Name string
	Doc  string
}

var classes = []Class{
	{classTemplate, "nothing was sent: a template, or what it gave, cannot be used"},
	{classCredential, "nothing was sent: the credential is missing or does not fit"},
	{classAuth, "nothing was sent: the token endpoint gave no token"},
	{classBreaker, "nothing was sent: the circuit is open, or the host has asked for a pause"},
	{classLimit, "nothing was sent: a rate limit of qarion.toml holds it back"},
	{classLedger, "nothing was sent: the ledger did not take the note that it would be"},
	{classNode, "nothing was sent: the node itself lacks file descriptors, ports or memory; the attempt waits"},
	{classEgress, "nothing was sent: the address is not allowed"},
	{classDNS, "nothing was sent: the host has no address"},
	{classConnect, "nothing was sent: no connection"},
	{classTLS, "nothing was sent: the certificate was refused, or there is no TLS"},
	{classTimeout, "no whole answer within timeout"},
	{classBody, "the body to send could not be read; no whole request was sent"},
	{classClosed, "the connection ended before the answer did"},
	{classCancelled, "the run or the node ended the call"},
	{classRedirect, "too many redirects, or one to nowhere or to where it must not go"},
	{classTooLarge, "the response is larger than max_response_bytes"},
	{classResponse, "the response cannot be decoded, or is not what response_format says"},
	{classStatus, "an answer whose status is a failure"},
	{classStore, "an answer whose value could not be stored"},
	{classValidation, "an answer that fails its checks"},
	{classSelect, "an answer to which select cannot be applied"},
	{classPage, "an answer in which the items or the next page cannot be found, or pages that go round in a circle"},
	{classPoll, "a job that has failed or was not done in time, or an answer that says nothing of it"},
	{classHookTrap, "a hook broke off: a trap, an abort, an exit"},
	{classHookTimeout, "a hook took more work than it may"},
	{classHookProtocol, "a hook was given too much, or answered what the interface does not have"},
	{classHookError, "a hook says itself that it cannot do its work"},
	{classHookBusy, "no instance of a hook was free in time, or it is held back after failures"},
	{classHookLoad, "the module of a hook is missing or cannot be used"},
}

// Classes returns the failure classes, for documentation.
func Classes() []Class { return slices.Clone(classes) }

// failure is what the retry table looks at.
type failure struct {
	class  string
	status int  // of the answer, for classStatus; of the proxy that refused, for classConnect
	sent   bool // the request, or a part of it, may have reached the server
	again  bool // of a credential: another attempt may find it mended
	done   bool // the server has carried it out, and only its answer is missing
}

// lost reports whether no answer came to a request that was sent.
func (f failure) lost() bool { return f.class == classTimeout || f.class == classClosed }

// retryable is the one table of what is tried again, for every method:
//
//	no connection, a broken one, 408, 425, 429, 500, 502, 503, 504   yes
//	timeout after something was sent   only what may be repeated: not a POST
//	                                   or PATCH without idempotency key
//
// retry_on_status and fail_on_status override it for answers. Everything else
// (other statuses, TLS verification, egress, templates, credentials) never is;
// a failed validation only with retry_on_validation. With retry_count = 0 the
// engine retries nothing, whatever stands here.
func (p *props) retryable(f failure) bool {
	repeatable := !p.unrepeatable()
	if f.done && !repeatable {
		return false
	}
	switch f.class {
	case classConnect:
		return f.status == 0 || slices.Contains(retriedStatuses, f.status)
	case classDNS, classBody, classStore:
		return true
	case classTimeout:
		return repeatable || !f.sent // nothing sent is no connection
	case classClosed:
		return true
	case classAuth, classCredential, classSelect:
		return f.again
	case classValidation:
		return p.retryOnValidation || f.again
	case classHookTrap, classHookTimeout, classHookProtocol, classHookError, classHookBusy, classHookLoad:
		return f.again && (!f.sent || repeatable)
	case classStatus:
		return p.statusRetryable(f.status)
	}
	return false
}

// retriedStatuses are the answers after which another try may help, whatever
// the method.
var retriedStatuses = []int{408, 425, 429, 500, 502, 503, 504}

// RetriedStatuses returns them, for documentation.
func RetriedStatuses() []int { return slices.Clone(retriedStatuses) }

func (p *props) statusRetryable(status int) bool {
	return !slices.Contains(p.failOn, status) && (slices.Contains(p.retryOn, status) || slices.Contains(retriedStatuses, status))
}

// whyNot says why a failure is not tried again, for people.
func (p *props) whyNot(f failure) string {
	switch {
	case f.done && p.unrepeatable():
		return "the " + p.operation + " was answered by a redirect and has no idempotency_key"
	case f.class == classCancelled:
		return "it was cut off"
	case f.class == classStatus, f.status != 0 && f.class == classConnect:
		return strconv.Itoa(f.status) + " is not retried"
	case f.class == classTimeout && f.sent:
		return "a " + p.operation + " without idempotency_key is not repeated after a timeout"
	}
	return f.class + " failures are not retried"
}
