package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Token lets a program in: what it may do, and how long. The token itself is
// shown once, when it is made; what is kept is its hash.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"` // what it is for, in the words of who made it
	Role    Role      `json:"role"`
	Flows   []FlowID  `json:"flows,omitempty"` // that a trigger may start; empty: all
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Hash    string    `json:"hash,omitempty"`   // SHA-256 of the token, as hex; lists leave it out
}

// The parts of a token's text: qt_<id>_<secret>. The secret is 32 random bytes
// in base64 for URLs.
const (
	tokenPrefix = "qt_"
	tokenID     = 10
	tokenSecret = 43
)

// MaxTokenName bounds the words about a token, in bytes.
const MaxTokenName = 64

// NewToken makes a token and its text. ttl 0: it does not expire. ErrInvalid:
// only a trigger is bound to flows.
func NewToken(role Role, flows []FlowID, name string, ttl time.Duration, now time.Time) (t Token, text string, err error) {
	if len(flows) > 0 && role != RoleTrigger {
		return t, "", fmt.Errorf("%w: only the role %s is bound to flows", ErrInvalid, RoleTrigger)
	}
	if len(name) > MaxTokenName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return t, "", fmt.Errorf("%w: a name is one line of at most %d bytes", ErrInvalid, MaxTokenName)
	}
	if ttl < 0 {
		return t, "", fmt.Errorf("%w: a token that has expired already", ErrInvalid)
	}
	t = Token{ID: strings.ToLower(rand.Text()[:tokenID]), Name: name, Role: role, Flows: flows, Created: now.UTC().Truncate(time.Millisecond)}
	if ttl > 0 {
		t.Expires = t.Created.Add(ttl)
	}
	text = tokenPrefix + t.ID + "_" + randomSecret()
	t.Hash = hashToken(text)
	return t, text, nil
}

func hashToken(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TokenID is the id in a token's text. ErrDenied: it is no token.
func TokenID(text string) (string, error) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(rest) != tokenID+1+tokenSecret || rest[tokenID] != '_' {
		return "", fmt.Errorf("%w: that is no token of qarion: they look like %s<id>_<secret>", ErrDenied, tokenPrefix)
	}
	id := rest[:tokenID]
	if strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", fmt.Errorf("%w: that is no token of qarion", ErrDenied)
	}
	return id, nil
}

// Caller is who shows the token. ErrDenied: it is another text, or its time is
// up.
func (t *Token) Caller(text string, now time.Time) (Caller, error) {
	if subtle.ConstantTimeCompare([]byte(hashToken(text)), []byte(t.Hash)) != 1 {
		return Caller{}, fmt.Errorf("%w: no such token", ErrDenied)
	}
	if t.Expired(now) {
		return Caller{}, fmt.Errorf("%w: token %s has expired at %s", ErrDenied, t.ID, FormatTime(t.Expires))
	}
	name := "token " + t.ID
	if t.Name != "" {
		name = "token " + t.Name
	}
	return Caller{Name: name, Role: t.Role, Flows: t.Flows, Login: true}, nil
}

// Expired reports whether the token's time is up.
func (t *Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }
