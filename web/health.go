package web

import (
	"context"
	"net/http"
)

// healthz says whether the node lives: a supervisor starts it again when it
// does not. A full disk is no reason for that.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if s.stopped.Load() {
		plainText(w, http.StatusServiceUnavailable, "stopped")
		return
	}
	plainText(w, http.StatusOK, "ok")
}

// readyz says whether the node takes work: what is accepted now is stored and
// will be done. Otherwise the answer is one word: why not.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if word := s.notReady(r.Context()); word != "" {
		w.Header().Set("Retry-After", "1")
		plainText(w, http.StatusServiceUnavailable, word)
		return
	}
	plainText(w, http.StatusOK, "ok")
}

func (s *Server) notReady(ctx context.Context) string {
	b, err := s.node()
	switch {
	case s.stopped.Load():
		return "stopped"
	case err != nil:
		return "starting"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return b.NotReady(ctx)
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
