package apicall

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// classifiedError is an error that knows its class.
type classifiedError struct {
	class string
	err   error
}

func (e *classifiedError) Error() string { return e.err.Error() }
func (e *classifiedError) Unwrap() error { return e.err }

func classOf(err error, other string) string {
	var c *classifiedError
	if errors.As(err, &c) {
		return c.class
	}
	return other
}

// classify says what kind of failure a broken request is, and whether the
// server may have seen it.
func (a *attempt) classify(ctx context.Context, err error) failure {
	f := failure{sent: a.wire.sent(), done: a.moved}
	if why := proxyTrouble(err); why != nil {
		var refusal *proxyRefusal
		if errors.As(why, &refusal) {
			return failure{class: classConnect, status: refusal.status, done: a.moved}
		}
		f.sent, err = false, why // what was sent was for the proxy
	}
	var (
		egress *egressError
		dns    *net.DNSError
		op     *net.OpError
		auth   *AuthError
	)
	switch {
	case errors.As(err, &egress):
		f.class = classEgress
	case errors.As(err, &auth):
		f.class, f.again = classOf(err, classCredential), auth.Again
	case classOf(err, "") != "":
		f.class = classOf(err, "")
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout):
		f.class = classCancelled
	case ctx.Err() != nil:
		f.class = classTimeout
	case isTimeout(err):
		f.class = classTimeout
		if !f.sent && a.props().connectTimeout < a.props().timeout {
			f.class = classConnect // connect_timeout, with time left
		}
	case errors.As(err, &dns):
		f.class = classDNS
	case isTLS(err):
		f.class = classTLS
	case headerTooLarge(err):
		f.class = classTooLarge
	case !f.sent || errors.As(err, &op) && op.Op == "dial":
		f.class = classConnect
	default:
		f.class = classClosed
	}
	return f
}

// classifyBuild says what went wrong before there was a request.
func (a *attempt) classifyBuild(err error) failure {
	var auth *AuthError
	if errors.As(a.vars.broken, &auth) {
		return failure{class: classCredential, again: auth.Again}
	}
	return failure{class: classOf(err, classTemplate)}
}

// classifyBody says what went wrong while the body of an answer was read.
func (a *attempt) classifyBody(ctx context.Context, err error) failure {
	f := a.classify(ctx, err)
	if f.class == classConnect || f.class == classDNS {
		f.class = classClosed
	}
	f.sent = true
	return f
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// headerTooLarge knows the errors of net/http, which have no type of their own.
func headerTooLarge(err error) bool {
	text := err.Error()
	return strings.Contains(text, "response headers exceeded") || strings.Contains(text, "response header list larger")
}

func isTLS(err error) bool {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		alert   *net.OpError
	)
	// crypto/tls puts the alerts of either side into such an error.
	if errors.As(err, &alert) && (alert.Op == "remote error" || alert.Op == "local error") {
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.As(err, &record)
}

// message puts a failure into one line for a person. The library's own texts
// are not passed on where they would quote the URL.
func (a *attempt) message(ctx context.Context, f failure, err error) string {
	address := ""
	if a.target != nil {
		address = a.target.url.Host
	}
	var egress *egressError
	if errors.As(err, &egress) {
		return egress.Error()
	}
	if why := proxyTrouble(err); why != nil && f.class != classCancelled && f.class != classTimeout {
		return "proxy " + a.proxyHost(ctx) + ": " + a.proxyText(f, why)
	}
	switch f.class {
	case classCancelled:
		return "cut off: " + context.Cause(ctx).Error()
	case classTimeout:
		return fmt.Sprintf("timeout after %s, %s", round(a.prog.props.timeout), a.progress(ctx, f))
	case classDNS:
		return "no address for host " + a.target.url.Hostname()
	case classConnect:
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			return "connection refused: " + address
		case isTimeout(err):
			return fmt.Sprintf("no connection to %s within %s", address, round(a.prog.props.connectTimeout))
		}
		return "no connection to " + address + ": " + innermost(err)
	case classTLS:
		return "TLS: " + innermost(err)
	case classTooLarge:
		if headerTooLarge(err) {
			return fmt.Sprintf("the response's header is larger than %d bytes", maxResponseHeader)
		}
	case classClosed:
		return "connection closed before the answer was complete: " + address
	}
	return err.Error()
}

// progress says how far an attempt came before its time was up.
func (a *attempt) progress(ctx context.Context, f failure) string {
	switch {
	case a.out.Details.StatusCode != 0:
		return "the response body is incomplete"
	case f.sent:
		return "no response headers"
	}
	if a.props().proxy != "" {
		return "no connection through the proxy " + a.proxyHost(ctx)
	}
	return "no connection"
}

// proxyText says what went wrong on the way to the proxy.
func (a *attempt) proxyText(f failure, why error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(why, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(why, &dns):
		return "no address for this host"
	case isTimeout(why):
		return "no connection within " + round(a.prog.props.connectTimeout)
	case f.class == classTLS:
		return "TLS: " + innermost(why)
	}
	return innermost(why)
}

// innermost is the last cause of an error: what happened, without the layers
// that repeat addresses.
func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			break
		}
		err = next
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended"
	case errors.Is(err, http.ErrHandlerTimeout):
		return "timeout"
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}

// round writes a time span without needless digits.
func round(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(10 * time.Millisecond)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
