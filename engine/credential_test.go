package engine_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

func TestCredential_CheckNamesTheMistakeAndNoValue(t *testing.T) {
	const secret = "verysecret"
	oauth := func(pairs ...any) *value.Map {
		m := value.MapOf("client_id", "c", "client_secret", secret, "token_url", "https://a.example/token")
		for k, v := range value.MapOf(pairs...).All() {
			m.Set(k, v)
		}
		return m
	}
	for _, c := range []struct {
		id, kind string
		data     *value.Map
		want     string
	}{
		{"a", "basic_auth", value.MapOf("username", "u", "password", secret), ""},
		{"a b", "basic_auth", value.MapOf("username", "u", "password", secret), `credential id "a b": want 1 to 64 letters, digits, _ and -`},
		{"a", "basicauth", value.MapOf("username", "u"), `credential a: unknown type "basicauth" (did you mean "basic_auth"?)`},
		{"a", "ldap", nil, `credential a: unknown type "ldap" (there are: basic_auth, oauth, api_key, aws, custom)`},
		{"a", "basic_auth", value.MapOf("username", "u"), `credential a: type basic_auth needs the field "password" (it may be "")`},
		{"a", "basic_auth", value.MapOf("password", secret), `credential a: type basic_auth needs the field "username" (it may be "")`},
		{"a", "basic_auth", value.MapOf("username", "u", "password", ""), ""},
		{"a", "basic_auth", value.MapOf("username", "", "password", secret), ""},
		{"a", "basic_auth", value.MapOf("user_name", "u", "password", secret), `credential a: type basic_auth has no field "user_name" (did you mean "username"?)`},
		{"a", "basic_auth", value.MapOf("username", "u", "password", int64(12345678)), `credential a: the field "password" is of type int, want text in quotes`},
		{"a", "api_key", value.MapOf("api_key", secret), ""},
		{"a", "api_key", value.MapOf("api_key", secret, "header_name", "X", "query_param", "k"), "credential a: both header_name and query_param; keep one"},
		{"a", "custom", value.MapOf("token", secret, "tenant", "t"), ""},
		{"a", "custom", value.MapOf("tokn", secret), `credential a: type custom needs the field "token"`},
		{"a", "oauth", oauth(), ""},
		{"a", "oauth", oauth("extra", value.MapOf("tenant", "t")), ""},
		{"a", "oauth", oauth("extra", "x"), `credential a: the field "extra" is of type str, want a table of texts`},
		{"a", "oauth", oauth("extra", value.MapOf("n", int64(1))), `credential a: the field "extra.n" is of type int, want text in quotes`},
		{"a", "oauth", oauth("client_secret", ""), `credential a: type oauth needs the field "client_secret" (auth_style says how a client without one proves who it is)`},
		{"a", "oauth", oauth("client_secret", "", "refresh_token", secret), ""},
		{"a", "oauth", oauth("grant_type", "password"), `credential a: grant_type password needs the field "username"`},
		{"a", "oauth", oauth("grant_type", "implicit"), `credential a: the field "grant_type" has a value that is none of client_credentials, refresh_token, password, jwt-bearer`},
		{"a", "oauth", oauth("grant_type", "password", "username", "u", "password", secret), ""},
		{"a", "oauth", oauth("client_secret", "", "auth_style", "none", "grant_type", "password", "username", "u", "password", secret), ""},
		{"a", "oauth", oauth("client_secret", "", "auth_style", "tls"), ""},
		{"a", "oauth", oauth("grant_type", "jwt-bearer"), `credential a: grant_type jwt-bearer needs the field "private_key"`},
		{"a", "oauth", oauth("grant_type", "jwt-bearer", "private_key", secret), "credential a: private_key is not PEM text (-----BEGIN ... and its lines)"},
		{"a", "oauth", oauth("auth_style", "private_key_jwt", "private_key", pemOf(t, "EC", "p256")), ""},
		{"a", "oauth", oauth("auth_style", "private_key_jwt", "private_key", strings.ReplaceAll(pemOf(t, "EC", "p256"), "\n", `\n`)), ""},
		{"a", "oauth", oauth("auth_style", "private_key_jwt", "private_key", pemOf(t, "EC", "p256"), "signing_alg", "RS256"), "credential a: signing_alg RS256 does not fit the private_key, which can: ES256"},
		{"a", "oauth", oauth("auth_style", "private_key_jwt", "private_key", pemOf(t, "EC", "p224")), "credential a: private_key is a key that signs nothing here: want RSA, EC (P-256, P-384, P-521) or Ed25519"},
		{"a", "oauth", oauth("auth_style", "private_key_jwt", "private_key", strings.ReplaceAll(pemOf(t, "EC", "p256"), "EC PRIVATE", "ENCRYPTED PRIVATE")), "credential a: private_key is encrypted; store it as: openssl pkey -in key.pem"},
		{"a", "oauth", oauth("auth_style", "private_key_jwt", "private_key", strings.ReplaceAll(pemOf(t, "EC", "p256"), "EC PRIVATE KEY", "CERTIFICATE")), "credential a: private_key is a certificate, want a private key as PEM"},
		{"a", "oauth", oauth("auth_style", "client_secret_jwt", "signing_alg", "RS256"), "credential a: auth_style client_secret_jwt signs with HS256, HS384 or HS512"},
		{"a", "oauth", oauth("auth_style", "client_secret_post"), ""},
		{"a", "oauth", oauth("auth_style", "tls_client_auth", "token_url", "http://a.example/t"), "credential a: auth_style tls_client_auth needs a token_url with https"},
		{"a", "oauth", oauth("auth_style", "client_secret_jwt", "assertion_life", "60"), ""},
		{"a", "oauth", oauth("assertion_life", "2h"), `credential a: assertion_life is not a time from 10s to 1h, such as "60s"`},
		{"a", "oauth", oauth("assertion_life", secret), `credential a: assertion_life is not a time from 10s to 1h, such as "60s"`},
		{"a", "oauth", oauth("certificate", "x"), "credential a: certificate is not PEM text (-----BEGIN ... and its lines)"},
		{"a", "oauth", value.MapOf("token_url", "https://a.example/token", "issuer", "svc@a.example", "grant_type", "jwt-bearer", "private_key", pemOf(t, "EC", "p256")), ""},
		{"a", "oauth", oauth("extra", value.MapOf("resource", []any{"https://a", "https://b"})), ""},
		{"a", "oauth", oauth("extra", value.MapOf("resource", []any{"https://a", int64(1)})), `credential a: the field "extra.resource" is of type int, want text in quotes`},
		{"a", "aws", value.MapOf("access_key_id", "AKID", "secret_access_key", secret, "region", "eu-west-1"), ""},
		{"a", "aws", value.MapOf("access_key_id", "AKID"), `credential a: type aws needs the field "secret_access_key"`},
		{"a", "oauth", oauth("grant_type", "refresh_token"), `credential a: grant_type refresh_token needs the field "refresh_token"`},
		{"a", "oauth", oauth("token_url", "ftp://"+secret), "credential a: token_url is not an http or https address"},
		{"a", "oauth", oauth("token_url", "https://u:"+secret+"@h/"), "credential a: token_url has a user name or password in it; use client_id and client_secret"},
		{"a", "custom", value.MapOf("token", strings.Repeat("x", engine.MaxCredential)), "credential a: larger than 64 KiB"},
	} {
		cred := engine.Credential{ID: c.id, Type: c.kind, Data: c.data}
		err := cred.Check()
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.kind, err)
			}
			continue
		}
		if !errors.Is(err, engine.ErrInvalid) || err.Error() != "invalid: "+c.want {
			t.Errorf("got  %v\nwant invalid: %s", err, c.want)
		}
	}
}

