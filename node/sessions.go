package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
)

// The bounds of one-time codes.
const (
	codeLife = time.Minute
	maxCodes = 16 // that wait to be used; of more, the oldest goes
)

// LoginCode is the answer of login.code: what `qarion ui` shows the browser.
type LoginCode struct {
	Code    string `json:"code"`
	Expires string `json:"expires"` // RFC 3339
}

// codes are the one-time codes that wait to be used. They live no longer than
// the process.
type codes struct {
	mu   sync.Mutex
	list map[[sha256.Size]byte]time.Time // hash -> when it is good no more
}

// make makes a code.
func (c *codes) make(now time.Time) LoginCode {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil {
		c.list = map[[sha256.Size]byte]time.Time{}
	}
	var oldest [sha256.Size]byte
	for hash, until := range c.list {
		if !now.Before(until) {
			delete(c.list, hash)
		} else if was, found := c.list[oldest]; !found || until.Before(was) {
			oldest = hash
		}
	}
	if len(c.list) >= maxCodes {
		delete(c.list, oldest)
	}
	code := LoginCode{Code: rand.Text(), Expires: engine.FormatTime(now.Add(codeLife))} // 130 bits
	c.list[sha256.Sum256([]byte(code.Code))] = now.Add(codeLife)
	return code
}

// use ends a code. false: there is none like it, or not any more.
func (c *codes) use(code string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	hash := sha256.Sum256([]byte(code))
	until, found := c.list[hash]
	delete(c.list, hash)
	return found && now.Before(until)
}

// loginEndpoints are the service's endpoints for browsers that log in.
func (n *Node) loginEndpoints() []bus.Endpoint {
	return []bus.Endpoint{
		{Name: "login.code", Handle: func(context.Context, []byte) (any, error) {
			if n.web == nil {
				return nil, fmt.Errorf("%w: the node has no HTTP address", engine.ErrConflict)
			}
			return n.codes.make(time.Now()), nil
		}},
	}
}

// Login implements web.Backend.
func (n backend) Login(ctx context.Context, name, secret string) (engine.Session, engine.SessionSecrets, error) {
	who, token, user := engine.Caller{Name: "qarion ui", Role: engine.RoleAdmin}, "", engine.User{}
	if name == "" {
		secret = strings.TrimSpace(secret)
	}
	if name != "" {
		var err error
		if user, err = n.userOf(ctx, name, secret); err != nil {
			return engine.Session{}, engine.SessionSecrets{}, err
		}
		who = user.Caller()
	} else if id, err := engine.TokenID(secret); err == nil {
		if who, err = n.Authenticate(ctx, secret); err != nil {
			return engine.Session{}, engine.SessionSecrets{}, err
		}
		token = id
	} else if !n.codes.use(secret, time.Now()) {
		return engine.Session{}, engine.SessionSecrets{}, fmt.Errorf("%w: that is no token, or no code, or one that was used or is older than a minute", engine.ErrDenied)
	}
	session, secrets := engine.NewSession(who, token, time.Now())
	session.User, session.Changed = user.Name, user.Changed
	if err := n.sessions.Begin(ctx, session); err != nil {
		return engine.Session{}, engine.SessionSecrets{}, err
	}
	n.log.Info("logged in", "who", who.Name, "role", string(who.Role))
	return session, secrets, nil
}

// Session implements web.Backend.
func (n backend) Session(ctx context.Context, cookie string) (engine.Session, error) {
	now := time.Now()
	s, revision, err := n.sessions.Find(ctx, engine.SessionID(cookie))
	if errors.Is(err, engine.ErrNotFound) {
		return s, fmt.Errorf("%w: the login has ended", engine.ErrDenied)
	}
	if err == nil {
		err = cmp.Or(s.Good(now), n.tokenStands(ctx, s.Token, now), n.userStands(ctx, &s))
	}
	if err != nil {
		return engine.Session{}, err
	}
	if now.Sub(s.Seen) >= engine.SessionSeen {
		s.Seen = now.UTC().Truncate(time.Second)
		if err := n.sessions.Used(ctx, s, revision); err != nil {
			n.log.Warn("the use of a login was not written down", engine.LogErr, err) // it may end early
		}
	}
	return s, nil
}

// tokenStands says whether the token of a session is still good; a session of a
// one-time code has none. engine.ErrDenied.
func (n *Node) tokenStands(ctx context.Context, id string, now time.Time) error {
	if id == "" {
		return nil
	}
	token, err := n.tokens.Find(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("%w: the token of the login was deleted", engine.ErrDenied)
	}
	if err == nil && token.Expired(now) {
		err = fmt.Errorf("%w: the token of the login has expired", engine.ErrDenied)
	}
	return err
}

// Logout implements web.Backend.
func (n backend) Logout(ctx context.Context, cookie string) error {
	return n.sessions.End(ctx, engine.SessionID(cookie))
}
