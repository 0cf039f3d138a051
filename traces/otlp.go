package traces

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/qarion/qarion/engine"
)

// Defaults of Collector.
const (
	DefaultEndpoint = "http://localhost:4318/v1/traces"
	DefaultTimeout  = 10 * time.Second
)

// Collector is where spans go, by OTLP over HTTP (http/protobuf).
type Collector struct {
	Endpoint  string            // default DefaultEndpoint
	Headers   map[string]string // of every request; they may be secrets
	Timeout   time.Duration     // of one request; default DefaultTimeout
	Gzip      bool              // compress
	CA        string            // PEM file of authorities; "" for the system's
	Cert, Key string            // PEM files, for a collector that asks for a certificate
}

// sender sends batches of spans. It implements otlptrace.Client. The client
// that comes with OpenTelemetry does the same and links gRPC as well, which
// makes the program 11 MB larger and the idle node 6 MiB.
type sender struct {
	cfg    Collector
	client *http.Client
	agent  string
	tell   func(error)
}

// newSender checks the configuration. engine.ErrInvalid.
func newSender(cfg Collector, agent string, tell func(error)) (*sender, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = DefaultEndpoint
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: traces: the endpoint is not an address such as %s", engine.ErrInvalid, DefaultEndpoint)
	}
	conf, err := cfg.tls()
	if err != nil {
		return nil, fmt.Errorf("%w: traces: %w", engine.ErrInvalid, err)
	}
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true, MaxIdleConns: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &sender{cfg, client, agent, tell}, nil
}

func (c *Collector) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// Start implements otlptrace.Client.
func (s *sender) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (s *sender) Stop(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}

// How long is waited before a batch is sent again.
const (
	firstPause   = time.Second
	longestPause = 10 * time.Second
)

// UploadTraces implements otlptrace.Client: it sends until the collector has
// taken the batch, has refused it, or ctx ends.
func (s *sender) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// An ExportTraceServiceRequest looks the same on the wire.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err == nil && s.cfg.Gzip {
		body, err = pack(body)
	}
	if err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		after, err := s.post(ctx, body)
		if err == nil || after < 0 {
			return err
		}
		timer := time.NewTimer(max(pause, after))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func pack(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}

// post sends a batch once. With an error, after says how long to wait at least
// before it is sent again; below 0: another time would not help.
func (s *sender) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return -1, errors.New("the endpoint of traces cannot be used")
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", s.agent)
	if s.cfg.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	for name, v := range s.cfg.Headers {
		req.Header.Set(name, v)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, s.plain(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	switch res.StatusCode {
	case http.StatusOK:
		s.partial(answer)
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		after = time.Duration(seconds) * time.Second
	default:
		after = -1
	}
	return after, fmt.Errorf("the collector at %s answers %d", s.host(), res.StatusCode)
}

// plain is an error without the address, which may hold a password.
func (s *sender) plain(err error) error {
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err
	}
	return fmt.Errorf("the collector at %s: %w", s.host(), err)
}

func (s *sender) host() string {
	u, err := url.Parse(s.cfg.Endpoint)
	if err != nil {
		return "?"
	}
	return u.Host
}

// partial tells of spans that the collector did not take: in its answer, field
// 1 is a message with their number (1) and the reason (2).
func (s *sender) partial(answer []byte) {
	rejected, reason := int64(0), ""
	fields(answer, func(n protowire.Number, _ uint64, inner []byte) {
		if n == 1 {
			fields(inner, func(n protowire.Number, v uint64, text []byte) {
				switch n {
				case 1:
					rejected = int64(v)
				case 2:
					reason = string(text)
				}
			})
		}
	})
	if rejected > 0 {
		s.tell(fmt.Errorf("the collector at %s has refused %d spans: %.200q", s.host(), rejected, reason))
	}
}

// fields reads the fields of a message: numbers and bytes.
func fields(b []byte, visit func(n protowire.Number, v uint64, bytes []byte)) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return
		}
		b = b[size:]
		var v uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			text, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return
		}
		b = b[size:]
		visit(n, v, text)
	}
}
