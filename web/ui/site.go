package ui

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/markup"
)

//go:embed templates
var templateFiles embed.FS

// Node is what the pages ask.
type Node interface {
	Call(ctx context.Context, who engine.Caller, endpoint string, payload []byte) (engine.Answer, error)
}

// Visit is a request for a page, once it is known who makes it.
type Visit struct {
	*http.Request
	Node    Node
	Who     engine.Caller
	Session bool // the browser has logged in
}

// Route is a page or an action of a page.
type Route struct {
	Method, Path string // as http.ServeMux takes them
	Endpoint     string // that it asks before anything else
	Gone         string // a hint, where what it shows is not there (any more)
	serve        func(s *Site, v *Visit) (*reply, error)
}

// reply is what a route answers: a page, or where to go on.
type reply struct {
	page   *page
	status int    // 0: 200
	goOn   string // where the browser goes next, after an action
	file   *file  // to save
}

// file is an answer that is saved, not shown.
type file struct {
	name, contentType string
	content           []byte
}

// page is what the frame of every page knows.
type page struct {
	name   string // of the template
	Title  string
	Nav    string // the entry of the menu that is current
	Live   bool   // what it shows goes on changing
	Topics string // of the events after which it looks different; "": those of its entry in the menu
	Who    engine.Caller
	InOut  string // "in": a login would help; "out": there is one to end
	Secret bool   // nothing keeps it, not even the browser
	At     string // path and query of the page itself
	Build  string // of the assets
	Menu   []entry
	Data   any
}

// entry is an entry of the menu.
type entry struct {
	Name, Path, Key string
	endpoint        string // that the page asks: who may not ask, does not see it
	topics          string // of the events that its pages show
}

var menu = []entry{
	{"Home", "/", "h", "run.list", "runs,node"}, {"Runs", "/runs", "r", "run.list", "runs"}, {"Flows", "/flows", "f", "flow.list", "runs,node"},
	{"Log", "/log", "l", "log.list", "log"}, {"Query", "/query", "q", "query", ""}, {"Breakers", "/breakers", "b", "breaker.list", "node"},
	{"Schedules", "/schedules", "s", "schedule.list", "runs"},
	{"Hooks", "/hooks", "k", "hook.list", ""}, {"Credentials", "/credentials", "c", "credential.list", ""}, {"Tokens", "/tokens", "t", "token.list", ""}, {"Users", "/users", "u", "user.list", ""}, {"Node", "/node", "n", "node.status", "runs,node"},
}

// Site is all pages, ready to be shown.
type Site struct {
	pages  map[string]*markup.Set
	assets *assets
	now    func() time.Time
}

