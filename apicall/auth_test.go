package apicall_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// stored is a credential store in memory.
type stored map[string]engine.Credential

func (s stored) Get(_ context.Context, id string) (engine.Credential, error) {
	c, ok := s[id]
	if !ok {
		return c, fmt.Errorf("credential %s: %w", id, engine.ErrNotFound)
	}
	return c, nil
}

func credential(id, kind string, pairs ...any) stored {
	return stored{id: {ID: id, Type: kind, Data: value.MapOf(pairs...)}}
}

// TestAuth_WhatIsSent holds the exact header or query of each type.
func TestAuth_WhatIsSent(t *testing.T) {
	for _, c := range []struct {
		authType          string
		creds             stored
		header, want, uri string
	}{
		{"basic", credential("c", "basic_auth", "username", "Aladdin", "password", "open sesame"), "Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "/x?a=1"},
		{"basic", credential("c", "basic_auth", "username", "test", "password", "123£"), "Authorization", "Basic dGVzdDoxMjPCow==", "/x?a=1"},
		{"basic", credential("c", "basic_auth", "username", "sk_test_12345678", "password", ""), "Authorization", "Basic c2tfdGVzdF8xMjM0NTY3ODo=", "/x?a=1"},
		{"basic", credential("c", "basic_auth", "username", "", "password", "pat-12345678"), "Authorization", "Basic OnBhdC0xMjM0NTY3OA==", "/x?a=1"},
		{"bearer", credential("c", "custom", "token", "tok.en"), "Authorization", "Bearer tok.en", "/x?a=1"},
		{"bearer", credential("c", "custom", "token", "tok", "prefix", "Token"), "Authorization", "Token tok", "/x?a=1"},
		{"bearer", credential("c", "custom", "token", "tok", "prefix", ""), "Authorization", "tok", "/x?a=1"},
		{"api_key", credential("c", "api_key", "api_key", "k1"), "X-Api-Key", "k1", "/x?a=1"},
		{"api_key", credential("c", "api_key", "api_key", "k1", "header_name", "X-Shop"), "X-Shop", "k1", "/x?a=1"},
		{"api_key", credential("c", "api_key", "api_key", "k&1", "query_param", "key"), "X-Api-Key", "", "/x?a=1&key=k%261"},
	} {
		s, got := recorder(t)
		run := program(t, apicall.Config{Credentials: c.creds}, value.MapOf("url", s.URL+"/x?a=1", "auth_type", c.authType, "credential_id", "c"))
		for range 2 { // the second attempt shows that the first left nothing behind
			out := run(t.Context())
			if out.Err != nil || got.header.Get(c.header) != c.want || got.uri != c.uri {
				t.Errorf("%s %v: %v, sent %q %s, want %q %s", c.authType, c.creds, out.Err, got.header.Get(c.header), got.uri, c.want, c.uri)
			}
		}
	}
}

func TestAuth_UnusableCredentialSendsNothingAndNamesTheWayOut(t *testing.T) {
	s, got := recorder(t)
	for _, c := range []struct {
		authType string
		creds    apicall.CredentialStore
		want     string
	}{
		{"basic", nil, "credential c: there is no credential store"},
		{"basic", stored{}, "credential c: not found; store it: qarion credentials store --credential-id c --type basic_auth --json '{...}'"},
		{"basic", credential("c", "api_key", "api_key", "k"), `credential c: its type is api_key, but auth_type "basic" needs basic_auth; store it: qarion credentials store --credential-id c --type basic_auth --json '{...}'`},
		{"bearer", credential("c", "custom", "value", "k"), `credential c: the field "token" is missing; store it: qarion credentials store --credential-id c --type custom --json '{...}'`},
		{"bearer", credential("c", "custom", "token", "verysecret\n"), "credential c: the token has characters that no header may have"},
		{"basic", credential("c", "basic_auth", "username", "a:b", "password", "p"), "credential c: a user name with a colon cannot be sent as basic authentication"},
		{"api_key", credential("c", "api_key", "api_key", "k", "header_name", "a b"), "credential c: header_name or api_key has characters that no header may have"},
	} {
		out := program(t, apicall.Config{Credentials: c.creds}, value.MapOf("url", s.URL, "auth_type", c.authType, "credential_id", "c", "retry_count", int64(1)))(t.Context())
		if out.Err == nil || out.Err.Class != "credential" || out.Err.Message != c.want || out.Err.Retryable || got.method != "" {
			t.Errorf("got %+v, sent %q\nwant %s", out.Err, got.method, c.want)
		}
	}
}

func TestAuth_RefusedCredentialIsNamedAndHidden(t *testing.T) {
	const secret = "verysecret/1+2"
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(401)
		fmt.Fprintf(w, "you sent %s, that is %s", secret, r.Header.Get("Authorization"))
	})
	out := program(t, apicall.Config{Credentials: credential("shop", "basic_auth", "username", "u", "password", secret)},
		value.MapOf("url", s.URL, "auth_type", "basic", "credential_id", "shop"))(t.Context())
	shown, err := json.Marshal(out.Details)
	if err != nil {
		t.Fatal(err)
	}
	if out.Details.Credential != "shop (basic_auth)" || !strings.HasPrefix(out.Details.Hint, "credential shop (basic_auth) was sent and refused; store a new one: ") ||
		out.Details.RequestHeaders["Authorization"] != "Basic ***" {
		t.Errorf("got %s", shown)
	}
	for _, form := range []string{secret, "dTp2ZXJ5c2VjcmV0LzErMg", "verysecret"} {
		if strings.Contains(string(shown), form) {
			t.Errorf("the secret is shown as %q: %s", form, shown)
		}
	}
}

