package testkit

import (
	"context"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Upstream is an HTTP server on loopback for tests: it plays a script and
// keeps a record of every request. It outlives whatever calls it, so that what
// it has seen can be held against what the caller has written down.
//
//	u := testkit.NewUpstream(t)
//	u.Handle("POST /orders", testkit.Flaky(2, 503))
//	// ... call u.URL + "/orders" ...
//	for _, r := range u.Requests("/orders") { ... }
//
// A path for which nothing is registered may name its behaviour: see Scripted.
// Everything else is 404.
type Upstream struct {
	*httptest.Server

	// Of a TLS server: the authority that signed its certificate, and a client
	// certificate of the same authority. Files in PEM.
	CAFile, ClientCert, ClientKey string

	closing chan struct{}
	once    sync.Once

	mu       sync.Mutex
	routes   map[string]Answer
	requests []*Request
	tries    map[string]int
	taken    []net.Conn    // connections that answers have taken over
	changed  chan struct{} // closed at the next request
}

// Answer is how the upstream treats a request.
type Answer struct {
	play   func(w http.ResponseWriter, c *Call)
	unread bool // the body of the request is left where it is
}

// Do is an answer that a test writes itself.
func Do(play func(w http.ResponseWriter, c *Call)) Answer { return Answer{play: play} }

// Call is a request that is being answered. Its body has been read: it stands
// in Seen.
type Call struct {
	*http.Request
	Seen Request
	Try  int // how often this has come: by key, or run and task, or method and path; 1 is the first
	up   *Upstream
}

// Wait lets time pass; below zero, without end. When whoever asked has gone, or
// the test is over, there is nobody left to answer: then it ends the answer and
// closes the connection.
func (c *Call) Wait(d time.Duration) {
	var over <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-c.Context().Done():
		panic(http.ErrAbortHandler)
	case <-c.up.closing:
		panic(http.ErrAbortHandler)
	}
}

// NewUpstream starts a server that stops with the test, at once, whatever hangs
// in it.
func NewUpstream(t testing.TB) *Upstream {
	u := newUpstream(t)
	u.Start()
	return u
}

func newUpstream(t testing.TB) *Upstream {
	u := &Upstream{
		closing: make(chan struct{}), changed: make(chan struct{}),
		routes: map[string]Answer{}, tries: map[string]int{},
	}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(u.serve))
	u.Config.ErrorLog = log.New(io.Discard, "", 0) // broken connections are what it is for
	t.Cleanup(u.Close)
	return u
}

// Close stops the server and everything that hangs in it. A second call does
// nothing.
func (u *Upstream) Close() {
	u.once.Do(func() {
		close(u.closing)
		u.mu.Lock()
		for _, c := range u.taken {
			c.Close()
		}
		u.mu.Unlock()
		u.CloseClientConnections()
		u.Server.Close()
	})
}

// Handle sets how a path is answered: "/orders", or with a method before it
// "POST /orders"; a path that ends in a slash stands for all below it. Setting
// it again replaces it and counts tries anew.
func (u *Upstream) Handle(pattern string, a Answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.routes[pattern] = a
	path := pattern[strings.IndexByte(pattern, ' ')+1:]
	maps.DeleteFunc(u.tries, func(place string, _ int) bool {
		return strings.HasPrefix(place, path+" ") || strings.HasSuffix(path, "/") && strings.HasPrefix(place, path)
	})
}

// Requests returns what has arrived so far, in order; with a path, only what
// was sent there.
func (u *Upstream) Requests(path ...string) []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []Request
	for _, r := range u.requests {
		if len(path) == 0 || slices.Contains(path, r.Path) {
			out = append(out, *r)
		}
	}
	return out
}

// Count is the number of requests that have arrived at a path so far.
func (u *Upstream) Count(path string) int { return len(u.Requests(path)) }

// Await returns the requests at a path as soon as there are n of them. It fails
// the test when they do not come.
func (u *Upstream) Await(t testing.TB, path string, n int) []Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		u.mu.Lock()
		changed := u.changed
		u.mu.Unlock()
		got := u.Requests(path)
		if len(got) >= n {
			return got
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s got %d requests, want %d", path, len(got), n)
		}
	}
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) {
	rec := record(r)
	u.mu.Lock()
	u.requests = append(u.requests, rec)
	place := r.URL.Path + " " + rec.identity()
	u.tries[place]++
	c := &Call{Request: r, Try: u.tries[place], up: u}
	answer := u.answer(r)
	close(u.changed)
	u.changed = make(chan struct{})
	u.mu.Unlock()
	if !answer.unread {
		body, _ := io.ReadAll(r.Body)
		u.note(func() { rec.Body = body })
	}
	u.note(func() { c.Seen = *rec })
	answer.play(&watched{w, u, rec}, c)
}

// note changes what is recorded.
func (u *Upstream) note(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

// answer finds what was registered for a request: the exact path first, then
// the longest one above it.
func (u *Upstream) answer(r *http.Request) Answer {
	for at := r.URL.Path; ; {
		for _, pattern := range []string{r.Method + " " + at, at} {
			if a, ok := u.routes[pattern]; ok {
				return a
			}
		}
		i := strings.LastIndexByte(strings.TrimSuffix(at, "/"), '/')
		if i < 0 {
			break
		}
		at = at[:i+1]
	}
	if a, ok := Scripted(r.URL); ok {
		return a
	}
	return Status(http.StatusNotFound)
}
