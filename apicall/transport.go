package apicall

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// tlsOptions are the properties that need connections of their own. The proxy
// and the connect timeout belong to them: a kept connection has both behind it.
type tlsOptions struct {
	skipVerify        bool
	caFile, cert, key string
	proxy             string
	connectTimeout    time.Duration
}

// maxResponseHeader bounds the header of a response, in bytes.
const maxResponseHeader = 64 << 10

// clients are the two ways out for one set of options: to hosts that the flow
// file names, and to hosts that data made. They keep their connections apart,
// since a kept connection passes by the check that guards dialing.
type clients struct {
	trusted, guarded *http.Transport
	http2            sync.Map // host -> true: it has answered in HTTP/2
}

// to returns the way out to a host.
func (c *clients) to(trusted bool) *http.Transport {
	if trusted {
		return c.trusted
	}
	return c.guarded
}

// note remembers hosts that answer in HTTP/2, if the flow file names them: of
// hosts made of data there is no end.
func (c *clients) note(by *http.Transport, resp *http.Response) {
	if resp.ProtoMajor == 2 && by == c.trusted && !c.speaksHTTP2(resp.Request.URL.Host) {
		c.http2.Store(resp.Request.URL.Host, true)
	}
}

func (c *clients) speaksHTTP2(host string) bool {
	_, ok := c.http2.Load(host)
	return ok
}

func (c *clients) close() {
	c.trusted.CloseIdleConnections()
	c.guarded.CloseIdleConnections()
}

// clients returns the pools for a task's options, made at first use.
func (t *TaskType) clients(opts tlsOptions) (*clients, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.pools[opts]; c != nil {
		return c, nil
	}
	conf, err := opts.config()
	if err != nil {
		return nil, err
	}
	if err := checkProxyURL(opts.proxy); err != nil {
		return nil, err
	}
	c := &clients{trusted: t.transport(opts, conf, true), guarded: t.transport(opts, conf, false)}
	t.pools[opts] = c
	return c, nil
}

func (t *TaskType) transport(opts tlsOptions, conf *tls.Config, trusted bool) *http.Transport {
	dialer := &net.Dialer{Timeout: opts.connectTimeout, KeepAlive: 30 * time.Second}
	tr := &http.Transport{
		DialContext:            t.egress.dial(dialer, trusted || opts.proxy != ""),
		TLSClientConfig:        conf.Clone(),
		TLSHandshakeTimeout:    opts.connectTimeout,
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    t.cfg.Slots,
		MaxConnsPerHost:        t.cfg.Slots,
		IdleConnTimeout:        30 * time.Second,
		ExpectContinueTimeout:  time.Second, // then the body is sent unasked
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true, // decoded here, so that the cap counts decoded bytes
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second, WriteByteTimeout: 15 * time.Second},
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
	if opts.proxy != "" { // by setting only: HTTP_PROXY would pass by the egress guard
		tr.Proxy, tr.OnProxyConnectResponse = proxyOf, onProxyAnswer
		tr.ProxyConnectHeader = http.Header{"User-Agent": {t.agent}}
	}
	return tr
}

func (o tlsOptions) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.skipVerify}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no PEM certificate", o.caFile)
		}
	}
	if o.cert != "" && o.key != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("client_cert: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// dialFunc opens a connection.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)