func TestCredentialReference_FillsStringsOfTheFlowAndNeverData(t *testing.T) {
	s, got := recorder(t)
	creds := credential("shop", "custom", "token", "verysecret", "tenant", "acme")
	run := program(t, apicall.Config{Credentials: creds}, value.MapOf("url", s.URL+"/{{ '${credential' }}:shop}/${credential:shop.tenant}",
		"operation", "post", "headers", value.MapOf("X-Token", "t ${credential:shop}"), "body", value.MapOf("k", "${credential:shop.token}")))
	out := run(t.Context())
	if out.Err != nil || got.header.Get("X-Token") != "t verysecret" || got.body != `{"k":"verysecret"}` || !strings.HasSuffix(got.uri, "/acme") {
		t.Errorf("%v: %+v", out.Err, got)
	}
	if !strings.Contains(got.uri, "credential:shop") {
		t.Errorf("what an expression gives was taken for a reference: %s", got.uri)
	}
	out = program(t, apicall.Config{Credentials: creds}, value.MapOf("url", s.URL, "headers", value.MapOf("X", "${credential:shop.pin}")))(t.Context())
	if out.Err == nil || out.Err.Class != "credential" || !strings.Contains(out.Err.Message, `credential shop: it is a custom and has no field "pin"; there are: token, tenant`) {
		t.Errorf("missing field: %+v", out.Err)
	}
}

// TestRedaction_FollowsSecretsThroughFilters: what a filter makes of a secret
// is hidden as well.
func TestRedaction_FollowsSecretsThroughFilters(t *testing.T) {
	s := handler(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(400)
		fmt.Fprintf(w, "got %s %s %s", r.RequestURI, r.Header.Get("X-Mine"), body)
	})
	run := program(t, apicall.Config{Credentials: credential("shop", "custom", "token", "verysecret")}, value.MapOf(
		"url", s.URL+"/{{ xcom_credential__0 | reverse }}", "operation", "post",
		"headers", value.MapOf("X-First", "${credential:shop}", "X-Mine", "a {{ xcom_credential__0 | upper }} b"),
		"body", value.MapOf("k", "{{ xcom_credential__0 | replace('very', 'quite-a-') }}")))
	out := run(t.Context())
	shown, err := json.Marshal(out.Details)
	if err != nil || out.Err == nil || out.Err.Class != "status" {
		t.Fatal(err, out.Err)
	}
	for _, form := range []string{"terces", "SECRET", "quite-a-"} {
		if strings.Contains(string(shown), form) {
			t.Errorf("a secret is shown as %q: %s", form, shown)
		}
	}
}

