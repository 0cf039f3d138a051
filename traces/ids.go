package traces

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"

	"go.opentelemetry.io/otel/trace"

	"github.com/qarion/qarion/engine"
)

// traceOf is the trace of a run: the one that its trigger belongs to, or one of
// its own, which follows from its id.
func traceOf(run engine.RunID, of *engine.TraceContext) trace.TraceID {
	if parent := remote(of); parent.IsValid() {
		return parent.TraceID()
	}
	return trace.TraceID(digest("trace", string(run))[:16])
}

// remote is the span that a trigger came from; not valid where there is none.
func remote(of *engine.TraceContext) trace.SpanContext {
	if of == nil {
		return trace.SpanContext{}
	}
	var c trace.SpanContextConfig // 00-<32>-<16>-<2>, checked when it came in
	var flags [1]byte
	if len(of.Parent) != 55 {
		return trace.SpanContext{}
	}
	_, _ = hex.Decode(c.TraceID[:], []byte(of.Parent[3:35]))
	_, _ = hex.Decode(c.SpanID[:], []byte(of.Parent[36:52]))
	_, _ = hex.Decode(flags[:], []byte(of.Parent[53:55]))
	c.TraceFlags, c.Remote = trace.TraceFlags(flags[0])&trace.FlagsSampled, true
	if state, err := trace.ParseTraceState(of.State); err == nil {
		c.TraceState = state
	}
	return trace.NewSpanContext(c)
}

func runSpan(run engine.RunID) trace.SpanID { return spanID("run", string(run)) }

func taskSpan(run engine.RunID, task engine.TaskID) trace.SpanID {
	return spanID("task", string(run), string(task))
}

func attemptSpan(k engine.AttemptKey) trace.SpanID { return spanID("attempt", k.OperationID()) }

func requestSpan(k engine.AttemptKey, n int) trace.SpanID {
	return spanID("request", k.OperationID(), strconv.Itoa(n))
}

func spanID(parts ...string) trace.SpanID { return trace.SpanID(digest(parts...)[:8]) }

func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, p)
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// wanted are the ids that the next span gets.
type wanted struct {
	trace trace.TraceID
	span  trace.SpanID
}

type wantedKey struct{}

// ids gives spans the ids that are wanted. It implements sdktrace.IDGenerator.
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if w, ok := ctx.Value(wantedKey{}).(wanted); ok {
		return w.trace, w.span
	}
	var t trace.TraceID
	var s trace.SpanID
	rand.Read(t[:])
	rand.Read(s[:])
	return t, s
}

// NewSpanID implements sdktrace.IDGenerator.
func (g ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	_, span := g.NewIDs(ctx)
	return span
}

// header is a span's place in its trace, for a request.
func header(c trace.SpanContext) *engine.TraceContext {
	return &engine.TraceContext{
		Parent: fmt.Sprintf("00-%s-%s-%s", c.TraceID(), c.SpanID(), c.TraceFlags()&trace.FlagsSampled), State: c.TraceState().String(),
	}
}
