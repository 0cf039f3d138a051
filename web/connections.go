package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many there are. One that does nothing, or whose request
// is still arriving, makes place for a new one, so that who only holds
// connections open keeps nobody out.
type connections struct {
	net.Listener
	max int

	mu   sync.Mutex
	open map[net.Conn]*connection
}

type connection struct {
	since time.Time // of its last request, or of its beginning
	busy  int       // requests that have arrived whole and are being answered
}

func limit(l net.Listener, max int) *connections {
	return &connections{Listener: l, max: max, open: map[net.Conn]*connection{}}
}

// Accept implements net.Listener.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.enter(conn) {
			return conn, nil
		}
		_ = conn.Close()
	}
}

// enter registers a connection. When there are too many, the one goes that has
// been idle for longest; where all are at work, the new one.
func (c *connections) enter(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.max {
		var idle net.Conn
		for other, is := range c.open {
			if is.busy == 0 && (idle == nil || is.since.Before(c.open[idle].since)) {
				idle = other
			}
		}
		if idle == nil {
			return false
		}
		delete(c.open, idle)
		_ = idle.Close()
	}
	c.open[conn] = &connection{since: time.Now()}
	return true
}

// changed is the server's ConnState hook.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, plain(conn))
	}
}

type connKey struct{}

// context is the server's ConnContext hook: a request knows its connection.
func (c *connections) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, plain(conn))
}

func plain(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

// answering keeps the connection of a request, which has arrived whole, until
// done is called.
func (c *connections) answering(ctx context.Context) (done func()) {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	is := c.open[conn]
	if is == nil {
		return func() {}
	}
	is.busy++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		is.busy--
		is.since = time.Now()
	}
}

// count is how many connections there are.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
