package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
)

// apiPrefix is where the API is.
const apiPrefix = "/api/v1"

// route is one method of one path of the API: which endpoint of the node it
// asks, with what, and how the answer looks. The routes are made from a table
// of these (api_routes.go), and the OpenAPI document too.
type route struct {
	method, path string
	endpoint     string
	summary      string
	more         string  // what the document says beside the summary
	query        []param // what may stand in the query
	headers      []param // what else is read
	body         any     // a value of the type of the body; nil: there is none
	bodyField    bool    // the body may be left out
	largest      int64   // bytes of the body; 0: maxBody
	answer       any     // a value of the type of the answer
	hint         string  // what to do when it is not found

	// payload makes the endpoint's request from the path's and the query's
	// words and the body's fields; nil: all of them as they are called.
	payload func(r *request) error
	// answers sets headers and the status from the answer; nil: 200.
	answers func(w http.ResponseWriter, r *request, answer engine.Answer) (status int, err error)
}

// param is a word in a path, a query or a header.
type param struct {
	name, kind, help string // kind: string, integer, number, boolean
	field            string // of the payload; "" for the name
}

// request is a request to a route while it is being answered.
type request struct {
	*http.Request
	route    *route
	bodyTime time.Duration
	fields   map[string]json.RawMessage // of the payload
}

// set puts a field into the payload.
func (r *request) set(name string, v any) {
	text, err := json.Marshal(v)
	if err == nil {
		r.fields[name] = text
	}
}

// serveAPI answers a route's requests.
func (s *Server) serveAPI(rt *route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := s.caller(r)
		if err != nil {
			refuse(w, err)
			return
		}
		who.Trace = engine.TraceOf(r.Header.Get)
		err = s.answer(w, &request{r, rt, orDefault(s.cfg.bodyTime, bodyTime), map[string]json.RawMessage{}}, who)
		s.audit(r, rt.endpoint, who, err)
		if err != nil {
			p := *problemOf(err)
			if p.Hint == "" && p.Status == http.StatusNotFound {
				p.Hint = rt.hint
			}
			refuse(w, &p)
		}
	}
}

// answer asks the endpoint and writes what it says. With an error nothing was
// written yet.
func (s *Server) answer(w http.ResponseWriter, r *request, who engine.Caller) error {
	b, err := s.node()
	if err != nil {
		return err
	}
	e, err := engine.EndpointNamed(r.route.endpoint)
	if err == nil {
		err = who.MayCall(e)
	}
	if err == nil {
		err = r.read(w)
	}
	if err != nil {
		return err
	}
	done := s.conns.answering(r.Context())
	defer done()
	if r.route.payload != nil {
		if err := r.route.payload(r); err != nil {
			return err
		}
	}
	payload, err := json.Marshal(r.fields)
	if err != nil {
		return err
	}
	answer, err := b.Call(r.Context(), who, r.route.endpoint, payload)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if r.route.answers != nil {
		if status, err = r.route.answers(w, r, answer); err != nil {
			return err
		}
	}
	if answer.Object != nil {
		return s.sendObject(w, r, b, answer.Object)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(answer.JSON, '\n'))
	return nil
}

