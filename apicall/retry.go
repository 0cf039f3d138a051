package apicall

import (
	"slices"
	"strconv"
)

// Classes of failure, as operation_details name them.
const (
	classLedger     = "ledger"     // nothing sent: the ledger did not take the note that it would be
	classTemplate   = "template"   // nothing sent: a template or what it gave cannot be used
	classCredential = "credential" // nothing sent: the credential is missing or does not fit
	classAuth       = "auth"       // nothing sent: no token from the token endpoint
	classEgress     = "egress"     // nothing sent: the address is not allowed
	classDNS        = "dns"        // nothing sent: the host has no address
	classConnect    = "connect"    // nothing sent: no connection
	classTLS        = "tls"        // nothing sent: the certificate was refused
	classBreaker    = "breaker"    // nothing sent: the circuit is open
	classTimeout    = "timeout"    // no whole answer in time
	classCancelled  = "cancelled"  // the run or the node ended the call
	classClosed     = "closed"     // the connection ended before the answer did
	classRedirect   = "redirect"   // too many, or to where it must not go
	classTooLarge   = "too_large"  // the response is larger than max_response_bytes
	classResponse   = "response"   // the response cannot be read
	classSelect     = "select"     // select cannot be applied to the response
	classStatus     = "status"     // an answer that is a failure
	classValidation = "validation" // an answer that fails its checks
)

// failure is what the retry table looks at.
type failure struct {
	class  string
	status int  // of the answer, for classStatus
	sent   bool // the request, or a part of it, may have reached the server
	again  bool // of a credential: another attempt may find it mended
	done   bool // the server has carried it out, and only its answer is missing
}

// retryable is the one table of what is tried again:
//
//	                          any method   safe, idempotent   POST, PATCH without key
//	                                       or with key        and retry_count > 0
//	no connection, 429, 503   yes          yes                yes
//	timeout                                yes
//	broken connection                      yes                yes
//	408, 425                               yes
//	500, 502, 504, other 5xx               500, 502, 504      yes
//
// retry_on_status and fail_on_status override it for answers. Everything else
// (other 4xx, TLS verification, egress, templates, credentials) never is; a
// failed validation only with retry_on_validation. With retry_count = 0 the
// engine retries nothing, whatever stands here.
func (p *props) retryable(f failure) bool {
	repeatable := !p.unrepeatable()
	if f.done && !repeatable {
		return false
	}
	switch f.class {
	case classConnect, classDNS:
		return true
	case classTimeout:
		return repeatable || !f.sent // nothing sent is no connection
	case classClosed:
		return true
	case classAuth, classCredential:
		return f.again
	case classValidation:
		return p.retryOnValidation
	case classStatus:
		return p.statusRetryable(f.status, repeatable)
	}
	return false
}

func (p *props) statusRetryable(status int, repeatable bool) bool {
	switch {
	case slices.Contains(p.failOn, status):
		return false
	case slices.Contains(p.retryOn, status), status == 429, status == 503:
		return true
	case status == 408, status == 425:
		return repeatable
	case status == 500, status == 502, status == 504:
		return true
	case status > 500:
		return !repeatable // asked for by retry_count > 0
	}
	return false
}

// whyNot says why a failure is not tried again, for people.
func (p *props) whyNot(f failure) string {
	switch {
	case f.done && p.unrepeatable():
		return "the " + p.operation + " was answered by a redirect and has no idempotency_key"
	case f.class == classStatus:
		return strconv.Itoa(f.status) + " is not retried"
	case f.class == classTimeout && f.sent:
		return "a " + p.operation + " without idempotency_key is not repeated after a timeout"
	}
	return f.class + " failures are not retried"
}
