package engine

import "strings"

// The headers of a trace context (W3C Trace Context, level 2), as they stand in
// a NATS message and, in any case, in an HTTP request.
const (
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

// IsTraceHeader reports whether a header belongs to a trace context.
func IsTraceHeader(name string) bool {
	return strings.EqualFold(name, HeaderTraceParent) || strings.EqualFold(name, HeaderTraceState)
}

// MaxTraceState bounds what is kept of a tracestate, in bytes: the
// specification asks for at least 512.
const MaxTraceState = 512

// TraceContext is the place in a trace that asked for something: of a run, what
// its trigger brought. It is not changed once made.
type TraceContext struct {
	Parent string `cbor:"1,keyasint" json:"traceparent"`
	State  string `cbor:"2,keyasint,omitempty" json:"tracestate,omitempty"`
}

// ParseTrace reads the two headers; nil where there is no trace context in
// them. A wrong one is passed over, as the specification has it: it must not
// keep a run from being started.
func ParseTrace(parent, state string) *TraceContext {
	// version - trace id - parent id - flags; a later version may have more.
	const version, trace, span, flags = 2, 35, 52, 55
	parent = strings.TrimSpace(parent)
	if len(parent) < flags || len(parent) > flags && (parent[:version] == "00" || parent[flags] != '-') {
		return nil
	}
	if parent[version] != '-' || parent[trace] != '-' || parent[span] != '-' || parent[:version] == "ff" {
		return nil
	}
	ids := parent[:version] + parent[version+1:trace] + parent[trace+1:span] + parent[span+1:flags]
	if strings.Trim(ids, "0123456789abcdef") != "" || strings.Trim(parent[version+1:trace], "0") == "" || strings.Trim(parent[trace+1:span], "0") == "" {
		return nil
	}
	t := &TraceContext{Parent: "00" + parent[version:flags]}
	if state = strings.TrimSpace(state); len(state) <= MaxTraceState && strings.IndexFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
		t.State = state
	}
	return t
}

// TraceOf reads the trace context of headers whose names are compared as they
// are: some clients write them with a capital letter.
func TraceOf(get func(name string) string) *TraceContext {
	read := func(name string) string {
		if v := get(name); v != "" {
			return v
		}
		return get(strings.ToUpper(name[:1]) + name[1:])
	}
	return ParseTrace(read(HeaderTraceParent), read(HeaderTraceState))
}

// Spans makes the spans of requests while they are sent. The worker hands it to
// programs (TaskInput.Request).
type Spans interface {
	// Request begins the span of the n-th request of an attempt, counted from 1,
	// of a run with a trace context of its own or none. It returns what the
	// request carries, and how the span ends: with the status of the answer, or,
	// without one, with the class of the error.
	Request(key AttemptKey, of *TraceContext, n int, what RequestSpan) (sent *TraceContext, end func(status int, class string))
}

// RequestSpan says what a request is: nothing of it is a secret.
type RequestSpan struct {
	Method string
	Scheme string
	Host   string // with its port where there is one
}

// Tracing says what the attempt's requests belong to. It is called by the
// worker.
func (in *TaskInput) Tracing(of *TraceContext, spans Spans) { in.trace, in.spans = of, spans }

// Request is called by a program for each request that it sends: it returns the
// trace context that the request carries, nil for none, and a function that is
// called when the answer has been read, or did not come. Without tracing what
// the run's trigger brought is passed on as it is.
func (in *TaskInput) Request(what RequestSpan) (sent *TraceContext, end func(status int, class string)) {
	if in.spans == nil {
		return in.trace, func(int, string) {}
	}
	in.requests++
	return in.spans.Request(in.Key, in.trace, in.requests, what)
}
