package apicall_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// tokenServer is a token endpoint at /token and an API that takes its newest
// token, and no other.
type tokenServer struct {
	*httptest.Server
	mu      sync.Mutex
	fetches []url.Values
	basic   []string // user and password of each fetch, as sent in the header
	calls   int
	expires any                              // expires_in of the next token
	rotate  bool                             // each refresh token works once
	answer  func(w http.ResponseWriter) bool // instead of a token
	body    string                           // of the last accepted call
}

func newTokenServer(t *testing.T) *tokenServer {
	s := &tokenServer{expires: 3600}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path != "/token" {
		b, _ := io.ReadAll(r.Body)
		s.calls++
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", len(s.fetches)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.body = string(b)
		return
	}
	_ = r.ParseForm()
	user, password, _ := r.BasicAuth()
	s.basic = append(s.basic, user+":"+password)
	if s.answer != nil && s.answer(w) {
		return
	}
	if s.rotate && r.Form.Get("refresh_token") != fmt.Sprintf("refresh-%d", len(s.fetches)) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	s.fetches = append(s.fetches, r.Form)
	out := map[string]any{"access_token": fmt.Sprintf("token-%d", len(s.fetches)), "token_type": "bearer"}
	if s.expires != nil {
		out["expires_in"] = s.expires
	}
	if s.rotate {
		out["refresh_token"] = fmt.Sprintf("refresh-%d", len(s.fetches))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func (s *tokenServer) count() (fetches, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetches), s.calls
}

// forget makes the newest token stale, as a server does that was restarted.
func (s *tokenServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches = append(s.fetches, nil)
}

func (s *tokenServer) credential(pairs ...any) stored {
	c := credential("c", "oauth", "client_id", "id one", "client_secret", "verysecret", "token_url", s.URL+"/token")
	for k, v := range value.MapOf(pairs...).All() {
		c["c"].Data.Set(k, v)
	}
	return c
}

func (s *tokenServer) program(t *testing.T, cfg apicall.Config, pairs ...any) func(context.Context) engine.TaskOutput {
	props := value.MapOf("url", s.URL+"/api", "auth_type", "oauth2", "credential_id", "c")
	for k, v := range value.MapOf(pairs...).All() {
		props.Set(k, v)
	}
	return program(t, cfg, props)
}

func TestOAuth2_WhatTheEndpointGets(t *testing.T) {
	for _, c := range []struct {
		pairs       []any
		form, basic string
	}{
		{nil, "grant_type=client_credentials", "id+one:verysecret"},
		{[]any{"auth_style", "body", "scope", "read write", "audience", "https://a"}, "audience=https%3A%2F%2Fa&client_id=id+one&client_secret=verysecret&grant_type=client_credentials&scope=read+write", ":"},
		{[]any{"refresh_token", "r1", "extra", value.MapOf("tenant", "t1")}, "grant_type=refresh_token&refresh_token=r1&tenant=t1", "id+one:verysecret"},
		{[]any{"refresh_token", "r1", "grant_type", "client_credentials"}, "grant_type=client_credentials", "id+one:verysecret"},
	} {
		s := newTokenServer(t)
		if out := s.program(t, apicall.Config{Credentials: s.credential(c.pairs...)})(t.Context()); out.Err != nil {
			t.Fatal(out.Err)
		}
		if got := s.fetches[0].Encode(); got != c.form || s.basic[0] != c.basic {
			t.Errorf("got %s, %s\nwant %s, %s", got, s.basic[0], c.form, c.basic)
		}
	}
}

func TestOAuth2_OneTokenForAll(t *testing.T) {
	s := newTokenServer(t)
	run := s.program(t, apicall.Config{Slots: 32, Credentials: s.credential()})
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if out := run(t.Context()); out.Err != nil {
				t.Error(out.Err)
			}
		})
	}
	all.Wait()
	if fetches, _ := s.count(); fetches != 1 {
		t.Errorf("32 attempts fetched %d tokens", fetches)
	}
}

