package web

import (
	"net/http"
	"strings"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/web/ui"
)

// pages mounts what the door shows to people.
func (s *Server) pages() error {
	site, err := ui.New()
	if err != nil {
		return err
	}
	s.site = site
	routes := ui.Routes()
	for i := range routes {
		s.mux.HandleFunc(routes[i].Method+" "+routes[i].Path, s.servePage(&routes[i]))
	}
	s.mux.HandleFunc("GET /login", s.showLogin)
	s.mux.HandleFunc("POST /login", s.login)
	s.mux.HandleFunc("POST /logout", s.logout)
	s.mux.HandleFunc("GET /assets/{build}/{file}", func(w http.ResponseWriter, r *http.Request) {
		if err := site.Assets(w, r); err != nil {
			refuse(w, kinds[engine.ErrNotFound].with(err.Error()))
		}
	})
	return nil
}

// servePage answers the requests for a page, or for an action of one.
func (s *Server) servePage(rt *ui.Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &ui.Visit{Request: r}
		err := s.visit(w, rt, v)
		if !isSafe(rt.Method) && v.Node != nil {
			s.audit(r, rt.Endpoint, v.Who, err)
		}
		if err != nil {
			p := *problemOf(err)
			if p.Status == http.StatusNotFound && p.Hint == "" {
				p.Hint = rt.Gone
			}
			s.refusePage(w, v, &p)
		}
	}
}

func (s *Server) visit(w http.ResponseWriter, rt *ui.Route, v *ui.Visit) (err error) {
	if v.Method == http.MethodPost {
		if err := s.readForm(w, v.Request, maxForm); err != nil {
			return err
		}
	}
	if v.Who, err = s.caller(v.Request); err != nil {
		return err
	}
	_, bare := v.Cookie(s.cookieName())
	v.Session = v.Who.Login && bare == nil && v.Header.Get("Authorization") == ""
	if v.Node, err = s.node(); err != nil {
		return err
	}
	done := s.conns.answering(v.Context())
	defer done()
	return s.site.Serve(w, rt, v)
}

// maxForm bounds what a form sends, in bytes: the variables of a run take most.
const maxForm = 512 << 10

// refusePage says on a page what a program would read as a problem. Who needs a
// login for a page gets that of the login in its place.
func (s *Server) refusePage(w http.ResponseWriter, v *ui.Visit, err error) {
	p := problemOf(err)
	hint := p.Hint
	switch {
	case p.Status == http.StatusUnauthorized && isSafe(v.Method):
		s.site.Login(w, v, p.Status, "", "", v.URL.RequestURI())
		return
	case p.Status == http.StatusForbidden && v.Node != nil && !v.Who.Login:
		hint = "log in: qarion ui opens the pages with a login"
	}
	if hint == "" && p.Status == http.StatusServiceUnavailable && v.Node == nil {
		hint = "the page comes in a moment"
	}
	s.site.Refuse(w, v, p.Status, p.Title, p.Detail, hint)
}

// wantsPage reports whether a person asks: a browser says that it takes HTML.
func wantsPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/")
}
