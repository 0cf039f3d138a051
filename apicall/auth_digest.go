package apicall

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"

	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"

	"github.com/icholy/digest"

	"github.com/qarion/qarion/engine"
)

// digestAuth answers the challenge of a server with a hash of the password (RFC
// 7616). What a server has asked is remembered, so that later requests need no
// challenge of their own.
type digestAuth struct {
	id, username, password string
	known                  *challenges
	body                   *content // of the request; nil: none
	fresh                  bool     // the challenge came in this attempt
}

func newDigest(t *TaskType, c engine.Credential) (Authenticator, error) {
	return &digestAuth{id: c.ID, username: field(c, "username"), password: field(c, "password"), known: &t.challenges}, nil
}

// binds implements binder: method and path are part of the hash.
func (d *digestAuth) binds() bool { return true }

// Authenticate implements Authenticator. As long as nothing was asked, nothing
// is sent.
func (d *digestAuth) Authenticate(ctx context.Context, req *http.Request) error {
	req.Header.Del("Authorization")
	asked, count, ok := d.known.next(d.key(req))
	if !ok {
		return nil
	}
	proof, err := d.answer(ctx, asked, count, req)
	if err != nil {
		return &AuthError{Credential: d.id, Message: "the server's challenge cannot be answered: " + strings.TrimPrefix(err.Error(), "digest: ")}
	}
	req.Header.Set("Authorization", proof)
	return nil
}

// key names what a challenge is for: the credential at one origin.
func (d *digestAuth) key(req *http.Request) string { return d.id + " " + engine.OriginOf(req.URL) }

// answer computes the header. The library does not know the algorithms that end
// in -sess: they are those without, with another first hash (RFC 7616, 3.4.2).
func (d *digestAuth) answer(ctx context.Context, asked *digest.Challenge, count int, req *http.Request) (string, error) {
	chal, algorithm := *asked, asked.Algorithm
	o := digest.Options{
		Method: req.Method, URI: req.URL.RequestURI(), Count: count, Username: d.username, Password: d.password, Cnonce: newCnonce(),
		GetBody: func() (io.ReadCloser, error) {
			if req.ContentLength <= 0 || d.body == nil {
				return io.NopCloser(bytes.NewReader(nil)), nil
			}
			return d.body.reader(ctx), nil
		},
	}
	if plain, ok := cutSess(algorithm); ok {
		chal.Algorithm = plain
		o.A1 = sessionHash(plain, d.username, d.password, asked, o.Cnonce)
	}
	cred, err := digest.Digest(&chal, o)
	if err != nil {
		return "", err
	}
	cred.Algorithm = algorithm
	return cred.String(), nil
}

// Challenge implements challenged. A challenge that comes right after one was
// met means that the password is wrong, unless it says that it was too late.
func (d *digestAuth) Challenge(resp *http.Response) bool {
	asked := findChallenge(resp.Header)
	if asked == nil || d.fresh && !asked.Stale {
		return false
	}
	d.fresh = true
	d.known.put(d.key(resp.Request), asked)
	return true
}

// findChallenge returns the best challenge of an answer that can be met, nil
// when there is none. SHA-256 goes before MD5; several may stand in one header.
func findChallenge(h http.Header) (best *digest.Challenge) {
	for _, header := range h["Www-Authenticate"] {
		for _, part := range splitChallenges(header) {
			c, err := digest.ParseChallenge(part)
			if err != nil {
				continue
			}
			for i := range c.QOP {
				c.QOP[i] = strings.ToLower(strings.TrimSpace(c.QOP[i]))
			}
			plain := *c
			plain.Algorithm, _ = cutSess(c.Algorithm)
			if digest.CanDigest(&plain) && (best == nil || strength(c.Algorithm) > strength(best.Algorithm)) {
				best = c
			}
		}
	}
	return best
}

func strength(algorithm string) int {
	plain, _ := cutSess(algorithm)
	switch strings.ToUpper(plain) {
	case "", "MD5":
		return 0
	}
	return 1
}

// splitChallenges takes the digest challenges out of a header in which others
// may stand too: Basic realm="x", Digest realm="x", nonce="n".
func splitChallenges(header string) (parts []string) {
	quoted, start := false, -1
	for i := 0; i < len(header); i++ {
		switch c := header[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case quoted || i > 0 && header[i-1] != ' ' && header[i-1] != ',':
		case digest.IsDigest(header[i:]):
			if start >= 0 {
				parts = append(parts, strings.TrimRight(header[start:i], ", "))
			}
			start = i
		case start >= 0 && startsScheme(header[i:]):
			parts, start = append(parts, strings.TrimRight(header[start:i], ", ")), -1
		}
	}
	if start >= 0 {
		parts = append(parts, header[start:])
	}
	return parts
}

// startsScheme reports whether another scheme begins: a word and a space, where
// a parameter would have an equals sign.
func startsScheme(s string) bool {
	end := strings.IndexAny(s, " =,\"")
	return end > 0 && s[end] == ' ' && !strings.HasPrefix(strings.TrimLeft(s[end:], " "), "=") && isToken(s[:end])
}

func cutSess(algorithm string) (plain string, sess bool) {
	if n := len(algorithm) - len("-sess"); n > 0 && strings.EqualFold(algorithm[n:], "-sess") {
		return algorithm[:n], true
	}
	return algorithm, false
}

func sessionHash(algorithm, username, password string, c *digest.Challenge, cnonce string) string {
	var h hash.Hash
	switch strings.ToUpper(algorithm) {
	case "SHA-256":
		h = sha256.New()
	case "SHA-512":
		h = sha512.New()
	case "SHA-512-256":
		h = sha512.New512_256()
	default:
		h = md5.New()
	}
	sum := func(parts ...string) string {
		h.Reset()
		io.WriteString(h, strings.Join(parts, ":"))
		return hex.EncodeToString(h.Sum(nil))
	}
	return sum(sum(username, c.Realm, password), c.Nonce, cnonce)
}

func newCnonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// maxKnownChallenges bounds what is remembered of servers.
const maxKnownChallenges = 1024

// challenges are the newest challenges of servers, with how often each was
// answered: a nonce may be used again with the next count.
type challenges struct {
	mu    sync.Mutex
	byKey map[string]*knownChallenge
}

type knownChallenge struct {
	asked *digest.Challenge
	count int
}

func (c *challenges) next(key string) (asked *digest.Challenge, count int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.byKey[key]
	if k == nil {
		return nil, 0, false
	}
	k.count++
	return k.asked, k.count, true
}

func (c *challenges) put(key string, asked *digest.Challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil || len(c.byKey) >= maxKnownChallenges {
		c.byKey = map[string]*knownChallenge{}
	}
	c.byKey[key] = &knownChallenge{asked: asked}
}
