package apicall_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// hashed is HMAC with SHA-256.
func hashed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, text)
	return h.Sum(nil)
}

// signedByRule computes a request's signature once more, by the rules of
// Signature Version 4, from what has arrived.
func signedByRule(r *http.Request, body, region, service string) string {
	_, names, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	var headers strings.Builder
	for name := range strings.SplitSeq(names, ";") {
		v := r.Header.Get(name)
		switch name {
		case "host":
			v = r.Host
		case "content-length":
			v = r.Header.Get("Content-Length")
			if v == "" {
				v = string(mustJSON(r.ContentLength))
			}
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(v), " ") + "\n")
	}
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for i, s := range segments { // every segment is encoded once more; that of an object's name is taken apart before
		if service == "s3" {
			s, _ = url.PathUnescape(s)
		}
		segments[i] = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	path := strings.Join(segments, "/")
	query := strings.Split(r.URL.RawQuery, "&")
	slices.Sort(query)
	sum := sha256.Sum256([]byte(body))
	canonical := strings.Join([]string{r.Method, path, strings.Join(query, "&"), headers.String(), names, hex.EncodeToString(sum[:])}, "\n")
	at := r.Header.Get("X-Amz-Date")
	scope := at[:8] + "/" + region + "/" + service + "/aws4_request"
	digest := sha256.Sum256([]byte(canonical))
	key := hashed([]byte("AWS4"+secret), at[:8])
	for _, part := range []string{region, service, "aws4_request"} {
		key = hashed(key, part)
	}
	return hex.EncodeToString(hashed(key, "AWS4-HMAC-SHA256\n"+at+"\n"+scope+"\n"+hex.EncodeToString(digest[:])))
}

func mustJSON(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

// TestSigV4_WhatArrivesIsSigned: the signature fits the request on the wire, of
// every body and at every redirect within the origin.
func TestSigV4_WhatArrivesIsSigned(t *testing.T) {
	for name, c := range map[string]struct {
		props           []any
		service, region string
	}{
		"get":          {[]any{"params", value.MapOf("b", "2 ü", "a", []any{"x/y", "é"})}, "execute-api", "eu-west-1"},
		"post":         {[]any{"operation", "post", "body", value.MapOf("n", int64(7)), "headers", value.MapOf("X-A", "1  2")}, "execute-api", "eu-west-1"},
		"keyed":        {[]any{"operation", "post", "idempotency_key", true}, "execute-api", "eu-west-1"},
		"s3":           {[]any{"operation", "put", "body_format", "raw", "body", "text", "service", "s3"}, "s3", "eu-west-1"},
		"aoss":         {[]any{"operation", "put", "body", value.MapOf("n", int64(7)), "service", "aoss"}, "aoss", "eu-west-1"},
		"hive keys":    {[]any{"path", "/dt=2026-01-01/a:b+c(1)@x,y;z'*!$&~"}, "execute-api", "eu-west-1"},
		"s3 hive keys": {[]any{"path", "/dt=2026-01-01/a:b+c(1)@x,y;z'*!$&~", "service", "s3"}, "s3", "eu-west-1"},
		"s3 acl":       {[]any{"path", "/x?acl", "service", "s3"}, "s3", "eu-west-1"},
		"another host": {[]any{"headers", value.MapOf("Host", "abc.execute-api.eu-west-1.amazonaws.com")}, "execute-api", "eu-west-1"},
		"multipart": {[]any{"operation", "post", "body_format", "multipart", "body", value.MapOf("a", "ü", "f", value.MapOf("content", "\x00text", "filename", "x.bin"))},
			"execute-api", "eu-west-1"},
		"redirected":   {[]any{"params", value.MapOf("to", "/other%20path")}, "execute-api", "eu-west-1"},
		"region given": {[]any{"region", "us-east-2", "service", "aoss"}, "aoss", "us-east-2"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, wrong := 0, ""
			s := handler(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				body, _ := io.ReadAll(r.Body)
				want := signedByRule(r, string(body), c.region, c.service)
				if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+want) || !strings.Contains(got, "/"+c.region+"/"+c.service+"/") || r.Header.Get("X-Amz-Security-Token") != "session-token-1" {
					wrong = r.Method + " " + r.RequestURI + ": " + got + ", want " + want
				}
				if says := strings.Contains(r.Header.Get("Authorization"), ";x-amz-content-sha256;"); says != (c.service == "s3" || c.service == "aoss") {
					wrong = "the hash of the body is signed: " + strconv.FormatBool(says)
				}
				if to := r.URL.Query().Get("to"); to != "" {
					w.Header().Set("Location", to)
					w.WriteHeader(http.StatusFound)
				}
			})
			cfg := apicall.Config{Credentials: credential("c", "aws", "access_key_id", "AKID", "secret_access_key", secret, "session_token", "session-token-1", "region", "eu-west-1", "service", "execute-api")}
			props := plus(value.MapOf("url", s.URL+"/a b/{{ 'c/d ü' }}", "auth_type", "aws_sigv4", "credential_id", "c"), c.props...)
			if path, given := props.Get("path"); given {
				props.Delete("path")
				props.Set("url", s.URL+path.(string))
			}
			out := once(t, cfg, props)
			if out.Err != nil || wrong != "" || calls == 0 {
				t.Fatalf("%v, %d calls; %s", out.Err, calls, wrong)
			}
			if shown := mustJSON(out.Details); strings.Contains(string(shown), "Signature=") && !strings.Contains(string(shown), "***") {
				t.Errorf("the signature is shown: %s", shown)
			}
		})
	}
}

// TestOAuth2_Grants holds what a token endpoint gets for each grant and each way
// of proving who the client is.
func TestOAuth2_Grants(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pairs  []any
		form   string // but for assertions
		basic  string
		field  string // the parameter that holds an assertion
		key    any
		alg    string
		claims map[string]any
		header map[string]any
	}{
		"password": {pairs: []any{"grant_type", "password", "username", "ann", "password", secret, "scope", "api"},
			form: "grant_type=password&password=" + secret + "&scope=api&username=ann", basic: "id+one:verysecret"},
		"password of a public client": {pairs: []any{"grant_type", "password", "username", "ann", "password", secret, "auth_style", "none", "client_secret", ""},
			form: "client_id=id+one&grant_type=password&password=" + secret + "&username=ann", basic: ":"},
		"Salesforce": {pairs: []any{"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "client_secret", "", "private_key", pemKey(t, rsaKey), "subject", "ann@example.com", "assertion_audience", "https://login.salesforce.com"},
			form: "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer", basic: ":", field: "assertion", key: &rsaKey.PublicKey, alg: "RS256",
			claims: map[string]any{"iss": "id one", "sub": "ann@example.com", "aud": "https://login.salesforce.com"}},
		"Google service account": {pairs: []any{"grant_type", "jwt-bearer", "client_secret", "", "client_id", "", "issuer", "svc@p.iam.example", "scope", "https://a.example/auth/x", "private_key", pemKey(t, rsaKey), "key_id", "k1"},
			form:  "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=https%3A%2F%2Fa.example%2Fauth%2Fx",
			basic: ":", field: "assertion", key: &rsaKey.PublicKey, alg: "RS256", header: map[string]any{"kid": "k1"},
			claims: map[string]any{"iss": "svc@p.iam.example", "scope": "https://a.example/auth/x", "aud": "URL/token"}},
		"more claims": {pairs: []any{"grant_type", "jwt-bearer", "client_secret", "", "private_key", pemKey(t, ecKey), "claims", value.MapOf("tenant", "t1", "aud", "other")},
			form: "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer", basic: ":", field: "assertion", key: &ecKey.PublicKey, alg: "ES256",
			claims: map[string]any{"iss": "id one", "tenant": "t1", "aud": "other"}},
		"private_key_jwt": {pairs: []any{"auth_style", "private_key_jwt", "client_secret", "", "private_key", pemKey(t, rsaKey), "signing_alg", "PS256"},
			form:  "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_id=id+one&grant_type=client_credentials",
			basic: ":", field: "client_assertion", key: &rsaKey.PublicKey, alg: "PS256",
			claims: map[string]any{"iss": "id one", "sub": "id one", "aud": "URL/token"}},
		"client_secret_jwt": {pairs: []any{"auth_style", "client_secret_jwt"},
			form:  "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_id=id+one&grant_type=client_credentials",
			basic: ":", field: "client_assertion", key: []byte("verysecret"), alg: "HS256", claims: map[string]any{"iss": "id one", "sub": "id one"}},
		"two resources": {pairs: []any{"extra", value.MapOf("resource", []any{"https://a", "https://b"})},
			form: "grant_type=client_credentials&resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb", basic: "id+one:verysecret"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTokenServer(t)
			out := s.program(t, apicall.Config{Credentials: s.credential(c.pairs...)})(t.Context())
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			form := s.fetches[0]
			text := form.Get(c.field)
			form.Del(c.field)
			if form.Encode() != c.form || s.basic[0] != c.basic {
				t.Errorf("form  %s, basic %s\nwant  %s, basic %s", form.Encode(), s.basic[0], c.form, c.basic)
			}
			if c.field == "" {
				return
			}
			claims := jwt.MapClaims{}
			token, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return c.key, nil },
				jwt.WithValidMethods([]string{c.alg}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
			if err != nil {
				t.Fatalf("%s %q: %v", c.field, text, err)
			}
			for k, v := range c.claims {
				if want, isText := v.(string); isText {
					v = strings.ReplaceAll(want, "URL", s.URL)
				}
				if claims[k] != v {
					t.Errorf("claim %s is %v, want %v", k, claims[k], v)
				}
			}
			for k, v := range c.header {
				if token.Header[k] != v {
					t.Errorf("header %s is %v, want %v", k, token.Header[k], v)
				}
			}
			if id, _ := claims["jti"].(string); len(id) < 16 {
				t.Errorf("jti is %q", id)
			}
			if exp, _ := claims.GetExpirationTime(); time.Until(exp.Time) > 10*time.Minute {
				t.Errorf("it is good until %s", exp)
			}
		})
	}
}

