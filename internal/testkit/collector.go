package testkit

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector is an OTLP receiver on loopback, which keeps the spans that it gets.
type Collector struct {
	*httptest.Server

	mu      sync.Mutex
	spans   []Span
	raw     []byte // everything that came, as it was
	headers http.Header
	refuse  int // so many requests are answered with Status
	status  int
}

// Span is a span that has arrived. Ids are hexadecimal.
type Span struct {
	Trace, ID, Parent, Name, Kind, Service string
	Start, End                             time.Time
	Failed                                 bool
	Message                                string
	Attrs                                  map[string]string
}

// NewCollector starts a receiver that stops with the test.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	return c
}

// Refuse answers the next n requests with a status.
func (c *Collector) Refuse(n, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse, c.status = n, status
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	var in tracepb.TracesData
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(data, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse > 0 {
		c.refuse--
		w.WriteHeader(c.status)
		return
	}
	c.headers = r.Header
	c.raw = append(c.raw, data...)
	for _, rs := range in.ResourceSpans {
		service := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans = append(c.spans, span(service, s))
			}
		}
	}
}

func span(service string, s *tracepb.Span) Span {
	out := Span{
		Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		Name: s.Name, Kind: s.Kind.String(), Service: service, Attrs: map[string]string{},
		Start: time.Unix(0, int64(s.StartTimeUnixNano)), End: time.Unix(0, int64(s.EndTimeUnixNano)),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Message: s.GetStatus().GetMessage(),
	}
	for _, a := range s.Attributes {
		text := a.Value.GetStringValue()
		if text == "" {
			text = a.Value.String()
		}
		out.Attrs[a.Key] = text
	}
	return out
}

// Spans are those that have arrived.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Raw is everything that has arrived, as it was on the wire.
func (c *Collector) Raw() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.raw)
}

// Headers are those of the last request.
func (c *Collector) Headers() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers
}