func TestOAuth2_IsRenewedBeforeItExpires(t *testing.T) {
	for _, expires := range []any{1, "1"} { // some endpoints write the number as text
		s := newTokenServer(t)
		s.expires = expires
		run := s.program(t, apicall.Config{Credentials: s.credential()})
		deadline := time.Now().Add(10 * time.Second)
		for fetches := 0; fetches < 3; fetches, _ = s.count() {
			if out := run(t.Context()); out.Err != nil || time.Now().After(deadline) {
				t.Fatalf("%v after %d fetches", out.Err, fetches)
			}
		}
		if fetches, calls := s.count(); calls < fetches {
			t.Errorf("%d fetches for %d calls", fetches, calls)
		}
	}
	s := newTokenServer(t)
	s.expires = nil
	run := s.program(t, apicall.Config{Credentials: s.credential()})
	for range 3 {
		run(t.Context())
	}
	if fetches, _ := s.count(); fetches != 1 {
		t.Errorf("a token that does not say when it expires was fetched %d times", fetches)
	}
}

func TestOAuth2_RefusedTokenIsRenewedOnceAndTheRequestSentAgain(t *testing.T) {
	s := newTokenServer(t)
	run := s.program(t, apicall.Config{Credentials: s.credential()}, "operation", "post", "body", value.MapOf("a", int64(1)))
	run(t.Context())
	s.forget()
	out := run(t.Context())
	if fetches, calls := s.count(); out.Err != nil || fetches != 3 || calls != 3 || s.body != `{"a":1}` {
		t.Errorf("%v, %d fetches, %d calls, body %s", out.Err, fetches, calls, s.body)
	}
	refuse := handler(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	out = program(t, apicall.Config{Credentials: s.credential()}, value.MapOf("url", refuse.URL, "auth_type", "oauth2", "credential_id", "c", "retry_count", int64(2)))(t.Context())
	if out.Err == nil || out.Err.Message != "401 Unauthorized" || out.Err.Retryable || !strings.Contains(out.Details.Hint, "credential c (oauth) was sent and refused") {
		t.Errorf("refused for good: %+v, %s", out.Err, out.Details.Hint)
	}
	if fetches, _ := s.count(); fetches != 5 {
		t.Errorf("%d fetches", fetches)
	}
}

// tokenStore keeps tokens in memory.
type tokenStore struct {
	mu    sync.Mutex
	kept  map[string]apicall.Token
	saves int
	err   error
}

func (s *tokenStore) Load(_ context.Context, id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.kept[id]
	if !ok {
		return nil, engine.ErrNotFound
	}
	return json.Marshal(t)
}

func (s *tokenStore) Save(_ context.Context, id string, token []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	var t apicall.Token
	if err := json.Unmarshal(token, &t); err != nil {
		return err
	}
	s.kept[id], s.saves = t, s.saves+1
	return nil
}

func TestOAuth2_RotatedRefreshTokensAreKeptOverRestarts(t *testing.T) {
	s := newTokenServer(t)
	s.rotate, s.expires = true, 1
	store := &tokenStore{kept: map[string]apicall.Token{}}
	cfg := apicall.Config{Credentials: s.credential("refresh_token", "refresh-0"), Tokens: store}
	deadline := time.Now().Add(10 * time.Second)
	for fetches := 0; fetches < 3; fetches, _ = s.count() {
		// each program is a node that has just started
		if out := s.program(t, cfg)(t.Context()); out.Err != nil || time.Now().After(deadline) {
			t.Fatalf("%v after %d fetches", out.Err, fetches)
		}
	}
	if store.kept["c"].Refresh != "refresh-3" || store.saves != 3 {
		t.Errorf("kept %+v after %d saves", store.kept["c"], store.saves)
	}
	s.rotate = false
	cfg.Credentials = s.credential("scope", "other")
	s.program(t, cfg)(t.Context())
	if fetches, _ := s.count(); fetches != 4 || s.fetches[3].Get("refresh_token") != "" {
		t.Errorf("the token of an older credential was used: %d fetches", fetches)
	}
}

func TestOAuth2_EndpointErrorsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		pairs  []any
		answer func(w http.ResponseWriter) bool
		want   string
		again  bool
	}{
		{"refused", nil, func(w http.ResponseWriter) bool {
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"secret verysecret\nis wrong"}`)
			return true
		}, "credential c: token endpoint URL/token answered 401 Unauthorized: invalid_client secret *** is wrong", false},
		{"down", nil, func(w http.ResponseWriter) bool { w.WriteHeader(503); return true }, "credential c: token endpoint URL/token answered 503 Service Unavailable", true},
		{"no token", nil, func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, `{}`); return true }, "credential c: token endpoint URL/token gave no token that can be read", false},
		{"page", nil, func(w http.ResponseWriter) bool { _, _ = io.WriteString(w, `<html>`); return true }, "credential c: token endpoint URL/token gave no token that can be read", false},
		{"dropped", nil, func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, "credential c: token endpoint URL/token: the connection ended", true},
		{"redirect", nil, func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(302)
			return true
		}, "credential c: token endpoint URL/token answered 302 Found", false},
		{"metadata", []any{"token_url", "http://169.254.169.254/token"}, nil, "credential c: egress: 169.254.169.254 is not allowed (link-local); see [egress] in qarion.toml", false},
	} {
		s := newTokenServer(t)
		s.answer = c.answer
		out := s.program(t, apicall.Config{Credentials: s.credential(c.pairs...)}, "retry_count", int64(1))(t.Context())
		if out.Err == nil || out.Err.Class != "auth" || out.Err.Message != strings.ReplaceAll(c.want, "URL", s.URL) || out.Err.Retryable != c.again || out.Err.Unknown {
			t.Errorf("%s: got %+v\nwant %s", c.name, out.Err, c.want)
		}
		if _, calls := s.count(); calls != 0 {
			t.Errorf("%s: the API was called without a token", c.name)
		}
	}
}

func TestOAuth2_UnusableCredential(t *testing.T) {
	s := newTokenServer(t)
	for want, pairs := range map[string][]any{
		"token_url has a user name or password in it; use client_id and client_secret":                                   {"token_url", "https://u:p@a/token"},
		`grant_type password needs the field "username"`:                                                                 {"grant_type", "password"},
		`the field "auth_style" has a value that is none of header, body, private_key_jwt, client_secret_jwt, tls, none`: {"auth_style", "query"},
		`grant_type refresh_token needs the field "refresh_token"`:                                                       {"grant_type", "refresh_token"},
		`type oauth needs the field "client_id"`:                                                                         {"client_id", ""},
		`grant_type jwt-bearer needs the field "private_key"`:                                                            {"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
		`auth_style private_key_jwt needs the field "private_key"`:                                                       {"auth_style", "private_key_jwt"},
	} {
		out := s.program(t, apicall.Config{Credentials: s.credential(pairs...)})(t.Context())
		if out.Err == nil || out.Err.Class != "credential" || out.Err.Message != "credential c: "+want+"; store it: qarion credentials store --credential-id c --type oauth --json '{...}'" {
			t.Errorf("got %+v\nwant %s", out.Err, want)
		}
	}
	store := &tokenStore{kept: map[string]apicall.Token{}, err: engine.ErrUnavailable}
	out := s.program(t, apicall.Config{Credentials: s.credential(), Tokens: store}, "retry_count", int64(1))(t.Context())
	if out.Err == nil || !out.Err.Retryable || out.Err.Message != "credential c: store its token: unavailable" {
		t.Errorf("a token that could not be stored: %+v", out.Err)
	}
}