// sendObject sends a value that lies in the object store, as the bytes that it
// is.
func (s *Server) sendObject(w http.ResponseWriter, r *request, b Backend, ref *engine.BlobRef) error {
	content, err := b.Open(r.Context(), ref.Name)
	if err != nil {
		return err
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", orDefault(ref.ContentType, "application/octet-stream"))
	h.Set("Content-Length", strconv.FormatInt(ref.Size, 10))
	h.Set("Content-Disposition", "attachment")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(w, content); err != nil {
		s.log.Debug("a value did not leave whole", engine.LogErr, err)
		panic(http.ErrAbortHandler) // the length does not match: the caller must notice
	}
	return nil
}

// read takes the words of path and query and the body's fields.
func (r *request) read(w http.ResponseWriter) error {
	for _, name := range pathWords(r.route.path) {
		r.set(fieldOf[name], r.PathValue(name))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: the query cannot be read", engine.ErrInvalid)
	}
	for name, values := range query {
		if err := r.readQuery(name, values); err != nil {
			return err
		}
	}
	if r.route.body == nil {
		return nil
	}
	return r.readBody(w)
}

// fieldOf are the fields of payloads that the words of paths are for.
var fieldOf = map[string]string{"flow": "flow", "run": "run_id", "task": "task_id", "breaker": "key", "signal": "signal"}

// pathWords are the names between braces.
func pathWords(path string) (names []string) {
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

func (r *request) readQuery(name string, values []string) error {
	i := slices.IndexFunc(r.route.query, func(p param) bool { return p.name == name })
	if i < 0 {
		var known []string
		for _, p := range r.route.query {
			known = append(known, p.name)
		}
		return unknownWord("query parameter", name, known)
	}
	if len(values) != 1 {
		return fmt.Errorf("%w: %s stands %d times in the query", engine.ErrInvalid, name, len(values))
	}
	p, text := r.route.query[i], values[0]
	field := orDefault(p.field, p.name)
	switch p.kind {
	case "string":
		r.set(field, text)
		return nil
	case "list":
		r.set(field, strings.FieldsFunc(text, func(c rune) bool { return c == ',' }))
		return nil
	case "boolean":
		if v, err := strconv.ParseBool(text); err == nil {
			r.set(field, v)
			return nil
		}
	default:
		if v, err := strconv.ParseFloat(text, 64); err == nil && (p.kind == "number" || v == float64(int64(v))) {
			r.fields[field] = json.RawMessage(strconv.FormatFloat(v, 'f', -1, 64))
			return nil
		}
	}
	return fmt.Errorf("%w: %s is %.40q, want a %s", engine.ErrInvalid, name, text, p.kind)
}

func unknownWord(what, name string, known []string) error {
	slices.Sort(known)
	text := fmt.Sprintf("unknown %s %.40q", what, name)
	if near := engine.Nearest(name, known); near != "" {
		return fmt.Errorf("%w: %s (did you mean %q?)", engine.ErrInvalid, text, near)
	}
	if len(known) == 0 {
		return fmt.Errorf("%w: %s; there are none", engine.ErrInvalid, text)
	}
	return fmt.Errorf("%w: %s; there are %s", engine.ErrInvalid, text, strings.Join(known, ", "))
}

// readBody reads a JSON object within its bounds of size and time.
func (r *request) readBody(w http.ResponseWriter) error {
	data, err := readAll(w, r.Request, orDefault(r.route.largest, maxBody), r.bodyTime)
	if err != nil {
		return err
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		if r.route.bodyField {
			return nil
		}
		return fmt.Errorf("%w: a JSON object is wanted as the body", engine.ErrInvalid)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return problemMedia.with(fmt.Sprintf("Content-Type is %.60q, want application/json", r.Header.Get("Content-Type")))
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return fmt.Errorf("%w: the body is not a JSON object", engine.ErrInvalid)
	}
	known := fieldNames(r.route.body)
	for name, v := range fields {
		if !slices.Contains(known, name) {
			return unknownWord("field", name, known)
		}
		r.fields[name] = v
	}
	return nil
}

// readAll reads a body: whole, in time, or not at all.
func readAll(w http.ResponseWriter, r *http.Request, largest int64, within time.Duration) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(within))
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if err == nil {
		_ = control.SetReadDeadline(time.Time{})
	} else {
		w.Header().Set("Connection", "close") // or the server would wait for the rest
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, problemTooLarge.with(fmt.Sprintf("the body is larger than %d bytes", largest))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, problemSlow.with(fmt.Sprintf("the body did not arrive within %s", within))
	case err != nil:
		return nil, fmt.Errorf("%w: the body did not arrive whole", engine.ErrInvalid)
	}
	return data, nil
}

// audit notes who has changed something, or tried to.
func (s *Server) audit(r *http.Request, endpoint string, who engine.Caller, err error) {
	if e, unknown := engine.EndpointNamed(endpoint); unknown == nil && e.Role != engine.RoleViewer {
		s.tell(r, endpoint, who, err)
	}
}

// tell makes a request an event, once there is a node to tell it.
func (s *Server) tell(r *http.Request, endpoint string, who engine.Caller, err error) {
	b, starting := s.node()
	if starting != nil {
		return
	}
	entry := Audit{
		Time: engine.FormatTime(time.Now()), Who: who.Name, Role: who.Role, From: who.From, Door: "http",
		Endpoint: endpoint, What: r.Method + " " + r.URL.Path, Result: "ok",
	}
	if len(entry.What) > maxAuditText {
		entry.What = strings.ToValidUTF8(entry.What[:maxAuditText], "") + "..."
	}
	if err != nil {
		p := problemOf(err)
		entry.Result, entry.Error = strconv.Itoa(p.Status), p.Detail
	}
	b.Audit(context.WithoutCancel(r.Context()), entry)
}

// maxAuditText bounds what a stranger's path takes in an audit, in bytes.
const maxAuditText = 256

// Audit is the event of a request that changes something.
type Audit struct {
	Time     string      `json:"time"`
	Who      string      `json:"who"` // "token ci", "no login"
	Role     engine.Role `json:"role"`
	From     string      `json:"from,omitempty"` // address
	Door     string      `json:"door"`           // http
	Endpoint string      `json:"endpoint"`       // of the node; or login, logout
	What     string      `json:"what"`           // method and path
	Result   string      `json:"result"`         // ok, or a status
	Error    string      `json:"error,omitempty"`
}