func pemKey(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestOAuth2_AnAssertionIsHidden: an endpoint that repeats what it got in its
// refusal does not put it into the record.
func TestOAuth2_AnAssertionIsHidden(t *testing.T) {
	s := newTokenServer(t)
	form := ""
	s.answer = func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(mustJSON(map[string]string{"error": "invalid_grant", "error_description": form}))
		return true
	}
	front := handler(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.Form.Get("client_assertion")
		s.ServeHTTP(w, r)
	})
	cred := s.credential("auth_style", "client_secret_jwt", "token_url", front.URL+"/token")
	out := s.program(t, apicall.Config{Credentials: cred})(t.Context())
	if out.Err == nil || form == "" || !strings.Contains(out.Err.Message, "answered 400 Bad Request: invalid_grant ***") || strings.Contains(out.Err.Message, form) {
		t.Errorf("got %+v", out.Err)
	}
}

// TestSigning_WithACredential: a template signs with the field of a credential;
// the signature is hidden, a hash without a key is not.
func TestSigning_WithACredential(t *testing.T) {
	s, got := recorder(t)
	creds := credential("shop", "custom", "token", secret)
	cfg := apicall.Config{Credentials: creds}
	out := once(t, cfg, value.MapOf("url", s.URL, "operation", "post", "body_format", "raw", "body", "amount=7",
		"headers", value.MapOf("X-Signature", `{{ "amount=7" | hmac_sha256("${credential:shop}") }}`, "X-Hash", "{{ '${credential:shop.token}' | sha256 }}")))
	want := hex.EncodeToString(hashed([]byte(secret), "amount=7"))
	sum := sha256.Sum256([]byte(secret))
	if out.Err != nil || got.header.Get("X-Signature") != want || got.header.Get("X-Hash") != hex.EncodeToString(sum[:]) {
		t.Errorf("%v: sent %q, %q", out.Err, got.header.Get("X-Signature"), got.header.Get("X-Hash"))
	}
	echoing := handler(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "bad signature "+r.Header.Get("X-Signature")+" hash "+r.Header.Get("X-Hash"))
	})
	out = once(t, cfg, value.MapOf("url", echoing.URL, "headers", value.MapOf("X-Signature", `{{ "amount=7" | hmac_sha256("${credential:shop}") }}`, "X-Hash", "{{ '${credential:shop.token}' | sha256 }}")))
	if shown := string(mustJSON(out.Details)); strings.Contains(shown, want) || strings.Contains(shown, secret) || !strings.Contains(shown, "hash "+hex.EncodeToString(sum[:])) {
		t.Errorf("the details: %s", shown)
	}
}

