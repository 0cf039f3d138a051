package web

import (
	"net/http"

	"github.com/qarion/qarion/engine"
)

// streamEvents serves a stream of what happens, for who may list runs: it names
// flows, tasks and runs, and nothing that they carry.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	if err := s.stream(w, r); err != nil {
		refuse(w, err)
	}
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	who, err := s.caller(r)
	if err != nil {
		return err
	}
	list, err := engine.EndpointNamed("run.list")
	if err == nil {
		err = who.MayCall(list)
	}
	if err != nil {
		return err
	}
	b, err := s.node()
	if err != nil {
		return err
	}
	done := s.conns.answering(r.Context())
	defer done()
	return s.events.Serve(w, r, b)
}
