package engine

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// The grants by which an oauth credential asks for a token, and GrantJWT's name
// on the wire (RFC 7523, 2.1).
const (
	GrantClient   = "client_credentials"
	GrantRefresh  = "refresh_token"
	GrantPassword = "password"
	GrantJWT      = "jwt-bearer"
	GrantJWTName  = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// The ways in which a client proves who it is at a token endpoint (OpenID Connect
// Core, 9; RFC 8705): its secret in a header or in the body, an assertion signed
// with its key or with its secret, a TLS client certificate, or not at all.
const (
	StyleHeader    = "header"
	StyleBody      = "body"
	StyleKeyJWT    = "private_key_jwt"
	StyleSecretJWT = "client_secret_jwt"
	StyleTLS       = "tls"
	StyleNone      = "none"
)

var oauthFields = []CredentialField{
	{Name: "client_id", Open: true}, {Name: "client_secret"}, {Name: "token_url", Required: true, Open: true},
	{Name: "scope", Open: true}, {Name: "audience", Open: true},
	{Name: "grant_type", Open: true, OneOf: []string{GrantClient, GrantRefresh, GrantPassword, GrantJWT}, Also: map[string]string{GrantJWTName: GrantJWT}}, {Name: "refresh_token"},
	{Name: "auth_style", Open: true, OneOf: []string{StyleHeader, StyleBody, StyleKeyJWT, StyleSecretJWT, StyleTLS, StyleNone}, Also: registeredStyles},
	{Name: "username", Open: true, Rare: true}, {Name: "password", Rare: true},
	{Name: "private_key", Rare: true, PEM: true}, {Name: "key_id", Open: true, Rare: true}, {Name: "certificate", Open: true, Rare: true, PEM: true},
	{Name: "signing_alg", Open: true, Rare: true, OneOf: []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"}},
	{Name: "issuer", Open: true, Rare: true}, {Name: "subject", Open: true, Rare: true}, {Name: "assertion_audience", Open: true, Rare: true},
	{Name: "assertion_life", Open: true, Rare: true},
	{Name: "claims", Rare: true, Table: true}, {Name: "extra", Rare: true, Table: true},
	{Name: "scheme", Open: true}, {Name: "token_path", Open: true},
}

// registeredStyles are the names by which OAuth2 servers know the styles (OpenID
// Connect Core, 9; RFC 8705, 2).
var registeredStyles = map[string]string{
	"client_secret_basic": StyleHeader, "client_secret_post": StyleBody,
	"tls_client_auth": StyleTLS, "self_signed_tls_client_auth": StyleTLS,
}

// The life of an assertion, as long as its credential says nothing, and its
// bounds. Each request for a token has an assertion of its own.
const (
	DefaultAssertionLife = 5 * time.Minute
	MinAssertionLife     = 10 * time.Second
	MaxAssertionLife     = time.Hour
)

// AssertionLife is how long an assertion of an oauth credential is valid: seconds,
// or a number with a unit. Some servers take none that lasts longer than a minute.
func (c Credential) AssertionLife() (time.Duration, error) {
	text := c.Text("assertion_life")
	if text == "" {
		return DefaultAssertionLife, nil
	}
	if _, err := strconv.Atoi(text); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < MinAssertionLife || d > MaxAssertionLife {
		return 0, fmt.Errorf("assertion_life is not a time from %s to %s, such as \"60s\"", "10s", "1h")
	}
	return d, nil
}

// Grant is how an oauth credential asks for a token.
func (c Credential) Grant() string {
	switch g := c.Text("grant_type"); {
	case g == GrantJWTName:
		return GrantJWT
	case g != "":
		return g
	case c.Text("refresh_token") != "":
		return GrantRefresh
	}
	return GrantClient
}

// Style is how its client proves who it is.
func (c Credential) Style() string {
	switch s := c.Text("auth_style"); {
	case s != "":
		return cmp.Or(registeredStyles[s], s)
	case c.Grant() == GrantJWT && c.Text("client_secret") == "":
		return StyleNone // the assertion says it
	}
	return StyleHeader
}

// signs says which fields of the credential sign something, and for what.
func (c Credential) signs() (field, why string) {
	switch {
	case c.Grant() == GrantJWT:
		return "private_key", "grant_type " + GrantJWT
	case c.Style() == StyleKeyJWT:
		return "private_key", "auth_style " + StyleKeyJWT
	}
	return "", ""
}

func (c Credential) checkOAuth(bad func(string, ...any) error) error {
	u, err := url.Parse(c.Text("token_url"))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return bad("token_url is not an http or https address")
	case u.User != nil:
		return bad("token_url has a user name or password in it; use client_id and client_secret")
	}
	grant, style := c.Grant(), c.Style()
	needs := func(why string, fields ...string) error {
		for _, f := range fields {
			if c.Text(f) == "" {
				return bad("%s needs the field %q", why, f)
			}
		}
		return nil
	}
	switch grant {
	case GrantRefresh:
		err = needs("grant_type "+grant, "refresh_token")
	case GrantPassword:
		err = needs("grant_type "+grant, "username", "password")
	case GrantJWT:
		err = needs("grant_type "+grant, "private_key")
	}
	if err == nil && (grant != GrantJWT || c.Text("issuer") == "" || style != StyleNone) {
		err = needs("type oauth", "client_id")
	}
	if err != nil {
		return err
	}
	switch {
	case style == StyleTLS && u.Scheme != "https":
		return bad("auth_style %s needs a token_url with https", c.Text("auth_style"))
	case style == StyleKeyJWT:
		err = needs("auth_style "+style, "private_key")
	case style == StyleSecretJWT:
		err = needs("auth_style "+style, "client_secret")
	case style == StyleHeader || style == StyleBody:
		if c.Text("client_secret") == "" && grant != GrantRefresh {
			return bad("type oauth needs the field \"client_secret\" (auth_style says how a client without one proves who it is)")
		}
	}
	if err != nil {
		return err
	}
	return c.checkKeys(bad)
}

// checkKeys holds private_key, signing_alg and certificate against each other.
func (c Credential) checkKeys(bad func(string, ...any) error) error {
	alg := c.Text("signing_alg")
	if text := c.Text("private_key"); text != "" {
		key, err := ParsePrivateKey(text)
		if err != nil {
			return bad("private_key %v", err)
		}
		if algs := SigningAlgs(key); alg != "" && c.Style() != StyleSecretJWT && !slices.Contains(algs, alg) {
			return bad("signing_alg %s does not fit the private_key, which can: %s", alg, strings.Join(algs, ", "))
		}
	}
	if field, why := c.signs(); c.Style() == StyleSecretJWT && field == "" && alg != "" && !strings.HasPrefix(alg, "HS") {
		return bad("auth_style %s signs with HS256, HS384 or HS512", StyleSecretJWT)
	} else if field != "" && strings.HasPrefix(alg, "HS") {
		return bad("%s signs with a private key, and %s does not", why, alg)
	}
	if _, err := c.AssertionLife(); err != nil {
		return bad("%v", err)
	}
	return c.checkCertificate(bad)
}

// checkCertificate wants a certificate that is of the private key: it names the
// key in assertions, and says with it who the client is.
func (c Credential) checkCertificate(bad func(string, ...any) error) error {
	text, key := c.Text("certificate"), c.Text("private_key")
	if text == "" {
		return nil
	}
	cert, err := ParseCertificate(text)
	switch {
	case err != nil:
		return bad("certificate %v", err)
	case key == "" && c.Style() == StyleTLS:
		return bad("auth_style %s with a certificate needs the field \"private_key\"", StyleTLS)
	case key == "":
		return nil
	}
	if signer, err := ParsePrivateKey(key); err == nil && !sameKey(signer, cert) {
		return bad("certificate is not of the private_key")
	}
	return nil
}

// checkTable wants texts, or lists of texts: parameters that are repeated (RFC
// 8707).
func checkTable(name string, v any) error {
	m, ok := v.(*value.Map)
	if !ok {
		return fmt.Errorf("the field %q is of type %s, want a table of texts", name, value.TypeName(v))
	}
	for k, v := range m.All() {
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		for _, e := range list {
			if _, ok := e.(string); !ok {
				return fmt.Errorf("the field \"%s.%s\" is of type %s, want text in quotes", name, k, value.TypeName(e))
			}
		}
	}
	return nil
}