// TestSigning_ThePartThatIsRepeatedIsHidden: wherever a signature stands in what a
// template writes, a server that repeats it alone does not put it into the
// record.
func TestSigning_ThePartThatIsRepeatedIsHidden(t *testing.T) {
	sig := hex.EncodeToString(hashed([]byte(secret), "amount=7"))
	inBase64 := base64.StdEncoding.EncodeToString(hashed([]byte(secret), "amount=7"))
	const sign = `"amount=7" | hmac_sha256("${credential:shop.key}")`
	for name, props := range map[string][]any{
		"a header":            {"headers", value.MapOf("X-Signature", "{{ "+sign+" }}")},
		"beside text":         {"headers", value.MapOf("Authorization", "SharedKey acct:{{ "+sign+" }}")},
		"beside a secret":     {"headers", value.MapOf("Authorization", "HMAC ${credential:shop.id}:{{ "+sign+" }}")},
		"joined":              {"headers", value.MapOf("Authorization", `{{ "HMAC " ~ "${credential:shop.id}" ~ ":" ~ (`+sign+`) }}`)},
		"formatted":           {"headers", value.MapOf("Authorization", `{{ "v1=%s" | format(`+sign+`) }}`)},
		"in base64":           {"headers", value.MapOf("Authorization", `{{ "v1=" ~ ("amount=7" | hmac_sha256("${credential:shop.key}", encoding="base64")) }}`)},
		"in capitals":         {"headers", value.MapOf("X-Signature", "{{ ("+sign+") | upper }}")},
		"a field of the body": {"operation", "post", "body", value.MapOf("auth", "acct:{{ "+sign+" }}")},
		"a JSON text":         {"operation", "post", "body", `{"auth": "acct:{{ ` + strings.ReplaceAll(sign, `"`, "'") + ` }}"}`},
		"raw":                 {"operation", "post", "body_format", "raw", "body", "amount=7&sig={{ " + sign + " }}"},
		"form":                {"operation", "post", "body_format", "form", "body", value.MapOf("sig", "v1={{ "+sign+" }}")},
		"params":              {"params", value.MapOf("sig", "v1={{ "+sign+" }}")},
		"the address":         {"url", "{{ " + sign + " }}"},
	} {
		t.Run(name, func(t *testing.T) {
			all := ""
			s := handler(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				all = fmt.Sprint(r.RequestURI, r.Header, string(body))
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, "we want %s, %s or %s", sig, strings.ToUpper(sig), inBase64)
			})
			p := plus(value.MapOf("url", s.URL), props...)
			if path, _ := p.Get("url"); path != s.URL {
				p.Set("url", s.URL+"/"+path.(string))
			}
			out := once(t, apicall.Config{Credentials: credential("shop", "custom", "token", "unused-1234", "key", secret, "id", "public-name-1")}, p)
			want := sig
			switch name {
			case "in base64":
				want = inBase64
			case "in capitals":
				want = strings.ToUpper(sig)
			}
			if got := string(mustJSON(out.Details)) + out.Err.Error(); !strings.Contains(all, want) && !strings.Contains(all, url.QueryEscape(want)) || strings.Contains(got, want) || strings.Contains(got, secret) {
				t.Errorf("sent %s\nshown %s", all, got)
			}
		})
	}
}

// TestPreview_ASignatureIsLeftToTheShell: render has no secrets, and shows no
// signature that was made without them as if it were one.
func TestPreview_ASignatureIsLeftToTheShell(t *testing.T) {
	creds := credential("shop", "custom", "token", secret, "id", "public-name-1")
	shown := preview(t, creds, "url", "https://api.example.com/x", "operation", "post", "body_format", "raw", "body", "amount=7",
		"headers", value.MapOf("X-Signature", `{{ "amount=7" | hmac_sha256("${credential:shop}") }}`, "X-Who", `${credential:shop.id}:{{ "amount=7" | hmac_sha256("${credential:shop}") }}`))
	const want = "curl -sS -X POST 'https://api.example.com/x' \\\n  -H 'Content-Type: text/plain; charset=utf-8' \\\n  -H \"X-Signature: ${X_SIGNATURE}\" \\\n  -H \"X-Who: ${SHOP_ID}:${SECRET}\" \\\n  --data-raw 'amount=7'"
	if shown.Curl != want {
		t.Errorf("got  %s\nwant %s", shown.Curl, want)
	}
	for _, h := range shown.Headers {
		if h.Name == "X-Signature" && h.Value != "***" || h.Name == "X-Who" && h.Value != "***:***" {
			t.Errorf("%s is shown as %s", h.Name, h.Value)
		}
	}
}

