package apicall

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// tokenTimeout bounds one request to a token endpoint, within the task's own
// timeout.
const tokenTimeout = 30 * time.Second

// oauth2Auth sends a token that a token endpoint gives (RFC 6749, 4.3, 4.4 and 6;
// RFC 7523). The token is shared by all attempts that use the credential.
type oauth2Auth struct {
	tokens *tokens
	cred   engine.Credential
	grant  grant
	way    *clients // the way out to the token endpoint
	agent  string   // the User-Agent there
}

// grant is how a token is asked for.
type grant struct {
	conf     clientcredentials.Config
	kind     string // engine.GrantClient and its like
	style    string // engine.StyleHeader and its like
	endpoint string // for messages
}

func newOAuth2(t *TaskType, c engine.Credential) (Authenticator, error) {
	if err := t.tokens.check(c); err != nil {
		return nil, err
	}
	u, err := parseURL(field(c, "token_url"))
	if err != nil {
		return nil, &AuthError{Credential: c.ID, Message: "token_url is not an address such as https://api.example.com/oauth/token"}
	}
	g := grant{kind: c.Grant(), style: c.Style(), endpoint: u.Scheme + "://" + u.Host + u.EscapedPath()}
	g.conf = clientcredentials.Config{
		ClientID: field(c, "client_id"), TokenURL: u.String(),
		Scopes: strings.Fields(field(c, "scope")), AuthStyle: oauth2.AuthStyleInParams, EndpointParams: extraParams(c),
	}
	switch g.style {
	case engine.StyleHeader:
		g.conf.AuthStyle, g.conf.ClientSecret = oauth2.AuthStyleInHeader, field(c, "client_secret")
	case engine.StyleBody:
		g.conf.ClientSecret = field(c, "client_secret")
	case engine.StyleNone:
		if g.kind == engine.GrantJWT {
			g.conf.ClientID = "" // the assertion says who it is
		}
	}
	return &oauth2Auth{tokens: t.tokens, cred: c, grant: g}, nil
}

// extraParams are the parameters that a credential adds to the request for a
// token.
func extraParams(c engine.Credential) url.Values {
	params := url.Values{}
	if a := field(c, "audience"); a != "" {
		params.Set("audience", a)
	}
	extra, _ := c.Data.Get("extra")
	m, _ := extra.(*value.Map)
	for k, v := range m.All() {
		list, many := v.([]any)
		if !many {
			list = []any{v}
		}
		for _, e := range list {
			params.Add(k, plainText(e))
		}
	}
	return params
}

// params are the parameters of a request for a token: those of its grant, and
// what proves who the client is. made are the secrets among them.
func (o *oauth2Auth) params(refresh string) (p url.Values, made []string, err error) {
	p = maps.Clone(o.grant.conf.EndpointParams)
	switch o.grant.kind {
	case engine.GrantRefresh:
		p.Set("grant_type", engine.GrantRefresh)
		p.Set("refresh_token", refresh)
	case engine.GrantPassword:
		p.Set("grant_type", engine.GrantPassword)
		p.Set("username", field(o.cred, "username"))
		p.Set("password", field(o.cred, "password"))
	case engine.GrantJWT:
		text, err := o.grantAssertion()
		if err != nil {
			return nil, nil, err
		}
		p.Set("grant_type", engine.GrantJWTName)
		p.Set("assertion", text)
		made = append(made, text)
	}
	if o.grant.style == engine.StyleKeyJWT || o.grant.style == engine.StyleSecretJWT {
		text, err := o.clientAssertion()
		if err != nil {
			return nil, nil, err
		}
		p.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		p.Set("client_assertion", text)
		made = append(made, text)
	}
	return p, made, nil
}

// Authenticate implements Authenticator: with a token that is fresh for now.
func (o *oauth2Auth) Authenticate(ctx context.Context, req *http.Request) error {
	tok, err := o.tokens.get(ctx, o)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", tok.header())
	return nil
}

