package apicall

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync/atomic"
)

// wire knows whether a part of the request may have reached the server. The
// retry table, and what is said of an attempt that was cut off, depend on it.
type wire struct {
	conn    atomic.Pointer[countedConn]
	before  atomic.Int64 // bytes written on conn before this request
	headers atomic.Bool  // the request was handed to the connection's buffer
	reused  atomic.Bool  // the connection had served another request
	ever    bool         // an earlier request of this attempt was answered
}

// begin forgets the connection that was tried before.
func (w *wire) begin() {
	w.conn.Store(nil)
	w.headers.Store(false)
	w.reused.Store(false)
}

// trace makes a context in which net/http tells the wire what it does.
func (w *wire) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      w.gotConn,
		WroteHeaders: func() { w.headers.Store(true) },
	})
}

func (w *wire) gotConn(info httptrace.GotConnInfo) {
	w.reused.Store(info.Reused)
	c := counted(info.Conn)
	if c != nil {
		w.before.Store(c.written.Load())
	}
	w.conn.Store(c)
}

// sent reports whether a server may have seen the request. It takes two signs
// that it has not: headers that never reached the buffer (a part of them is no
// request), or a connection on which no byte was written. Several requests
// share an HTTP/2 connection, and closing TLS writes too; then the answer errs
// towards "sent".
func (w *wire) sent() bool {
	if w.ever {
		return true
	}
	if !w.headers.Load() {
		return false
	}
	c := w.conn.Load()
	return c == nil || c.written.Load() != w.before.Load()
}

// countedConn counts the bytes that were written.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// counted finds the counted connection below TLS.
func counted(c net.Conn) *countedConn {
	for {
		switch at := c.(type) {
		case *countedConn:
			return at
		case *tls.Conn:
			c = at.NetConn()
		default:
			return nil
		}
	}
}
