package apicall

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// Token is what a token endpoint gave for a credential.
type Token struct {
	Access  string    `json:"access"`
	Type    string    `json:"type"`              // the word before it in the header: "Bearer"
	Refresh string    `json:"refresh,omitempty"` // the newest refresh token
	Fetched time.Time `json:"fetched"`           // when it was given
	Expiry  time.Time `json:"expiry,omitzero"`   // zero: it does not say
	Of      string    `json:"of"`                // fingerprint of the credential; a token of an older one is not used
}

// TokenStore keeps tokens, sealed, over restarts, as the JSON text of Token.
// Load is called when a credential is first used and returns
// engine.ErrNotFound when there is none; Save is called before a token is used.
type TokenStore interface {
	Load(ctx context.Context, credential string) ([]byte, error)
	Save(ctx context.Context, credential string, token []byte) error
}

func (t *Token) header() string { return t.Type + " " + t.Access }

// renewal is how long before its expiry a token is renewed, at most.
const renewal = 60 * time.Second

// fresh reports whether a token can be used: it is renewed a minute before it
// expires, or at half its life if that is less.
func (t *Token) fresh(now time.Time) bool {
	switch {
	case t.Access == "":
		return false
	case t.Expiry.IsZero():
		return true
	}
	return now.Before(t.Expiry.Add(-min(renewal, t.Expiry.Sub(t.Fetched)/2)))
}

// tokens are the tokens in use, one per credential, for all attempts of the
// node.
type tokens struct {
	store TokenStore // nil: they last as long as the process
	log   *slog.Logger

	mu      sync.Mutex
	byID    map[string]*tokenSlot
	checked map[string]checkedCredential
}

// checkedCredential is what was found wrong with a version of a credential.
type checkedCredential struct {
	data *value.Map
	err  error
}

// check says what is wrong with a credential that may be older than the rules
// for it. Each version is looked at once.
func (t *tokens) check(c engine.Credential) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.checked[c.ID]
	if !ok || known.data != c.Data {
		known = checkedCredential{data: c.Data}
		if err := c.Check(); err != nil {
			text := strings.TrimPrefix(err.Error(), engine.ErrInvalid.Error()+": credential "+c.ID+": ")
			known.err = &AuthError{Credential: c.ID, Message: text + "; " + storeHint(c.ID, c.Type)}
		}
		t.checked[c.ID] = known
	}
	return known.err
}

// tokenSlot is the token of one credential. Whoever holds turn may fetch: one
// at a time, while the others wait for what it brings.
type tokenSlot struct {
	turn   chan struct{}
	token  Token
	data   *value.Map // of the credential that the token is of
	loaded bool
	failed error // of the last fetch, for those who were waiting for it
	at     time.Time
}

func newTokens(store TokenStore, log *slog.Logger) *tokens {
	return &tokens{store: store, byID: map[string]*tokenSlot{}, checked: map[string]checkedCredential{}, log: log}
}

// slot returns the slot of a credential when it is the caller's turn.
func (t *tokens) slot(ctx context.Context, id string) (*tokenSlot, error) {
	t.mu.Lock()
	s := t.byID[id]
	if s == nil {
		s = &tokenSlot{turn: make(chan struct{}, 1)}
		t.byID[id] = s
	}
	t.mu.Unlock()
	select {
	case s.turn <- struct{}{}:
		return s, nil
	case <-ctx.Done():
		return nil, &AuthError{Credential: id, Message: "its token was not fetched in time", Again: true}
	}
}

// get returns a token that is fresh for now, fetching one if need be.
func (t *tokens) get(ctx context.Context, o *oauth2Auth) (Token, error) {
	asked := time.Now()
	s, err := t.slot(ctx, o.cred.ID)
	if err != nil {
		return Token{}, err
	}
	defer func() { <-s.turn }()
	if s.data != o.cred.Data { // another version of the credential, or the same one read anew
		s.data = o.cred.Data
		if of := fingerprint(o.cred); s.token.Of != of {
			s.token, s.loaded, s.failed = Token{Of: of}, false, nil
		}
	}
	if !s.loaded && t.store != nil {
		var kept Token
		if data, err := t.store.Load(ctx, o.cred.ID); err == nil && json.Unmarshal(data, &kept) == nil && kept.Of == s.token.Of {
			s.token = kept
		}
	}
	s.loaded = true
	switch {
	case s.token.fresh(time.Now()):
		return s.token, nil
	case s.failed != nil && s.at.After(asked):
		return Token{}, s.failed // it was tried while this attempt waited
	}
	s.failed, s.at = t.renew(ctx, s, o), time.Now()
	return s.token, s.failed
}

// renew fetches a token. A rotated refresh token is stored before the token is
// used: the old one may be worthless already.
func (t *tokens) renew(ctx context.Context, s *tokenSlot, o *oauth2Auth) error {
	refresh := s.token.Refresh
	if refresh == "" {
		refresh = field(o.cred, "refresh_token")
	}
	next, err := o.fetch(ctx, refresh)
	if err != nil {
		return err
	}
	next.Of = s.token.Of
	if next.Refresh == "" {
		next.Refresh = s.token.Refresh
	}
	s.token = next
	t.log.Info("fetched a token", "credential", o.cred.ID, "expires", next.Expiry)
	if t.store == nil {
		return nil
	}
	data, err := json.Marshal(next)
	if err == nil {
		err = t.store.Save(context.WithoutCancel(ctx), o.cred.ID, data)
	}
	if err != nil {
		return &AuthError{Credential: o.cred.ID, Message: "store its token: " + err.Error(), Again: true}
	}
	return nil
}

// giveUp forgets a token that a server has refused, if it is still in use.
func (t *tokens) giveUp(ctx context.Context, o *oauth2Auth, header string) error {
	s, err := t.slot(ctx, o.cred.ID)
	if err != nil {
		return err
	}
	defer func() { <-s.turn }()
	if s.token.header() == header {
		s.token.Access = ""
	}
	return nil
}

// fingerprint tells versions of a credential apart without showing it.
func fingerprint(c engine.Credential) string {
	data, err := value.JSON(c.Data)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