func TestCredential_NeverPrintsItsSecrets(t *testing.T) {
	c := engine.Credential{ID: "a", Type: "oauth", Data: value.MapOf("client_id", "open", "client_secret", "verysecret", "extra", value.MapOf("k", "alsosecret"))}
	shown, err := value.JSON(c.Redacted())
	if err != nil || string(shown) != `{"client_id":"open","client_secret":"***","extra":"***"}` {
		t.Errorf("redacted %s, %v", shown, err)
	}
	if got := fmt.Sprint(c.Secrets()); got != "[verysecret alsosecret]" {
		t.Errorf("secrets %s", got)
	}
	folded := engine.Credential{ID: "a", Type: "custom", Data: value.MapOf("token", "-----BEGIN X-----\nfirst-line-of-it-1\nshort\n-----END X-----\n")}
	if got := folded.Secrets(); len(got) != 2 || got[1] != "first-line-of-it-1" {
		t.Errorf("of several lines: %q", got)
	}
	key := engine.Credential{ID: "a", Type: "basic_auth", Data: value.MapOf("username", "sk_verysecret", "password", "")}
	shown, err = value.JSON(key.Redacted())
	if err != nil || string(shown) != `{"username":"***","password":""}` || key.Secrets()[0] != "sk_verysecret" {
		t.Errorf("a key as user name: redacted %s, secrets %v, %v", shown, key.Secrets(), err)
	}
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), c.String()} {
		if strings.Contains(text, "secret\"") || strings.Contains(text, "verysecret") {
			t.Errorf("printed as %s", text)
		}
	}
}

// pemOf is a new private key as PEM text.
func pemOf(t *testing.T, kind, curve string) string {
	t.Helper()
	curves := map[string]elliptic.Curve{"p224": elliptic.P224(), "p256": elliptic.P256()}
	key, err := ecdsa.GenerateKey(curves[curve], rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind + " PRIVATE KEY", Bytes: der}))
}
