package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web/live"
	"github.com/qarion/qarion/web/ui"
)

// Server is the open door.
type Server struct {
	cfg     Config
	set     *settings
	log     *slog.Logger
	metrics *Metrics
	backend atomic.Pointer[Backend]
	stopped atomic.Bool // by Stopped

	conns  *connections
	http   *http.Server
	mux    *http.ServeMux
	site   *ui.Site
	events *live.Streams
	origin *http.CrossOriginProtection
	tries  tries
	tasks  sync.WaitGroup
	url    string

	figures sync.Mutex // guards:
	shown   *Figures
	shownAt time.Time
}

// Open listens, and answers from then on: who asks before Use hears that the
// node is starting. engine.ErrConflict: the port is taken.
func Open(cfg Config) (*Server, error) {
	set, err := cfg.read()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, set: set, log: engine.Logger(cfg.Log), metrics: cfg.Metrics, events: live.New(), origin: http.NewCrossOriginProtection()}
	if s.metrics == nil {
		s.metrics = NewMetrics()
	}
	if set.public != nil { // behind a proxy that names another host to this door
		if err := s.origin.AddTrustedOrigin("https://" + set.public.Host); err != nil {
			return nil, invalid("public_url: %v", err)
		}
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, &TakenError{cfg.Listen}
		}
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	s.url = "http://" + reached(l.Addr())
	s.conns = limit(l, orDefault(cfg.maxConnections, maxConnections))
	if err := s.routes(); err != nil {
		l.Close()
		return nil, err
	}
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), TLSConfig: set.tls,
		ReadHeaderTimeout: orDefault(cfg.headerTime, headerTime), IdleTimeout: orDefault(cfg.idleTime, idleTime), MaxHeaderBytes: maxHeader,
		ConnState: s.conns.changed, ConnContext: s.conns.context,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what strangers send wrong
	}
	s.tasks.Go(func() { s.listen() })
	return s, nil
}

// reached is how this machine reaches an address that is listened on: of all its
// addresses it takes the one that is always served.
func reached(at net.Addr) string {
	host, port, err := net.SplitHostPort(at.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return at.String()
	}
	return net.JoinHostPort("localhost", port)
}

// TakenError says that somebody listens on the address already. It is
// engine.ErrConflict.
type TakenError struct{ Address string }

func (e *TakenError) Error() string {
	return "address " + e.Address + " is in use by another program"
}

// Unwrap gives the kind.
func (e *TakenError) Unwrap() error { return engine.ErrConflict }

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (s *Server) listen() {
	var err error
	if s.set.tls != nil {
		err = s.http.ServeTLS(s.conns, "", "")
	} else {
		err = s.http.Serve(s.conns)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("the HTTP door is shut: it does not listen any more", engine.LogErr, err)
	}
}

// Use hands in the node, which takes work from now on.
func (s *Server) Use(b Backend) {
	s.backend.Store(&b)
}

// Stopped says that the node lives no longer, though this process does: also
// /healthz says so.
func (s *Server) Stopped() { s.stopped.Store(true) }

// URL is where the door is, for this machine.
func (s *Server) URL() string {
	switch {
	case s.set.public != nil:
		return s.set.public.String()
	case s.set.tls != nil:
		return "https" + s.url[len("http"):]
	}
	return s.url
}

// Close lets the answers that are under way leave, for a moment, and shuts the
// door.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	s.events.Close()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
	s.tasks.Wait()
}

var errStarting = fmt.Errorf("%w: the node is starting", engine.ErrUnavailable)

// node is the backend. engine.ErrUnavailable: it is starting.
func (s *Server) node() (Backend, error) {
	if b := s.backend.Load(); b != nil {
		return *b, nil
	}
	return nil, errStarting
}

// probeTime bounds what a probe waits for.
const probeTime = 2 * time.Second
