package engine

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

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
	{Name: "grant_type", Open: true, OneOf: []string{GrantClient, GrantRefresh, GrantPassword, GrantJWT, GrantJWTName}}, {Name: "refresh_token"},
	{Name: "auth_style", Open: true, OneOf: []string{StyleHeader, StyleBody, StyleKeyJWT, StyleSecretJWT, StyleTLS, StyleNone}},
	{Name: "username", Open: true, Rare: true}, {Name: "password", Rare: true},
	{Name: "private_key", Rare: true}, {Name: "key_id", Open: true, Rare: true}, {Name: "certificate", Open: true, Rare: true},
	{Name: "signing_alg", Open: true, Rare: true, OneOf: []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"}},
	{Name: "issuer", Open: true, Rare: true}, {Name: "subject", Open: true, Rare: true}, {Name: "assertion_audience", Open: true, Rare: true},
	{Name: "claims", Rare: true, Table: true}, {Name: "extra", Rare: true, Table: true},
	{Name: "scheme", Open: true}, {Name: "token_path", Open: true},
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
		return s
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
	if text := c.Text("certificate"); text != "" {
		if _, err := ParseCertificate(text); err != nil {
			return bad("certificate %v", err)
		}
	}
	return nil
}

// ParsePrivateKey reads an RSA, EC or Ed25519 key from PEM text (PKCS #8, PKCS #1
// or SEC 1). Line breaks that were written as \n are read as such. Errors say
// what is wrong without quoting it.
func ParsePrivateKey(text string) (crypto.Signer, error) {
	block, err := onePEM(text)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("is encrypted; store it as: openssl pkey -in key.pem")
	default:
		return nil, fmt.Errorf("is a %s, want a private key as PEM", strings.ToLower(block.Type))
	}
	if block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted; store it as: openssl pkey -in key.pem")
	}
	if err != nil {
		return nil, errors.New("holds no key that can be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok || SigningAlgs(signer) == nil {
		return nil, errors.New("is a key that signs nothing here: want RSA, EC (P-256, P-384, P-521) or Ed25519")
	}
	return signer, nil
}

// ParseCertificate reads one certificate from PEM text.
func ParseCertificate(text string) (*x509.Certificate, error) {
	block, err := onePEM(text)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if block.Type != "CERTIFICATE" || err != nil {
		return nil, errors.New("is no certificate as PEM")
	}
	return cert, nil
}

func onePEM(text string) (*pem.Block, error) {
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	if block == nil {
		return nil, errors.New("is not PEM text (-----BEGIN ... and its lines)")
	}
	return block, nil
}

// SigningAlgs are the algorithms (RFC 7518, 3.1; RFC 8037) by which a key can
// sign a JWT, the usual one first; nil: none.
func SigningAlgs(key crypto.Signer) []string {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}
		case 384:
			return []string{"ES384"}
		case 521:
			return []string{"ES512"}
		}
	case ed25519.PrivateKey:
		return []string{"EdDSA"}
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