// Refresh implements Refresher: the token that a server has refused is given
// up, unless it was already.
func (o *oauth2Auth) Refresh(ctx context.Context, used *http.Request) error {
	return o.tokens.giveUp(ctx, o, used.Header.Get("Authorization"))
}

// fetch asks the token endpoint. refresh is the newest refresh token.
func (o *oauth2Auth) fetch(ctx context.Context, refresh string) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	conf := o.grant.conf
	var made []string
	var err error
	if conf.EndpointParams, made, err = o.params(refresh); err != nil {
		return Token{}, &AuthError{Credential: o.cred.ID, Message: "sign an assertion: " + err.Error()}
	}
	way, err := o.tokenWay()
	if err != nil {
		return Token{}, &AuthError{Credential: o.cred.ID, Message: err.Error()}
	}
	if way != o.way.trusted {
		defer way.CloseIdleConnections()
	}
	answers := &tokenAnswers{agent: o.agent, path: field(o.cred, "token_path")}
	tok, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, tokenClient(way, answers)))
	if err != nil {
		if answers.odd && strings.HasPrefix(err.Error(), "oauth2:") && !isRetrieve(err) {
			return Token{}, &AuthError{Credential: o.cred.ID, Message: "token endpoint " + o.grant.endpoint + " " + o.hide(answers.missing(), made)}
		}
		return Token{}, o.explain(ctx, err, made)
	}
	out := Token{Access: tok.AccessToken, Type: cmp.Or(field(o.cred, "scheme"), "Bearer"), Refresh: tok.RefreshToken, Fetched: time.Now(), Expiry: tok.Expiry}
	if setHeader(http.Header{}, "Authorization", out.header()) != nil {
		return Token{}, &AuthError{Credential: o.cred.ID, Message: "token endpoint " + o.grant.endpoint + " gave a token with characters that no header may have"}
	}
	return out, nil
}

// explain names the endpoint and what it said; the library's own texts quote
// addresses and bodies.
func (o *oauth2Auth) explain(ctx context.Context, err error, made []string) error {
	e := &AuthError{Credential: o.cred.ID}
	prefix := "token endpoint " + o.grant.endpoint
	var refused *oauth2.RetrieveError
	var egress *egressError
	switch {
	case errors.As(err, &egress):
		e.Message = egress.Error()
	case errors.As(err, &refused):
		status := refused.Response.StatusCode
		e.Again = status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
		e.Message = prefix + " answered " + statusText(status)
		if said := o.hide(tokenError(refused), made); said != "" {
			e.Message += ": " + cut(said, 200)
		}
	case ctx.Err() != nil || isTimeout(err):
		e.Message, e.Again = prefix+" did not answer in time", true
	case strings.HasPrefix(err.Error(), "oauth2:"):
		e.Message = prefix + " gave no token that can be read"
	default:
		e.Message, e.Again = prefix+": "+innermost(err), !isTLS(err)
	}
	return e
}

func isRetrieve(err error) bool {
	var refused *oauth2.RetrieveError
	return errors.As(err, &refused)
}

// tokenError is the error code and its description (RFC 6749, 5.2). Endpoints
// that call their JSON text are read as well.
func tokenError(e *oauth2.RetrieveError) string {
	code, text := e.ErrorCode, e.ErrorDescription
	if v, err := value.ParseJSON(e.Body); code == "" && err == nil {
		if m, ok := v.(*value.Map); ok {
			said, _ := m.Get("error")
			why, _ := m.Get("error_description")
			code, text = plainText(said), plainText(why)
		}
	}
	return strings.TrimSpace(code + " " + text)
}

// hide removes line breaks, the credential's own secrets and those that were made
// of them from what an endpoint says.
func (o *oauth2Auth) hide(s string, made []string) string {
	return newRedactor(append(o.cred.Secrets(), made...)).values(strings.Join(strings.Fields(s), " "))
}
