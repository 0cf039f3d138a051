package traces

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/qarion/qarion/engine"
)

// closeTime is how long the last spans may take to leave.
const closeTime = 3 * time.Second

// tellEvery is how often it is told that spans do not arrive, at most.
const tellEvery = time.Minute

// Config is what traces are made with. How many are made, in which batches they
// go and under which name say the OTEL_ variables, which the SDK reads.
type Config struct {
	Collector
	Version string // of the program
	Log     *slog.Logger
}

// Traces makes spans. It implements engine.Projection and engine.Spans.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	at       engine.Pos // of the view's goroutine
}

var (
	_ engine.Projection = (*Traces)(nil)
	_ engine.Spans      = (*Traces)(nil)
)

// Open begins to send. Nothing is connected to before the first spans: a
// collector that is not there is told of in the log, and holds nothing up.
func Open(ctx context.Context, cfg Config) (*Traces, error) {
	told := &teller{log: engine.Logger(cfg.Log)}
	to, err := newSender(cfg.Collector, "qarion/"+cfg.Version, told.Handle)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("%w: traces: %w", engine.ErrInvalid, err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "qarion"), attribute.String("service.version", cfg.Version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil && about == nil {
		return nil, fmt.Errorf("%w: traces: %w", engine.ErrInvalid, err)
	}
	otel.SetErrorHandler(told)
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithIDGenerator(ids{}))
	return &Traces{provider: p, tracer: p.Tracer("github.com/qarion/qarion", trace.WithInstrumentationVersion(cfg.Version))}, nil
}

// Close sends what is left.
func (t *Traces) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what went wrong was told
}

// teller tells the operator that spans do not arrive, now and then.
type teller struct {
	log  *slog.Logger
	mu   sync.Mutex
	last time.Time
}

// Handle implements otel.ErrorHandler.
func (e *teller) Handle(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.last) >= tellEvery {
		e.last = now
		e.log.Warn("traces are lost", engine.LogErr, err)
	}
}

// start begins a span with the ids that it must have.
func (t *Traces) start(parent trace.SpanContext, id wanted, name string, kind trace.SpanKind, at time.Time, attrs ...attribute.KeyValue) trace.Span {
	ctx := context.WithValue(context.Background(), wantedKey{}, id)
	if parent.IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, parent)
	}
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(at), trace.WithAttributes(attrs...))
	return span
}

// run begins the span of a run.
func (t *Traces) run(run engine.RunID, of *engine.TraceContext, name string, at time.Time, attrs ...attribute.KeyValue) trace.Span {
	return t.start(remote(of), wanted{traceOf(run, of), runSpan(run)}, name, trace.SpanKindInternal, at, attrs...)
}

// within is the place of a span in a run's trace, without making it. Whether
// the trace is sampled follows from the run's span, which is begun for that and
// forgotten: the same way every time.
func (t *Traces) within(run engine.RunID, of *engine.TraceContext, span trace.SpanID) trace.SpanContext {
	return t.run(run, of, "run", time.Time{}).SpanContext().WithSpanID(span)
}

// Request implements engine.Spans.
func (t *Traces) Request(k engine.AttemptKey, of *engine.TraceContext, n int, what engine.RequestSpan) (*engine.TraceContext, func(int, string)) {
	parent := t.within(k.Run, of, attemptSpan(k))
	attrs := []attribute.KeyValue{attribute.String("http.request.method", what.Method), attribute.String("url.scheme", what.Scheme)}
	host, port, err := net.SplitHostPort(what.Host)
	if err != nil {
		host = what.Host
	}
	attrs = append(attrs, attribute.String("server.address", host))
	if p, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, attribute.Int("server.port", p))
	}
	span := t.start(parent, wanted{parent.TraceID(), requestSpan(k, n)}, what.Method, trace.SpanKindClient, time.Now(), attrs...)
	return header(span.SpanContext()), func(status int, class string) {
		if status > 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", status))
		}
		switch {
		case status >= 400:
			class = strconv.Itoa(status)
			fallthrough
		case class != "":
			span.SetAttributes(attribute.String("error.type", class))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
