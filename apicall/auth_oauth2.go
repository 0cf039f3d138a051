package apicall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// oauth2Auth sends a token that a token endpoint gives (RFC 6749, 4.4 and 6).
// The token is shared by all attempts that use the credential.
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
	refresh  bool // by refresh token
	endpoint string
}

func newOAuth2(t *TaskType, c engine.Credential) (Authenticator, error) {
	bad := func(format string, args ...any) (Authenticator, error) {
		return nil, &AuthError{Credential: c.ID, Message: fmt.Sprintf(format, args...)}
	}
	u, err := parseURL(field(c, "token_url"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return bad("token_url is not an address such as https://api.example.com/oauth/token")
	}
	g := grant{endpoint: u.Scheme + "://" + u.Host + u.EscapedPath()}
	switch kind := field(c, "grant_type"); kind {
	case "refresh_token":
		g.refresh = true
	case "":
		g.refresh = field(c, "refresh_token") != ""
	case "client_credentials":
	default:
		return bad("grant_type %q is neither client_credentials nor refresh_token", kind)
	}
	if g.refresh && field(c, "refresh_token") == "" {
		return bad("the field \"refresh_token\" is missing; %s", storeHint(c.ID, c.Type))
	}
	g.conf = clientcredentials.Config{
		ClientID: field(c, "client_id"), ClientSecret: field(c, "client_secret"), TokenURL: u.String(),
		Scopes: strings.Fields(field(c, "scope")), AuthStyle: oauth2.AuthStyleInHeader, EndpointParams: extraParams(c),
	}
	switch style := field(c, "auth_style"); style {
	case "", "header":
	case "body":
		g.conf.AuthStyle = oauth2.AuthStyleInParams
	default:
		return bad("auth_style %q is neither header nor body", style)
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
		params.Set(k, plainText(v))
	}
	return params
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
	if o.grant.refresh {
		conf.EndpointParams = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
		for k, v := range o.grant.conf.EndpointParams {
			conf.EndpointParams[k] = v
		}
	}
	answers := &tokenAnswers{agent: o.agent, path: field(o.cred, "token_path")}
	tok, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, tokenClient(o.way, answers)))
	if err != nil {
		if answers.odd && strings.HasPrefix(err.Error(), "oauth2:") && !isRetrieve(err) {
			return Token{}, &AuthError{Credential: o.cred.ID, Message: "token endpoint " + o.grant.endpoint + " " + o.hide(answers.missing())}
		}
		return Token{}, o.explain(ctx, err)
	}
	out := Token{Access: tok.AccessToken, Type: cmp.Or(field(o.cred, "scheme"), "Bearer"), Refresh: tok.RefreshToken, Fetched: time.Now(), Expiry: tok.Expiry}
	if setHeader(http.Header{}, "Authorization", out.header()) != nil {
		return Token{}, &AuthError{Credential: o.cred.ID, Message: "token endpoint " + o.grant.endpoint + " gave a token with characters that no header may have"}
	}
	return out, nil
}

// explain names the endpoint and what it said; the library's own texts quote
// addresses and bodies.
func (o *oauth2Auth) explain(ctx context.Context, err error) error {
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
		if said := o.hide(tokenError(refused)); said != "" {
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

// hide removes line breaks, and the credential's own secrets, from what an
// endpoint says.
func (o *oauth2Auth) hide(s string) string {
	return newRedactor(o.cred.Secrets()).values(strings.Join(strings.Fields(s), " "))
}
