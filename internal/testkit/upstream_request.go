package testkit

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is one request as the upstream saw it.
type Request struct {
	Method, Path, Proto string
	URI                 string // as it stood on the wire
	Host                string
	Header              http.Header
	Query               url.Values
	Body                []byte // empty when the answer leaves it unread
	Key                 string // Idempotency-Key
	Run, Task           string // the header X-Run or the parameter run, and so on; empty if the test sends none
	Attempt             int
	ClientName          string    // of the client certificate
	At                  time.Time // when its header had arrived
	Status              int       // that was answered; 0 for none
	NotBefore           time.Time // what a Retry-After of the answer asked for
}

func record(r *http.Request) *Request {
	query := r.URL.Query()
	said := func(header, param string) string {
		if v := r.Header.Get(header); v != "" {
			return v
		}
		return query.Get(param)
	}
	rec := &Request{
		Method: r.Method, Path: r.URL.Path, Proto: r.Proto, URI: r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Query: query,
		Key: r.Header.Get("Idempotency-Key"), Run: said("X-Run", "run"), Task: said("X-Task", "task"), At: time.Now(),
	}
	rec.Attempt, _ = strconv.Atoi(said("X-Attempt", "attempt"))
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		rec.ClientName = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return rec
}

// identity says which requests are the same one, sent again.
func (r *Request) identity() string {
	switch {
	case r.Key != "":
		return r.Key
	case r.Run != "" || r.Task != "":
		return r.Run + "." + r.Task
	}
	return r.Method
}

// Bearer is the token of the Authorization header, if it is one of that kind.
func (r *Request) Bearer() string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// Form is the body as a form.
func (r *Request) Form() url.Values {
	form, _ := url.ParseQuery(string(bytes.TrimSpace(r.Body)))
	return form
}

// watched notes what is answered.
type watched struct {
	http.ResponseWriter
	up  *Upstream
	rec *Request
}

// Unwrap lets http.ResponseController find what lies beneath.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) WriteHeader(status int) {
	if status >= 200 {
		w.up.note(func() {
			w.rec.Status = status
			after := w.Header().Get("Retry-After")
			if n, err := strconv.Atoi(after); err == nil {
				w.rec.NotBefore = time.Now().Add(time.Duration(n) * time.Second)
			} else if at, err := http.ParseTime(after); err == nil {
				w.rec.NotBefore = at
			}
		})
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	w.up.note(func() {
		if w.rec.Status == 0 {
			w.rec.Status = http.StatusOK
		}
	})
	return w.ResponseWriter.Write(p)
}
