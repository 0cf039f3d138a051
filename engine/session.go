package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"
)

// How long a session lasts.
const (
	SessionIdle = 12 * time.Hour     // without a request
	SessionLife = 7 * 24 * time.Hour // whatever happens
)

// Session is a browser in which somebody has logged in. What the browser holds
// is a cookie and, beside it, a key that a page must show where a cookie alone
// proves too little; what is kept here are their hashes.
type Session struct {
	ID      string    `json:"id"`               // SHA-256 of the cookie, as hex
	KeyHash string    `json:"key_hash"`         // SHA-256 of the key, as hex
	Name    string    `json:"name"`             // of the caller, for messages and the audit
	Role    Role      `json:"role"`             // what it may do
	Flows   []FlowID  `json:"flows,omitempty"`  // that a trigger may start; empty: all
	Token   string    `json:"token,omitempty"`  // id of the token that was shown: the session ends with it
	User    string    `json:"user,omitempty"`   // who has shown a password: the session ends when that changes
	Changed time.Time `json:"changed,omitzero"` // when the password was set that was shown
	Began   time.Time `json:"began"`
	Seen    time.Time `json:"seen"` // its last request, to within SessionSeen
}

// SessionSeen is how exactly it is known when a session was used last: it is
// written down no more often.
const SessionSeen = 10 * time.Minute

// SessionSecrets are what a browser keeps of its session. They are made anew at
// each login.
type SessionSecrets struct {
	Cookie string
	Key    string
}

// NewSession begins a session for a caller who has shown a token, with its id,
// or a one-time code.
func NewSession(who Caller, token string, now time.Time) (Session, SessionSecrets) {
	secrets := SessionSecrets{Cookie: randomSecret(), Key: randomSecret()}
	now = now.UTC().Truncate(time.Second)
	return Session{
		ID: SessionID(secrets.Cookie), KeyHash: hashToken(secrets.Key), Name: who.Name, Role: who.Role, Flows: who.Flows, Token: token,
		Began: now, Seen: now,
	}, secrets
}

// randomSecret is 32 random bytes in base64 for URLs.
func randomSecret() string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(secret[:])
}

// SessionID is the id of the session whose cookie this is.
func SessionID(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

// Good says whether the session goes on. ErrDenied: its time is up.
func (s *Session) Good(now time.Time) error {
	switch {
	case now.Sub(s.Began) >= SessionLife:
		return fmt.Errorf("%w: the login is older than %d days: log in again", ErrDenied, int(SessionLife.Hours())/24)
	case now.Sub(s.Seen) >= SessionIdle+SessionSeen:
		return fmt.Errorf("%w: the login was not used for %d hours: log in again", ErrDenied, int(SessionIdle.Hours()))
	}
	return nil
}

// HasKey reports whether a key is that of the session.
func (s *Session) HasKey(key string) bool {
	return subtle.ConstantTimeCompare([]byte(hashToken(key)), []byte(s.KeyHash)) == 1
}

// Caller is who has logged in.
func (s *Session) Caller() Caller {
	return Caller{Name: s.Name, Role: s.Role, Flows: s.Flows, Login: true}
}
