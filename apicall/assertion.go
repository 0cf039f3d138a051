package apicall

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// assertionSlack is by how much an assertion is dated back: to a server whose
// clock is a little behind, it would be one of the future.
const assertionSlack = 10 * time.Second

// grantAssertion is the JWT that stands for the one in whose name a token is
// asked for (RFC 7523, 3), as Salesforce and Google's service accounts want it.
func (o *oauth2Auth) grantAssertion() (string, error) {
	issuer := field(o.cred, "issuer")
	if issuer == "" {
		issuer = field(o.cred, "client_id")
	}
	claims := jwt.MapClaims{"iss": issuer}
	if subject := field(o.cred, "subject"); subject != "" {
		claims["sub"] = subject
	}
	if scope := field(o.cred, "scope"); scope != "" {
		claims["scope"] = scope
	}
	extra, _ := o.cred.Data.Get("claims")
	m, _ := extra.(*value.Map)
	for k, v := range m.All() {
		claims[k] = v
	}
	return o.sign(claims, false)
}

// clientAssertion is the JWT by which a client proves who it is (RFC 7523, 2.2).
func (o *oauth2Auth) clientAssertion() (string, error) {
	id := field(o.cred, "client_id")
	return o.sign(jwt.MapClaims{"iss": id, "sub": id}, o.grant.style == engine.StyleSecretJWT)
}

// sign completes claims and signs them: with the private key, or with the
// client's secret.
func (o *oauth2Auth) sign(claims jwt.MapClaims, bySecret bool) (string, error) {
	audience := field(o.cred, "assertion_audience")
	if audience == "" {
		audience = field(o.cred, "token_url")
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	life, err := o.cred.AssertionLife()
	if err != nil {
		return "", err
	}
	since := time.Now().Add(-assertionSlack)
	for k, v := range map[string]any{"aud": audience, "iat": since.Unix(), "nbf": since.Unix(), "exp": since.Add(life).Unix(), "jti": hex.EncodeToString(id[:])} {
		if _, given := claims[k]; !given {
			claims[k] = v
		}
	}
	alg := field(o.cred, "signing_alg")
	var key any
	if bySecret {
		key = []byte(field(o.cred, "client_secret"))
		if !strings.HasPrefix(alg, "HS") {
			alg = "HS256"
		}
	} else {
		signer, err := engine.ParsePrivateKey(field(o.cred, "private_key"))
		if err != nil {
			return "", err
		}
		key = signer
		if alg == "" {
			alg = engine.SigningAlgs(signer)[0]
		}
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims)
	if kid := field(o.cred, "key_id"); kid != "" {
		token.Header["kid"] = kid
	}
	if text := field(o.cred, "certificate"); text != "" { // Entra ID finds the key by it (RFC 7515, 4.1.7 and 4.1.8)
		cert, err := engine.ParseCertificate(text)
		if err != nil {
			return "", err
		}
		old, sum := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)
		token.Header["x5t"] = base64.RawURLEncoding.EncodeToString(old[:])
		token.Header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return token.SignedString(key)
}
