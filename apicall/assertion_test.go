package apicall_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/internal/value"
)

// TestOAuth2_AnAssertionLastsAsLongAsServersTake: some take none of more than a
// minute after its issue, and a server whose clock is behind takes none that was
// issued in its future.
func TestOAuth2_AnAssertionLastsAsLongAsServersTake(t *testing.T) {
	for life, want := range map[string]time.Duration{"": 5 * time.Minute, "60s": time.Minute, "45": 45 * time.Second, "10m": 10 * time.Minute} {
		s := newTokenServer(t)
		run := s.program(t, apicall.Config{Credentials: s.credential("auth_style", "client_secret_jwt", "assertion_life", life)})
		if out := run(t.Context()); out.Err != nil {
			t.Fatal(out.Err)
		}
		claims := jwt.MapClaims{}
		text := s.fetches[0].Get("client_assertion")
		if _, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return []byte("verysecret"), nil }); err != nil {
			t.Fatal(err)
		}
		issued, _ := claims.GetIssuedAt()
		expires, _ := claims.GetExpirationTime()
		since, _ := claims.GetNotBefore()
		if got := expires.Sub(issued.Time); got != want {
			t.Errorf("assertion_life %q: it lasts %s, want %s", life, got, want)
		}
		if ago := time.Since(issued.Time); ago < 5*time.Second || ago > time.Minute || !since.Equal(issued.Time) {
			t.Errorf("it is issued %s ago, good since %s", ago, since)
		}
	}
}

// TestOAuth2_EveryFetchHasAnAssertionOfItsOwn: servers take each but once.
func TestOAuth2_EveryFetchHasAnAssertionOfItsOwn(t *testing.T) {
	s := newTokenServer(t)
	run := s.program(t, apicall.Config{Credentials: s.credential("auth_style", "client_secret_jwt")})
	seen := map[string]bool{}
	for range 3 {
		if out := run(t.Context()); out.Err != nil {
			t.Fatal(out.Err)
		}
		seen[s.fetches[len(s.fetches)-1].Get("client_assertion")] = true
		s.forget()
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("%d assertions in 3 fetches: %v", len(seen), seen)
	}
}

// TestOAuth2_StylesByTheirRegisteredNames: as the documentation of a server calls
// them.
func TestOAuth2_StylesByTheirRegisteredNames(t *testing.T) {
	for style, want := range map[string]string{
		"client_secret_basic": "grant_type=client_credentials id+one:verysecret",
		"client_secret_post":  "client_id=id+one&client_secret=verysecret&grant_type=client_credentials :",
	} {
		s := newTokenServer(t)
		out := s.program(t, apicall.Config{Credentials: s.credential("auth_style", style)})(t.Context())
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		if got := s.fetches[0].Encode() + " " + s.basic[0]; got != want {
			t.Errorf("%s: %s, want %s", style, got, want)
		}
	}
}

// TestOAuth2_AGrantOfAnotherName: what a vendor has made up for itself is asked for
// with extra.
func TestOAuth2_AGrantOfAnotherName(t *testing.T) {
	s := newTokenServer(t)
	out := s.program(t, apicall.Config{Credentials: s.credential("extra", value.MapOf("grant_type", "account_credentials", "account_id", "a1"))})(t.Context())
	if out.Err != nil || s.fetches[0].Encode() != "account_id=a1&grant_type=account_credentials" {
		t.Errorf("%v: %v", out.Err, s.fetches)
	}
}