// TestOAuth2_ByClientCertificate: with auth_style "tls" the task's certificate
// says at the token endpoint who the client is (RFC 8705).
func TestOAuth2_ByClientCertificate(t *testing.T) {
	client, certFile, keyFile := clientCert(t)
	form, name := url.Values{}, ""
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_ = r.ParseForm()
			form, name = r.Form, r.TLS.PeerCertificates[0].Subject.CommonName
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token": "bound-token", "token_type": "Bearer"}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer bound-token" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	clients := x509.NewCertPool()
	clients.AddCert(client)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	s.StartTLS()
	t.Cleanup(s.Close)
	creds := credential("c", "oauth", "client_id", "me", "token_url", s.URL+"/token", "auth_style", "tls")
	out := once(t, apicall.Config{Credentials: creds}, value.MapOf("url", s.URL+"/api", "auth_type", "oauth2", "credential_id", "c",
		"ca_file", pemFile(t, "CERTIFICATE", s.Certificate().Raw), "client_cert", certFile, "client_key", keyFile))
	if out.Err != nil || name != "shop" || form.Encode() != "client_id=me&grant_type=client_credentials" {
		t.Errorf("%v: certificate of %q, form %s", out.Err, name, form.Encode())
	}
}

// TestPreview_CurlSignsItself: where curl can compute the proof, its line says so
// and holds no secret.
func TestPreview_CurlSignsItself(t *testing.T) {
	basic := credential("shop", "basic_auth", "username", "ann", "password", secret)
	keys := credential("shop", "aws", "access_key_id", "AKID", "secret_access_key", secret, "session_token", secret)
	for _, c := range []struct {
		creds         stored
		pairs         []any
		curl, shownAs string
	}{
		{basic, []any{"auth_type", "digest"}, "curl -sS 'https://dynamodb.eu-west-1.amazonaws.com/x' \\\n  --digest \\\n  -u \"ann:${SHOP_PASSWORD}\"", "Digest ***"},
		{keys, []any{"auth_type", "aws_sigv4"}, "curl -sS 'https://dynamodb.eu-west-1.amazonaws.com/x' \\\n  --aws-sigv4 'aws:amz:eu-west-1:dynamodb' \\\n  -u \"AKID:${SHOP_SECRET_ACCESS_KEY}\" \\\n  -H \"X-Amz-Security-Token: ${SHOP_SESSION_TOKEN}\"", "AWS4-HMAC-SHA256 ***"},
		{keys, []any{"auth_type", "aws_sigv4", "service", "aoss"}, "curl -sS 'https://dynamodb.eu-west-1.amazonaws.com/x' \\\n  --aws-sigv4 'aws:amz:eu-west-1:aoss' \\\n  -u \"AKID:${SHOP_SECRET_ACCESS_KEY}\" \\\n  -H 'X-Amz-Content-Sha256: UNSIGNED-PAYLOAD' \\\n  -H \"X-Amz-Security-Token: ${SHOP_SESSION_TOKEN}\"", "AWS4-HMAC-SHA256 ***"},
	} {
		shown := preview(t, c.creds, append([]any{"url", "https://dynamodb.eu-west-1.amazonaws.com/x", "credential_id", "shop"}, c.pairs...)...)
		if shown.Curl != c.curl || shown.Headers[0].Value != c.shownAs {
			t.Errorf("got  %s\nwant %s\nheaders %v", shown.Curl, c.curl, shown.Headers)
		}
	}
}

// preview is what render shows of a task: its credentials are stand-ins.
func preview(t *testing.T, creds stored, pairs ...any) *engine.Preview {
	t.Helper()
	for id, cred := range creds {
		creds[id] = apicall.StandIn(cred)
	}
	kind, err := apicall.New(apicall.Config{Credentials: creds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kind.Close)
	flow := &engine.Flow{ID: "f", Tasks: []engine.Task{{ID: "t", Type: apicall.Name, Properties: value.MapOf(pairs...)}}}
	prog, problems := kind.Prepare(flow, &flow.Tasks[0])
	if engine.Refused(problems) != nil {
		t.Fatal(problems)
	}
	shown, err := prog.(engine.Previewer).Preview(t.Context(), engine.NewTaskInput(flow, &flow.Tasks[0], nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	return shown
}
