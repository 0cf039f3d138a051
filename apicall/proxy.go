package apicall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
)

// A proxy is an address of the flow file, with a name and a password that may
// come from a credential. What goes wrong on the way to it, or is refused by
// it, is told as the proxy's failure: the host behind it may be well.

// proxyKey is where a request's context holds the address of its proxy.
type proxyKey struct{}

// throughProxy adds the task's proxy to the context of its requests, those for
// tokens among them.
func (a *attempt) throughProxy(ctx context.Context) (context.Context, error) {
	if a.props().proxy == "" {
		return ctx, nil
	}
	u, err := a.proxy(ctx)
	if err != nil {
		return ctx, &classifiedError{classCredential, err}
	}
	return context.WithValue(ctx, proxyKey{}, u), nil
}

// proxyOf is http.Transport's question for the proxy of a request. A request
// that should go through one never goes without.
func proxyOf(req *http.Request) (*url.URL, error) {
	if u, ok := req.Context().Value(proxyKey{}).(*url.URL); ok {
		return u, nil
	}
	return nil, errors.New("the request does not say its proxy")
}

// proxy is the proxy's address with what stands for its credentials.
func (a *attempt) proxy(ctx context.Context) (*url.URL, error) {
	p := a.prog
	source, n, failed := p.props.proxy, 0, error(nil)
	text := credentialPattern.ReplaceAllStringFunc(source, func(ref string) string {
		v, err := p.secret(ctx, p.proxyCreds[n])
		n++
		failed = errors.Join(failed, err)
		a.vars.secrets = append(a.vars.secrets, v)
		if ref == source { // the whole address
			return v
		}
		return strings.ReplaceAll(url.QueryEscape(v), "+", "%20")
	})
	if failed != nil {
		return nil, failed
	}
	u, err := proxyURL(text)
	if err != nil {
		return nil, &AuthError{Credential: p.proxyCreds[0].id, Message: err.Error()}
	}
	if id := p.props.proxyCredential; id != "" {
		_, cred, err := p.t.authenticator(ctx, "basic", id)
		if err != nil {
			return nil, err
		}
		u.User = url.UserPassword(cred.Text("username"), cred.Text("password"))
		a.vars.secrets = append(a.vars.secrets, cred.Secrets()...)
	}
	return u, nil
}

// proxyHost is the proxy's host and port, for people.
func (a *attempt) proxyHost(ctx context.Context) string {
	if u, ok := ctx.Value(proxyKey{}).(*url.URL); ok {
		return u.Host
	}
	return "proxy"
}

// readProxy reads the proxy and what it wants to see.
func (r *reader) readProxy(p *props) {
	p.proxy, p.proxyCredential = r.Text("proxy", ""), r.Text("proxy_credential_id", "")
	if err := engine.CheckCredentialID(p.proxyCredential); p.proxyCredential != "" && err != nil {
		r.Problem("proxy_credential_id", "bad-id", "%v", err)
	}
	switch {
	case p.proxyCredential == "" || !r.Judges("proxy", "proxy_credential_id"):
	case p.proxy == "":
		r.Problem("proxy_credential_id", "unused", "proxy_credential_id is given, but proxy is missing")
	case strings.Contains(p.proxy, "@"):
		r.Problem("proxy_credential_id", "unused", "proxy_credential_id and a name in proxy exclude each other")
	}
}

// compileProxy notes the credentials that the proxy's address names.
func (c *compiler) compileProxy(source string) {
	known := len(c.creds)
	c.credentials([]string{"proxy"}, source)
	c.prog.proxyCreds = slices.Clone(c.creds[known:])
}

// checkProxyURL checks a proxy's address as it stands in the flow file.
func checkProxyURL(s string) error {
	plain := credentialPattern.ReplaceAllString(s, "x")
	if s == "" || s != plain && plain == "x" {
		return nil // none, or known only when it is used
	}
	_, err := proxyURL(plain)
	return err
}

func proxyURL(s string) (*url.URL, error) {
	u, err := parseURL(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("proxy: want an address such as http://proxy.example.com:3128")
	}
	return u, nil
}

// proxyRefusal is a proxy's no to a connection to a host behind it.
type proxyRefusal struct {
	host   string // behind the proxy
	status int
}

func (e *proxyRefusal) Error() string {
	return "it does not connect to " + e.host + ": " + statusText(e.status)
}

// onProxyAnswer looks at a proxy's answer to CONNECT.
func onProxyAnswer(_ context.Context, _ *url.URL, req *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyRefusal{req.Host, resp.StatusCode}
}

// proxyTrouble returns what went wrong on the way to the proxy, or what it
// said; nil when the failure is none of its.
func proxyTrouble(err error) error {
	var refusal *proxyRefusal
	var op *net.OpError
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return op.Err
	}
	return nil
}

// proxyHint is what a person can do about a proxy that wants to know who asks.
func (p *props) proxyHint(status int) string {
	switch {
	case status != http.StatusProxyAuthRequired || p.proxy == "":
		return ""
	case p.proxyCredential != "":
		return "the proxy refused the credential; store a new one: qarion credentials store --credential-id " + p.proxyCredential + " --type basic_auth"
	}
	return "the proxy wants a name and a password: proxy_credential_id = \"ID\" names a credential of type basic_auth"
}