// New reads the templates. An error is one of the program itself.
func New() (*Site, error) {
	s := &Site{pages: map[string]*markup.Set{}, now: time.Now}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	base := markup.New(funcs)
	for _, name := range []string{"base", "parts"} {
		if err := add(base, name); err != nil {
			return nil, err
		}
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "base" || name == "parts" {
			continue
		}
		s.pages[name] = base.Clone()
		if err := add(s.pages[name], name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// add reads a file of templates into a set.
func add(to *markup.Set, name string) error {
	text, err := templateFiles.ReadFile("templates/" + name + ".html")
	if err != nil {
		return err
	}
	return to.Add(name, string(text))
}

// Routes are the pages and their actions.
func Routes() []Route {
	return []Route{
		{"GET", "/{$}", "node.status", "", (*Site).home},
		{"GET", "/flows", "flow.list", "", (*Site).flows},
		{"GET", "/flows/{flow}", "flow.get", "", (*Site).flow},
		{"GET", "/flows/{flow}/graph.svg", "flow.get", "", (*Site).graphFile},
		{"POST", "/flows/{flow}/runs", "run.start", "", (*Site).start},
		{"GET", "/runs", "run.list", "", (*Site).runs},
		{"GET", "/runs/{run}", "run.get", goneRun, (*Site).run},
		{"GET", "/runs/{run}/xcom/{task}", "xcom.get", goneValue, (*Site).xcom},
		{"POST", "/runs/cancel", "run.cancel", "", (*Site).bulkCancel},
		{"POST", "/runs/rerun", "run.rerun", "", (*Site).bulkRerun},
		{"POST", "/runs/{run}/cancel", "run.cancel", goneRun, (*Site).cancel},
		{"POST", "/runs/{run}/resolve", "run.resolve", goneRun, (*Site).resolve},
		{"POST", "/runs/{run}/decide", "run.decide", goneRun, (*Site).decide},
		{"POST", "/runs/{run}/rerun", "run.rerun", goneRun, (*Site).rerun},
		{"GET", "/log", "log.list", "", (*Site).log},
		{"GET", "/query", "query", "", (*Site).query},
		{"GET", "/breakers", "breaker.list", "", (*Site).breakers},
		{"POST", "/breakers/reset", "breaker.reset", "", (*Site).resetBreaker},
		{"GET", "/schedules", "schedule.list", "", (*Site).schedules},
		{"POST", "/schedules/pause", "schedule.pause", "", (*Site).pauseSchedule},
		{"POST", "/schedules/resume", "schedule.resume", "", (*Site).resumeSchedule},
		{"GET", "/hooks", "hook.list", "", (*Site).hooks},
		{"GET", "/credentials", "credential.list", "", (*Site).credentials},
		{"GET", "/tokens", "token.list", "", (*Site).tokens},
		{"POST", "/tokens", "token.create", "", (*Site).createToken},
		{"POST", "/tokens/{token}/delete", "token.delete", "", (*Site).deleteToken},
		{"GET", "/users", "user.list", "", (*Site).users},
		{"POST", "/users", "user.set", "", (*Site).setUser},
		{"POST", "/users/{user}/delete", "user.delete", "", (*Site).deleteUser},
		{"GET", "/node", "node.status", "", (*Site).node},
	}
}

// Hints for what is not there.
const (
	goneRun   = "runs are kept for as long as [retention] runs says, 30 days unless it was changed; those that there are: /runs"
	goneValue = "values are kept for as long as [retention] xcom says, 7 days unless it was changed"
)

// headers are those of every page. What is not said here the door says.
func headers(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types qarion")
	h.Set("Cache-Control", "no-cache, private")
}

// Serve answers a route and returns what went wrong, which the page says.
func (s *Site) Serve(w http.ResponseWriter, rt *Route, v *Visit) error {
	e, err := engine.EndpointNamed(rt.Endpoint)
	if err == nil {
		err = v.Who.MayCall(e)
	}
	if err != nil {
		return err
	}
	r, err := rt.serve(s, v)
	switch {
	case err != nil:
		return err
	case r.goOn != "":
		http.Redirect(w, v.Request, r.goOn, http.StatusSeeOther)
	case r.file != nil:
		r.file.send(w)
	default:
		s.show(w, v, r)
	}
	return nil
}

func (f *file) send(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Disposition", "attachment; filename="+f.name)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox") // also where it is opened in place
	_, _ = w.Write(f.content)
}

// show writes a page; of one that the browser has already, only that.
func (s *Site) show(w http.ResponseWriter, v *Visit, r *reply) {
	p := r.page
	p.Who, p.Build, p.At = v.Who, s.assets.build, v.URL.RequestURI()
	for _, e := range menu {
		if e.Path == p.Nav && p.Topics == "" {
			p.Topics = e.topics
		}
		if end, err := engine.EndpointNamed(e.endpoint); err == nil && v.Who.MayCall(end) == nil {
			p.Menu = append(p.Menu, e)
		}
	}
	switch {
	case v.Session:
		p.InOut = "out"
	case !v.Who.Login && p.name != "login":
		p.InOut = "in"
	}
	var out bytes.Buffer
	if err := s.pages[p.name].Render(&out, "base", p); err != nil {
		panic(fmt.Errorf("page %s: %w", p.name, err))
	}
	headers(w.Header())
	if p.Secret {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	sum := fnv.New128a()
	_, _ = sum.Write(out.Bytes())
	tag := fmt.Sprintf(`"%x"`, sum.Sum(nil))
	w.Header().Set("ETag", tag)
	if r.status == 0 && v.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
	_, _ = w.Write(out.Bytes())
}

// refusal is the page of what went wrong.
type refusal struct {
	Status             int
	Title, Line, Hint  string
	Retry, NeedsaLogin bool
}

// Refuse shows what went wrong: the node's line, and a way out where there is
// one.
func (s *Site) Refuse(w http.ResponseWriter, v *Visit, status int, title, line, hint string) {
	s.show(w, v, &reply{status: status, page: &page{
		name: "error", Title: title,
		Data: refusal{
			Status: status, Title: title, Line: line, Hint: hint,
			Retry:       v.Method == http.MethodGet && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests),
			NeedsaLogin: status == http.StatusUnauthorized,
		},
	}})
}
