package testkit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// OAuth is a token endpoint (RFC 6749, 4.4 and 6) of an Upstream, and a guard
// for the paths that want its tokens.
type OAuth struct {
	mu      sync.Mutex
	rules   OAuthRules
	valid   map[string]time.Time // access token -> expiry; zero: never
	refresh string               // the one that is taken
	issued  int
}

// OAuthRules are what a token endpoint wants and gives.
type OAuthRules struct {
	ClientID, ClientSecret string  // "": not checked
	Style                  string  // "header" or "body": where they must stand; "": in either
	RefreshToken           string  // takes this one, by the grant refresh_token; "": knows only client_credentials
	Rotate                 bool    // a refresh token works once and is replaced
	ExpiresIn              int     // seconds; 0: says nothing, and the token never expires
	Instead                *Answer // of a token: the endpoint fails
}

// OAuth puts a token endpoint at a path.
func (u *Upstream) OAuth(path string, rules OAuthRules) *OAuth {
	o := &OAuth{rules: rules, valid: map[string]time.Time{}, refresh: rules.RefreshToken}
	u.Handle(path, Do(o.token))
	return o
}

// Change changes the rules.
func (o *OAuth) Change(fn func(*OAuthRules)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fn(&o.rules)
}

// Issued is how many tokens were given.
func (o *OAuth) Issued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.issued
}

// Revoke makes all tokens worthless that were given so far, as a server does
// that has lost its memory. Refresh tokens are kept.
func (o *OAuth) Revoke() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.valid)
}

// Guard refuses requests without a token that is good now, with the given
// status.
func (o *OAuth) Guard(status int, then Answer) Answer {
	return Answer{unread: then.unread, play: func(w http.ResponseWriter, c *Call) {
		if o.good(c.Seen.Bearer()) {
			then.play(w, c)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error":"token expired"}`)
	}}
}

func (o *OAuth) good(token string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	expiry, ok := o.valid[token]
	return ok && (expiry.IsZero() || time.Now().Before(expiry))
}

func (o *OAuth) token(w http.ResponseWriter, c *Call) {
	o.mu.Lock()
	instead := o.rules.Instead
	o.mu.Unlock()
	if instead != nil {
		instead.play(w, c)
		return
	}
	status, doc := o.give(c)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
}

// give makes a token, or says why not.
func (o *OAuth) give(c *Call) (int, map[string]any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	refused := func(status int, code string) (int, map[string]any) { return status, map[string]any{"error": code} }
	form := c.Seen.Form()
	switch {
	case c.Method != http.MethodPost:
		return refused(http.StatusMethodNotAllowed, "invalid_request")
	case !o.knows(c, form):
		return refused(http.StatusUnauthorized, "invalid_client")
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "refresh_token":
		if o.refresh == "" || form.Get("refresh_token") != o.refresh {
			return refused(http.StatusBadRequest, "invalid_grant")
		}
	default:
		return refused(http.StatusBadRequest, "unsupported_grant_type")
	}
	o.issued++
	token := fmt.Sprintf("access-%d", o.issued)
	doc := map[string]any{"access_token": token, "token_type": "Bearer"}
	var expiry time.Time
	if s := o.rules.ExpiresIn; s > 0 {
		expiry = time.Now().Add(time.Duration(s) * time.Second)
		doc["expires_in"] = s
	}
	o.valid[token] = expiry
	if o.rules.Rotate && form.Get("grant_type") == "refresh_token" {
		o.refresh = fmt.Sprintf("refresh-%d", o.issued)
		doc["refresh_token"] = o.refresh
	}
	return http.StatusOK, doc
}

// knows reports whether the client has said who it is, in the place where it
// must. In the header both parts are encoded as in a form (RFC 6749, 2.3.1).
func (o *OAuth) knows(c *Call, form url.Values) bool {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	user, password, inHeader := c.BasicAuth()
	if inHeader {
		var err, err2 error
		id, err = url.QueryUnescape(user)
		secret, err2 = url.QueryUnescape(password)
		if err != nil || err2 != nil || form.Has("client_secret") {
			return false // one way at a time
		}
	}
	style := o.rules.Style
	return (style == "" || inHeader == (style == "header")) &&
		(o.rules.ClientID == "" || id == o.rules.ClientID) && (o.rules.ClientSecret == "" || secret == o.rules.ClientSecret)
}
