package web

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/qarion/qarion/engine"
)

// Problem is an error as RFC 9457 has it, the body of every answer that is one.
type Problem struct {
	Type   string `json:"type"` // urn:qarion:not-found
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`         // the one line that the node says
	Hint   string `json:"hint,omitempty"` // a way out, where there is one
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// The problems that the door itself finds, before the node is asked.
var (
	problemLogin    = Problem{Type: "unauthorized", Title: "Login needed", Status: http.StatusUnauthorized}
	problemHost     = Problem{Type: "misdirected", Title: "Not served here", Status: http.StatusMisdirectedRequest}
	problemMethod   = Problem{Type: "method", Title: "Method not allowed", Status: http.StatusMethodNotAllowed}
	problemTooLarge = Problem{Type: "too-large", Title: "Too large", Status: http.StatusRequestEntityTooLarge}
	problemMedia    = Problem{Type: "media-type", Title: "Unsupported media type", Status: http.StatusUnsupportedMediaType}
	problemSlow     = Problem{Type: "too-slow", Title: "Too slow", Status: http.StatusRequestTimeout}
)

// kinds ties the engine's kinds of error to statuses; here and nowhere else.
var kinds = map[error]Problem{
	engine.ErrInvalid:     {Type: "invalid", Title: "Invalid", Status: http.StatusBadRequest},
	engine.ErrNotFound:    {Type: "not-found", Title: "Not found", Status: http.StatusNotFound},
	engine.ErrConflict:    {Type: "conflict", Title: "Conflict", Status: http.StatusConflict},
	engine.ErrDenied:      {Type: "denied", Title: "Denied", Status: http.StatusForbidden},
	engine.ErrBusy:        {Type: "busy", Title: "Busy", Status: http.StatusTooManyRequests},
	engine.ErrUnavailable: {Type: "unavailable", Title: "Unavailable", Status: http.StatusServiceUnavailable},
	engine.ErrDamaged:     {Type: "damaged", Title: "Damaged", Status: http.StatusInternalServerError},
	nil:                   {Type: "internal", Title: "Internal error", Status: http.StatusInternalServerError},
}

// with is the problem with its line and, perhaps, a way out.
func (p Problem) with(detail string, hint ...string) *Problem {
	p.Detail, p.Hint = detail, strings.Join(hint, "; ")
	return &p
}

// problemOf is what an error is to the caller.
func problemOf(err error) *Problem {
	if p, ok := err.(*Problem); ok {
		return p
	}
	return kinds[engine.KindOf(err)].with(engine.ErrorLine(err))
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	p := *problemOf(err)
	p.Type = "urn:qarion:" + p.Type
	h := w.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="qarion"`)
	case http.StatusTooManyRequests:
		h.Set("Retry-After", orDefault(h.Get("Retry-After"), "1"))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	body, err := json.Marshal(&p)
	if err == nil {
		_, _ = w.Write(append(body, '\n'))
	}
}