func TestCredential_IsDroppedAtAnotherOrigin(t *testing.T) {
	var leaked atomic.Int32
	other := handler(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Shop") != "" || r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("X-Mine") != "" {
			leaked.Add(1)
		}
	})
	s := handler(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	cfg := apicall.Config{
		Credentials: credential("c", "api_key", "api_key", "verysecret", "header_name", "X-Shop"),
		Egress:      apicall.Egress{Allow: []string{"127.0.0.0/8"}},
	}
	out := program(t, cfg, value.MapOf("url", s.URL, "auth_type", "api_key", "credential_id", "c",
		"headers", value.MapOf("Cookie", "a=b", "X-Mine", "1", "Authorization", "Bearer x")))(t.Context())
	if out.Err != nil || leaked.Load() != 0 || len(out.Details.Redirects) != 1 {
		t.Errorf("%v, leaked %d, redirects %v", out.Err, leaked.Load(), out.Details.Redirects)
	}
}

// TestAuth_AKeyInTheQueryFollowsWithinItsOrigin: each redirect within the origin
// gets it once, no other origin does, nor what comes back from one.
func TestAuth_AKeyInTheQueryFollowsWithinItsOrigin(t *testing.T) {
	const secret = "verysecret/1+2"
	sent := "key=" + url.QueryEscape(secret)
	for name, c := range map[string]struct {
		status   int
		location string // SELF and OTHER are the origins
		want     []string
	}{
		"a path":                    {302, "/next", []string{"self /x?a=1&" + sent, "self /next?" + sent}},
		"a query of its own":        {301, "/next?b=2", []string{"self /x?a=1&" + sent, "self /next?b=2&" + sent}},
		"a whole address":           {307, "SELF/next?b=2", []string{"self /x?a=1&" + sent, "self /next?b=2&" + sent}},
		"one that brings it along":  {308, "/next?" + sent + "&b=2", []string{"self /x?a=1&" + sent, "self /next?" + sent + "&b=2"}},
		"one with another key":      {302, "/next?key=none", []string{"self /x?a=1&" + sent, "self /next?key=none&" + sent}},
		"an empty query":            {302, "/next?", []string{"self /x?a=1&" + sent, "self /next?" + sent}},
		"another origin":            {302, "OTHER/next", []string{"self /x?a=1&" + sent, "other /next"}},
		"another origin, and back":  {302, "OTHER/back", []string{"self /x?a=1&" + sent, "other /back", "self /home"}},
		"two redirects in a row":    {303, "/on", []string{"self /x?a=1&" + sent, "self /on?" + sent, "self /next?" + sent}},
		"a POST that became a GET":  {303, "/next", []string{"self /x?a=1&" + sent, "self /next?" + sent}},
		"a POST that is sent again": {307, "/next", []string{"self /x?a=1&" + sent, "self /next?" + sent}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			var self, other *httptest.Server
			serve := func(who string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					got = append(got, who+" "+r.RequestURI)
					switch r.URL.Path {
					case "/x":
						w.Header().Set("Location", strings.NewReplacer("SELF", self.URL, "OTHER", other.URL).Replace(c.location))
						w.WriteHeader(c.status)
					case "/on":
						http.Redirect(w, r, "/next", http.StatusFound)
					case "/back":
						http.Redirect(w, r, self.URL+"/home", http.StatusFound)
					default:
						w.WriteHeader(http.StatusForbidden)
						fmt.Fprint(w, "you sent "+r.RequestURI)
					}
				}
			}
			self, other = handler(t, serve("self")), handler(t, serve("other"))
			cfg := apicall.Config{Credentials: credential("c", "api_key", "api_key", secret, "query_param", "key"), Egress: loopback}
			props := value.MapOf("url", self.URL+"/x?a=1", "auth_type", "api_key", "credential_id", "c")
			if strings.HasPrefix(name, "a POST") {
				props.Set("operation", "post")
			}
			out := once(t, cfg, props)
			led := strings.HasPrefix(name, "another origin")
			if hint := out.Details.Hint; strings.HasPrefix(hint, "credential c (api_key) was not sent: a redirect has led to another origin") != led {
				t.Errorf("the hint is %q", hint)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if shown, err := json.Marshal(out.Details); err != nil || strings.Contains(string(shown)+out.Err.Error(), "verysecret") {
				t.Errorf("the key is shown: %s %v", shown, err)
			}
		})
	}
}
