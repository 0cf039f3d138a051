package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web/ui"
)

// A browser logs in with a one-time code, which `qarion ui` gives it, or with a
// token. From then on it has a cookie. Browsers send cookies to every port of a
// host, so over plain HTTP another server on this machine may come to see it:
// what changes something there must also carry the session's key, which the
// pages keep where only pages of this very address can read it.
const (
	keyHeader = "Qarion-Key" // of a script's request
	keyField  = "qarion-key" // of a form
)

// maxLoginBody bounds the form of the login, in bytes.
const maxLoginBody = 4 << 10

// safe reports whether cookies travel by TLS alone.
func (s *settings) safe() bool { return s.tls != nil || s.public != nil }

// cookieName is what the session's cookie is called. Over plain HTTP it names
// the port: another node on this machine has another.
func (s *Server) cookieName() string {
	if s.set.safe() {
		return "__Host-qarion"
	}
	_, port, _ := net.SplitHostPort(s.conns.Addr().String())
	return "qarion_" + port
}

// cookie is the session's cookie with a value; "" takes it back.
func (s *Server) cookie(value string) *http.Cookie {
	c := &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", HttpOnly: true, Secure: s.set.safe(), SameSite: http.SameSiteStrictMode,
		MaxAge: int(engine.SessionLife / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// session is that of a request's cookie; found is false where there is none
// that goes on.
func (s *Server) session(r *http.Request) (session engine.Session, found bool, err error) {
	c, err := r.Cookie(s.cookieName())
	if err != nil || c.Value == "" {
		return session, false, nil
	}
	b, err := s.node()
	if err != nil {
		return session, false, err
	}
	session, err = b.Session(r.Context(), c.Value)
	if errors.Is(err, engine.ErrDenied) {
		return session, false, nil
	}
	return session, err == nil, err
}

// loggedIn is the caller whose session a request belongs to; found is false
// where it belongs to none, or does not prove it.
func (s *Server) loggedIn(r *http.Request) (who engine.Caller, found bool, err error) {
	session, found, err := s.session(r)
	switch {
	case err != nil || !found:
		return who, false, err
	case s.set.safe() || isSafe(r.Method) || session.HasKey(keyOf(r)):
		return session.Caller(), true, nil
	case s.openTo(r): // what needs no login is not refused for that
		return who, false, nil
	}
	return who, false, problemLogin.with("the request lacks the key of the login, which a page's script adds",
		"log in again, with JavaScript, or send a token as Authorization: Bearer")
}

// keyOf is the session's key that a request carries.
func keyOf(r *http.Request) string {
	if key := r.Header.Get(keyHeader); key != "" {
		return key
	}
	return r.PostForm.Get(keyField)
}

func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// readForm reads the form that a page sends, whole and in time. What follows
// finds it in r.PostForm and r.Form.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request, largest int64) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.ContentLength != 0 && (err != nil || kind != "application/x-www-form-urlencoded") {
		return problemMedia.with(fmt.Sprintf("Content-Type is %.60q, want application/x-www-form-urlencoded", r.Header.Get("Content-Type")))
	}
	data, err := readAll(w, r, largest, orDefault(s.cfg.bodyTime, bodyTime))
	if err != nil {
		return err
	}
	r.PostForm, err = url.ParseQuery(string(data))
	if err != nil {
		return fmt.Errorf("%w: the form cannot be read", engine.ErrInvalid)
	}
	r.Form = r.PostForm
	return nil
}

// login answers a form with a code or a token, from a person or from the script
// of the page, which says that it takes JSON.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	v := &ui.Visit{Request: r}
	err := s.enter(w, r)
	s.tell(r, "login", engine.Caller{Name: "login", From: s.from(r)}, err)
	switch {
	case err == nil:
	case takesJSON(r):
		refuse(w, err)
	default:
		p := problemOf(err)
		s.site.Login(w, v, p.Status, r.PostForm.Get("name"), p.Detail, localPath(r.PostForm.Get("next")))
	}
}

