package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// answer notes what leaves, and gives every part of it its time to do so.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTime))
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTime))
	return a.ResponseWriter.Write(p)
}

// serve is where every request comes in.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w)}
	_ = a.control.SetWriteDeadline(time.Time{}) // of the answer before
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			s.log.Error("a request failed with a panic", "path", r.URL.Path, engine.LogErr, p, "stack", string(debug.Stack()))
			if a.status == 0 {
				refuse(a, errors.New("internal error; the node's log says more"))
			}
		}
		s.metrics.answered(r.Method, r.Pattern, a.status, time.Since(began))
		s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", a.status, "took_ms", time.Since(began).Milliseconds())
	}()
	s.headers(a.Header())
	if err := s.admit(r); err != nil {
		refuse(a, err)
		return
	}
	handler, pattern := s.mux.Handler(r)
	if pattern == "" {
		s.nowhere(a, r, handler)
		return
	}
	s.mux.ServeHTTP(a, r)
}

// headers are those of every answer: what is here is data, no page.
func (s *Server) headers(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if s.set.tls != nil || s.set.public != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// isProbe reports whether a path tells only whether the node is well. Probes
// name the machine as they like, and need no login.
func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" }

// admit refuses what a page from elsewhere makes a browser send: under another
// name (DNS rebinding), or to change something.
func (s *Server) admit(r *http.Request) error {
	if isProbe(r.URL.Path) {
		return nil
	}
	name := hostName(r.Host)
	if !s.set.hosts[name] {
		return problemHost.with(fmt.Sprintf("host %.100q is not served here: add it to [http] hosts", name))
	}
	// An old browser says no more than where a page is from; one that came in the
	// clear under our name was written by whoever sits on the way.
	clear := s.set.safe() && !isLoopback(name) && !isSafe(r.Method) && strings.HasPrefix(r.Header.Get("Origin"), "http://")
	if err := s.origin.Check(r); err != nil || clear {
		return fmt.Errorf("%w: cross-origin request refused", engine.ErrDenied)
	}
	return nil
}

// hostName is the name in a Host header, without the port. What is not of the
// form name:port stays as it is: no list has it.
func hostName(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil && strings.Trim(port, "0123456789") == "" {
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// caller says who asks: by its token, by the session of its browser, or without
// either where none is needed. A problem 401: it must show one.
func (s *Server) caller(r *http.Request) (engine.Caller, error) {
	from := s.from(r)
	if shown := r.Header.Get("Authorization"); shown != "" {
		who, err := s.bearer(r, shown)
		who.From = from
		return who, err
	}
	if who, found, err := s.loggedIn(r); found || err != nil {
		who.From = from
		return who, err
	}
	if s.openTo(r) {
		return engine.Anonymous(from), nil
	}
	return engine.Caller{}, problemLogin.with("a token is needed", "send it as Authorization: Bearer qt_...; make one: qarion tokens create")
}

// openTo reports whether who asks needs no login for what NATS clients without
// one may do.
func (s *Server) openTo(r *http.Request) bool {
	return s.set.local && isLoopback(hostName(r.Host)) && direct(r)
}

func (s *Server) bearer(r *http.Request, shown string) (engine.Caller, error) {
	scheme, token, _ := strings.Cut(shown, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return engine.Caller{}, problemLogin.with("only Authorization: Bearer is taken")
	}
	b, err := s.node()
	if err != nil {
		return engine.Caller{}, err
	}
	who, err := b.Authenticate(r.Context(), strings.TrimSpace(token))
	if errors.Is(err, engine.ErrDenied) {
		return engine.Caller{}, problemLogin.with(engine.ErrorLine(err))
	}
	return who, err
}

// forwarding are the headers that a proxy adds.
var forwarding = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"}

// direct reports whether a request comes from this machine, and not through a
// proxy on it, behind which anybody may be.
func direct(r *http.Request) bool {
	for _, name := range forwarding {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// from is the address that a request comes from: the peer's, or, where that is
// a trusted proxy, the last that is none.
func (s *Server) from(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	at := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(at); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = hop.Unmap()
	}
	return at.String()
}

func (s *Server) trusted(at netip.Addr) bool {
	for _, p := range s.set.proxies {
		if p.Contains(at) {
			return true
		}
	}
	return false
}