// TestOAuth2_ByTheCredentialsOwnCertificate: the certificate of a credential goes to
// its token endpoint, and nowhere else.
func TestOAuth2_ByTheCredentialsOwnCertificate(t *testing.T) {
	client, certFile, keyFile := clientCert(t)
	other, otherCert, otherKey := clientCert(t)
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var seen []string
	serve := func(who string) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			shown := "nothing"
			if len(r.TLS.PeerCertificates) > 0 {
				shown = "the task's"
				if r.TLS.PeerCertificates[0].Equal(client) {
					shown = "its own"
				}
			}
			seen = append(seen, fmt.Sprintf("%s: %s %s", who, shown, r.Form.Encode()))
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token": "bound-token"}`)
		}))
		pool := x509.NewCertPool()
		pool.AddCert(client)
		pool.AddCert(other)
		s.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	tokens, api := serve("tokens"), serve("api")
	ca := pemFile(t, "CERTIFICATE", tokens.Certificate().Raw)
	for name, c := range map[string]struct {
		creds []any
		props []any
		want  string
	}{
		"the credential's": {[]any{"auth_style", "tls_client_auth", "certificate", read(certFile), "private_key", read(keyFile)}, nil,
			"tokens: its own client_id=me&grant_type=client_credentials, api: nothing "},
		"on one line": {[]any{"auth_style", "tls", "certificate", strings.ReplaceAll(read(certFile), "\n", `\n`), "private_key", strings.ReplaceAll(read(keyFile), "\n", `\n`)}, nil,
			"tokens: its own client_id=me&grant_type=client_credentials, api: nothing "},
		"both": {[]any{"auth_style", "self_signed_tls_client_auth", "certificate", read(certFile), "private_key", read(keyFile)}, []any{"client_cert", otherCert, "client_key", otherKey},
			"tokens: its own client_id=me&grant_type=client_credentials, api: the task's "},
		"the task's": {[]any{"auth_style", "tls"}, []any{"client_cert", otherCert, "client_key", otherKey},
			"tokens: the task's client_id=me&grant_type=client_credentials, api: the task's "},
		"neither": {[]any{"auth_style", "tls"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			creds := credential("c", "oauth", append([]any{"client_id", "me", "token_url", tokens.URL + "/token"}, c.creds...)...)
			out := once(t, apicall.Config{Credentials: creds}, plus(value.MapOf("url", api.URL, "auth_type", "oauth2", "credential_id", "c", "ca_file", ca), c.props...))
			if got := strings.Join(seen, ", "); got != c.want {
				t.Errorf("%+v: got %s\nwant %s", out.Err, got, c.want)
			}
			if name == "neither" && (out.Err == nil || out.Err.Class != "auth" || out.Err.Message != "credential c: auth_style tls needs a client certificate: certificate and private_key of the credential, or client_cert and client_key of the task") {
				t.Errorf("got %+v", out.Err)
			}
		})
	}
}

// TestOAuth2_TheCertificateNamesTheKey: its thumbprints stand in the header of an
// assertion, as Entra ID looks keys up; one of another key is refused.
func TestOAuth2_TheCertificateNamesTheKey(t *testing.T) {
	cert, certFile, keyFile := clientCert(t)
	certText, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	keyText, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	s := newTokenServer(t)
	style := []any{"auth_style", "private_key_jwt", "client_secret", "", "certificate", string(certText)}
	out := s.program(t, apicall.Config{Credentials: s.credential(append(style, "private_key", string(keyText))...)})(t.Context())
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	token, err := jwt.Parse(s.fetches[0].Get("client_assertion"), func(*jwt.Token) (any, error) { return cert.PublicKey, nil })
	if err != nil || len(fmt.Sprint(token.Header["x5t"])) != 27 || len(fmt.Sprint(token.Header["x5t#S256"])) != 43 {
		t.Errorf("%v: header %v", err, token)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	out = s.program(t, apicall.Config{Credentials: s.credential(append(style, "private_key", pemKey(t, stranger))...)})(t.Context())
	if out.Err == nil || !strings.HasPrefix(out.Err.Message, "credential c: certificate is not of the private_key; store it: ") {
		t.Errorf("got %+v", out.Err)
	}
}

// TestOAuth2_NothingOfAKeyIsShown: whatever an endpoint says back, and whatever is
// wrong with the key.
func TestOAuth2_NothingOfAKeyIsShown(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := pemKey(t, key)
	block, _ := pem.Decode([]byte(text))
	said := ""
	s := newTokenServer(t)
	s.answer = func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(mustJSON(map[string]string{"error": "invalid_grant", "error_description": said}))
		return true
	}
	half := strings.Replace(text, text[60:64], "....", 1)
	for _, c := range []struct{ key, says string }{{text, text}, {text, strings.ReplaceAll(text, "\n", " ")}, {half, ""}, {text[:80], ""}, {string(block.Bytes), ""}} {
		said = c.says
		creds := s.credential("grant_type", "jwt-bearer", "client_secret", "", "private_key", c.key)
		out := s.program(t, apicall.Config{Credentials: creds})(t.Context())
		if out.Err == nil {
			t.Fatal("a token without an endpoint that gives one")
		}
		for _, line := range strings.Split(text, "\n")[1:3] {
			if shown := string(mustJSON(out.Details)) + out.Err.Error(); strings.Contains(shown, line[:20]) {
				t.Errorf("a line of the key is shown: %s", shown)
			}
		}
	}
}
