package apicall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/qarion/qarion/engine"
)

// Authenticator adds a credential to a request: as a header or in the query.
// It is called once per request, before the request is sent; the header map is
// the request's own, the URL is shared and must be copied to be changed. Errors
// are *AuthError.
type Authenticator interface {
	Authenticate(ctx context.Context, req *http.Request) error
}

// Refresher is an Authenticator whose proof of identity can be renewed. Refresh
// is called when a server has refused a request; it renews once for all who
// use the credential, and does nothing when what was used is no longer current.
type Refresher interface {
	Refresh(ctx context.Context, used *http.Request) error
}

// binder is an Authenticator whose proof may be bound to the request's address:
// then each request gets one of its own, also after a redirect within the
// origin.
type binder interface{ binds() bool }

// challenged is an Authenticator that answers what a server asks of it. Challenge
// is called with a refusal (401, 417) and reports whether another request,
// authenticated anew, may be accepted. Accepted is called with every other
// answer of the origin that the credential is for.
type challenged interface {
	Challenge(resp *http.Response) bool
	Accepted(resp *http.Response)
}

// maxChallenges bounds the requests that are sent again in one attempt because a
// server asks for a proof of another kind: once, once more where what was known
// of it is stale, and once where it is not to be asked whether it wants the body.
const maxChallenges = 3

// AuthError says in one line, without secrets, which credential cannot be used
// and what to do.
type AuthError struct {
	Credential string
	Message    string
	Again      bool // another attempt may find it mended: the token endpoint did not answer
}

func (e *AuthError) Error() string { return "credential " + e.Credential + ": " + e.Message }

// authKind is how one auth_type works.
type authKind struct {
	credential string   // the type of credential that it needs
	fields     []string // that must not be empty
	given      []string // that must be there and may be empty
	make       func(*TaskType, engine.Credential) (Authenticator, error)
}

// authKinds maps auth_type to what it needs.
var authKinds = map[string]authKind{
	"basic":     {"basic_auth", nil, []string{"username", "password"}, newBasic},
	"digest":    {"basic_auth", []string{"username"}, []string{"password"}, newDigest},
	"bearer":    {"custom", []string{"token"}, nil, newBearer},
	"api_key":   {"api_key", []string{"api_key"}, nil, newAPIKey},
	"oauth2":    {"oauth", []string{"token_url"}, nil, newOAuth2},
	"aws_sigv4": {"aws", []string{"access_key_id", "secret_access_key"}, nil, newSigV4},
}

// authenticator looks a credential up and makes an Authenticator of it.
func (t *TaskType) authenticator(ctx context.Context, authType, id string) (Authenticator, engine.Credential, error) {
	kind := authKinds[authType]
	cred, err := t.credential(ctx, id, kind.credential)
	if err != nil {
		return nil, cred, err
	}
	if cred.Type != kind.credential {
		return nil, cred, &AuthError{Credential: id, Message: fmt.Sprintf("its type is %s, but auth_type %q needs %s; %s", cred.Type, authType, kind.credential, storeHint(id, kind.credential))}
	}
	for _, f := range slices.Concat(kind.fields, kind.given) {
		if v, ok := cred.Data.Get(f); !ok || v == nil || v == "" && !slices.Contains(kind.given, f) {
			return nil, cred, &AuthError{Credential: id, Message: fmt.Sprintf("the field %q is missing; %s", f, storeHint(id, kind.credential))}
		}
	}
	a, err := kind.make(t, cred)
	return a, cred, err
}

// storeHint is the command that mends a credential.
func storeHint(id, kind string) string {
	return "store it: qarion credentials store --credential-id " + id + " --type " + kind + " --json '{...}'"
}

// credential fetches a stored credential; the error names it and the way out.
// kind is its type where that is known, "" where any will do.
func (t *TaskType) credential(ctx context.Context, id, kind string) (engine.Credential, error) {
	if t.cfg.Credentials == nil {
		return engine.Credential{}, &AuthError{Credential: id, Message: "there is no credential store"}
	}
	c, err := t.cfg.Credentials.Get(ctx, id)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		hint := "store it: qarion credentials store --credential-id " + id
		if kind != "" {
			hint = storeHint(id, kind)
		}
		return c, &AuthError{Credential: id, Message: "not found; " + hint}
	case err != nil:
		return c, &AuthError{Credential: id, Message: err.Error(), Again: errors.Is(err, engine.ErrUnavailable)}
	}
	return c, nil
}