// enter begins a session, and ends the one that the browser had before.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) error {
	if err := s.readForm(w, r, maxLoginBody); err != nil {
		return err
	}
	from, name := s.from(r), strings.TrimSpace(r.PostForm.Get("name"))
	if wait := s.tries.begin(from, name, time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return kinds[engine.ErrBusy].with(fmt.Sprintf("%d logins from %s or of that name have failed: wait %d s", maxTries, from, int(wait/time.Second)+1))
	}
	b, err := s.node()
	if err != nil {
		s.tries.worked(from, name)
		return err
	}
	_, secrets, err := b.Login(r.Context(), name, r.PostForm.Get("secret"))
	if errors.Is(err, engine.ErrDenied) {
		return problemLogin.with(engine.ErrorLine(err), "qarion ui gives a code; qarion tokens create a token; qarion users set a password")
	}
	s.tries.worked(from, name) // or it was nobody's fault
	if err != nil {
		return err
	}
	if c, err := r.Cookie(s.cookieName()); err == nil {
		_ = b.Logout(r.Context(), c.Value) // it ends by itself otherwise
	}
	http.SetCookie(w, s.cookie(secrets.Cookie))
	next := localPath(r.PostForm.Get("next"))
	if !takesJSON(r) {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]string{"key": secrets.Key, "next": next})
}

// showLogin answers GET /login: the page, or, for its script, who is logged in.
func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	if !takesJSON(r) {
		s.site.Login(w, &ui.Visit{Request: r}, http.StatusOK, "", "", localPath(r.URL.Query().Get("next")))
		return
	}
	session, found, err := s.session(r)
	if err == nil && !found {
		err = problemLogin.with("nobody is logged in")
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"name": session.Name, "role": string(session.Role)})
}

// logout ends the session of a browser.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	session, found, err := s.session(r)
	if err == nil && found {
		c, _ := r.Cookie(s.cookieName())
		b, _ := s.node()
		err = b.Logout(r.Context(), c.Value)
		who := session.Caller()
		who.From = s.from(r)
		s.tell(r, "logout", who, err)
	}
	if err != nil {
		s.refusePage(w, &ui.Visit{Request: r}, err)
		return
	}
	http.SetCookie(w, s.cookie(""))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func takesJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Accept"), "application/json")
}

// localPath is a path of this door to go on with; the first page for what leads
// elsewhere.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme+u.Host+u.Opaque != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsRune(next, '\\') || u.Path == "/login" || u.Path == "/logout" {
		return "/"
	}
	return next
}

// The bounds of logins that fail.
const (
	maxTries  = 5 // from an address, and of a name, within triesTime
	triesTime = time.Minute
	maxFrom   = 4096 // addresses and names that are remembered; others share one place
)

// tries counts the logins that have failed or are being looked at, by the address
// that they came from and by the name that they were for.
type tries struct {
	mu   sync.Mutex
	list map[string]*failures
}

type failures struct {
	n     int
	since time.Time
}

// begin counts a login before it is looked at, so that of many at once no more
// are than one after the other; or says how long to wait.
func (t *tries) begin(from, name string, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for at, f := range t.list {
		if now.Sub(f.since) >= triesTime {
			delete(t.list, at)
		}
	}
	if t.list == nil {
		t.list = map[string]*failures{}
	}
	at := t.places(from, name)
	for _, place := range at {
		if f := t.list[place]; f != nil && f.n >= maxTries {
			wait = max(wait, triesTime-now.Sub(f.since))
		}
	}
	if wait > 0 {
		return wait
	}
	for _, place := range at {
		if t.list[place] == nil {
			t.list[place] = &failures{since: now}
		}
		t.list[place].n++
	}
	return 0
}

// worked takes back what begin has counted.
func (t *tries) worked(from, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, place := range t.places(from, name) {
		if f := t.list[place]; f != nil && f.n > 0 {
			f.n--
		}
	}
}

// places are where a login is counted. A network of IPv6 is one, since its owner
// has all of its addresses.
func (t *tries) places(from, name string) []string {
	var at netip.Prefix
	if a, err := netip.ParseAddr(from); err == nil {
		bits := a.BitLen()
		if a.Is6() {
			bits = 64
		}
		at, _ = a.WithZone("").Prefix(bits)
	}
	list := []string{"from " + at.String()}
	if name != "" {
		list = append(list, "name "+name[:min(len(name), engine.MaxUserName)])
	}
	for i, place := range list {
		if t.list[place] == nil && len(t.list) >= maxFrom {
			list[i] = "others"
		}
	}
	return slices.Compact(list)
}
