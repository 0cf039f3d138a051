package apicall

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"

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
	answered               bool     // a challenge was answered in this attempt
	expects, expectsNot    bool     // the server is asked before a large body; it does not know how to answer
}

func newDigest(t *TaskType, c engine.Credential) (Authenticator, error) {
	return &digestAuth{id: c.ID, username: field(c, "username"), password: field(c, "password"), known: &t.challenges}, nil
}

// largeBody is from how many bytes on a server is asked whether it wants a body
// before it is sent: one that refuses a request without reading its body, as
// digest makes it do, may close the connection in the middle of it.
const largeBody = 256 << 10

// binds implements binder: method and path are part of the hash.
func (d *digestAuth) binds() bool { return true }

// Authenticate implements Authenticator. As long as nothing was asked, nothing
// is sent.
func (d *digestAuth) Authenticate(ctx context.Context, req *http.Request) error {
	req.Header.Del("Authorization")
	d.expect(req)
	asked, count, ok := d.known.next(d.key(req))
	if !ok {
		return nil
	}
	proof, err := d.proof(ctx, asked, count, req)
	if err != nil {
		return &AuthError{Credential: d.id, Message: "the server's challenge cannot be answered: read the body: " + innermost(err)}
	}
	d.answered = true
	req.Header.Set("Authorization", proof)
	return nil
}

// expect asks whether a large body is wanted, unless the flow has its own say.
func (d *digestAuth) expect(req *http.Request) {
	switch large := req.ContentLength >= largeBody && !d.expectsNot; {
	case d.expects && !large:
		d.expects = false
		req.Header.Del("Expect")
	case large && req.Header["Expect"] == nil:
		d.expects = true
		req.Header.Set("Expect", "100-continue")
	}
}

// key names what a challenge is for: the credential at one origin.
func (d *digestAuth) key(req *http.Request) string { return d.id + " " + engine.OriginOf(req.URL) }

// proof computes the header (RFC 7616, 3.4). What is no text of ours goes back
// byte by byte as it came.
func (d *digestAuth) proof(ctx context.Context, asked *challenge, count int, req *http.Request) (string, error) {
	h, sess := asked.hash()
	sum := func(parts ...string) string {
		h.Reset()
		_, _ = io.WriteString(h, strings.Join(parts, ":"))
		return hex.EncodeToString(h.Sum(nil))
	}
	uri, nc, cnonce, qop := req.URL.RequestURI(), fmt.Sprintf("%08x", count), newCnonce(), asked.offered()
	secret := sum(d.username, asked.realm, d.password)
	if sess {
		secret = sum(secret, asked.nonce, cnonce)
	}
	what := []string{req.Method, uri}
	if qop == "auth-int" {
		body, err := d.bodyHash(ctx, h, req)
		if err != nil {
			return "", err
		}
		what = append(what, body)
	}
	name := d.username
	if asked.userhash {
		name = sum(d.username, asked.realm)
	}
	out := `Digest username="` + quoted(name) + `", realm="` + quoted(asked.realm) + `", nonce="` + quoted(asked.nonce) + `", uri="` + quoted(uri) + `"`
	if asked.algorithm != "" {
		out += ", algorithm=" + asked.algorithm
	}
	if asked.opaque != nil {
		out += `, opaque="` + quoted(*asked.opaque) + `"`
	}
	response := sum(secret, asked.nonce, sum(what...))
	if qop != "" {
		response = sum(secret, asked.nonce, nc, cnonce, qop, sum(what...))
		out += ", qop=" + qop + ", nc=" + nc
	}
	if qop != "" || sess {
		out += `, cnonce="` + cnonce + `"`
	}
	if asked.userhash {
		out += ", userhash=true"
	}
	return out + `, response="` + response + `"`, nil
}

func (d *digestAuth) bodyHash(ctx context.Context, h hash.Hash, req *http.Request) (string, error) {
	h.Reset()
	if req.ContentLength > 0 && d.body != nil {
		r := d.body.reader(ctx)
		defer r.Close()
		if _, err := io.Copy(h, r); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Challenge implements challenged. A challenge that comes right after one was
// met means that the password is wrong, unless it says that it was too late.
func (d *digestAuth) Challenge(resp *http.Response) bool {
	if resp.StatusCode == http.StatusExpectationFailed {
		first := d.expects && !d.expectsNot
		d.expectsNot = true
		return first
	}
	asked := findChallenge(resp.Header)
	if asked == nil || d.fresh && !asked.stale {
		return false
	}
	d.fresh = true
	d.known.put(d.key(resp.Request), asked)
	return true
}

// Accepted implements challenged: the server may say which nonce it wants next
// (RFC 7616, 3.5).
func (d *digestAuth) Accepted(resp *http.Response) {
	for _, p := range parseParams(strings.Join(resp.Header["Authentication-Info"], ", ")) {
		if p.name == "nextnonce" && p.value != "" {
			d.known.follow(d.key(resp.Request), p.value)
		}
	}
}

// digestHash is the hash function of an algorithm; nil: it is not known.
func digestHash(algorithm string) hash.Hash {
	switch strings.ToUpper(algorithm) {
	case "", "MD5":
		return md5.New()
	case "SHA-256":
		return sha256.New()
	case "SHA-512":
		return sha512.New()
	case "SHA-512-256":
		return sha512.New512_256()
	}
	return nil
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
	asked *challenge
	count int
}

func (c *challenges) next(key string) (asked *challenge, count int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.byKey[key]
	if k == nil {
		return nil, 0, false
	}
	k.count++
	return k.asked, k.count, true
}

func (c *challenges) put(key string, asked *challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil || len(c.byKey) >= maxKnownChallenges {
		c.byKey = map[string]*knownChallenge{}
	}
	c.byKey[key] = &knownChallenge{asked: asked}
}

// follow goes on with another nonce of a challenge that is known.
func (c *challenges) follow(key, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.byKey[key]; k != nil && k.asked.nonce != nonce {
		next := *k.asked
		next.nonce = nonce
		c.byKey[key] = &knownChallenge{asked: &next}
	}
}