// authenticate adds the task's credential to the request. Nothing is sent to
// the task's host.
func (a *attempt) authenticate(ctx context.Context) error {
	p := a.props()
	if p.authType == "none" || a.foreign {
		return nil
	}
	var cred engine.Credential
	var err error
	if a.auth, cred, err = a.prog.t.authenticator(ctx, p.authType, p.credentialID); err != nil {
		return &classifiedError{classCredential, err}
	}
	switch o := a.auth.(type) {
	case *oauth2Auth:
		o.way, o.agent = a.prog.client, a.prog.t.agent
	case *digestAuth:
		o.body = a.body
	case *sigV4:
		o.body, o.region, o.service = a.body, cmp.Or(p.region, o.region), cmp.Or(p.service, o.service)
	}
	a.out.Details.Credential = cred.ID + " (" + cred.Type + ")"
	a.vars.secrets = append(a.vars.secrets, cred.Secrets()...)
	if err := a.auth.Authenticate(ctx, a.req); err != nil {
		return &classifiedError{classAuth, err}
	}
	a.learn(a.req)
	return nil
}

// learn notes what an authenticator has put into the Authorization header: a
// token that was fetched is a secret too, and so is what was computed of a
// secret, which servers repeat without the rest of the header.
func (a *attempt) learn(req *http.Request) {
	_, token, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if !ok {
		return
	}
	a.secret(token)
	if !strings.Contains(token, ",") { // a token, no parameters
		return
	}
	for _, p := range parseParams(token) {
		if p.name == "response" || p.name == "signature" {
			a.secret(p.value)
		}
	}
}

// secret notes a text that must not be shown.
func (a *attempt) secret(text string) {
	if !slices.Contains(a.vars.secrets, text) {
		a.vars.secrets = append(a.vars.secrets, text)
	}
}

// challenges reports whether an answer is a challenge that can be met.
func (a *attempt) challenges(resp *http.Response) bool {
	c, can := a.auth.(challenged)
	if !can || a.left || !sameOrigin(a.target.url, resp.Request.URL) {
		return false
	}
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusExpectationFailed {
		c.Accepted(resp)
		return false
	}
	return !a.moved && c.Challenge(resp)
}

// stale reports whether an answer says that the proof of identity is stale,
// and it can be renewed.
func (a *attempt) stale(resp *http.Response) bool {
	_, can := a.auth.(Refresher)
	if a.moved || a.props().expects(resp.StatusCode) { // the request was carried out, or this is its answer
		return false
	}
	return can && slices.Contains(a.props().refreshOn, resp.StatusCode) && sameOrigin(a.target.url, resp.Request.URL)
}

// renewed renews the credential's token and sends the request once more. The
// server has refused the first one, so this is no retry.
func (a *attempt) renewed(ctx context.Context, resp *http.Response) (*http.Response, error) {
	if err := a.auth.(Refresher).Refresh(ctx, a.req); err != nil {
		drain(resp.Body)
		return nil, &classifiedError{classAuth, err}
	}
	return a.proven(ctx, resp)
}

// proven sends the request once more, after a refusal, with another proof of
// identity.
func (a *attempt) proven(ctx context.Context, resp *http.Response) (*http.Response, error) {
	drain(resp.Body)
	a.keepCookies(resp)
	a.load(ctx, a.req, a.body)
	if err := a.auth.Authenticate(ctx, a.req); err != nil {
		return nil, &classifiedError{classAuth, err}
	}
	a.learn(a.req)
	a.history = nil
	return a.send(ctx)
}

// schemeTypes are the values of auth_type by the schemes that servers ask for.
var schemeTypes = map[string]string{"basic": "basic", "digest": "digest", "bearer": "bearer"}

// askedHint says what a server asks for that was sent no credential.
func askedHint(schemes []string) string {
	for _, s := range schemes {
		if kind := schemeTypes[strings.ToLower(s)]; kind != "" {
			return fmt.Sprintf("no credential was sent, and the server asks for %s: auth_type = %q with a credential_id; store one: qarion credentials store --credential-id ID --type %s", s, kind, authKinds[kind].credential)
		}
	}
	return ""
}

// refusedHint says what a person can do about a credential that was refused.
func (a *attempt) refusedHint(status int, h http.Header) string {
	switch {
	case status != http.StatusUnauthorized && status != http.StatusForbidden:
		return ""
	case a.auth == nil && status == http.StatusUnauthorized && a.req.Header.Get("Authorization") == "":
		return askedHint(schemes(h))
	case a.auth == nil:
		return ""
	}
	if a.left {
		return fmt.Sprintf("credential %s was not sent: a redirect has led to another origin; name that address in url if it is to get it", a.out.Details.Credential)
	}
	if d, ok := a.auth.(*digestAuth); ok && !d.answered {
		asked := strings.Join(schemes(h), " or ")
		return fmt.Sprintf("credential %s was not sent: the server asks for %s, not for a digest that can be made", a.out.Details.Credential, cmp.Or(asked, "nothing"))
	}
	return fmt.Sprintf("credential %s was sent and refused; store a new one: qarion credentials store --credential-id %s", a.out.Details.Credential, a.props().credentialID)
}
