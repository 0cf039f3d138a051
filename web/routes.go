package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web/ui"
)

// routes says where everything is.
func (s *Server) routes() error {
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /metrics", s.showMetrics)
	table := apiRoutes()
	for i := range table {
		s.mux.HandleFunc(table[i].method+" "+apiPrefix+table[i].path, s.serveAPI(&table[i]))
	}
	s.mux.HandleFunc("GET "+apiPrefix+"/events", s.streamEvents)
	doc, err := openAPI(table)
	if err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	s.mux.HandleFunc("GET "+apiPrefix+"/openapi.json", showOpenAPI(doc))
	return s.pages()
}

// nowhere answers for a path that leads nowhere, or not with this method.
func (s *Server) nowhere(a *answer, r *http.Request, said http.Handler) {
	var says silent
	said.ServeHTTP(&says, r)
	if says.status == http.StatusMethodNotAllowed {
		a.Header().Set("Allow", says.Header().Get("Allow"))
		refuse(a, problemMethod.with(fmt.Sprintf("%.20s is not for %.100s: there are %s", r.Method, r.URL.Path, says.Header().Get("Allow"))))
		return
	}
	text := fmt.Sprintf("nothing is at %.100s", r.URL.Path)
	if wantsPage(r) {
		s.refusePage(a, &ui.Visit{Request: r}, kinds[engine.ErrNotFound].with(text))
		return
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		refuse(a, kinds[engine.ErrNotFound].with(text, "what there is: GET "+apiPrefix+"/openapi.json"))
		return
	}
	refuse(a, kinds[engine.ErrNotFound].with(text))
}

// silent keeps the status and headers of an answer and sends nothing.
type silent struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (s *silent) Header() http.Header {
	if s.header == nil {
		s.header = http.Header{}
	}
	return s.header
}

// Write implements http.ResponseWriter.
func (s *silent) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements http.ResponseWriter.
func (s *silent) WriteHeader(status int) { s.status = status }
