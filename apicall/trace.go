package apicall

import (
	"maps"
	"net/http"

	"github.com/qarion/qarion/engine"
)

// traced is the span of the request that is under way.
type traced struct {
	end    func(status int, class string) // nil: there is none
	status int                            // of its answer; 0 until there is one
	known  bool
	own    bool // the flow sends a traceparent of its own
}

// The header fields of a trace context, as net/http writes them.
const (
	traceParent = "Traceparent"
	traceState  = "Tracestate"
)

// beginSpan begins the span of a request that is about to be sent, ends that of
// the one before it, which was a redirect or a challenge, and lets the request
// carry its place in the trace. A flow that sends its own knows better.
func (a *attempt) beginSpan(req *http.Request) {
	t := &a.traced
	if t.end != nil {
		t.end(t.status, "")
	}
	if !t.known {
		t.known, t.own = true, req.Header[traceParent] != nil
	}
	var sent *engine.TraceContext
	sent, t.end = a.in.Request(engine.RequestSpan{Method: req.Method, Scheme: req.URL.Scheme, Host: req.URL.Host})
	t.status = 0
	if t.own || sent == nil {
		return
	}
	req.Header = maps.Clone(req.Header) // others may send the same
	req.Header[traceParent] = []string{sent.Parent}
	delete(req.Header, traceState)
	if sent.State != "" {
		req.Header[traceState] = []string{sent.State}
	}
}

// endSpan ends the span of the last request, when its answer was read or it is
// known that there will be none.
func (a *attempt) endSpan(out *engine.TaskOutput) {
	t := &a.traced
	if t.end == nil {
		return
	}
	class := ""
	if out.Err != nil {
		class = out.Err.Class
	}
	t.end(t.status, class)
	t.end = nil
}
